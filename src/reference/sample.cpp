// SPDX-License-Identifier: Apache-2.0
#include "ops/sample.hpp"

#include "core/backend.hpp"
#include "core/measure.hpp"
#include "reference/row.hpp"

namespace logsum::reference {
namespace {

// The lowest column with p > 0 whose cdf is above u; the last with p > 0 where rounding leaves
// none.
std::int64_t invert_cdf(const std::vector<double>& z, const Distribution& p, double u) {
  double cdf = 0;
  std::int64_t last = -1;
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double probability = std::exp(p.logprob(z[i]));
    if (!(probability > 0)) continue;
    cdf += probability;
    last = static_cast<std::int64_t>(i);
    if (cdf > u) break;
  }
  return last;
}

void sample_row(const SamplePlan& plan, std::int64_t row) {
  const float t = plan.temperature(row);
  const bool greedy = t == 0.0f;
  const std::int64_t source = plan.indices ? plan.indices.integer(row) : row;
  bool parameters_hold =
      (greedy || is_valid_temperature(t)) && source >= 0 && source < plan.logits.rows;
  std::uint64_t bits = 0;
  parameters_hold = parameters_hold && plan.uniforms.hold(row, plan.draws);

  const std::vector<double> z =
      parameters_hold ? read_row(plan.logits, source) : std::vector<double>{kNan};
  const Distribution p(z, greedy ? 1.0 : static_cast<double>(t));
  const Distribution raw(z, 1.0);
  const bool ok = p.status == RowStatus::ok;
  for (std::int64_t k = 0; k < plan.draws; ++k) {
    std::int64_t token = -1;
    if (ok) {
      plan.uniforms.bits(row, k, bits);
      token = greedy ? p.argmax : invert_cdf(z, p, static_cast<double>(bits) * 0x1p-53);
    }
    const double chosen = ok ? z[static_cast<std::size_t>(token)] : kNan;
    plan.token.set_integer(row, k, token);
    plan.logprob.set(row, k, static_cast<float>(ok && greedy ? 0.0 : p.logprob(chosen)));
    plan.raw_logprob.set(row, k, static_cast<float>(raw.logprob(chosen)));
  }
  plan.lse.set(row, static_cast<float>(ok && greedy ? p.max : p.lse));
  plan.entropy.set(row, static_cast<float>(ok && greedy ? 0.0 : p.entropy));
  plan.row_status.set_integer(
      row, 0, static_cast<int>(parameters_hold ? p.status : RowStatus::bad_parameter));
}

}  // namespace

Status sample(const SamplePlan& plan, const Context&) {
  for (std::int64_t row = 0; row < plan.rows; ++row) sample_row(plan, row);
  return {};
}

}  // namespace logsum::reference
