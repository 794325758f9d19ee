// SPDX-License-Identifier: Apache-2.0
// distill_loss by its text: log-probs of both rows, the mean of their differences, the gradients.
#include "ops/distill_loss.hpp"

#include "core/backend.hpp"
#include "reference/row.hpp"

namespace logsum::reference {
namespace {

// log-probs of one side's row.
struct Side {
  std::vector<double> logp;
  double temperature = 1;
  RowStatus status;

  Side(const DistillLossPlan::Side& side, std::int64_t row) {
    const std::vector<double> z = read_row(side.logits, row);
    const Distribution distribution = distribution_of(z, side.temperature(row));
    temperature = distribution.temperature;
    status = distribution.status;
    for (const double value : z) logp.push_back(distribution.logprob(value));
  }
  double p(std::size_t j) const { return std::exp(logp[j]); }
};

// A logit of −∞ adds nothing, whatever it is compared with. A log-ratio beyond f32 is infinite.
double term(double logp, double log_other) {
  if (logp == -kInf) return 0;
  const double p = std::exp(logp), ratio = logp - log_other;
  if (log_other == -kInf || (ratio > static_cast<double>(kMostF32) && static_cast<float>(p) > 0))
    return kInf;
  return p * ratio;
}

class Pair {
 public:
  Pair(const DistillLossPlan& plan, std::int64_t row)
      : plan_(plan), student_(plan.student, row), teacher_(plan.teacher, row) {}

  RowStatus status() const { return status_of_pair(student_.status, teacher_.status); }

  // KL(p‖other) and KL(q‖other).
  double of_teacher() const {
    return sum([&](std::size_t j) { return term(teacher_.logp[j], beside_teacher(j)); });
  }
  double of_student() const {
    return sum([&](std::size_t j) { return term(student_.logp[j], beside_student(j)); });
  }
  double divergence() const {
    switch (plan_.divergence) {
      case Divergence::forward_kl: return of_teacher();
      case Divergence::reverse_kl: return of_student();
      default: return beta() * of_teacher() + (1 - beta()) * of_student();
    }
  }

  double student_gradient(std::size_t j, double mean) const {
    if (plan_.divergence == Divergence::forward_kl) return (q(j) - p(j)) / student_.temperature;
    const double weight = is_jsd() ? 1 - beta() : 1;
    return weight * above_mean(student_.logp[j], beside_student(j), mean) / student_.temperature;
  }
  double teacher_gradient(std::size_t j, double mean) const {
    if (plan_.divergence == Divergence::reverse_kl) return (p(j) - q(j)) / teacher_.temperature;
    const double weight = is_jsd() ? beta() : 1;
    return weight * above_mean(teacher_.logp[j], beside_teacher(j), mean) / teacher_.temperature;
  }

 private:
  template <class Term>
  double sum(const Term& term_of) const {
    double total = 0;
    for (std::size_t j = 0; j < student_.logp.size(); ++j) total += term_of(j);
    return total;
  }
  static double above_mean(double logp, double log_other, double mean) {
    return logp == -kInf ? 0 * mean : std::exp(logp) * (logp - log_other - mean);
  }

  bool is_jsd() const { return plan_.divergence == Divergence::jsd; }
  double beta() const { return static_cast<double>(plan_.beta); }
  double p(std::size_t j) const { return teacher_.p(j); }
  double q(std::size_t j) const { return student_.p(j); }
  double log_m(std::size_t j) const {
    const double a = std::log(beta()) + teacher_.logp[j],
                 b = std::log1p(-beta()) + student_.logp[j];
    const double larger = std::max(a, b);
    return larger == -kInf ? larger : larger + std::log1p(std::exp(std::min(a, b) - larger));
  }
  double beside_teacher(std::size_t j) const { return is_jsd() ? log_m(j) : student_.logp[j]; }
  double beside_student(std::size_t j) const { return is_jsd() ? log_m(j) : teacher_.logp[j]; }

  const DistillLossPlan& plan_;
  Side student_, teacher_;
};

void fill(const RowsView& grad, std::int64_t row, double value) {
  if (grad.data) write_row(grad, row, [&](std::size_t) { return value; });
}

// Columns beyond vocab_size.
void write_padding(const DistillLossPlan::Side& side, std::int64_t row) {
  if (!side.grad.data) return;
  RowsView padding = side.grad;
  padding.columns += side.padded_columns;
  for (std::int64_t j = side.grad.columns; j < padding.columns; ++j)
    store(padding.column(row, j), padding.dtype, 0);
}

template <class Gradient>
void write_gradient(const DistillLossPlan::Side& side, std::int64_t row, double factor,
                    bool has_mean, double mean, const Gradient& gradient) {
  if (!side.grad.data) return;
  if (!fits_f32(factor) || (has_mean && !fits_f32(mean))) return fill(side.grad, row, kNan);
  write_row(side.grad, row, [&](std::size_t j) { return factor * gradient(j, mean); });
}

}  // namespace

Status distill_loss(const DistillLossPlan& plan, const Context&) {
  std::int64_t counted = 0;
  for (std::int64_t row = 0; row < plan.rows(); ++row) counted += plan.mask.counts(row);
  const DistillTotals totals = plan.totals(counted);
  double loss = 0;
  for (std::int64_t row = 0; row < plan.rows(); ++row) {
    write_padding(plan.student, row);
    write_padding(plan.teacher, row);
    DistilledRow result;
    if (!plan.mask.counts(row)) {
      plan.write_row(row, totals, result);
      fill(plan.student.grad, row, 0);
      fill(plan.teacher.grad, row, 0);
      continue;
    }
    const Pair pair(plan, row);
    result.status = totals.is_valid ? pair.status() : RowStatus::bad_parameter;
    const bool is_ok = result.status == RowStatus::ok;
    if (is_ok) result.sums.divergence = pair.divergence();
    loss += plan.write_row(row, totals, result);
    if (!is_ok) {
      const double value = result.status == RowStatus::empty ? 0 : kNan;
      fill(plan.student.grad, row, value);
      fill(plan.teacher.grad, row, value);
      continue;
    }
    const double of_student = pair.of_student(), of_teacher = pair.of_teacher();
    write_gradient(plan.student, row, totals.factor, plan.divergence != Divergence::forward_kl,
                   of_student,
                   [&](std::size_t j, double mean) { return pair.student_gradient(j, mean); });
    write_gradient(plan.teacher, row, totals.factor, plan.divergence != Divergence::reverse_kl,
                   of_teacher,
                   [&](std::size_t j, double mean) { return pair.teacher_gradient(j, mean); });
  }
  set_scalar(plan.loss, loss);
  return {};
}

}  // namespace logsum::reference
