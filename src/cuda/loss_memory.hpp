// SPDX-License-Identifier: Apache-2.0
// A loss's rows, in the memory of a call behind what its visit takes.
#pragma once

#include "cuda/scratch.hpp"
#include "ops/loss_plan.hpp"

namespace logsum::cuda {

template <class Rows>
class DeviceLossMemory {
 public:
  DeviceLossMemory(const LossPlan& plan, const Context& context)
      : visit_(Layout::aligned(span_bytes(plan.logits.rows, tile_count(plan.logits.columns)))),
        scratch_(visit_ + lay(plan, nullptr), DeviceScratch::Counters::used, context) {
    if (scratch_.status().ok()) lay(plan, scratch_.template at<std::byte>(visit_));
  }

  Rows rows;
  const Status& status() const { return scratch_.status(); }
  Context in(const Context& context) const { return scratch_.in(context); }
  unsigned* counter() const { return scratch_.template at<unsigned>(0); }

 private:
  std::size_t lay(const LossPlan& plan, std::byte* memory) {
    return rows.lay(memory, static_cast<std::size_t>(plan.logits.rows),
                    static_cast<std::size_t>(plan.sequences.count), true);
  }

  std::size_t visit_;
  DeviceScratch scratch_;
};

}  // namespace logsum::cuda
