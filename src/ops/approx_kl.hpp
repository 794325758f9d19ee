// SPDX-License-Identifier: Apache-2.0
// approx_kl after validation.
#pragma once

#include "core/kl.hpp"
#include "core/mean.hpp"
#include "core/rows.hpp"

namespace logsum {

// The sums of a run of tokens, or what one token adds to them.
struct KlSums {
  double k1 = 0, k2 = 0, k3 = 0;
  std::int64_t count = 0, overflow_count = 0;

  LOGSUM_HOST_DEVICE void add(const KlSums& other) {
    k1 += other.k1;
    k2 += other.k2;
    k3 += other.k3;
    count += other.count;
    overflow_count += other.overflow_count;
  }
};

struct ApproxKlPlan {
  std::int64_t tokens = 0;
  ElementsView logps, ref_logps;                                  // [tokens]
  MaskView mask;                                                  // [tokens]
  ElementsView k1, k2, k3;                                        // [tokens]
  ElementsView mean_k1, mean_k2, mean_k3, count, overflow_count;  // [1]

  // A masked token adds nothing. (To add 0 leaves every sum as it is: none is −0.)
  LOGSUM_HOST_DEVICE KlSums write_token(std::int64_t token) const {
    if (!mask.counts(token)) {
      write_estimates(token, 0.0f, 0.0f, 0.0f);
      return {};
    }
    const auto logp = static_cast<float>(logps.real(token));
    const auto ref_logp = static_cast<float>(ref_logps.real(token));
    const KlEstimates kl(logp, ref_logp);
    const auto rounded_k3 = static_cast<float>(kl.k3);
    write_estimates(token, static_cast<float>(kl.k1), static_cast<float>(kl.k2), rounded_k3);
    return {kl.k1, kl.k2, kl.k3, 1, is_overflow(rounded_k3, logp, ref_logp)};
  }

  LOGSUM_HOST_DEVICE void write_means(const KlSums& sums) const {
    mean_k1.set(0, mean_of(sums.k1, sums.count));
    mean_k2.set(0, mean_of(sums.k2, sums.count));
    mean_k3.set(0, mean_of(sums.k3, sums.count));
    count.set_integer(0, 0, sums.count);
    overflow_count.set_integer(0, 0, sums.overflow_count);
  }

 private:
  LOGSUM_HOST_DEVICE void write_estimates(std::int64_t token, float as_k1, float as_k2,
                                          float as_k3) const {
    k1.set(token, as_k1);
    k2.set(token, as_k2);
    k3.set(token, as_k3);
  }
};

inline constexpr std::int64_t kKlRun = 4096;

LOGSUM_HOST_DEVICE constexpr std::int64_t kl_runs(std::int64_t tokens) {
  return tokens / kKlRun + (tokens % kKlRun != 0);
}

}  // namespace logsum
