// SPDX-License-Identifier: Apache-2.0
// What the kernels of distill_loss get, and the steps they are launched in.
//
//   list       one CTA: which rows count, and what the batch has in common
// where rows suit rings
//   rings      each matrix is read once: all results (distill_rings.cu)
// and where they don't
//   measure    a visit of the student's rows, then one of the teacher's
//   sum        a warp per tile of both: what it adds to its row
//   finish     rows' results, and one CTA their sum
//   write      a warp per tile of both: the gradients; what isn't computed, and columns beyond
//              vocab_size
//
// Rows of two bytes are computed by the hardware's exponential and logarithm
// (device/quick_divergence.cuh). What that can't do is left: `DistillRows::left` of a row, and sum,
// finish and write do it anew.
#pragma once

#include "logsum/context.hpp"
#include "ops/distill_loss.hpp"

namespace logsum::cuda {

enum DistillLeft : unsigned {
  kAllLeft = 1,       // sums and gradients
  kGradientLeft = 2,  // its factors are beyond what f32 has room for
};

// Which rows a step is for.
enum class DistillPart { all, beside_quick, beside_rings };

struct DistillCall {
  DistillLossPlan plan;
  DistillRows kept;

  LOGSUM_HOST_DEVICE std::int64_t listed(std::int64_t i) const {
    return plan.mask ? kept.list[i] : i;
  }
};

Status distill_by_rings(const DistillCall& call, const Context& context, bool& launched);
Status measure_side(const DistillCall& call, bool of_teacher, const Context& context);
Status sum_pairs(const DistillCall& call, DistillPart part, const Context& context);
Status write_pairs(const DistillCall& call, DistillPart part, const Context& context);

// Whether quick_divergence.cuh is meant for a call.
inline bool is_quick(const DistillLossPlan& plan, const Context& context) {
  DivergencePair pair;
  if (plan.divergence == Divergence::jsd) pair.set_jsd(plan.beta);
  return context.determinism == Determinism::per_device && !pair.is_uneven &&
         plan.student.logits.dtype != DType::f32 && plan.teacher.logits.dtype != DType::f32;
}

}  // namespace logsum::cuda
