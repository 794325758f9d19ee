// SPDX-License-Identifier: Apache-2.0
// measure, merge and draw in float64. Records are f32, so the truth of a sharded row is a little
// less exact than a whole row's: within 1e-7.
#include "ops/shards.hpp"

#include "core/backend.hpp"
#include "reference/row.hpp"

namespace logsum::reference {
namespace {

// t = z·log2(e)/T
double in_base_2(double z, double temperature) { return z * kLog2e / temperature; }

TileRecord record_of(const std::vector<double>& z, std::size_t begin, std::size_t end,
                     double temperature) {
  TileRecord record;
  double max = -kInf;
  double sum = 0;
  double moment = 0;
  for (std::size_t i = begin; i < end; ++i) {
    if (std::isnan(z[i])) sum = kNan;
    if (z[i] > max) {
      max = z[i];
      record.argmax = static_cast<std::int32_t>(i - begin);
    }
  }
  record.max = static_cast<float>(max);
  if (max == kInf) sum = kNan;
  if (!std::isnan(sum) && max > -kInf) {
    record.n = std::rint(in_base_2(max, temperature)) + 0.0;  // never −0
    for (std::size_t i = begin; i < end; ++i) {
      const double below = record.n - in_base_2(z[i], temperature);
      const double w = std::exp2(-below);
      sum += w;
      if (w > 0) moment += w * below;
    }
  }
  record.sum = static_cast<float>(sum);
  record.moment = static_cast<float>(moment);
  return record;
}

// A row's records, joined by plain sums.
struct Merged {
  RowStatus status = RowStatus::ok;
  std::int64_t max_tile = -1;
  double max = -kInf;
  double n = -kInf;
  double sum = 0;
  double moment = 0;
  std::vector<TileRecord> records;

  Merged(const MergePlan& plan, std::int64_t row) {
    for (const StructRows<TileRecord>& shard : plan.shards)
      records.insert(records.end(), shard.row(row), shard.row(row) + shard.count);
    bool poisoned = false;
    for (std::size_t i = 0; i < records.size(); ++i) {
      poisoned |= std::isnan(records[i].sum);
      if (records[i].max > max) {
        max = records[i].max;
        max_tile = static_cast<std::int64_t>(i);
      }
      if (records[i].sum > 0) n = std::max(n, records[i].n);
    }
    if (poisoned)
      status = max == kInf ? RowStatus::pos_inf : RowStatus::nan;
    else if (n == -kInf || max_tile < 0)
      status = RowStatus::empty;
    if (status != RowStatus::ok) return;
    for (const TileRecord& tile : records) {
      sum += mass(tile);
      if (tile.sum > 0) moment += std::exp2(tile.n - n) * tile.moment + (n - tile.n) * mass(tile);
    }
  }

