// SPDX-License-Identifier: Apache-2.0
// The backend table: one row of function pointers per backend, so that callers have no #ifdef and a
// missing entry has one answer. Operations arrive validated (the *Plan structs of src/ops).
#pragma once

#include "logsum/context.hpp"
#include "logsum/status.hpp"

namespace logsum {

struct TokenLogprobsPlan;
struct SamplePlan;
struct MeasurePlan;
struct MergePlan;
struct DrawPlan;
struct SoftmaxPlan;
struct SoftmaxBackwardPlan;
struct LogsumexpPlan;
struct LogsumexpBackwardPlan;
struct ApproxKlPlan;

struct BackendTable {
  BackendInfo info;
  Status (*token_logprobs)(const TokenLogprobsPlan&, const Context&);
  Status (*sample)(const SamplePlan&, const Context&);
  Status (*measure)(const MeasurePlan&, const Context&);
  Status (*merge)(const MergePlan&, const Context&);
  Status (*draw)(const DrawPlan&, const Context&);
  Status (*softmax)(const SoftmaxPlan&, const Context&);
  Status (*log_softmax)(const SoftmaxPlan&, const Context&);
  Status (*softmax_backward)(const SoftmaxBackwardPlan&, const Context&);
  Status (*log_softmax_backward)(const SoftmaxBackwardPlan&, const Context&);
  Status (*logsumexp)(const LogsumexpPlan&, const Context&);
  Status (*logsumexp_backward)(const LogsumexpBackwardPlan&, const Context&);
  Status (*approx_kl)(const ApproxKlPlan&, const Context&);
};

// The row for the context's backend; an error names what is missing. Also refuses a SIMD target
// that this build or machine doesn't have.
Status find_backend(const char* operation, const Context& context,
                    const BackendTable*& table) noexcept;

// Runs a validated operation on the context's backend. No exception leaves it.
template <class Plan>
Status dispatch(const char* operation, Status (*BackendTable::*entry)(const Plan&, const Context&),
                const Plan& plan, const Context& context) noexcept {
  const BackendTable* table = nullptr;
  LOGSUM_RETURN_IF_ERROR(find_backend(operation, context, table));
  if (table->*entry == nullptr)
    return Status::error(StatusCode::unsupported, "%s: backend %s doesn't have it", operation,
                         table->info.name);
  try {
    return (table->*entry)(plan, context);
  } catch (...) {
    return Status::error(StatusCode::out_of_memory, "%s: out of memory", operation);
  }
}

}  // namespace logsum
