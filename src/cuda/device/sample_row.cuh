// SPDX-License-Identifier: Apache-2.0
// What sample keeps of a row beside its records, and how it writes the row's results.
#pragma once

#include "cuda/device/measure.cuh"
#include "cuda/device/row.cuh"
#include "cuda/sample_call.hpp"

namespace logsum::cuda {

// What is known of a row before it is measured.
struct SampleRow {
  Place outputs[SampleCall::kOutputs];
  std::uint64_t first_bits;  // of draw 0
  Temperature temperature;   // 1 where the draws are greedy
  bool is_greedy;
  bool parameters_hold;

  __device__ __forceinline__ void prepare_places(const SampleCall& call, std::int64_t row) {
    keep_places(outputs, call.outputs, row);
  }
  __device__ __forceinline__ void prepare(const SampleCall& call, std::int64_t row) {
    const int lane = warp_lane();
    const float t = call.temperature(row);
    bool holds = (t == 0.0f || is_valid_temperature(t)) && call.logits_row(row) >= 0;
    std::uint64_t bits = 0;
    if (call.uniforms.u)
      for (std::int64_t k = lane; k < call.draws; k += kWarp)
        holds &= call.uniforms.bits(row, k, bits);
    holds = __all_sync(~0u, holds);
    if (lane != 0) return;
    call.uniforms.bits(row, 0, bits);
    first_bits = bits;
    temperature = Temperature(is_valid_temperature(t) ? t : 1.0f);
    is_greedy = t == 0.0f;
    parameters_hold = holds;
  }

  __device__ void write_draw(std::int64_t k, std::int64_t token, float logprob,
                             float raw_logprob) const {
    outputs[SampleCall::kToken].set_integer(k, token);
    outputs[SampleCall::kLogprob].set(k, logprob);
    outputs[SampleCall::kRawLogprob].set(k, raw_logprob);
  }

  // All draws alike, and the row.
  __device__ __forceinline__ void write_all(const SampleCall& call, RowStatus status,
                                            std::int64_t token, float logprob, float raw_logprob,
                                            float lse, float entropy) const {
    for (std::int64_t k = warp_lane(); k < call.draws; k += kWarp)
      write_draw(k, token, logprob, raw_logprob);
    write_row(status, lse, entropy);
  }

  __device__ __forceinline__ void write_row(RowStatus status, float lse, float entropy) const {
    if (warp_lane() != 0) return;
    outputs[SampleCall::kLse].set(0, lse);
    outputs[SampleCall::kEntropy].set(0, entropy);
    outputs[SampleCall::kRowStatus].set_integer(0, static_cast<int>(status));
  }
};

// A row at T = 1. Not inlined: rare where it is used.
template <class Kind>
__device__ __noinline__ RowMeasure join_raw(const TileRecord* records, int tiles,
                                            std::int64_t columns) {
  return join_by_warp<false>(StoredRecords{records + tiles}, tiles, columns);
}

// The norms of a row's log-probs, at the temperature and at 1.
template <class Kind>
struct SampleNorms {
  RowNorm norm, raw;
  float lse, entropy;  // in thread 0

  // `at_one`: the row at T = 1, where Kind has it. Both logarithms at once, each by half of the
  // threads.
  __device__ __forceinline__ SampleNorms(RowMeasure measure, const RowMeasure& at_one,
                                         Temperature temperature) {
    using Exp = typename Kind::Exp;
    if (Kind::kRaw && warp_lane() % 2 == 1) {
      measure = at_one;
      temperature = Temperature();
    }
    const RowNorm mine(measure, temperature, Exp::weight_of_max(measure, temperature));
    lse = row_lse(measure, mine, temperature);
    entropy = Kind::kMoment ? row_entropy(measure, mine, temperature) : kNan;
    norm = of_thread(mine, 0);
    raw = of_thread(mine, 1);
  }

 private:
  __device__ __forceinline__ static RowNorm of_thread(const RowNorm& mine, int thread) {
    return {mine.half_max, __shfl_sync(~0u, mine.two_over_t, thread),
            __shfl_sync(~0u, mine.log_ratio, thread)};
  }
};

template <class Kind>
__device__ __forceinline__ SampleNorms<Kind> norms_of_row(const WarpRow<Kind::kDType>& logits,
                                                          const TileRecord* records,
                                                          const RowMeasure& measure,
                                                          const Temperature& temperature) {
  RowMeasure at_one;
  if constexpr (Kind::kRaw)
    at_one = join_raw<Kind>(records, static_cast<int>(logits.tiles()), logits.columns());
  return {measure, at_one, temperature};
}

// A row without draws of its own: greedy, or failed.
template <class Kind>
__device__ __forceinline__ void write_undrawn(const SampleCall& call, const SampleRow& shared,
                                              const WarpRow<Kind::kDType>& logits,
                                              const TileRecord* records, const RowMeasure& measure,
                                              RowStatus status) {
  if (status != RowStatus::ok)
    return shared.write_all(call, status, -1, kNan, kNan, lse_of_failed(status), kNan);
  const auto norms = norms_of_row<Kind>(logits, records, measure, Temperature());
  shared.write_all(call, status, logits.argmax(measure, records), 0.0f,
                   norms.norm.logprob(measure.max), measure.max, 0.0f);
}

}  // namespace logsum::cuda
