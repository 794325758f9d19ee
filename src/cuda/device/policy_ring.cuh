// SPDX-License-Identifier: Apache-2.0
// policy_loss in rings (visit_rings.cuh): rows that count are measured, scored, and their gradients
// written, from one read; rows that don't are filled with 0 by a warp of their own.
#pragma once

#include "cuda/device/ring_logits.cuh"
#include "cuda/device/row_gradient.cuh"
#include "cuda/device/target_row.cuh"
#include "cuda/policy_call.hpp"

namespace logsum::cuda {

// A row's parameters, in few registers: the producer has those of two rows.
struct PolicyGiven {
  std::int64_t length;  // of its sequence, where the aggregation asks
  int target;           // −1: none that can be scored
  float temperature;
  float old, ref, advantage, weight;
  bool keeps_loss;

  __device__ __forceinline__ PolicyGiven(const PolicyCall& call, const ListedRow& at) {
    const PolicyLossPlan& plan = call.plan;
    const std::int64_t given = plan.targets.integer(at.row);
    target = plan.has_target(given) ? static_cast<int>(given) : -1;
    temperature = plan.temperature(at.row);
    const auto real = [&](const ElementsView& view) {
      return view ? static_cast<float>(view.real(at.row)) : 0.0f;
    };
    old = real(plan.old_logps);
    ref = real(plan.ref_logps);
    advantage = static_cast<float>(plan.advantages.at(at.row, at.sequence));
    weight = plan.weights.tensor ? static_cast<float>(plan.weights.at(at.row, at.sequence)) : 1.0f;
    keeps_loss = plan.keeps_loss(at.row);
    length =
        plan.options.aggregation == Aggregation::sequence_mean ? call.length_of(at.sequence) : 1;
  }
};

struct PolicyAhead : LogitsAhead {
  PolicyGiven given;

  __device__ __forceinline__ PolicyAhead(const PolicyCall& call, const TileTemperature& scalar,
                                         const PolicyGiven& given_)
      : LogitsAhead(call, scalar, given_), given(given_) {}

  __device__ __forceinline__ int left_out() const { return given.target; }
};

template <DType kDTypeOf, class ExpOf, bool kEntropy>
struct PolicyRing {
  using Call = PolicyCall;
  using Kind = MeasureKind<kDTypeOf, ExpOf, kEntropy, false>;
  using Record = TileRecord;
  using Room = TileRoom<Kind>;
  using Measure = MeasureLogits<PolicyRing>;
  using Where = ListedRow;
  using Given = PolicyGiven;
  using Ahead = PolicyAhead;
  struct Note {};
  using Row = KnownGradient<kDTypeOf, ExpOf>;
  static constexpr DType kDType = kDTypeOf;
  static constexpr RingUse kUse = kEntropy ? RingUse::loss_with_entropy : RingUse::loss;
  static constexpr bool kByHardware = std::is_same_v<ExpOf, Hardware>;
  static constexpr int kInputs = 1;

  struct Results {
    float logp, entropy;
    RowStatus status;
  };
  struct Early {
    float value = 0;  // the target's logit
    double u, per_entropy, grad_scale;
    bool is_valid;

    __device__ __forceinline__ Early(const Call& call, std::int64_t row, const Ahead& ahead) {
      const PolicyGiven& given = ahead.given;
      if (given.target >= 0)
        value = load_element(
            row_address(call.logits, row) + std::int64_t{given.target} * size_of(kDType), kDType);
      const PolicyTotals& totals = *call.rows.totals;
      u = call.plan.unit(totals, static_cast<double>(given.length));
      per_entropy = given.keeps_loss ? totals.per_entropy : 0;
      grad_scale = totals.grad_scale;
      is_valid = totals.is_valid && is_valid_temperature(given.temperature);
    }
  };

  LOGSUM_HOST_DEVICE static const RowsView& input(const Call& call, int) { return call.logits; }
  LOGSUM_HOST_DEVICE static const RowsView& output(const Call& call) {
    return call.plan.grad_logits;
  }
  __device__ __forceinline__ static std::int64_t rows(const Call& call, const RingSpace&) {
    return call.rows.totals->kept;
  }
  __device__ __forceinline__ static Where where(const Call& call, std::int64_t i) {
    return call.rows.list[i];
  }

  __device__ __forceinline__ static TileRecord look_again(const Call& call, std::int64_t row,
                                                          int record, int why, const Ahead& ahead) {
    if (record < tile_count(call.logits.columns))
      return cuda::look_again<Kind>(call.logits, row, record, why, ahead);
    const TileRecord without = record_without_target<kDType, ExpOf>(
        call.logits, row, ::max(ahead.given.target, 0), ahead.of_tiles);
    return without;
  }

