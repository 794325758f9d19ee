// SPDX-License-Identifier: Apache-2.0
// preference_loss on the CPU: rows that count are listed and scored, their log-probs summed per
// sequence; then the pairs, and the gradients of their tokens by a second visit.
#include "ops/preference_loss.hpp"

#include "core/backend.hpp"
#include "core/halving_tree.hpp"
#include "cpu/loss_memory.hpp"
#include "cpu/loss_visit.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {
namespace {

class PreferenceVisit {
 public:
  PreferenceVisit(const PreferenceLossPlan& plan, const PreferenceRows& rows)
      : plan_(plan), rows_(rows) {}

  void know_totals(std::int64_t kept) const {
    std::int64_t nll_tokens = 0;
    for (std::int64_t i = 0; i < plan_.sequences.count; ++i)
      if (plan_.is_chosen(i)) nll_tokens += rows_.lengths[i];
    *rows_.totals = plan_.totals(kept, nll_tokens);
  }

  void sum_sequence(std::int64_t i) const {
    const TokenRange span = plan_.sequences.range(i);
    const std::int64_t first = span.begin < span.end ? rows_.before[span.begin] : 0;
    rows_.sums[i] = plan_.sequence(
        halving_sum<PreferenceSequence>(rows_.lengths[i],
                                        [&](std::int64_t token) {
                                          const std::int64_t row = rows_.list[first + token].row;
                                          return plan_.token(row, rows_.scored[row].logp);
                                        }),
        i);
  }

  void finish_pairs() const {
    plan_.write_totals(halving_sum<PreferenceSums>(
        plan_.pairs(), [&](std::int64_t pair) { return plan_.finish_pair(rows_, pair); }));
  }

  // The i-th of the list.
  void finish_token(std::int64_t i) const {
    const ListedRow at = rows_.list[i];
    if (i >= rows_.totals->kept) return plan_.write_masked(at.row);
    const PreferenceSlope& slope = rows_.slopes[at.sequence];
    ScoredRow& scored = rows_.scored[at.row];
    rows_.derivatives[at.row] = {slope.g};
    plan_.write_token(at.row, slope, scored.logp, scored.status);
  }

 private:
  const PreferenceLossPlan& plan_;
  const PreferenceRows& rows_;
};

// Of sequences that have no tokens.
void finish_empty(const PreferenceLossPlan& plan) {
  const PreferenceTotals totals = plan.totals(0, 0);
  plan.write_totals(halving_sum<PreferenceSums>(
      plan.pairs(), [&](std::int64_t pair) { return plan.finish_empty_pair(totals, pair); }));
}

}  // namespace

Status preference_loss(const PreferenceLossPlan& plan, const Context& context) {
  if (plan.logits.rows == 0) {
    finish_empty(plan);
    return {};
  }
  LossMemory<PreferenceRows> memory(plan, context);
  const PreferenceRows& kept = memory.rows;
  const LossVisit rows_visit(plan, *kernels_for(context.simd), kept, *kept.totals,
                             memory.records());
  const PreferenceVisit visit(plan, kept);
  const std::int64_t count = rows_visit.list_rows();
  visit.know_totals(count);
  if (count > 0)
    LOGSUM_RETURN_IF_ERROR(visit_runs(
        context, count, rows_visit.tiles(),
        [&](std::int64_t k, std::int64_t first, std::int64_t last, TileScratch&) {
          rows_visit.measure(k, first, last);
        },
        [&](std::int64_t k, TileScratch& scratch) { rows_visit.score(k, scratch); }));
  LOGSUM_RETURN_IF_ERROR(parallel_rows(
      context, plan.sequences.count, [&](std::int64_t i, TileScratch&) { visit.sum_sequence(i); }));
  visit.finish_pairs();
  LOGSUM_RETURN_IF_ERROR(parallel_rows(
      context, plan.logits.rows, [&](std::int64_t i, TileScratch&) { visit.finish_token(i); }));
  if (!plan.wants_gradient()) return {};
  if (count > 0)
    LOGSUM_RETURN_IF_ERROR(parallel_rows(context, count, [&](std::int64_t k, TileScratch& scratch) {
      rows_visit.write_gradient(k, 0, rows_visit.tiles(), scratch);
    }));
  return parallel_rows(context, plan.logits.rows,
                       [&](std::int64_t row, TileScratch&) { rows_visit.write_rest(row); });
}

}  // namespace logsum::cpu
