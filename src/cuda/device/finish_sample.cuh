// SPDX-License-Identifier: Apache-2.0
// sample, once a row's tiles are measured, by one warp: the tile of each draw by its integer mass,
// then the column inside that tile. Draws that fall into the same tile share the look at it.
#pragma once

#include "cuda/device/choose.cuh"
#include "cuda/device/sample_row.cuh"
#include "cuda/device/tile_cdf.cuh"

namespace logsum::cuda {

// The draws of a row, 32 at a time: one per thread.
template <class Kind>
__device__ __forceinline__ void draw_tokens(const SampleCall& call, std::int64_t row,
                                            const WarpRow<Kind::kDType>& logits,
                                            TileRecord* records, const RowMeasure& measure,
                                            const SampleRow& shared, TileCdfSpace& space) {
  const auto norms = norms_of_row<Kind>(logits, records, measure, shared.temperature);
  shared.write_row(RowStatus::ok, norms.lse, norms.entropy);
  const TileMasses masses(records, static_cast<int>(logits.tiles()), measure);
  TileCdf<Kind::kDType, typename Kind::Exp> cdf(space, TileTemperature(shared.temperature));
  int built = -1;
  for (std::int64_t first = 0; first < call.draws; first += kWarp) {
    const std::int64_t k = first + warp_lane();
    std::uint64_t bits = shared.first_bits;
    if (k > 0 && k < call.draws) call.uniforms.bits(row, k, bits);
    const TileChoice choice = masses.choose(bits);
    unsigned waiting = __ballot_sync(~0u, k < call.draws);
    for (; waiting != 0; waiting &= waiting - 1) {
      const int draw = __ffs(static_cast<int>(waiting)) - 1;
      const int tile = __shfl_sync(~0u, static_cast<int>(choice.tile), draw);
      if (tile != built)
        cdf.build(logits.tile(tile), logits.tile_columns(tile), tile == 0,
                  load_record(records + tile).max);
      built = tile;
      const auto found = cdf.find(__shfl_sync(~0u, choice.share, draw));
      if (warp_lane() == draw)
        shared.write_draw(k, std::int64_t{tile} * kTile + found.column,
                          norms.norm.logprob(found.logit), norms.raw.logprob(found.logit));
    }
  }
}

// `records`: of the row's tiles, then of the same at T = 1 where Kind has them. They are used up.
// Not inlined: the loop around it must stay small.
template <class Kind>
__device__ __noinline__ void finish_sample(const SampleCall& call, std::int64_t row,
                                           TileRecord* records, const SampleRow& shared,
                                           TileCdfSpace& space) {
  if (!shared.parameters_hold)
    return shared.write_all(call, RowStatus::bad_parameter, -1, kNan, kNan, kNan, kNan);
  const WarpRow<Kind::kDType> logits(call.logits, call.logits_row(row));
  RowStatus status;
  const RowMeasure measure = join_records<Kind::kMoment>(logits, records, status);
  if (status != RowStatus::ok || shared.is_greedy)
    return write_undrawn<Kind>(call, shared, logits, records, measure, status);
  draw_tokens<Kind>(call, row, logits, records, measure, shared, space);
}

}  // namespace logsum::cuda
