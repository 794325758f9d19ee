// SPDX-License-Identifier: Apache-2.0
// policy_loss on the CPU: rows that count are listed; each is scored and, where no token's gradient
// asks for its sequence, written while it is in cache; then the sequences, and the rows that had to
// wait for them.
#include "ops/policy_loss.hpp"

#include "core/backend.hpp"
#include "core/halving_tree.hpp"
#include "cpu/loss_memory.hpp"
#include "cpu/loss_visit.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {
namespace {

class PolicyVisit {
 public:
  PolicyVisit(const PolicyLossPlan& plan, const PolicyRows& rows, const LossVisit& visit)
      : plan_(plan), rows_(rows), visit_(visit) {}

  void list_rows() const {
    const std::int64_t kept = visit_.list_rows();
    std::int64_t kept_with_loss = 0, nonempty = 0;
    for (std::int64_t k = 0; k < kept; ++k) kept_with_loss += plan_.keeps_loss(rows_.list[k].row);
    for (std::int64_t i = 0; i < plan_.sequences.count; ++i) nonempty += rows_.lengths[i] > 0;
    *rows_.totals = plan_.totals(kept, kept_with_loss, nonempty);
  }

  // Of a row that counts, and its derivatives where they are its own.
  void score(std::int64_t k, TileScratch& scratch) const {
    const ListedRow at = visit_.score(k, scratch);
    if (is_coupled(plan_.options)) return;
    const double length = static_cast<double>(rows_.lengths[at.sequence]);
    const PolicySequence sequence = plan_.sequence({}, length, at.sequence);
    rows_.derivatives[at.row] = plan_.derivatives(
        at, *rows_.totals, plan_.own_gradient(*rows_.totals, length, terms(at, sequence)));
  }

  // Writes the results of a sequence's tokens, and what their gradients had to wait for.
  void finish_sequence(std::int64_t i) const {
    const TokenRange span = plan_.sequences.range(i);
    const std::int64_t first = span.begin < span.end ? rows_.before[span.begin] : 0;
    const std::int64_t count = rows_.lengths[i];
    const auto at = [&](std::int64_t token) { return rows_.list[first + token]; };
    for (std::int64_t row = span.begin; row < span.end; ++row)
      if (!rows_.counts(row)) plan_.write_masked(row);
    const double length = static_cast<double>(count);
    PolicyCoupling coupling;
    const bool coupled = is_coupled(plan_.options);
    if (coupled)
      coupling = halving_sum<PolicyCoupling>(count, [&](std::int64_t token) {
        return PolicyCoupling(plan_.options,
                              plan_.token(at(token), rows_.scored[at(token).row].logp));
      });
    const PolicySequence sequence = plan_.sequence(coupling, length, i);
    const double u = plan_.unit(*rows_.totals, length);
    if (coupled) {
      const double slope = halving_sum<Sum>(count, [&](std::int64_t token) {
                             return Sum{product(u, terms(at(token), sequence).slope)};
                           }).value;
      for (std::int64_t token = 0; token < count; ++token)
        rows_.derivatives[at(token).row] = plan_.derivatives(
            at(token), *rows_.totals,
            plan_.coupled_gradient(*rows_.totals, length, slope, terms(at(token), sequence)));
    }
    rows_.sums[i] = halving_sum<PolicySums>(count, [&](std::int64_t token) {
      const ListedRow row = at(token);
      ScoredRow& scored = rows_.scored[row.row];
      return plan_.write_token(row, u, terms(row, sequence), rows_.derivatives[row.row],
                               scored.logp, scored.entropy, scored.status);
    });
  }

  void finish() const {
    plan_.write_totals(halving_sum<PolicySums>(plan_.sequences.count,
                                               [&](std::int64_t i) { return rows_.sums[i]; }));
  }

 private:
  PolicyTerms terms(const ListedRow& at, const PolicySequence& sequence) const {
    const PolicyToken token = plan_.token(at, rows_.scored[at.row].logp);
    return terms_of(plan_.options, token, sequence,
                    exponentials_of(plan_.options, token, sequence));
  }

  const PolicyLossPlan& plan_;
  const PolicyRows& rows_;
  const LossVisit& visit_;
};

}  // namespace

Status policy_loss(const PolicyLossPlan& plan, const Context& context) {
  if (plan.logits.rows == 0) {
    plan.write_totals({});
    return {};
  }
  const std::int64_t tiles = tile_count(plan.logits.columns);
  LossMemory<PolicyRows> memory(plan, context);
  const PolicyRows& kept = memory.rows;
  const LossVisit rows_visit(plan, *kernels_for(context.simd), kept, *kept.totals,
                             memory.records());
  const PolicyVisit visit(plan, kept, rows_visit);
  visit.list_rows();
  const auto measure = [&](std::int64_t k, std::int64_t first, std::int64_t last, TileScratch&) {
    rows_visit.measure(k, first, last);
  };
  const auto score = [&](std::int64_t k, TileScratch& scratch) { visit.score(k, scratch); };
  const auto write = [&](std::int64_t k, std::int64_t first, std::int64_t last,
                         TileScratch& scratch) {
    rows_visit.write_gradient(k, first, last, scratch);
  };
  const bool coupled = is_coupled(plan.options);
  const std::int64_t count = kept.totals->kept;
  if (count > 0 && plan.wants_gradient() && !coupled)
    LOGSUM_RETURN_IF_ERROR(visit_runs(context, count, tiles, measure, score, write));
  else if (count > 0)
    LOGSUM_RETURN_IF_ERROR(visit_runs(context, count, tiles, measure, score));
  LOGSUM_RETURN_IF_ERROR(
      parallel_rows(context, plan.sequences.count,
                    [&](std::int64_t i, TileScratch&) { visit.finish_sequence(i); }));
  visit.finish();
  if (!plan.wants_gradient()) return {};
  if (coupled && count > 0)
    LOGSUM_RETURN_IF_ERROR(parallel_rows(context, count, [&](std::int64_t k, TileScratch& scratch) {
      rows_visit.write_gradient(k, 0, tiles, scratch);
    }));
  return parallel_rows(context, plan.logits.rows,
                       [&](std::int64_t row, TileScratch&) { rows_visit.write_rest(row); });
}

}  // namespace logsum::cpu
