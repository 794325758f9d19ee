// SPDX-License-Identifier: Apache-2.0
// What a ring takes of a CTA's shared memory and how many warps work at it, by operation and dtype.
// Known to the host, so that `logsum info --explain` needs no GPU; device/ring_memory.cuh checks
// that it is what it lays out.
#pragma once

#include "core/measure.hpp"
#include "cuda/visit_space.hpp"
#include "logsum/dtype.hpp"

namespace logsum::cuda {

enum class RingUse { softmax, log_softmax, gradients, divergence, loss, loss_with_entropy };

constexpr bool is_loss(RingUse use) { return use >= RingUse::loss; }

// Whether a warp looks at all of a tile, not at a chunk of it; whether it may measure a tile more
// than once: each input, or for an extra record.
constexpr bool ring_awaits_all(RingUse use) { return use == RingUse::gradients; }
constexpr bool ring_measures_again(RingUse use) {
  return is_loss(use) || use == RingUse::divergence;
}
// Whether a warp waits in the midst of a tile for another slot than its own, by itself or for a
// warp that does.
constexpr bool ring_needs_all(RingUse use) {
  return ring_awaits_all(use) || ring_measures_again(use);
}

inline constexpr int kRingSlotBytes = 8192;

// Groups of four warps, each of which takes a tile. Registers: 80 each, 96 for f32, whose chunk
// fills twice as many. Of two inputs fewer: a row is twice as long, and what the ring holds of it
// is let go sooner by few warps that are quick than by many (4096 x 151936 bf16, 5 groups: 1075 us,
// 4: 1020, 3: 1010; f32, 4: 2320, 3: 2000).
// A loss with an entropy has twice the sums, for which 80 registers are enough too. With 4 groups
// it is slower where rows are long (151936 and 262144 bf16: 856 us, with 5 810; 728, 700), and
// faster where a CTA has a row to itself (32000: 875, 905).
constexpr int ring_groups(RingUse use, DType dtype) {
  if (use == RingUse::gradients || use == RingUse::divergence) return 3;
  return dtype == DType::f32 ? 4 : 5;
}

// A loss takes as long to join as a short row takes to pass: two warps, a row each.
constexpr int ring_joiners(RingUse use) { return is_loss(use) ? 2 : 1; }

// Where a join is short, each CTA joins all rows by itself: records go to all of them, and none
// waits for what another makes of them. A longer one they take in turns.
constexpr bool ring_joins_everywhere(RingUse use) {
  return !is_loss(use) && use != RingUse::divergence;
}

// More warps serve them: joiners, a producer, a helper. Registers are dealt to four warps at a
// time: 24 of them leave a thread 80, 25 leave 72; 20 leave 96, 21 80.
constexpr int ring_threads(RingUse use, DType dtype) {
  return 32 * (kTileChunks * ring_groups(use, dtype) + ring_joiners(use) + 2);
}

// softmax by the polynomial, in f32 always, keeps the bounds of each chunk.
constexpr bool ring_has_notes(RingUse use, DType dtype, bool by_hardware) {
  return use == RingUse::softmax && (dtype == DType::f32 || !by_hardware);
}

// What is kept of a row that is known, and what a joiner sends of it.
struct RingRowCost {
  int known_row, stage;
};
constexpr RingRowCost ring_row_cost(RingUse use, DType dtype, bool by_hardware) {
  if (is_loss(use)) {
    if (by_hardware && dtype != DType::f32) return {144, 32};
    return {240, 128};
  }
  if (use == RingUse::gradients) return {64, 16};
  if (use == RingUse::divergence) return {208, 64};
  if (use == RingUse::log_softmax) return {96, 32};
  if (ring_has_notes(use, dtype, by_hardware)) return {176, 112};
  return {80, 16};
}

constexpr RingCost ring_cost(RingUse use, DType dtype, bool by_hardware) {
  const bool is_gradients = use == RingUse::gradients;
  const bool is_divergence = use == RingUse::divergence;
  const int inputs = is_gradients || is_divergence ? 2 : 1;
  const bool has_notes = ring_has_notes(use, dtype, by_hardware);
  const int input_bytes = kTile * static_cast<int>(size_of(dtype));
  const int tile_slots = inputs * input_bytes / kRingSlotBytes;
  const int groups = ring_groups(use, dtype);
  const int room = is_gradients ? 1104 : use == RingUse::loss_with_entropy ? 2144 : 1120;
  const RingRowCost row = ring_row_cost(use, dtype, by_hardware);
  return {.fixed = groups * room + ring_joiners(use) * row.stage,
          .slot_barriers = 16,
          .slot_notes = has_notes ? 8 * kTileChunks / tile_slots : 0,
          .slot_bytes = kRingSlotBytes,
          .known_row = row.known_row,
          .table = is_divergence ? 64 : 8,
          .record = is_gradients ? 8 : 24,
          .tile_sums = is_divergence ? kTileChunks * 16 : 0,
          .tile_records = is_divergence ? 2 : 1,
          .extra_records = is_loss(use) ? 1 : 0,
          .joiners = ring_joiners(use),
          .joins_everywhere = ring_joins_everywhere(use),
          .tile_slots = tile_slots,
          .least_slots = groups * tile_slots,
          .ahead = is_loss(use) || is_divergence ? kLossRingAhead
                   : has_notes                   ? kBusyRingAhead
                                                 : kRingAhead};
}

}  // namespace logsum::cuda
