// SPDX-License-Identifier: Apache-2.0
// group_advantages: the advantages of samples over their group, from their rewards.
//
//   a_i = (r_i − b_i) / (s + epsilon)        scale none:  a_i = r_i − b_i
//
//   b_i: the mean of the group, or of the others in it (leave_one_out; alone in its group: r_i)
//   s:   the standard deviation of the group, or of the batch, with n − 1; of one sample 0
//
// Source: GRPO (arXiv 2402.03300) as TRL has it: epsilon 1e-4, scale_rewards "group" | "batch" |
//   "none"; RLOO (arXiv 2402.14740).
// Shapes: rewards [..., size]; a group is a row, `groups` all leading dimensions.
// Error: within 1e-7 of the float64 truth, relative to the group's largest |a|; f32 outputs below
//   the smallest normal f32 within 2^-149. mean and std 1e-7 relative, mean of the largest |r|.
// Special values: where all rewards of a group are equal, and in a group of one, advantages are
//   exactly 0; as they are where s + epsilon is 0. A NaN, an infinity of either sign, or an f64
//   from 2^400 on, make the advantages, mean and std of their group NaN; other groups don't see it,
//   the batch's deviation is of the rest. f64 rewards may count as equal where they differ by less
//   than 2^-500; advantages, mean and std beyond f32 are ±∞.
// Mask: where it is 0 the sample isn't looked at, its advantage is 0, and it doesn't count. A group
//   without samples has mean and std 0.
// group_status: ok; nan; pos_inf (an infinity of either sign, no NaN); ignored (no samples).
// Determinism: a group's bits depend on its rewards and mask; under batch scaling on all of them.
//   Sums in f64 in the order of src/core/lane_sums.hpp, of differences from the group's first
//   sample: the same on every device, with any strides or threads.
// Workspace: group_advantages_workspace_size(args) bytes, from shapes only; 0 unless by batch.
// Aliasing: outputs may not overlap inputs or one another.
#pragma once

#include "logsum/context.hpp"
#include "logsum/row_status.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum {

enum class AdvantageScale : std::uint8_t { group, batch, none };
enum class AdvantageBaseline : std::uint8_t { mean, leave_one_out };

struct GroupAdvantagesArgs {
  Tensor rewards = {};  // [..., size] f32 | f64; any strides
  Tensor mask = {};     // optional [..., size] bool | u8; 0: left out

  Tensor advantages = {};      // out [..., size] f32
  Tensor mean = {}, std = {};  // out, optional [...] f32: each group's own
  Tensor group_status = {};    // out, optional [...] i32 (RowStatus)

  AdvantageScale scale = AdvantageScale::group;
  AdvantageBaseline baseline = AdvantageBaseline::mean;
  double epsilon = 1e-4;  // finite, at least 0
};

LOGSUM_API Status group_advantages(const GroupAdvantagesArgs& args,
                                   const Context& context = {}) noexcept;

LOGSUM_API std::size_t group_advantages_workspace_size(const GroupAdvantagesArgs& args) noexcept;

}  // namespace logsum