  __device__ __forceinline__ static Row join(const Call& call, std::int64_t, const Ahead& ahead,
                                             const Early& early, const TileRecord* records,
                                             Results& results) {
    const int target = ahead.given.target;
    ScoredRow scored;
    scored.status = RowStatus::bad_parameter;
    if (early.is_valid)
      scored =
          score_target<Kind>(records, call.logits.columns, ahead.temperature, target, early.value,
                             target < 0 ? nullptr : records + tile_count(call.logits.columns));
    if (scored.status == RowStatus::ok && target < 0) {
      scored.status = RowStatus::bad_target;
      scored.logp = kNan;
    }
    results = {scored.logp, scored.entropy, scored.status};
    double g = 0;
    if (scored.status == RowStatus::ok)
      g = product(early.u, derivative(call.plan, ahead.given, scored));
    return known_gradient<kDType, ExpOf>(scored, ahead.temperature, early.grad_scale, g,
                                         kEntropy ? early.per_entropy : 0, target);
  }

  __device__ __forceinline__ static void write_results(const Call& call, std::int64_t row,
                                                       const Results& results) {
    if (warp_lane() != 0) return;
    call.rows.status[row] = results.status;
    call.rows.logps[row] = results.logp;
    call.rows.entropies[row] = results.entropy;
  }

  __device__ __forceinline__ static void emit(const Row& known, const Note&,
                                              const RingChunk<PolicyRing>& chunk) {
    if (known.fate != RowGradient::Fate::computed)
      return chunk.fill(known.fate == RowGradient::Fate::zero ? 0.0f : kNan);
    write_gradient<kEntropy>(
        known, [&](const auto& f) { chunk.write(f); },
        [&](const auto& f) { chunk.write_slowly(f); });
    chunk.patch(known.target, known.at_target);
  }

  // Rows that don't count, those of all CTAs in turns, 4 KB at a time.
  class Filler {
   public:
    __device__ __forceinline__ Filler(const Call& call, const RingSpace& space)
        : i_(blockIdx.x), masked_(space.rows - call.rows.totals->kept) {}

    __device__ __forceinline__ bool has_more() const { return i_ < masked_; }

    __device__ __forceinline__ void fill_some(const Call& call, const RingSpace& space) {
      constexpr int kPiece = 4096, kBytes = size_of(kDType);
      const RowsView& grad = output(call);
      std::byte* const row = grad.data + grad.index.offset(call.rows.list[space.rows - 1 - i_].row);
      const int bytes = space.columns * kBytes, end = min(at_ + kPiece, bytes);
#pragma unroll
      for (int i = 0; i < kPiece / (kWarp * 16); ++i) {
        const int at = at_ + (i * kWarp + warp_lane()) * 16;
        if (at + 16 <= end) *reinterpret_cast<uint4*>(row + at) = {};
      }
      at_ = end;
      if (at_ < bytes) return;
      const int at = bytes / 16 * 16 + warp_lane() * kBytes;
      if (at < bytes) {
        if constexpr (kDType == DType::f32)
          *reinterpret_cast<float*>(row + at) = 0;
        else
          *reinterpret_cast<std::uint16_t*>(row + at) = 0;
      }
      i_ += gridDim.x;
      at_ = 0;
    }

   private:
    std::int64_t i_;  // of the rows that don't count
    std::int64_t masked_;
    int at_ = 0;  // bytes of the row
  };

 private:
  // dl/dlogp of a token whose ratio is its own. Its exponentials are made by two threads side by
  // side.
  __device__ __forceinline__ static double derivative(const PolicyLossPlan& plan,
                                                      const PolicyGiven& given,
                                                      const ScoredRow& scored) {
    const PolicyOptions& options = plan.options;
    PolicyToken token;
    token.logp = static_cast<double>(scored.logp);
    token.old = plan.old_logps ? static_cast<double>(given.old) : token.logp;
    token.has_ref = static_cast<bool>(plan.ref_logps);
    token.ref = static_cast<double>(given.ref);
    token.advantage = static_cast<double>(given.advantage);
    token.weight = static_cast<double>(given.weight);
    token.keeps_loss = given.keeps_loss;
    const bool of_kl = warp_lane() == 1;
    const double exponential = exp_or_rest(
        of_kl ? kl_distance(options, token) : PolicyLogRatio(options, token).value, of_kl);
    PolicyExponentials exponentials;
    exponentials.ratio = __shfl_sync(~0u, exponential, 0);
    exponentials.k3 = __shfl_sync(~0u, exponential, 1);
    const PolicyTerms terms = terms_of(options, token, PolicySequence(), exponentials);
    return terms.direct + product(terms.share, terms.slope);
  }
};

}  // namespace logsum::cuda
