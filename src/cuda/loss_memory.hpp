// SPDX-License-Identifier: Apache-2.0
// A loss's rows, in the memory of a call behind what its visit takes. Rows say by `lay` what they
// take of it.
#pragma once

#include "cuda/scratch.hpp"
#include "ops/loss_plan.hpp"

namespace logsum::cuda {

template <class Rows>
class DeviceLossMemory {
 public:
  template <class Plan>
  DeviceLossMemory(const Plan& plan, const Context& context)
      : visit_(Layout::aligned(span_bytes(plan.logits.rows, tile_count(plan.logits.columns)))),
        scratch_(visit_ + rows.lay(nullptr, plan, true), DeviceScratch::Counters::used, context) {
    if (scratch_.status().ok()) rows.lay(scratch_.template at<std::byte>(visit_), plan, true);
  }

  Rows rows;
  const Status& status() const { return scratch_.status(); }
  Context in(const Context& context) const { return scratch_.in(context); }
  unsigned* counter() const { return scratch_.template at<unsigned>(0); }

 private:
  std::size_t visit_;
  DeviceScratch scratch_;
};

}  // namespace logsum::cuda
