// SPDX-License-Identifier: Apache-2.0
// The backend table: one row of function pointers per backend, so that callers have no #ifdef and a
// missing entry has one answer. Operations arrive validated (the *Plan structs of src/ops).
#pragma once

#include "core/fp_environment.hpp"
#include "logsum/context.hpp"
#include "logsum/status.hpp"

namespace logsum {

// Every operation and its plan. What a backend declares and what its row in the table holds follow
// from this list: OPERATION(name, Plan).
#define LOGSUM_FOR_EACH_OPERATION(OPERATION)           \
  OPERATION(token_logprobs, TokenLogprobsPlan)         \
  OPERATION(sample, SamplePlan)                        \
  OPERATION(measure, MeasurePlan)                      \
  OPERATION(merge, MergePlan)                          \
  OPERATION(draw, DrawPlan)                            \
  OPERATION(softmax, SoftmaxPlan)                      \
  OPERATION(log_softmax, SoftmaxPlan)                  \
  OPERATION(softmax_backward, SoftmaxBackwardPlan)     \
  OPERATION(log_softmax_backward, SoftmaxBackwardPlan) \
  OPERATION(logsumexp, LogsumexpPlan)                  \
  OPERATION(logsumexp_backward, LogsumexpBackwardPlan) \
  OPERATION(approx_kl, ApproxKlPlan)                   \
  OPERATION(policy_loss, PolicyLossPlan)               \
  OPERATION(cross_entropy, CrossEntropyPlan)           \
  OPERATION(preference_loss, PreferenceLossPlan)       \
  OPERATION(distill_loss, DistillLossPlan)             \
  OPERATION(group_advantages, GroupAdvantagesPlan)     \
  OPERATION(importance_weights, ImportanceWeightsPlan)

#define LOGSUM_FORWARD_PLAN(name, Plan) struct Plan;
LOGSUM_FOR_EACH_OPERATION(LOGSUM_FORWARD_PLAN)
#undef LOGSUM_FORWARD_PLAN

#define LOGSUM_DECLARE_OPERATION(name, Plan) Status name(const Plan& plan, const Context& context);

namespace cpu {
LOGSUM_FOR_EACH_OPERATION(LOGSUM_DECLARE_OPERATION)
}
namespace cuda {
LOGSUM_FOR_EACH_OPERATION(LOGSUM_DECLARE_OPERATION)
}
namespace reference {
LOGSUM_FOR_EACH_OPERATION(LOGSUM_DECLARE_OPERATION)
}
#undef LOGSUM_DECLARE_OPERATION

struct BackendTable {
  BackendInfo info;
  DeviceType device;  // where its tensors are
  // Whether this machine has one, and around each call; null: nothing to do.
  bool (*is_available)() noexcept;
  Status (*enter_device)(std::int32_t index, std::int32_t& previous) noexcept;
  void (*leave_device)(std::int32_t index, std::int32_t previous) noexcept;
#define LOGSUM_TABLE_ENTRY(name, Plan) Status (*name)(const Plan&, const Context&) = nullptr;
  LOGSUM_FOR_EACH_OPERATION(LOGSUM_TABLE_ENTRY)
#undef LOGSUM_TABLE_ENTRY
};

// The row for the context's backend and the device of the tensors; an error names what is missing.
// Also refuses a SIMD target that this build or machine doesn't have.
Status find_backend(const char* operation, Device device, const Context& context,
                    const BackendTable*& table) noexcept;

// Runs a validated operation on the context's backend. No exception leaves it.
template <class Plan>
Status dispatch(const char* operation, Status (*BackendTable::*entry)(const Plan&, const Context&),
                const Plan& plan, Device device, const Context& context) noexcept {
  const BackendTable* table = nullptr;
  LOGSUM_RETURN_IF_ERROR(find_backend(operation, device, context, table));
  if (table->*entry == nullptr)
    return Status::error(StatusCode::unsupported, "%s: backend %s doesn't have it", operation,
                         table->info.name);
  const FpEnvironment environment;  // an executor's threads have their own
  try {
    std::int32_t previous = 0;
    Status status = table->enter_device ? table->enter_device(device.index, previous) : Status();
    if (status.ok()) {
      status = (table->*entry)(plan, context);
      if (table->leave_device) table->leave_device(device.index, previous);
    }
    if (status.ok()) return {};
    return Status::error(status.code(), "%s: %s", operation, status.message());
  } catch (...) {
    return Status::error(StatusCode::out_of_memory, "%s: out of memory", operation);
  }
}

}  // namespace logsum
