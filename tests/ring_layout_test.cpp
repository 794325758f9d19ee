// SPDX-License-Identifier: Apache-2.0
// What the host works out for rings: where their arrays lie in shared memory, and what a producer
// brings into L2 before it asks for it.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/measure.hpp"
#include "cuda/ring_cost.hpp"
#include "cuda/schedule.hpp"
#include "cuda/slots_ahead.hpp"

namespace logsum::cuda {
namespace {

constexpr RingUse kUses[] = {RingUse::softmax,    RingUse::log_softmax, RingUse::gradients,
                             RingUse::divergence, RingUse::loss,        RingUse::loss_with_entropy};

TEST(RingLayout, ArraysFollowEachOtherAlignedAndFit) {
  int laid = 0;
  for (const RingUse use : kUses)
    for (const DType dtype : {DType::bf16, DType::f32})
      for (const bool by_hardware : {false, true})
        for (const int shared : {100, 163, 227})
          for (const std::int64_t columns : {4097, 20000, 32000, 50304, 151936, 262144}) {
            const RingCost cost = ring_cost(use, dtype, by_hardware);
            const DeviceLimits limits{.processors = 132,
                                      .capability = 90,
                                      .shared_per_block = shared * 1024,
                                      .clusters = {132, 66, 30, 15}};
            RingSpace space;
            bool is_best;
            if (!ring_schedule(limits, 4096, columns, cost, space, is_best)) continue;
            ++laid;
            const struct {
              int at, align, bytes;
            } arrays[] = {
                {space.rows_at, 16, space.known_rows * cost.known_row},
                {space.tables_at, 8, space.tables * cost.table},
                {space.records_at, 8, space.tables * space.records * cost.record},
                {space.sums_at, 8, space.tables * space.tiles * cost.tile_sums},
                {space.notes_at, 8, space.slots * cost.slot_notes},
                {space.chunks_at, 128, space.slots * cost.slot_bytes},
            };
            int end = cost.fixed + space.slots * cost.slot_barriers;
            for (const auto& array : arrays) {
              EXPECT_GE(array.at, end);
              EXPECT_EQ(array.at % array.align, 0);
              end = array.at + array.bytes;
            }
            EXPECT_EQ(space.bytes, end);
            EXPECT_LE(space.bytes, limits.shared_per_block);
            EXPECT_GE(space.slots, cost.least_slots);
          }
  EXPECT_GT(laid, 300);
}

struct Row {
  int first;  // where the CTA's slice of it begins
  int slots, left;
};

// Of one CTA: what it asks for, slot by slot, and what was brought before.
TEST(SlotsAhead, BringsWhatIsAskedForLater) {
  constexpr int kSlot = 64, kRowStep = 4096;
  static_assert(SlotsAhead<kSlot>::kAhead == 4);
  std::vector<std::byte> logits(3 * kRowStep);
  for (const int bytes : {1000, 512, 500, 130, 40}) {
    const auto row = [bytes](int first) {
      return Row{first, (bytes - first + kSlot - 1) / kSlot, bytes - first};
    };
    const Row rows[] = {row(0), row(bytes > 200 ? 64 : 0), row(0)};
    std::vector<const std::byte*> asked, brought;
    SlotsAhead<kSlot> ahead;
    for (int i = 0; i < 3; ++i) {
      const auto begins = [&](int k) { return logits.data() + k * kRowStep; };
      const bool has_next = i + 1 < 3;
      const int offset = has_next ? rows[i + 1].first : 0;
      ahead.begin_row(begins(i) + rows[i].first, rows[i].slots, rows[i].left,
                      begins(has_next ? i + 1 : i), offset, has_next ? rows[i + 1].left : 0);
      for (int k = 0; k < rows[i].slots; ++k) {
        asked.push_back(begins(i) + rows[i].first + k * kSlot);
        const auto piece = ahead.take();
        if (piece.bytes <= 0) continue;
        EXPECT_EQ(piece.bytes % 16, 0);
        const auto at = (piece.from - logits.data()) % kRowStep;
        EXPECT_LE(at + piece.bytes, bytes);
        EXPECT_GE(at + piece.bytes, std::min<std::ptrdiff_t>(at + kSlot, bytes / 16 * 16));
        EXPECT_EQ(std::count(asked.begin(), asked.end(), piece.from), 0);
        brought.push_back(piece.from);
      }
    }
    // All but the first, and what isn't a vector, once and in the order in which they are asked
    // for.
    std::vector<const std::byte*> later(asked.begin() + std::min(4, rows[0].slots), asked.end());
    std::erase_if(later,
                  [&](const std::byte* p) { return (p - logits.data()) % kRowStep + 16 > bytes; });
    ASSERT_EQ(brought, later) << bytes;
  }
}

}  // namespace
}  // namespace logsum::cuda
