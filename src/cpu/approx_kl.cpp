// SPDX-License-Identifier: Apache-2.0
// approx_kl on the CPU: runs of tokens, each summed in order, their sums added in order.
#include "ops/approx_kl.hpp"

#include "core/backend.hpp"
#include "core/kl.hpp"
#include "core/workspace.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {
namespace {

KlSums write_run(const ApproxKlPlan& plan, std::int64_t begin, std::int64_t end) {
  KlSums sums;
  for (std::int64_t token = begin; token < end; ++token) {
    if (!plan.counts(token)) {
      for (const ElementsView* output : {&plan.k1, &plan.k2, &plan.k3}) output->set(token, 0.0f);
      continue;
    }
    const auto logp = static_cast<float>(plan.logps.real(token));
    const auto ref_logp = static_cast<float>(plan.ref_logps.real(token));
    const KlEstimates kl(logp, ref_logp);
    const auto k3 = static_cast<float>(kl.k3);
    plan.k1.set(token, static_cast<float>(kl.k1));
    plan.k2.set(token, static_cast<float>(kl.k2));
    plan.k3.set(token, k3);
    sums.k1 += kl.k1;
    sums.k2 += kl.k2;
    sums.k3 += kl.k3;
    ++sums.count;
    sums.overflow_count += std::isinf(k3) && std::isfinite(logp) && std::isfinite(ref_logp);
  }
  return sums;
}

void write_means(const ApproxKlPlan& plan, const KlSums& sums) {
  const auto mean = [&](double sum) {
    return sums.count > 0 ? static_cast<float>(sum / static_cast<double>(sums.count)) : 0.0f;
  };
  plan.mean_k1.set(0, mean(sums.k1));
  plan.mean_k2.set(0, mean(sums.k2));
  plan.mean_k3.set(0, mean(sums.k3));
  plan.count.set_integer(0, 0, sums.count);
  plan.overflow_count.set_integer(0, 0, sums.overflow_count);
}

}  // namespace

Status approx_kl(const ApproxKlPlan& plan, const Context& context) {
  const std::int64_t runs = kl_runs(plan.tokens);
  Scratch<KlSums> sums(context, static_cast<std::size_t>(runs));
  LOGSUM_RETURN_IF_ERROR(parallel_rows(context, runs, [&](std::int64_t run, TileScratch&) {
    const std::int64_t begin = run * kKlRun;
    sums.data()[run] = write_run(plan, begin, std::min(begin + kKlRun, plan.tokens));
  }));
  KlSums total;
  for (std::int64_t run = 0; run < runs; ++run) {
    const KlSums& part = sums.data()[run];
    total.k1 += part.k1;
    total.k2 += part.k2;
    total.k3 += part.k3;
    total.count += part.count;
    total.overflow_count += part.overflow_count;
  }
  write_means(plan, total);
  return {};
}

}  // namespace logsum::cpu
