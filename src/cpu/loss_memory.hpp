// SPDX-License-Identifier: Apache-2.0
// A loss's rows, in the memory of a call behind the records of their tiles.
#pragma once

#include "core/workspace.hpp"
#include "ops/loss_plan.hpp"

namespace logsum::cpu {

template <class Rows>
class LossMemory {
 public:
  LossMemory(const LossPlan& plan, const Context& context)
      : record_bytes_(Layout::aligned(static_cast<std::size_t>(plan.logits.rows) *
                                      static_cast<std::size_t>(tile_count(plan.logits.columns)) *
                                      sizeof(TileRecord))),
        workspace_(context, record_bytes_ + lay(plan, nullptr)) {
    lay(plan, workspace_.data() + record_bytes_);
  }

  Rows rows;
  TileRecord* records() { return reinterpret_cast<TileRecord*>(workspace_.data()); }

 private:
  std::size_t lay(const LossPlan& plan, std::byte* memory) {
    return rows.lay(memory, static_cast<std::size_t>(plan.logits.rows),
                    static_cast<std::size_t>(plan.sequences.count), false);
  }

  std::size_t record_bytes_;
  Scratch<std::byte> workspace_;
};

}  // namespace logsum::cpu
