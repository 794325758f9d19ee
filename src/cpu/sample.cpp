// SPDX-License-Identifier: Apache-2.0
// sample on the CPU: measure the row (at T, and at 1 where the raw log-prob is asked for), pick the
// tile by its integer mass, then the column inside that one tile. Draws that fall into the same
// tile share its second look.
#include "ops/sample.hpp"

#include <array>

#include "core/workspace.hpp"
#include "cpu/cpu.hpp"
#include "cpu/row.hpp"
#include "cpu/visit.hpp"

namespace logsum::cpu {
namespace {

// A tile's columns as a cdf of exact integers.
class TileCdf {
 public:
  void build(const Kernels& kernels, const Tile& tile, const Temperature& temperature, double n) {
    kernels.draw_weights(tile, temperature, n, weights_.data(), blocks_.data());
    block_count_ = (tile.columns + kDrawBlock - 1) / kDrawBlock;
    total_ = 0;
    for (int b = 0; b < block_count_; ++b) blocks_[b] = total_ += blocks_[b];
  }

  std::uint64_t total() const { return total_; }

  // The lowest column whose cdf is above `target` < total().
  int find(std::uint64_t target) const {
    const auto block = std::upper_bound(blocks_.begin(), blocks_.begin() + block_count_, target);
    int column = static_cast<int>(block - blocks_.begin()) * kDrawBlock;
    std::uint64_t cdf = block == blocks_.begin() ? 0 : *(block - 1);
    while ((cdf += draw_units(weights_[column])) <= target) ++column;
    return column;
  }

 private:
  alignas(64) std::array<float, kTile> weights_;
  std::array<std::uint64_t, kDrawBlocks> blocks_;
  int block_count_ = 0;
  std::uint64_t total_ = 0;
};

class Sampler {
 public:
  Sampler(const SamplePlan& plan, const Kernels& kernels, SampleTile* workspace)
      : plan_(plan), kernels_(kernels), tiles_(tile_count(plan.logits.columns)) {
    const std::int64_t count = plan.rows * tiles_;
    at_temperature_ = reinterpret_cast<TileRecord*>(workspace);
    raw_ = at_temperature_ + count;
    cumulative_ = reinterpret_cast<std::uint64_t*>(raw_ + count);
  }

  void measure(std::int64_t row, std::int64_t tile, TileScratch& scratch) const {
    if (!parameters_hold(row)) return;
    const float t = plan_.temperature(row);
    const Tile loaded = logits(row).load(tile, scratch);
    // At temperature 0 only the maximum matters, which the measure at 1 has too.
    if (t != 0.0f)
      at_temperature(row)[tile] =
          kernels_.measure(loaded, Temperature(t), static_cast<bool>(plan_.entropy));
    if (needs_raw(t)) raw(row)[tile] = kernels_.measure(loaded, Temperature(), false);
  }

  void finish(std::int64_t row, TileScratch& scratch) const {
    if (!parameters_hold(row)) return write_failed(row, RowStatus::bad_parameter);
    const float t = plan_.temperature(row);
    const Row z = logits(row);
    RowStatus status;
    const RowMeasure measure =
        z.join_records(t == 0.0f ? raw(row) : at_temperature(row), scratch, status);
    if (status != RowStatus::ok) return write_failed(row, status);
    const RowNorm raw_norm =
        needs_raw(t) ? RowNorm(join(raw(row), tiles_, plan_.logits.columns), Temperature())
                     : RowNorm(measure, Temperature(t));
    if (t == 0.0f)
      write_greedy(row, z.argmax(measure, scratch), measure, raw_norm);
    else
      draw(row, z, measure, Temperature(t), raw_norm, scratch);
    plan_.row_status.set_integer(row, 0, static_cast<int>(RowStatus::ok));
  }

 private:
  Row logits(std::int64_t row) const { return {kernels_, plan_.logits, plan_.logits_row(row)}; }
  TileRecord* at_temperature(std::int64_t row) const { return at_temperature_ + row * tiles_; }
  TileRecord* raw(std::int64_t row) const { return raw_ + row * tiles_; }
  std::uint64_t* cumulative(std::int64_t row) const { return cumulative_ + row * tiles_; }

  bool needs_raw(float t) const { return t == 0.0f || (plan_.raw_logprob && t != 1.0f); }

  bool parameters_hold(std::int64_t row) const {
    const float t = plan_.temperature(row);
    if (t != 0.0f && !is_valid_temperature(t)) return false;
    const std::int64_t source = plan_.logits_row(row);
    if (source < 0 || source >= plan_.logits.rows) return false;
    std::uint64_t bits;
    for (std::int64_t k = 0; plan_.u && k < plan_.draws; ++k)
      if (!plan_.uniform(row, k, bits)) return false;
    return true;
  }

