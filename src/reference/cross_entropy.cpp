// SPDX-License-Identifier: Apache-2.0
// cross_entropy by its text.
#include "ops/cross_entropy.hpp"

#include "core/backend.hpp"
#include "reference/dual.hpp"
#include "reference/row.hpp"

namespace logsum::reference {
namespace {

double capped(const CrossEntropyPlan& plan, double z) {
  const auto cap = static_cast<double>(plan.softcap.cap);
  return plan.softcap ? cap * std::tanh(z / cap) : z;
}
// 1 − tanh² without its cancellation.
double slope(const CrossEntropyPlan& plan, double z) {
  if (!plan.softcap) return 1;
  const double c = std::cosh(z / static_cast<double>(plan.softcap.cap));
  return 1 / (c * c);
}

class Token {
 public:
  Token(const CrossEntropyPlan& plan, const CrossEntropyTotals& totals, std::int64_t row)
      : plan_(plan), totals_(totals), row_(row), z_(read_row(plan.logits, row)), capped_(z_) {
    for (double& z : capped_) z = capped(plan, z);
    p_ = distribution_of(capped_, totals.is_valid ? 1.0f : 0.0f);
    target_ = plan.targets.integer(row);
    status_ =
        p_.status == RowStatus::ok && !plan.has_target(target_) ? RowStatus::bad_target : p_.status;
  }

  CrossEntropySums write_results() {
    const double of_classes = status_ == RowStatus::ok ? loss_of_classes() : kNan;
    const double of_lse =
        status_ == RowStatus::ok ? plan_.lse_square_scale * p_.lse * p_.lse : kNan;
    const double loss = of_classes + of_lse;
    if (status_ == RowStatus::ok &&
        !(std::fabs(loss) <= static_cast<double>(std::numeric_limits<float>::max())))
      status_ = RowStatus::overflow;
    plan_.per_token_loss.set(row_, static_cast<float>(loss));
    plan_.lse.set(row_, static_cast<float>(p_.lse));
    plan_.row_status.set_integer(row_, 0, static_cast<int>(status_));
    return {totals_.per_token * of_classes + totals_.per_z * of_lse, totals_.per_z * of_lse};
  }

  void write_gradient() const {
    const double upstream =
        totals_.grad_scale * (plan_.grad_loss ? plan_.grad_loss.real(row_) : 1.0);
    const bool fails = status_ == RowStatus::nan || status_ == RowStatus::pos_inf ||
                       status_ == RowStatus::bad_parameter;
    const bool is_zero = status_ == RowStatus::empty || status_ == RowStatus::bad_target;
    double others = 0, all = 0;
    for (std::size_t c = 0; c < z_.size(); ++c) {
      if (static_cast<std::int64_t>(c) != target_) others += std::exp(p_.logprob(capped_[c]));
      all += weight(c);
    }
    write_row(plan_.grad_logits, row_, [&](std::size_t j) {
      if (fails) return kNan;
      return is_zero ? 0.0 : upstream * derivative(j, others, all);
    });
  }

 private:
  double weight(std::size_t column) const {
    return plan_.class_weights ? plan_.class_weights.real(0, static_cast<std::int64_t>(column))
                               : 1.0;
  }
  double share() const { return plan_.label_smoothing / static_cast<double>(z_.size()); }

  double loss_of_classes() const {
    const auto y = static_cast<std::size_t>(target_);
    double loss = times((1 - plan_.label_smoothing) * weight(y), -p_.logprob(capped_[y]));
    for (std::size_t c = 0; c < z_.size() && share() != 0; ++c)
      loss += times(share() * weight(c), -p_.logprob(capped_[c]));
    return loss;
  }

  // dloss/dz_j: −w_c·log p_c gives w_c·(p_j − δ_jc), lse² gives 2·lse·p_j. `others`: 1 − p of the
  // target, `all`: Σ_c w_c.
  double derivative(std::size_t j, double others, double all) const {
    const auto y = static_cast<std::size_t>(target_);
    const double p = std::exp(p_.logprob(capped_[j]));
    const double of_target = j == y ? -others : p;
    double d = totals_.per_token * (1 - plan_.label_smoothing) * weight(y) * of_target;
    if (share() != 0) d += totals_.per_token * share() * (all * p - weight(j));
    d += totals_.per_z * 2 * plan_.lse_square_scale * p_.lse * p;
    return d * slope(plan_, z_[j]);
  }

  const CrossEntropyPlan& plan_;
  const CrossEntropyTotals& totals_;
  std::int64_t row_, target_ = 0;
  std::vector<double> z_, capped_;
  Distribution p_{{}, 1};
  RowStatus status_ = RowStatus::ok;
};

CrossEntropyTotals count_tokens(const CrossEntropyPlan& plan) {
  std::int64_t kept = 0;
  double weights = 0;
  for (std::int64_t row = 0; row < plan.logits.rows; ++row) {
    if (!plan.counts(row)) continue;
    ++kept;
    weights += plan.weight_of_row(row);
  }
  return plan.totals(kept, weights, 0);
}

}  // namespace

Status cross_entropy(const CrossEntropyPlan& plan, const Context&) {
  const CrossEntropyTotals totals = count_tokens(plan);
  CrossEntropySums sums;
  for (std::int64_t row = 0; row < plan.logits.rows; ++row) {
    const bool counts = plan.counts(row);
    if (counts) {
      Token token(plan, totals, row);
      sums.add(token.write_results());
      if (plan.wants_gradient()) token.write_gradient();
    } else {
      plan.write_ignored(row);
    }
    for (std::int64_t j = counts ? plan.logits.columns : 0;
         plan.wants_gradient() && j < plan.logits.columns + plan.padded_columns; ++j)
      store(static_cast<std::byte*>(plan.grad_logits.column(row, 0)) +
                j * static_cast<std::int64_t>(size_of(plan.grad_logits.dtype)),
            plan.grad_logits.dtype, 0);
  }
  plan.write_totals(sums);
  return {};
}

}  // namespace logsum::reference
