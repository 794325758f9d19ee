// SPDX-License-Identifier: Apache-2.0
// sample, once a row's tiles are measured, where a cluster has the row to itself: what takes one
// warp of finish_sample.cuh some 2000 instructions one after the other is a decode step's latency.
// A leader that measured nothing, and so has all that doesn't depend on the logits ready, joins the
// records in registers and names the tile. Four assistants take a chunk of it each, and the one
// that has the draw's column finds it in its registers, while the leader computes the row's norms.
#pragma once

#include "cuda/device/column_units.cuh"
#include "cuda/device/finish_sample.cuh"
#include "cuda/visit_space.hpp"

namespace logsum::cuda {

// What leader and assistants tell each other, in shared memory.
struct Decision {
  const std::byte* z;  // the tile; null: there is nothing more to do
  TileTemperature temperature;
  double n, share;
  int columns;
  bool is_first;  // tile of its row
  bool is_new;    // another tile than the draw before
  unsigned long long mass[kDrawBlocks];
  int column;
  float logit;
};

inline constexpr int kAssistants = kTileChunks;

// kTold: the leader brings a decision; kFound: the assistants bring the column. kBuilt: the masses
// are there, among the assistants.
enum DecisionBarrier { kTold = 13, kBuilt = 14, kFound = 15 };

__device__ constexpr int threads_of(DecisionBarrier barrier) {
  return (kAssistants + (barrier != kBuilt)) * kWarp;
}
__device__ __forceinline__ void wait_for(DecisionBarrier barrier) {
  sync_threads(barrier, threads_of(barrier));
}
__device__ __forceinline__ void announce(DecisionBarrier barrier) {
  arrive_threads(barrier, threads_of(barrier));
}

// The records of a row of at most 128 tiles, four or fewer neighbours per thread.
template <bool kMoment>
class JoinedRow {
 public:
  RowMeasure measure;
  bool is_far;  // beyond small integers as references: nothing else holds

  __device__ __forceinline__ JoinedRow(const TileRecord* records, int tiles, std::int64_t columns) {
    each_ = (tiles + kWarp - 1) / kWarp;
    first_ = warp_lane() * each_;
    TileRecord mine[kMost];
    int n = INT_MIN, max_tile = INT_MAX;
    bool far = false, poisoned = false;
    float max = kNegInf;
#pragma unroll
    for (int k = 0; k < kMost; ++k) {
      mine[k] = TileRecord();
      if (k < each_ && first_ + k < tiles) mine[k] = records[first_ + k];
      poisoned |= mine[k].sum != mine[k].sum;
      if (mine[k].max > max) {
        max = mine[k].max;
        max_tile = first_ + k;
      }
      far |= !(fabs(mine[k].n) <= kFarReference);
      if (mine[k].sum > 0) n = ::max(n, __double2int_rn(mine[k].n));
    }
    measure.max = from_order(warp_max(order_of(max + 0.0f)));
    max_tile = warp_min(max == measure.max && measure.max > kNegInf ? max_tile : INT_MAX);
    measure.max_tile = max_tile == INT_MAX ? -1 : max_tile;
    n = warp_max(n);
    measure.n = n == INT_MIN ? 0.0 : n;
    measure.poisoned = __any_sync(~0u, poisoned);
    is_far = __any_sync(~0u, far);
    measure.mass_shift = mass_shift(columns);
    std::uint64_t sum = 0, moment = 0;
#pragma unroll
    for (int k = 0; k < kMost; ++k) {
      mass_[k] = 0;
      if (!(mine[k].sum > 0)) continue;
      const int lower = n - __double2int_rn(mine[k].n);
      mass_[k] = shifted(mine[k].sum, measure.mass_shift - lower);
      if (kMoment) moment += static_cast<std::uint64_t>(tile_moment(mine[k], measure));
      sum += mass_[k];
    }
    above_ = warp_prefix_sum(sum);
    before_ = above_ - sum;
    measure.mass = __shfl_sync(~0u, above_, kWarp - 1);
    if (kMoment) measure.moment = static_cast<std::int64_t>(warp_sum(moment));
  }

  // The same draw for the whole warp.
  __device__ __forceinline__ TileChoice choose(std::uint64_t bits) const {
    const std::uint64_t target = portion(bits, measure.mass);
    const int owner = __ffs(static_cast<int>(__ballot_sync(~0u, above_ > target))) - 1;
    std::uint64_t below = before_, above = before_;
    int tile = first_;
#pragma unroll
    for (int k = 0; k < kMost; ++k) {
      if (k > 0 && k < each_ && above <= target) {
        below = above;
        tile = first_ + k;
      }
      if (k == 0 || tile == first_ + k) above = below + mass_[k];
    }
    TileChoice choice(tile, target, below, above);
    choice.tile = __shfl_sync(~0u, tile, owner);
    choice.share = __shfl_sync(~0u, choice.share, owner);
    return choice;
  }

