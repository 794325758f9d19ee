// SPDX-License-Identifier: Apache-2.0
// The float64 reference backend's entries in the backend table.
#pragma once

#include "core/backend.hpp"

namespace logsum::reference {

Status token_logprobs(const TokenLogprobsPlan& plan, const Context& context);
Status sample(const SamplePlan& plan, const Context& context);
Status measure(const MeasurePlan& plan, const Context& context);
Status merge(const MergePlan& plan, const Context& context);
Status draw(const DrawPlan& plan, const Context& context);
Status softmax(const SoftmaxPlan& plan, const Context& context);
Status log_softmax(const SoftmaxPlan& plan, const Context& context);
Status softmax_backward(const SoftmaxBackwardPlan& plan, const Context& context);
Status log_softmax_backward(const SoftmaxBackwardPlan& plan, const Context& context);
Status logsumexp(const LogsumexpPlan& plan, const Context& context);
Status logsumexp_backward(const LogsumexpBackwardPlan& plan, const Context& context);
Status approx_kl(const ApproxKlPlan& plan, const Context& context);

}  // namespace logsum::reference
