// SPDX-License-Identifier: Apache-2.0
// measure, merge and draw on the CPU: the steps of token_logprobs and sample, one call each.
#include "ops/shards.hpp"

#include "core/backend.hpp"
#include "cpu/row.hpp"
#include "cpu/tile_cdf.hpp"
#include "cpu/visit.hpp"
#include "ops/merge_row.hpp"

namespace logsum::cpu {
namespace {

// Looks up the argmax in the one record that can win the row: the first with the shard's maximum.
void find_argmax(const Kernels& kernels, const Row& row, TileRecord* records,
                 TileScratch& scratch) {
  TileRecord* const best =
      std::max_element(records, records + row.tiles(),
                       [](const TileRecord& a, const TileRecord& b) { return a.max < b.max; });
  if (best->max > kNegInf)
    best->argmax = kernels.find(row.load(best - records, scratch), best->max);
}

// What a record holds whatever machine made it: the order in which vectors meet NaNs and zeros
// decides on a NaN's payload and on the sign of a maximum of 0.
TileRecord canonical(const TileRecord& record) {
  TileRecord result = record;
  if (record.sum != record.sum) {
    result = TileRecord();
    result.sum = kNan;
  }
  result.max = record.max + 0.0f;
  return result;
}

void merge_one(const MergePlan& plan, std::int64_t row) {
  std::vector<TileRecord> all;
  all.reserve(static_cast<std::size_t>(plan.tiles));
  for (const StructRows<TileRecord>& shard : plan.shards)
    all.insert(all.end(), shard.row(row), shard.row(row) + shard.count);
  const RecordArray records{all.data()};
  const auto target_logit = [&] {
    float z = kNegInf;
    for (const ElementsView& logits : plan.target_logits)
      z = std::max(z, static_cast<float>(logits.real(row)));
    return z;
  };
  std::vector<std::uint64_t> above(all.size());
  merge_row(plan, row, records, target_logit, [&](const RowMeasure& measure) {
    return TileChooser(records, plan.tiles, measure, above.data());
  });
}

// Choices are bytes from elsewhere: one that doesn't fit this row and temperature draws nothing.
void draw_row(const DrawPlan& plan, const Kernels& kernels, std::int64_t row,
              TileScratch& scratch) {
  const Row logits(kernels, plan.logits, row);
  const float t = plan.temperature(row);
  const bool draws = is_valid_temperature(t);
  TileCdf cdf;
  Tile loaded;
  std::int64_t built = -1;
  for (std::int64_t k = 0; k < plan.choices.count; ++k) {
    const DrawChoice& choice = plan.choices.row(row)[k];
    const std::int64_t tile = choice.tile < 0 ? -1 : choice.tile - plan.vocab_start / kTile;
    int column = -1;
    if (tile >= 0 && tile < logits.tiles() && (draws || t == 0.0f)) {
      if (tile != built) {
        loaded = logits.load(tile, scratch);
        if (draws) cdf.build(kernels, loaded, Temperature(t));
        built = tile;
      }
      if (choice.share < 0)
        column = choice.column;
      else if (draws)
        column = cdf.find(choice.share);
    }
    if (column < 0 || column >= loaded.columns) {
      plan.token.set_integer(row, k, -1);
      plan.logprob.set(row, k, kNegInf);
      plan.token_logit.set(row, k, kNegInf);
      continue;
    }
    const RowNorm norm(choice.half_max, choice.two_over_t, choice.log_ratio);
    plan.token.set_integer(row, k, choice.tile * kTile + column);
    plan.logprob.set(row, k, choice.share < 0 ? 0.0f : norm.logprob(loaded.z[column]));
    plan.token_logit.set(row, k, loaded.z[column]);
  }
}

}  // namespace

Status measure(const MeasurePlan& plan, const Context& context) {
  const Kernels& kernels = *kernels_for(context.simd);
  return visit_runs(
      context, plan.logits.rows, plan.records.count,
      [&](std::int64_t row, std::int64_t first, std::int64_t last, TileScratch&) {
        const float t = plan.temperature(row);
        TileRecord* const records = plan.records.row(row) + first;
        std::fill(records, records + (last - first), TileRecord());
        if (t != 0.0f && !is_valid_temperature(t)) return;
        const Temperature temperature(t == 0.0f ? 1.0f : t);
        Row(kernels, plan.logits, row).measure(first, last, {temperature, plan.moment}, records);
        std::transform(records, records + (last - first), records, canonical);
      },
      [&](std::int64_t row, TileScratch& scratch) {
        const Row logits(kernels, plan.logits, row);
        find_argmax(kernels, logits, plan.records.row(row), scratch);
        if (!plan.targets) return;
        const std::int64_t column = plan.target_column(row);
        plan.target_logits.set(row, column < 0 ? kNegInf : logits.value(column));
      });
}

Status merge(const MergePlan& plan, const Context& context) {
  return parallel_rows(context, plan.rows,
                       [&](std::int64_t row, TileScratch&) { merge_one(plan, row); });
}

Status draw(const DrawPlan& plan, const Context& context) {
  const Kernels& kernels = *kernels_for(context.simd);
  return parallel_rows(context, plan.logits.rows, [&](std::int64_t row, TileScratch& scratch) {
    draw_row(plan, kernels, row, scratch);
  });
}

}  // namespace logsum::cpu