 private:
  static constexpr int kMost = kMostClusterTiles / kWarp;
  int each_, first_;
  std::uint64_t mass_[kMost];
  std::uint64_t before_, above_;
};

__device__ __forceinline__ void dismiss(Decision& decision) {
  decision.z = nullptr;
  announce(kTold);
}

// By the leader.
template <class Kind>
__device__ __forceinline__ void lead_sample(const SampleCall& call, std::int64_t row,
                                            TileRecord* records, const SampleRow& shared,
                                            TileCdfSpace& space, Decision& decision) {
  const auto slowly = [&] {
    finish_sample<Kind>(call, row, records, shared, space);
    dismiss(decision);
  };
  if (!shared.parameters_hold || shared.is_greedy) return slowly();
  const WarpRow<Kind::kDType> logits(call.logits, call.logits_row(row));
  const JoinedRow<Kind::kMoment> joined(records, static_cast<int>(logits.tiles()),
                                        call.logits.columns);
  if (joined.is_far || status_of(joined.measure) != RowStatus::ok) return slowly();

  SampleNorms<Kind> norms;
  std::int64_t told = -1;
  for (std::int64_t k = 0; k < call.draws; ++k) {
    std::uint64_t bits = shared.first_bits;
    if (k > 0) call.uniforms.bits(row, k, bits);
    const TileChoice choice = joined.choose(bits);
    const auto tile = static_cast<int>(choice.tile);
    decision.temperature = TileTemperature(shared.temperature);
    decision.n = records[tile].n;
    decision.share = choice.share;
    decision.z = logits.tile(tile);
    decision.columns = logits.tile_columns(tile);
    decision.is_first = tile == 0;
    decision.is_new = tile != told;
    told = tile;
    announce(kTold);
    if (k == 0) {
      norms = SampleNorms<Kind>(logits, records, joined.measure, shared.temperature);
      shared.write_row(RowStatus::ok, norms.lse, norms.entropy);
    }
    wait_for(kFound);
    if (warp_lane() == 0)
      shared.write_draw(k, std::int64_t{tile} * kTile + decision.column,
                        norms.norm.logprob(decision.logit), norms.raw.logprob(decision.logit));
    __syncwarp();
  }
  dismiss(decision);
}

// The column of a row of a chunk in which its units reach the target, by the warp that has it.
template <DType kDType, class Exp>
__device__ __forceinline__ void find_in_row(const Chunk<kDType>& chunk,
                                            const ColumnUnits<Exp>& units, int row,
                                            std::uint64_t target, int first, Decision& decision) {
  constexpr int kPerVector = Chunk<kDType>::kPerVector;
  float values[kPositions];
#pragma unroll
  for (int r = 0; r < kChunkRows; ++r)
#pragma unroll
    for (int i = 0; i < kPositions; ++i)
      if (r == 0 || r == row) values[i] = chunk.value(r, i);
  std::uint64_t mine[kPositions];
  units_of(units, values, mine);
  // Of each vector of the row in turn: with four to a vector a thread's columns aren't neighbours.
#pragma unroll
  for (int v = 0; v < kPositions / kPerVector; ++v) {
    std::uint64_t sum = 0;
#pragma unroll
    for (int i = 0; i < kPerVector; ++i) sum += mine[v * kPerVector + i];
    const std::uint64_t end = warp_prefix_sum(sum);
    const unsigned beyond = __ballot_sync(~0u, end > target);
    if (beyond != 0) {
      std::uint64_t before = end - sum;
      int position = 0;
      float logit = values[v * kPerVector];
#pragma unroll
      for (int i = 0; i < kPerVector; ++i) {
        if (before <= target) {
          position = i;
          logit = values[v * kPerVector + i];
        }
        before += mine[v * kPerVector + i];
      }
      if (warp_lane() == __ffs(static_cast<int>(beyond)) - 1) {
        decision.column =
            first + Chunk<kDType>::column(warp_lane(), row, v * kPerVector) + position;
        decision.logit = logit;
      }
      return;
    }
    target -= __shfl_sync(~0u, end, kWarp - 1);
  }
}

// By each of the assistants.
template <class Kind>
__device__ __forceinline__ void assist_sample(int assistant, Decision& decision) {
  using Exp = typename Kind::Exp;
  Chunk<Kind::kDType> chunk;
  float max = kNegInf;
  for (;;) {
    wait_for(kTold);
    if (decision.z == nullptr) return;
    if (decision.is_new) {
      const int first = assistant * kChunk;
      load_chunk(chunk, decision.z + first * static_cast<int>(size_of(Kind::kDType)),
                 decision.columns - first, decision.is_first && assistant == 0);
      max = ChunkExtremes(chunk).max;
      sum_units(chunk, ColumnUnits<Exp>(max, decision.n, decision.temperature),
                decision.mass + assistant * kChunkRows);
      wait_for(kBuilt);
    }
    const BlockTarget reached(decision.mass, decision.share);
    if (reached.block / kChunkRows == assistant)
      find_in_row(chunk, ColumnUnits<Exp>(max, decision.n, decision.temperature),
                  reached.block % kChunkRows, reached.target, assistant * kChunk, decision);
    announce(kFound);
  }
}

}  // namespace logsum::cuda