  double mass(const TileRecord& tile) const {
    return tile.sum > 0 ? tile.sum * std::exp2(tile.n - n) : 0;
  }
};

void merge_row(const MergePlan& plan, std::int64_t row) {
  const Merged merged(plan, row);
  const float t = plan.temperature(row);
  const bool greedy = t == 0.0f;
  RowStatus status = merged.status;
  if (!(greedy || is_valid_temperature(t)) || !plan.uniforms.hold(row, plan.choices.count))
    status = RowStatus::bad_parameter;
  const bool ok = status == RowStatus::ok;
  const double temperature = greedy ? 1.0 : static_cast<double>(t);
  const double lse = ok ? (merged.n + std::log2(merged.sum)) * kLn2 : kNan;

  const double failed_lse = status == RowStatus::empty ? -kInf : kNan;
  plan.lse.set(row, static_cast<float>(!ok ? failed_lse : greedy ? merged.max : lse));
  if (plan.targets) {
    const std::int64_t target = plan.targets.integer(row);
    double z = -kInf;
    for (const ElementsView& logits : plan.target_logits) z = std::max(z, logits.real(row));
    const bool in_range = target >= 0 && target < plan.columns;
    double logprob = ok && in_range ? z / temperature - lse : kNan;
    if (target == plan.ignore_index) {
      status = RowStatus::ignored;
      logprob = 0;
    } else if (ok && !in_range) {
      status = RowStatus::bad_target;
    }
    plan.logprobs.set(row, static_cast<float>(logprob));
  }
  const double entropy = lse - (merged.n - merged.moment / merged.sum) * kLn2;
  plan.entropy.set(row, static_cast<float>(!ok ? kNan : greedy ? 0.0 : entropy));
  plan.max.set(row, static_cast<float>(ok ? merged.max : kNan));
  const std::int32_t in_tile =
      ok ? merged.records[static_cast<std::size_t>(merged.max_tile)].argmax : -1;
  plan.argmax.set_integer(row, 0, ok ? merged.max_tile * kTile + in_tile : -1);
  plan.row_status.set_integer(row, 0, static_cast<int>(status));

  for (std::int64_t k = 0; k < plan.choices.count; ++k) {
    DrawChoice choice;
    if (ok) {
      choice.half_max = static_cast<float>(merged.max / 2);
      choice.two_over_t = static_cast<float>(2 / temperature);
      choice.log_ratio = static_cast<float>(lse - merged.max / temperature);
    }
    if (ok && greedy) {
      choice.tile = merged.max_tile;
      choice.share = -1;
      choice.column = in_tile;
    } else if (ok) {
      std::uint64_t bits = 0;
      plan.uniforms.bits(row, k, bits);
      double left = static_cast<double>(bits) * 0x1p-53 * merged.sum;
      for (std::size_t i = 0; i < merged.records.size(); ++i) {
        const double mass = merged.mass(merged.records[i]);
        if (!(mass > 0)) continue;
        choice.tile = static_cast<std::int64_t>(i);
        choice.share = std::min(left / mass, 1 - 0x1p-53);
        if (left < mass) break;
        left -= mass;
      }
    }
    plan.choices.row(row)[k] = choice;
  }
}

void draw_row(const DrawPlan& plan, std::int64_t row) {
  const std::vector<double> z = read_row(plan.logits, row);
  const double temperature = plan.temperature(row);
  for (std::int64_t k = 0; k < plan.choices.count; ++k) {
    const DrawChoice& choice = plan.choices.row(row)[k];
    const std::int64_t tile = choice.tile < 0 ? -1 : choice.tile - plan.vocab_start / kTile;
    const bool mine = tile >= 0 && tile < tile_count(plan.logits.columns);
    const std::int64_t begin = mine ? tile * kTile : 0;
    const std::int64_t end = std::min<std::int64_t>(begin + kTile, plan.logits.columns);
    const float t = plan.temperature(row);
    std::int64_t column = -1;
    if (mine && choice.share < 0 && (t == 0 || is_valid_temperature(t)) && choice.column >= 0 &&
        choice.column < end - begin)
      column = begin + choice.column;
    if (mine && choice.share >= 0 && choice.share <= 1 && is_valid_temperature(t)) {
      double max = -kInf;
      double mass = 0;
      for (std::int64_t i = begin; i < end; ++i)
        max = std::max(max, z[static_cast<std::size_t>(i)]);
      const auto weight = [&](std::int64_t i) {
        return std::exp((z[static_cast<std::size_t>(i)] - max) / temperature);
      };
      for (std::int64_t i = begin; i < end; ++i) mass += weight(i);
      double cdf = 0;
      for (std::int64_t i = begin; i < end && !(cdf > choice.share * mass); ++i) {
        if (!(weight(i) > 0)) continue;
        cdf += weight(i);
        column = i;
      }
    }
    const double chosen = column < 0 ? -kInf : z[static_cast<std::size_t>(column)];
    const double logprob =
        choice.share < 0 ? 0.0
                         : (chosen / 2 - choice.half_max) * choice.two_over_t - choice.log_ratio;
    plan.token.set_integer(row, k, column < 0 ? -1 : plan.vocab_start + column);
    plan.logprob.set(row, k, static_cast<float>(column < 0 ? -kInf : logprob));
    plan.token_logit.set(row, k, static_cast<float>(chosen));
  }
}

}  // namespace

Status measure(const MeasurePlan& plan, const Context&) {
  for (std::int64_t row = 0; row < plan.logits.rows; ++row) {
    const std::vector<double> z = read_row(plan.logits, row);
    const float given = plan.temperature(row);
    const float t = given == 0.0f ? 1.0f : given;
    for (std::int64_t i = 0; i < plan.records.count; ++i) {
      const auto begin = static_cast<std::size_t>(i * kTile);
      const std::size_t end = std::min(begin + kTile, z.size());
      plan.records.row(row)[i] =
          is_valid_temperature(t) ? record_of(z, begin, end, t) : TileRecord();
    }
    if (!plan.targets) continue;
    const std::int64_t column = plan.target_column(row);
    plan.target_logits.set(
        row, column < 0 ? kNegInf : static_cast<float>(z[static_cast<std::size_t>(column)]));
  }
  return {};
}

Status merge(const MergePlan& plan, const Context&) {
  for (std::int64_t row = 0; row < plan.rows; ++row) merge_row(plan, row);
  return {};
}

Status draw(const DrawPlan& plan, const Context&) {
  for (std::int64_t row = 0; row < plan.logits.rows; ++row) draw_row(plan, row);
  return {};
}

}  // namespace logsum::reference
