// SPDX-License-Identifier: Apache-2.0
// What must hold of any row, checked on rows that rapidcheck picks; of a failure it reports the
// narrowest row it finds. No property needs the right answer, only the definition of softmax.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <numeric>

#include "support/shards.hpp"
#include "support/statistics.hpp"

namespace logsum::test {
namespace {

// The same cases in each run: CI must not fail by chance. Read by rapidcheck's first check; give
// RC_PARAMS to look for others.
const int kSeeded =
    setenv("RC_PARAMS", is_quick() ? "seed=20 max_success=15" : "seed=20 max_success=100", 0);

struct AnyRow {
  std::vector<float> z;
  DType dtype = DType::f32;
  Matrix logits;

  AnyRow(std::vector<float> values, DType type)
      : z(std::move(values)), dtype(type), logits(1, columns(), type) {
    for (float& x : z) x = rounded_to(type == DType::f16 ? std::min(x, 65504.0f) : x, type);
    logits.set_row(0, z);
  }
  std::int64_t columns() const { return static_cast<std::int64_t>(z.size()); }
  Tensor tensor() { return logits.tensor(); }
};

std::int64_t any_columns() {
  return *rc::gen::oneOf(rc::gen::inRange<std::int64_t>(1, 10),
                         rc::gen::inRange<std::int64_t>(1, 1100),
                         rc::gen::inRange<std::int64_t>(4000, 20000));
}
std::uint32_t any_seed() { return *rc::gen::inRange<std::uint32_t>(0, 1000000); }
float any_temperature() { return *rc::gen::element(1.0f, 0.3f, 0.75f, 2.0f, 17.0f); }

AnyRow any_row() {
  const RowCase kind = *rc::gen::elementOf(healthy_rows());
  RC_LOG() << kind.name;
  return {kind.make(any_columns(), any_seed()), *rc::gen::elementOf(logits_dtypes())};
}

std::vector<std::int64_t> all_columns(std::int64_t columns) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(columns));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

Scores scores_of_all(AnyRow& row, float t) {
  return scores_of(row.tensor(), all_columns(row.columns()), {}, {.temperature = t});
}

double bound(double x) { return 5e-7 + 0x1p-22 * std::fabs(x); }
// Two results for one truth.
bool both_right(double a, double b) { return a == b || std::fabs(a - b) <= bound(a) + bound(b); }

RC_GTEST_PROP(Properties, ProbabilitiesSumToOne, ()) {
  AnyRow row = any_row();
  const Scores s = scores_of_all(row, any_temperature());
  double sum = 0, entropy = 0, allowed = 1e-12, allowed_entropy = 1e-12;
  for (const float x : s.logprobs) {
    RC_ASSERT(x <= 0.0f);
    const double p = std::exp(static_cast<double>(x));
    if (p == 0) continue;
    sum += p;
    allowed += p * bound(x);
    entropy -= p * x;
    allowed_entropy += p * bound(x) * std::fabs(1 + x);
  }
  RC_ASSERT(std::fabs(sum - 1) <= allowed);
  RC_ASSERT(std::fabs(s.entropy[0] - entropy) <= allowed_entropy + bound(entropy));
  RC_ASSERT(s.entropy[0] >= 0.0f);
  RC_ASSERT(entropy <= std::log(static_cast<double>(row.columns())) + allowed_entropy);
}

// z = k/256 + shift is exact in f32.
RC_GTEST_PROP(Properties, AConstantChangesNothingButLse, ()) {
  const std::int64_t columns = any_columns();
  std::mt19937 random(any_seed());
  std::vector<float> z(static_cast<std::size_t>(columns));
  for (float& x : z) x = (static_cast<float>(random() % 8192) - 4096) / 256;
  const auto shift = static_cast<float>(*rc::gen::inRange(-2000, 2000));
  AnyRow plain(z, DType::f32);
  AnyRow shifted(mapped(z, [shift](float x, auto) { return x + shift; }), DType::f32);
  const float t = any_temperature();
  const Scores a = scores_of_all(plain, t), b = scores_of_all(shifted, t);
  for (std::size_t i = 0; i < z.size(); ++i) RC_ASSERT(both_right(a.logprobs[i], b.logprobs[i]));
  const double moved = static_cast<double>(a.lse[0]) + static_cast<double>(shift) / t;
  RC_ASSERT(std::fabs(moved - b.lse[0]) <= bound(a.lse[0]) + bound(b.lse[0]));
  RC_ASSERT(both_right(a.entropy[0], b.entropy[0]));
  RC_ASSERT(a.argmax == b.argmax);
  RC_ASSERT(a.rank == b.rank);
  RC_ASSERT(a.top_ids == b.top_ids);
}

// Twice the logits at twice the temperature is the same distribution, and with a power of two the
// same bits.
RC_GTEST_PROP(Properties, LogitsAndTemperatureScaleTogether, ()) {
  const std::vector<float> z = gaussian(any_columns(), any_seed(), 3, 1);
  const float scale = std::ldexp(1.0f, *rc::gen::inRange(-20, 20));
  AnyRow plain(z, DType::f32);
  AnyRow scaled(mapped(z, [scale](float x, auto) { return x * scale; }), DType::f32);
  const float t = any_temperature();
  RC_ASSERT(
      static_cast<bool>(same_bits(scores_of_all(plain, t), scores_of_all(scaled, t * scale))));
  const Draws a = draws_of(plain.tensor(), {}, {.temperature = t, .seed = 4, .draws = 20});
  const Draws b = draws_of(scaled.tensor(), {}, {.temperature = t * scale, .seed = 4, .draws = 20});
  RC_ASSERT(a.token == b.token);
  RC_ASSERT(a.logprob == b.logprob);
}

RC_GTEST_PROP(Properties, PermutedColumnsPermuteTheResult, ()) {
  AnyRow row = any_row();
  std::vector<std::int64_t> from = all_columns(row.columns());
  std::shuffle(from.begin(), from.end(), std::mt19937(any_seed()));
  AnyRow moved(mapped(row.z,
                      [&](float, auto i) {
                        return row.z[static_cast<std::size_t>(from[static_cast<std::size_t>(i)])];
                      }),
               row.dtype);
  const float t = any_temperature();
  const Scores a = scores_of_all(row, t), b = scores_of_all(moved, t);
  RC_ASSERT(both_right(a.lse[0], b.lse[0]));
  RC_ASSERT(both_right(a.entropy[0], b.entropy[0]));
  for (std::size_t i = 0; i < from.size(); ++i) {
    const auto source = static_cast<std::size_t>(from[i]);
    RC_ASSERT(both_right(b.logprobs[i], a.logprobs[source]));
    RC_ASSERT(b.rank[i] == a.rank[source]);
  }
}

// Shards cut anywhere between tiles.
RC_GTEST_PROP(Properties, ShardsAreTheWholeRow, ()) {
  AnyRow row = any_row();
  const std::int64_t columns = row.columns();
  std::vector<std::int64_t> cuts = {0};
  for (std::int64_t cut = kTileColumns; cut < columns; cut += kTileColumns)
    if (*rc::gen::arbitrary<bool>()) cuts.push_back(cut);
  cuts.push_back(columns);
  const float t = any_temperature();
  const std::uint64_t seed = any_seed();
  const std::vector<std::int64_t> target = {*rc::gen::inRange<std::int64_t>(0, columns)};
  const Sharded got =
      in_shards(row.tensor(), cuts, target, {.temperature = t, .seed = seed, .draws = 9});
  const Scores scores = scores_of(row.tensor(), target, {}, {.temperature = t});
  const Draws draws = draws_of(row.tensor(), {}, {.temperature = t, .seed = seed, .draws = 9});
  RC_ASSERT(static_cast<bool>(same_as_whole(got, scores, draws)));
}

// Greater u, no lower token; and a token doesn't depend on the other draws of the call.
RC_GTEST_PROP(Properties, TokensRiseWithU, ()) {
  AnyRow row = any_row();
  std::mt19937_64 random(any_seed());
  std::vector<double> u(200);
  for (double& x : u) x = static_cast<double>(random() >> 11) * 0x1p-53;
  std::sort(u.begin(), u.end());
  const float t = any_temperature();
  const auto draw = [&](std::size_t first, std::int64_t n) {
    return draws_of(row.tensor(), {},
                    {.temperature = t, .u = Tensor::of(&u[first], {1, n}), .draws = n});
  };
  const Draws d = draw(0, 200);
  RC_ASSERT(std::is_sorted(d.token.begin(), d.token.end()));
  for (std::size_t k = 0; k < 200; k += 17) RC_ASSERT(draw(k, 1).token[0] == d.token[k]);
  for (const std::int64_t token : d.token)
    RC_ASSERT(row.z.at(static_cast<std::size_t>(token)) > -kInf);
}

// Everything that is an order of the logits, from a sort: argmax, rank, top-N, greedy.
RC_GTEST_PROP(Properties, OrderIsThatOfASort, ()) {
  AnyRow row = any_row();
  const Scores s = scores_of_all(row, any_temperature());
  std::vector<std::int64_t> best = all_columns(row.columns());
  std::stable_sort(best.begin(), best.end(), [&](std::int64_t a, std::int64_t b) {
    return row.z[static_cast<std::size_t>(a)] > row.z[static_cast<std::size_t>(b)];
  });
  RC_ASSERT(s.argmax[0] == best[0]);
  RC_ASSERT(s.logprobs[static_cast<std::size_t>(best[0])] ==
            *std::max_element(s.logprobs.begin(), s.logprobs.end()));
  const auto n = static_cast<std::int64_t>(s.n);
  RC_ASSERT(s.top_ids == std::vector<std::int64_t>(best.begin(), best.begin() + n));
  for (std::size_t k = 0; k < s.n; ++k)
    RC_ASSERT(same_bits(s.top_logprobs[k], s.logprobs[static_cast<std::size_t>(best[k])]));
  std::int64_t rank = 0;
  for (std::size_t k = 0; k < best.size(); ++k) {
    const auto here = static_cast<std::size_t>(best[k]);
    if (k == 0 || row.z[here] < row.z[static_cast<std::size_t>(best[k - 1])])
      rank = static_cast<std::int64_t>(k) + 1;
    RC_ASSERT(s.rank[here] == rank);
  }
  const Draws greedy = draws_of(row.tensor(), {}, {.temperature = 0.0f, .seed = 1, .draws = 2});
  RC_ASSERT(greedy.token == std::vector<std::int64_t>(2, best[0]));
}

}  // namespace
}  // namespace logsum::test
