// SPDX-License-Identifier: Apache-2.0
// token_logprobs on the CPU: measures of a row, then a gather per target. Rank and top-N look again
// at those tiles only whose maximum says they must.
#include "ops/token_logprobs.hpp"

#include "core/backend.hpp"
#include "core/results.hpp"
#include "core/workspace.hpp"
#include "cpu/row.hpp"
#include "cpu/top.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {
namespace {

class Scorer {
 public:
  Scorer(const TokenLogprobsPlan& plan, const Kernels& kernels, TileRecord* records)
      : plan_(plan),
        kernels_(kernels),
        records_(records),
        tiles_(tile_count(plan.logits.columns)) {}

  void measure(std::int64_t row, std::int64_t first, std::int64_t last) const {
    const float t = plan_.temperature(row);
    if (!is_valid_temperature(t)) return;
    const Temperature temperature(t);
    Row(kernels_, plan_.logits, row)
        .measure(first, last, {temperature, static_cast<bool>(plan_.entropy)},
                 records_ + row * tiles_ + first);
  }

  void finish(std::int64_t row, TileScratch& scratch) const {
    const float t = plan_.temperature(row);
    if (!is_valid_temperature(t)) return plan_.write_failed(row, RowStatus::bad_parameter);
    const Row logits(kernels_, plan_.logits, row);
    const TileRecord* records = records_ + row * tiles_;
    RowStatus status;
    const RowMeasure measure = logits.join_records(records, status);
    if (status != RowStatus::ok) return plan_.write_failed(row, status);

    const Temperature temperature(t);
    const RowNorm norm(measure, temperature);
    for (std::int64_t k = 0; k < plan_.targets_per_row; ++k) {
      const std::int64_t target = plan_.targets.integer(row, k);
      if (!plan_.is_scored(target)) {
        plan_.write_unscored(row, k, target);
        continue;
      }
      const float z = logits.value(target);
      plan_.logprobs.set(row, k, norm.logprob(z));
      if (plan_.rank) plan_.rank.set_integer(row, k, 1 + logits.count_greater(records, z, scratch));
    }
    plan_.lse.set(row, row_lse(measure, norm, temperature));
    if (plan_.entropy) plan_.entropy.set(row, row_entropy(measure, norm, temperature));
    if (plan_.argmax) plan_.argmax.set_integer(row, 0, logits.argmax(measure, scratch));
    if (plan_.top_n > 0)
      write_top(logits, records, plan_.top_n, norm, row, plan_.top_ids, plan_.top_logprobs,
                scratch);
    plan_.write_status(row, RowStatus::ok);
  }

 private:
  const TokenLogprobsPlan& plan_;
  const Kernels& kernels_;
  TileRecord* records_;
  std::int64_t tiles_;
};

}  // namespace

Status token_logprobs(const TokenLogprobsPlan& plan, const Context& context) {
  const std::int64_t tiles = tile_count(plan.logits.columns);
  Scratch<TileRecord> records(context, static_cast<std::size_t>(plan.logits.rows * tiles));
  const Scorer scorer(plan, *kernels_for(context.simd), records.data());
  return visit_runs(
      context, plan.logits.rows, tiles,
      [&](std::int64_t row, std::int64_t first, std::int64_t last, TileScratch&) {
        scorer.measure(row, first, last);
      },
      [&](std::int64_t row, TileScratch& scratch) { scorer.finish(row, scratch); });
}

}  // namespace logsum::cpu
