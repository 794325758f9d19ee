// SPDX-License-Identifier: Apache-2.0
// approx_kl on the CPU: runs of tokens, each summed in order, their sums added in order.
#include "ops/approx_kl.hpp"

#include "core/backend.hpp"
#include "core/workspace.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {
namespace {

KlSums write_run(const ApproxKlPlan& plan, std::int64_t begin, std::int64_t end) {
  KlSums sums;
  for (std::int64_t token = begin; token < end; ++token) sums.add(plan.write_token(token));
  return sums;
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
  for (std::int64_t run = 0; run < runs; ++run) total.add(sums.data()[run]);
  plan.write_means(total);
  return {};
}

}  // namespace logsum::cpu