  void draw(std::int64_t row, const Row& z, const RowMeasure& measure,
            const Temperature& temperature, const RowNorm& raw_norm, TileScratch& scratch) const {
    const TileRecord* records = at_temperature(row);
    const RowNorm norm(measure, temperature);
    plan_.lse.set(row, row_lse(measure, norm, temperature));
    if (plan_.entropy) plan_.entropy.set(row, row_entropy(measure, norm, temperature));

    std::uint64_t* const above =
        cumulative(row);  // the masses of the tiles up to and with this one
    std::uint64_t mass = 0;
    for (std::int64_t tile = 0; tile < tiles_; ++tile)
      above[tile] = mass += tile_mass(records[tile], measure);

    // A draw that has only found its tile yet waits as token −2 − tile.
    for (std::int64_t k = 0; k < plan_.draws; ++k) {
      const std::uint64_t* const found =
          std::upper_bound(above, above + tiles_, target(row, k, mass));
      plan_.token.set_integer(row, k, -2 - (found - above));
    }
    TileCdf cdf;
    for (std::int64_t first = 0; first < plan_.draws; ++first) {
      const std::int64_t waiting = plan_.token.integer(row, first);
      if (waiting >= 0) continue;
      const std::int64_t tile = -2 - waiting;
      const Tile loaded = z.load(tile, scratch);
      cdf.build(kernels_, loaded, temperature, records[tile].n);
      const std::uint64_t below = tile > 0 ? above[tile - 1] : 0;
      for (std::int64_t k = first; k < plan_.draws; ++k) {
        if (plan_.token.integer(row, k) != waiting) continue;
        // The tile's mass and the sum of its columns' units round differently: map one onto the
        // other.
        const double share = static_cast<double>(target(row, k, mass) - below) /
                             static_cast<double>(above[tile] - below);
        const auto inner = static_cast<std::uint64_t>(share * static_cast<double>(cdf.total()));
        const int column = cdf.find(std::min(inner, cdf.total() - 1));
        plan_.token.set_integer(row, k, tile * kTile + column);
        plan_.logprob.set(row, k, norm.logprob(loaded.z[column]));
        plan_.raw_logprob.set(row, k, raw_norm.logprob(loaded.z[column]));
      }
    }
  }

  // floor(u · mass)
  std::uint64_t target(std::int64_t row, std::int64_t draw, std::uint64_t mass) const {
    std::uint64_t bits = 0;
    plan_.uniform(row, draw, bits);
    return static_cast<std::uint64_t>(static_cast<unsigned __int128>(bits) * mass >> 53);
  }

  void write_greedy(std::int64_t row, std::int64_t token, const RowMeasure& measure,
                    const RowNorm& raw_norm) const {
    for (std::int64_t k = 0; k < plan_.draws; ++k) {
      plan_.token.set_integer(row, k, token);
      plan_.logprob.set(row, k, 0.0f);
      plan_.raw_logprob.set(row, k, raw_norm.logprob(measure.max));
    }
    plan_.lse.set(row, measure.max);
    plan_.entropy.set(row, 0.0f);
  }

  void write_failed(std::int64_t row, RowStatus status) const {
    for (std::int64_t k = 0; k < plan_.draws; ++k) {
      plan_.token.set_integer(row, k, -1);
      plan_.logprob.set(row, k, kNan);
      plan_.raw_logprob.set(row, k, kNan);
    }
    plan_.lse.set(row, status == RowStatus::empty ? kNegInf : kNan);
    plan_.entropy.set(row, kNan);
    plan_.row_status.set_integer(row, 0, static_cast<int>(status));
  }

  const SamplePlan& plan_;
  const Kernels& kernels_;
  std::int64_t tiles_;
  TileRecord* at_temperature_;
  TileRecord* raw_;
  std::uint64_t* cumulative_;
};

}  // namespace

Status sample(const SamplePlan& plan, const Context& context) {
  const std::int64_t tiles = tile_count(plan.logits.columns);
  Scratch<SampleTile> workspace(context, static_cast<std::size_t>(plan.rows * tiles));
  const Sampler sampler(plan, *kernels_for(context.simd), workspace.data());
  return visit(
      context, plan.rows, tiles,
      [&](std::int64_t row, std::int64_t tile, TileScratch& scratch) {
        sampler.measure(row, tile, scratch);
      },
      [&](std::int64_t row, TileScratch& scratch) { sampler.finish(row, scratch); });
}

}  // namespace logsum::cpu
