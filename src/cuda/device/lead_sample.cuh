// SPDX-License-Identifier: Apache-2.0
// sample, once a row's tiles are measured, where a cluster has the row to itself: what takes one
// warp of finish_sample.cuh some 2000 instructions one after the other is a decode step's latency.
// A leader that measured nothing, and so has all that doesn't depend on the logits ready, joins the
// records in registers and names the tile. Its assistants, the warps that measured, look at 256
// columns of it each (8 warps at twice as many, 4 at four times); the one that finds the draw's
// column writes the draw, to norms that the leader has made meanwhile.
#pragma once

#include "cuda/device/draw_block.cuh"
#include "cuda/device/finish_sample.cuh"
#include "cuda/device/joined_row.cuh"
#include "cuda/device/lanes.cuh"

namespace logsum::cuda {

// What leader and assistants tell each other, in shared memory.
struct Decision {
  static constexpr int kDone = -1, kNotOurs = -2;
  int tile;                       // or one of these: there is nothing more to do
  bool is_new;                    // another tile than the draw before
  unsigned long long part, mass;  // below the draw, and all, of the tile's mass
  unsigned long long blocks[kDrawBlocks];
  RowNorm norm, raw;
};

// kTold: the leader brings a decision; kRead: the assistants have it. kSummed: the blocks' masses
// are there, among the assistants. kNormed: the leader brings the norms to the one that writes.
class DecisionBarriers {
 public:
  enum Barrier { kTold = 12, kRead = 13, kSummed = 14, kNormed = 15 };

  __device__ __forceinline__ explicit DecisionBarriers(int assistants) : assistants_(assistants) {}

  __device__ __forceinline__ void wait_for(Barrier barrier) const {
    sync_threads(barrier, threads(barrier));
  }
  __device__ __forceinline__ void announce(Barrier barrier) const {
    arrive_threads(barrier, threads(barrier));
  }

 private:
  __device__ __forceinline__ int threads(Barrier barrier) const {
    return (barrier == kNormed ? 2 : assistants_ + (barrier != kSummed)) * kWarp;
  }

  int assistants_;
};

// The norms of a row whose draws are being looked up.
template <class Kind>
__device__ __forceinline__ SampleNorms<Kind> norms_of_joined(const JoinedRow<Kind::kMoment>& joined,
                                                             const TileRecord* records, int tiles,
                                                             std::int64_t columns,
                                                             const Temperature& temperature) {
  const RowMeasure measure = joined.measure();
  RowMeasure at_one = measure;
  if constexpr (Kind::kRaw) {
    const JoinedRow<false> raw(records + tiles, tiles, columns);
    if (raw.is_plain())
      raw.put_mass(at_one);
    else
      at_one = join_raw<Kind>(records, tiles, columns);
  }
  return {measure, at_one, temperature};
}

// By the leader. False for a row that finish_sample must finish.
template <class Kind>
__device__ __forceinline__ bool lead_sample(const SampleCall& call, std::int64_t row,
                                            int assistants, const TileRecord* records,
                                            const SampleRow& shared, Decision& decision) {
  const DecisionBarriers barriers(assistants);
  const auto tiles = static_cast<int>(tile_count(call.logits.columns));
  JoinedRow<Kind::kMoment> joined(records, tiles, call.logits.columns);
  const bool is_ours = joined.is_plain() && shared.parameters_hold && !shared.is_greedy;
  if (is_ours) {
    const std::uint64_t total = joined.total();
    joined.scan();
    int told = -1;
    for (std::int64_t k = 0; k < call.draws; ++k) {
      std::uint64_t bits = shared.first_bits;
      if (k > 0) call.uniforms.bits(row, k, bits);
      int tile;
      std::uint64_t part, mass;
      if (joined.choose(portion(bits, total), tile, part, mass)) {
        decision.tile = tile;
        decision.is_new = tile != told;
        decision.part = part;
        decision.mass = mass;
      }
      told = tile;
      barriers.announce(DecisionBarriers::kTold);
      if (k == 0) {
        const auto norms =
            norms_of_joined<Kind>(joined, records, tiles, call.logits.columns, shared.temperature);
        if (warp_lane() == 0) {
          decision.norm = norms.norm;
          decision.raw = norms.raw;
        }
        barriers.announce(DecisionBarriers::kNormed);
        shared.write_row(RowStatus::ok, norms.lse, norms.entropy);
      }
      barriers.wait_for(DecisionBarriers::kRead);
    }
  }
  if (warp_lane() == 0) decision.tile = is_ours ? Decision::kDone : Decision::kNotOurs;
  barriers.announce(DecisionBarriers::kTold);
  return is_ours;
}

// Which of the blocks of an assistant a draw ends in, and at which of its units; −1: in none. The
// same for the whole warp. Sums of all and of the blocks before take less time than a prefix sum.
__device__ __forceinline__ int reached_block(const Decision& decision, int assistant,
                                             int assistants, double share, std::uint64_t& target) {
  const int lane = warp_lane();
  const std::uint64_t units = lane < kDrawBlocks ? decision.blocks[lane] : 0;
  const std::uint64_t in_tile = units_of_share(share, warp_sum(units));
  for (int block = assistant; block < kDrawBlocks; block += assistants) {
    target = in_tile - warp_sum(lane < block ? units : 0);
    if (target < __shfl_sync(~0u, units, block)) return block;
  }
  return -1;
}

// By each of the assistants. `maxes`: of each tile's chunks.
template <class Kind>
__device__ __forceinline__ bool assist_sample(const SampleCall& call, std::int64_t row,
                                              int assistant, int assistants,
                                              const TileRecord* records, const ChunkMaxes* maxes,
                                              const SampleRow& shared, Decision& decision) {
  const DecisionBarriers barriers(assistants);
  const WarpRow<Kind::kDType> logits(call.logits, call.logits_row(row));
  DrawBlock<Kind::kDType> kept;
  int kept_block = -1;
  for (std::int64_t k = 0;; ++k) {
    barriers.wait_for(DecisionBarriers::kTold);
    const int tile = decision.tile;
    if (tile < 0) return tile == Decision::kDone;
    const auto look = [&](int block) {
      kept.load(logits.tile(tile), block, logits.tile_columns(tile));
      kept_block = block;
      return kept.sum(ColumnUnits<typename Kind::Exp>(maxes[tile].max[block / kChunkRows],
                                                      records[tile].n,
                                                      TileTemperature(shared.temperature)));
    };
    if (decision.is_new) {
#pragma unroll 1
      for (int block = assistant; block < kDrawBlocks; block += assistants) {
        const std::uint64_t sum = look(block);
        if (warp_lane() == 0) decision.blocks[block] = sum;
      }
    }
    const double share = TileChoice(tile, decision.part, 0, decision.mass).share;
    barriers.announce(DecisionBarriers::kRead);
    barriers.wait_for(DecisionBarriers::kSummed);
    std::uint64_t target;
    const int block = reached_block(decision, assistant, assistants, share, target);
    if (block < 0) continue;
    if (block != kept_block) look(block);
    int column;
    float logit;
    const bool is_mine = kept.find(target, column, logit);
    if (k == 0) barriers.wait_for(DecisionBarriers::kNormed);
    if (is_mine)
      shared.write_draw(k, std::int64_t{tile} * kTile + column, decision.norm.logprob(logit),
                        decision.raw.logprob(logit));
    __syncwarp();
  }
}

}  // namespace logsum::cuda
