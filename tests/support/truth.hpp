// SPDX-License-Identifier: Apache-2.0
// softmax(z/T) of a row in float64 with compensated sums, from the formula alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace logsum::test {

class Truth {
 public:
  explicit Truth(const std::vector<float>& z, double temperature = 1)
      : max_(*std::max_element(z.begin(), z.end())), temperature_(temperature) {
    Sum sum, weighted;
    for (const float x : z) {
      const double d = (x - max_) / temperature;
      const double e = std::exp(d);
      sum.add(e);
      if (e > 0) weighted.add(e * d);
    }
    log_sum_ = std::log(sum.value);
    entropy_ = log_sum_ - weighted.value / sum.value;
  }

  double lse() const { return max_ / temperature_ + log_sum_; }
  double entropy() const { return entropy_; }
  double logprob(float z) const { return (z - max_) / temperature_ - log_sum_; }

 private:
  struct Sum {
    double value = 0, lost = 0;
    void add(double x) {
      const double y = x - lost, next = value + y;
      lost = (next - value) - y;
      value = next;
    }
  };

  double max_, temperature_, log_sum_, entropy_;
};

}  // namespace logsum::test
