// SPDX-License-Identifier: Apache-2.0
// The library's operations for tests, whose tensors are in host memory: where the call's backend
// is on a GPU they go there and come back. Two environment variables say how tests run:
//
//   LOGSUM_TEST_BACKEND=cuda   calls without a backend of their own are CUDA's, with the CPU's bits
//   LOGSUM_TEST_MIRROR=1       calls on the host have their tensors copied too, within its memory
#pragma once

#include <cstddef>
#include <string>

#include "logsum/logsum.hpp"

namespace logsum::test::on {

bool is_cuda();      // LOGSUM_TEST_BACKEND
bool is_mirrored();  // either: memory is copied for each call

// Why the tests can't run as the environment wants it; empty where they can.
std::string why_not();
// How many calls had their tensors copied; empty where none have by default. A test that makes a
// call without these functions counts it itself.
std::string summary();
void count_call();

#define LOGSUM_TEST_OPERATION(operation, Args) \
  Status operation(const Args& args, const Context& context = {}) noexcept;
#define LOGSUM_TEST_WORKSPACE_SIZE(operation, Args) \
  std::size_t operation##_workspace_size(const Args& args) noexcept;
#define LOGSUM_TEST_FOR_EACH_OPERATION(OPERATION, WORKSPACE_SIZE) \
  OPERATION(token_logprobs, TokenLogprobsArgs)                    \
  OPERATION(sample, SampleArgs)                                   \
  OPERATION(measure, MeasureArgs)                                 \
  OPERATION(merge, MergeArgs)                                     \
  OPERATION(draw, DrawArgs)                                       \
  OPERATION(softmax, SoftmaxArgs)                                 \
  OPERATION(log_softmax, SoftmaxArgs)                             \
  OPERATION(softmax_backward, SoftmaxBackwardArgs)                \
  OPERATION(log_softmax_backward, SoftmaxBackwardArgs)            \
  OPERATION(logsumexp, LogsumexpArgs)                             \
  OPERATION(logsumexp_backward, LogsumexpBackwardArgs)            \
  OPERATION(approx_kl, ApproxKlArgs)                              \
  OPERATION(policy_loss, PolicyLossArgs)                          \
  OPERATION(cross_entropy, CrossEntropyArgs)                      \
  OPERATION(preference_loss, PreferenceLossArgs)                  \
  OPERATION(distill_loss, DistillLossArgs)                        \
  OPERATION(group_advantages, GroupAdvantagesArgs)                \
  OPERATION(importance_weights, ImportanceWeightsArgs)            \
  WORKSPACE_SIZE(token_logprobs, TokenLogprobsArgs)               \
  WORKSPACE_SIZE(sample, SampleArgs)                              \
  WORKSPACE_SIZE(measure, MeasureArgs)                            \
  WORKSPACE_SIZE(softmax, SoftmaxArgs)                            \
  WORKSPACE_SIZE(softmax_backward, SoftmaxBackwardArgs)           \
  WORKSPACE_SIZE(logsumexp, LogsumexpArgs)                        \
  WORKSPACE_SIZE(logsumexp_backward, LogsumexpBackwardArgs)       \
  WORKSPACE_SIZE(approx_kl, ApproxKlArgs)                         \
  WORKSPACE_SIZE(policy_loss, PolicyLossArgs)                     \
  WORKSPACE_SIZE(cross_entropy, CrossEntropyArgs)                 \
  WORKSPACE_SIZE(preference_loss, PreferenceLossArgs)             \
  WORKSPACE_SIZE(distill_loss, DistillLossArgs)                   \
  WORKSPACE_SIZE(group_advantages, GroupAdvantagesArgs)           \
  WORKSPACE_SIZE(importance_weights, ImportanceWeightsArgs)

LOGSUM_TEST_FOR_EACH_OPERATION(LOGSUM_TEST_OPERATION, LOGSUM_TEST_WORKSPACE_SIZE)
#undef LOGSUM_TEST_OPERATION
#undef LOGSUM_TEST_WORKSPACE_SIZE

}  // namespace logsum::test::on
