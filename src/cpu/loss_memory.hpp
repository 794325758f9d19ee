// SPDX-License-Identifier: Apache-2.0
// A loss's rows, in the memory of a call behind the records of their tiles. Rows say by `lay` what
// they take of it.
#pragma once

#include "core/workspace.hpp"
#include "ops/loss_plan.hpp"

namespace logsum::cpu {

template <class Rows>
class LossMemory {
 public:
  template <class Plan>
  LossMemory(const Plan& plan, const Context& context)
      : record_bytes_(Layout::aligned(static_cast<std::size_t>(plan.logits.rows) *
                                      static_cast<std::size_t>(tile_count(plan.logits.columns)) *
                                      sizeof(TileRecord))),
        workspace_(context, record_bytes_ + rows.lay(nullptr, plan, false)) {
    rows.lay(workspace_.data() + record_bytes_, plan, false);
  }

  Rows rows;
  TileRecord* records() { return reinterpret_cast<TileRecord*>(workspace_.data()); }

 private:
  std::size_t record_bytes_;
  Scratch<std::byte> workspace_;
};

}  // namespace logsum::cpu
