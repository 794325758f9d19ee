// SPDX-License-Identifier: Apache-2.0
// policy_loss on the CPU: rows that count are listed; each is scored and, where no token's gradient
// asks for its sequence, written while it is in cache; then the sequences, and the rows that had to
// wait for them.
#include "ops/policy_loss.hpp"

#include "core/backend.hpp"
#include "core/halving_tree.hpp"
#include "core/row_blocks.hpp"
#include "core/workspace.hpp"
#include "cpu/target_row.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {
namespace {

class PolicyVisit {
 public:
  PolicyVisit(const PolicyLossPlan& plan, const Kernels& kernels, const PolicyRows& rows,
              TileRecord* records)
      : plan_(plan),
        kernels_(kernels),
        rows_(rows),
        records_(records),
        tiles_(tile_count(plan.logits.columns)) {}

  void list_rows() const {
    std::int64_t kept = 0, kept_with_loss = 0, nonempty = 0;
    for (std::int64_t row = 0; row < plan_.logits.rows; ++row) {
      rows_.before[row] = kept;
      const bool counts = plan_.counts(row);
      const std::int64_t place = counts ? kept : plan_.logits.rows - 1 - (row - kept);
      rows_.list[place] = {row, plan_.sequence_of_row(row)};
      kept += counts;
      kept_with_loss += counts && plan_.keeps_loss(row);
    }
    rows_.before[plan_.logits.rows] = kept;
    for (std::int64_t i = 0; i < plan_.sequences.count; ++i) {
      const TokenRange span = plan_.sequences.range(i);
      rows_.lengths[i] = rows_.before[span.end] - rows_.before[span.begin];
      nonempty += rows_.lengths[i] > 0;
    }
    *rows_.totals = plan_.totals(kept, kept_with_loss, nonempty);
  }

  // The steps of a visit; `k` counts the rows that count.
  void measure(std::int64_t k, std::int64_t first, std::int64_t last) const {
    const std::int64_t row = rows_.list[k].row;
    const float t = plan_.temperature(row);
    if (!is_valid_temperature(t)) return;
    TargetRow(kernels_, plan_.logits, row, Temperature(t))
        .measure(first, last, plan_.has_entropy, records_ + k * tiles_ + first);
  }

  void score(std::int64_t k, TileScratch& scratch) const {
    const ListedRow at = rows_.list[k];
    const float t = plan_.temperature(at.row);
    ScoredRow scored;
    scored.status = RowStatus::bad_parameter;
    if (is_valid_temperature(t) && rows_.totals->is_valid)
      scored = TargetRow(kernels_, plan_.logits, at.row, Temperature(t))
                   .score(records_ + k * tiles_, plan_.targets.integer(at.row), plan_.has_entropy,
                          plan_.wants_gradient(), scratch);
    rows_.scored[at.row] = scored;
    if (is_coupled(plan_.options)) return;
    const double length = static_cast<double>(rows_.lengths[at.sequence]);
    const PolicySequence sequence = plan_.sequence({}, length, at.sequence);
    rows_.derivatives[at.row] = plan_.derivatives(
        at, *rows_.totals, plan_.own_gradient(*rows_.totals, length, terms(at, sequence)));
  }

  void write_gradient(std::int64_t k, std::int64_t first, std::int64_t last,
                      TileScratch& scratch) const {
    const std::int64_t row = rows_.list[k].row;
    const float t = plan_.temperature(row);
    const double scale = rows_.totals->grad_scale / static_cast<double>(t);
    const RowDerivatives d = rows_.derivatives[row].times(scale);
    const Temperature temperature(is_valid_temperature(t) ? t : 1.0f);
    const ScoredRow& scored = rows_.scored[row];
    const RowGradient gradient =
        whole_gradient_of_row(scored, temperature, d, plan_.targets.integer(row));
    if (gradient.fate != RowGradient::Fate::computed)
      return fill_gradient(row, first, last,
                           gradient.fate == RowGradient::Fate::zero ? 0.0f : kNan);
    TargetRow(kernels_, plan_.logits, row, temperature)
        .write_gradient(gradient, static_cast<float>(gradient_at_target(scored, d)), first, last,
                        gradient_of(row), plan_.grad_logits.dtype, scratch);
  }

  // Columns beyond vocab_size, and rows that don't count.
  void write_rest(std::int64_t row) const {
    fill(static_cast<std::byte*>(plan_.grad_logits.column(row, plan_.logits.columns)),
         plan_.grad_logits.dtype, plan_.padded_columns, 0.0f);
    if (!rows_.counts(row)) fill_gradient(row, 0, tiles_, 0.0f);
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
      const double slope = halving_sum<PolicySlope>(count, [&](std::int64_t token) {
                             return PolicySlope{product(u, terms(at(token), sequence).slope)};
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

  std::byte* gradient_of(std::int64_t row) const {
    return static_cast<std::byte*>(plan_.grad_logits.column(row, 0));
  }
  void fill_gradient(std::int64_t row, std::int64_t first, std::int64_t last, float value) const {
    const std::int64_t begin = first * kTile;
    fill(plan_.grad_logits.column(row, begin), plan_.grad_logits.dtype,
         std::min(plan_.logits.columns, last * kTile) - begin, value);
  }

  const PolicyLossPlan& plan_;
  const Kernels& kernels_;
  const PolicyRows& rows_;
  TileRecord* records_;
  std::int64_t tiles_;
};

}  // namespace

Status policy_loss(const PolicyLossPlan& plan, const Context& context) {
  if (plan.logits.rows == 0) {
    plan.write_totals({});
    return {};
  }
  const std::int64_t tiles = tile_count(plan.logits.columns);
  const auto rows = static_cast<std::size_t>(plan.logits.rows);
  const std::size_t records =
      Layout::aligned(rows * static_cast<std::size_t>(tiles) * sizeof(TileRecord));
  PolicyRows kept;
  const auto sequences = static_cast<std::size_t>(plan.sequences.count);
  Scratch<std::byte> workspace(context, records + kept.lay(nullptr, rows, sequences, false));
  kept.lay(workspace.data() + records, rows, sequences, false);
  const PolicyVisit visit(plan, *kernels_for(context.simd), kept,
                          reinterpret_cast<TileRecord*>(workspace.data()));
  visit.list_rows();
  const auto measure = [&](std::int64_t k, std::int64_t first, std::int64_t last, TileScratch&) {
    visit.measure(k, first, last);
  };
  const auto score = [&](std::int64_t k, TileScratch& scratch) { visit.score(k, scratch); };
  const auto write = [&](std::int64_t k, std::int64_t first, std::int64_t last,
                         TileScratch& scratch) { visit.write_gradient(k, first, last, scratch); };
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
      visit.write_gradient(k, 0, tiles, scratch);
    }));
  return parallel_rows(context, plan.logits.rows,
                       [&](std::int64_t row, TileScratch&) { visit.write_rest(row); });
}

}  // namespace logsum::cpu
