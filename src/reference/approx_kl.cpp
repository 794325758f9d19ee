// SPDX-License-Identifier: Apache-2.0
#include "ops/approx_kl.hpp"

#include "core/backend.hpp"
#include "reference/row.hpp"

namespace logsum::reference {
namespace {

// e^d − d − 1, by Taylor's series where the difference would cancel.
double k3_of(double d) {
  if (std::isinf(d)) return kInf;
  if (std::fabs(d) > 1e-3) return std::expm1(d) - d;
  return d * d / 2 * (1 + d / 3 * (1 + d / 4 * (1 + d / 5)));
}

}  // namespace

Status approx_kl(const ApproxKlPlan& plan, const Context&) {
  KlSums sums;
  for (std::int64_t token = 0; token < plan.tokens; ++token) {
    double k1 = 0, k2 = 0, k3 = 0;
    if (plan.mask.counts(token)) {
      const double logp = plan.logps.real(token);
      const double ref = plan.ref_logps.real(token);
      k1 = logp - ref;
      k2 = k1 * k1 / 2;
      k3 = k3_of(ref - logp);
      ++sums.count;
      sums.overflow_count +=
          std::isfinite(logp) && std::isfinite(ref) && std::isinf(static_cast<float>(k3));
    }
    plan.k1.set(token, static_cast<float>(k1));
    plan.k2.set(token, static_cast<float>(k2));
    plan.k3.set(token, static_cast<float>(k3));
    sums.k1 += k1;
    sums.k2 += k2;
    sums.k3 += k3;
  }
  const auto mean = [&](double sum) {
    return static_cast<float>(sums.count > 0 ? sum / static_cast<double>(sums.count) : 0.0);
  };
  plan.mean_k1.set(0, mean(sums.k1));
  plan.mean_k2.set(0, mean(sums.k2));
  plan.mean_k3.set(0, mean(sums.k3));
  plan.count.set_integer(0, 0, sums.count);
  plan.overflow_count.set_integer(0, 0, sums.overflow_count);
  return {};
}

}  // namespace logsum::reference
