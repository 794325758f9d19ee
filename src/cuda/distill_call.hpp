// SPDX-License-Identifier: Apache-2.0
// What the kernels of distill_loss get, and the steps they are launched in.
//
//   count      one CTA: what the batch has in common
//   measure    a visit of the student's rows, then one of the teacher's
//   sum        a warp per tile of both: what it adds to its row
//   finish     rows' results, and one CTA their sum
//   write      a warp per tile of both: the gradients; what isn't computed, and columns beyond
//              vocab_size
#pragma once

#include "logsum/context.hpp"
#include "ops/distill_loss.hpp"

namespace logsum::cuda {

struct DistillCall {
  DistillLossPlan plan;
  DistillRows kept;
};

Status measure_side(const DistillCall& call, bool of_teacher, const Context& context);
Status sum_pairs(const DistillCall& call, const Context& context);
Status write_pairs(const DistillCall& call, const Context& context);

}  // namespace logsum::cuda
