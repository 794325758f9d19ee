// SPDX-License-Identifier: Apache-2.0
// sample on the CPU: measure the row (at T, and at 1 where the raw log-prob is asked for), pick the
// tile by its integer mass, then the column inside that one tile. Draws that fall into the same
// tile share its second look.
#include "ops/sample.hpp"

#include "core/backend.hpp"
#include "core/results.hpp"
#include "core/workspace.hpp"
#include "cpu/row.hpp"
#include "cpu/spread.hpp"
#include "cpu/tile_cdf.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {
namespace {

class Sampler {
 public:
  Sampler(const SamplePlan& plan, const Kernels& kernels, std::byte* workspace)
      : plan_(plan), kernels_(kernels), tiles_(tile_count(plan.logits.columns)) {
    const std::int64_t count = plan.rows * tiles_;
    at_temperature_ = reinterpret_cast<TileRecord*>(workspace);
    raw_ = at_temperature_ + count;
    cumulative_ = reinterpret_cast<std::uint64_t*>(raw_ + count);
    if (plan.draws > 1 && !plan.entropy)
      spread_ = reinterpret_cast<TileSpread*>(cumulative_ + count);
  }

  void measure(std::int64_t row, std::int64_t first, std::int64_t last) const {
    if (!plan_.parameters_hold(row)) return;
    const float t = plan_.temperature(row);
    const Temperature raw_temperature;
    if (t == 0.0f) {  // only the maximum matters, which the measure at 1 has too
      logits(row).measure(first, last, {raw_temperature}, raw(row) + first);
      return;
    }
    const Temperature temperature(t);
    const MeasureSpec spec{temperature, static_cast<bool>(plan_.entropy),
                           plan_.needs_raw(t) ? &raw_temperature : nullptr,
                           spread_ ? spread_ + row * tiles_ + first : nullptr};
    logits(row).measure(first, last, spec, at_temperature(row) + first, raw(row) + first);
  }

  void finish(std::int64_t row, TileScratch& scratch) const {
    if (!plan_.parameters_hold(row)) return plan_.write_failed(row, RowStatus::bad_parameter);
    const float t = plan_.temperature(row);
    const Row z = logits(row);
    RowStatus status;
    const RowMeasure measure = z.join_records(t == 0.0f ? raw(row) : at_temperature(row), status);
    if (status != RowStatus::ok) return plan_.write_failed(row, status);
    if (t == 0.0f) {
      const float raw_logprob = RowNorm(measure, Temperature()).logprob(measure.max);
      const std::int64_t token = z.argmax(measure, scratch);
      for (std::int64_t k = 0; k < plan_.draws; ++k)
        plan_.write_draw(row, k, token, 0.0f, raw_logprob);
      return plan_.write_row(row, RowStatus::ok, measure.max, 0.0f);
    }
    const Temperature temperature(t);
    const RowNorm norm(measure, temperature);
    plan_.write_row(row, RowStatus::ok, row_lse(measure, norm, temperature),
                    plan_.entropy ? row_entropy(measure, norm, temperature) : kNan);
    const RowNorm raw_norm =
        plan_.needs_raw(t)
            ? RowNorm(join(RecordArray{raw(row)}, tiles_, plan_.logits.columns), Temperature())
            : norm;
    draw(row, z, measure, temperature, norm, raw_norm, scratch);
  }

 private:
  Row logits(std::int64_t row) const { return {kernels_, plan_.logits, plan_.logits_row(row)}; }
  TileRecord* at_temperature(std::int64_t row) const { return at_temperature_ + row * tiles_; }
  TileRecord* raw(std::int64_t row) const { return raw_ + row * tiles_; }
  std::uint64_t* cumulative(std::int64_t row) const { return cumulative_ + row * tiles_; }

  void draw(std::int64_t row, const Row& z, const RowMeasure& measure,
            const Temperature& temperature, const RowNorm& norm, const RowNorm& raw_norm,
            TileScratch& scratch) const {
    const TileChooser chooser(RecordArray{at_temperature(row)}, tiles_, measure, cumulative(row));
    const auto choose = [&](std::int64_t k) {
      std::uint64_t bits = 0;
      plan_.uniforms.bits(row, k, bits);
      return chooser.choose(bits);
    };
    // A draw that has only found its tile yet waits as token −2 − tile.
    const auto write = [&](std::int64_t k, std::int64_t token, float logit) {
      plan_.write_draw(row, k, token, norm.logprob(logit), raw_norm.logprob(logit));
    };
    for (std::int64_t k = 0; k < plan_.draws; ++k) {
      const TileChoice choice = choose(k);
      const int column =
          spread_ ? find_by_spread(kernels_, z, choice.tile, spread_[row * tiles_ + choice.tile],
                                   temperature, choice.share)
                  : -1;
      if (column >= 0)
        write(k, choice.tile * kTile + column, z.value(choice.tile * kTile + column));
      else
        plan_.token.set_integer(row, k, -2 - choice.tile);
    }
    TileCdf cdf;
    for (std::int64_t first = 0; first < plan_.draws; ++first) {
      const std::int64_t waiting = plan_.token.integer(row, first);
      if (waiting >= 0) continue;
      const std::int64_t tile = -2 - waiting;
      const Tile loaded = z.load(tile, scratch);
      cdf.build(kernels_, loaded, temperature);
      for (std::int64_t k = first; k < plan_.draws; ++k) {
        if (plan_.token.integer(row, k) != waiting) continue;
        const int column = cdf.find(choose(k).share);
        write(k, tile * kTile + column, loaded.z[column]);
      }
    }
  }

  const SamplePlan& plan_;
  const Kernels& kernels_;
  std::int64_t tiles_;
  TileRecord* at_temperature_;
  TileRecord* raw_;
  std::uint64_t* cumulative_;
  TileSpread* spread_ = nullptr;
};
static_assert(sizeof(TileSpread) == sizeof(SampleTileOfDraws::spread));

}  // namespace

Status sample(const SamplePlan& plan, const Context& context) {
  const std::int64_t tiles = tile_count(plan.logits.columns);
  const std::size_t tile_bytes = plan.draws > 1 ? sizeof(SampleTileOfDraws) : sizeof(SampleTile);
  Scratch<std::uint64_t> workspace(
      context, static_cast<std::size_t>(plan.rows * tiles) * tile_bytes / sizeof(std::uint64_t));
  const Sampler sampler(plan, *kernels_for(context.simd),
                        reinterpret_cast<std::byte*>(workspace.data()));
  return visit_runs(
      context, plan.rows, tiles,
      [&](std::int64_t row, std::int64_t first, std::int64_t last, TileScratch&) {
        sampler.measure(row, first, last);
      },
      [&](std::int64_t row, TileScratch& scratch) { sampler.finish(row, scratch); });
}

}  // namespace logsum::cpu
