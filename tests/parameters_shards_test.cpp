// SPDX-License-Identifier: Apache-2.0
// Each parameter of measure, merge and draw changes the answer, to what float64 or the whole row
// says it should be; on both backends, which share the code that reads the arguments.
#include <gtest/gtest.h>

#include "support/cdf.hpp"
#include "support/shards.hpp"
#include "support/truth.hpp"

namespace logsum::test {
namespace {

const Context kContexts[] = {{}, kReference};
constexpr std::int64_t kColumns = 9000;  // three tiles
const std::vector<float> kRow = gaussian(kColumns, 77, 1, 3);

Tensor repeated(std::int64_t rows) {
  const std::int64_t shape[] = {rows, kColumns}, strides[] = {0, 1};
  return Tensor::strided(const_cast<float*>(kRow.data()), DType::f32, shape, strides);
}

template <class T>
Tensor bytes_of(std::vector<T>& v, std::int64_t rows) {
  const auto count = static_cast<std::int64_t>(v.size()) / rows;
  return Tensor::of(reinterpret_cast<std::uint8_t*>(v.data()), {rows, count, sizeof(T)});
}

std::vector<float> columns_of(std::int64_t begin, std::int64_t end) {
  return {kRow.begin() + begin, kRow.begin() + end};
}

// A record against log Σ e^(z/T) and the entropy of its columns.
void expect_record(const TileRecord& record, const Truth& truth, bool has_moment = true) {
  const double log2_sum = std::log2(static_cast<double>(record.sum)) + record.n;
  EXPECT_TRUE(within_contract(log2_sum * std::log(2.0), truth.lse()));
  const double mean = record.moment / record.sum;
  const double entropy = (std::log2(static_cast<double>(record.sum)) + mean) * std::log(2.0);
  if (has_moment)
    EXPECT_TRUE(within_contract(entropy, truth.entropy())) << entropy;
  else
    EXPECT_EQ(record.moment, 0);
}

TEST(MeasureParameters, TemperatureAndMoment) {
  const float t[] = {0.5f, 2.0f};
  for (const Context& context : kContexts)
    for (const bool moment : {true, false})
      for (const bool per_row : {true, false}) {
        std::vector<TileRecord> records(6);
        must(on::measure({.logits = repeated(2),
                          .records = bytes_of(records, 2),
                          .temperature = per_row ? PerRow<float>(Tensor::of(t, {2})) : t[1],
                          .moment = moment},
                         context));
        for (std::int64_t i = 0; i < 6; ++i) {
          const std::int64_t begin = i % 3 * kTileColumns;
          const Truth truth(columns_of(begin, std::min(begin + kTileColumns, kColumns)),
                            per_row ? t[i / 3] : t[1]);
          // The reference has the moment anyway.
          expect_record(records[static_cast<std::size_t>(i)], truth,
                        moment || context.backend == Backend::reference);
        }
      }
}

TEST(MeasureParameters, VocabSizeAndArgmax) {
  for (const Context& context : kContexts)
    for (const std::int64_t size : {1, 4096, 5000, 8192}) {
      std::vector<TileRecord> records(static_cast<std::size_t>((size + 4095) / 4096));
      must(on::measure({.logits = repeated(1), .records = bytes_of(records, 1), .vocab_size = size},
                       context));
      const auto last = static_cast<std::int64_t>(records.size() - 1) * kTileColumns;
      expect_record(records.back(), Truth(columns_of(last, size)));
      const auto best = std::max_element(kRow.begin(), kRow.begin() + size);
      EXPECT_EQ(records[static_cast<std::size_t>((best - kRow.begin()) / 4096)].argmax,
                (best - kRow.begin()) % 4096);
    }
}

// A target is the whole row's column: which of the shard's it is depends on where that starts, and
// the shard ends at vocab_size.
TEST(MeasureParameters, TargetsAndVocabStart) {
  for (const Context& context : kContexts)
    for (const std::int64_t start : {0, 4096, 81920})
      for (const std::int64_t size : {0, 5000}) {
        const std::int64_t columns = size ? size : kColumns;
        const std::int64_t targets[] = {start,     start + 1,       start + columns - 1,
                                        start - 1, start + columns, -1};
        float logits[6];
        std::vector<TileRecord> records(6 * static_cast<std::size_t>((columns + 4095) / 4096));
        must(on::measure({.logits = repeated(6),
                          .records = bytes_of(records, 6),
                          .targets = Tensor::of(targets, {6}),
                          .target_logits = Tensor::of(logits, {6}),
                          .vocab_start = start,
                          .vocab_size = size},
                         context));
        EXPECT_EQ(logits[0], kRow[0]);
        EXPECT_EQ(logits[1], kRow[1]);
        EXPECT_EQ(logits[2], kRow[static_cast<std::size_t>(columns - 1)]);
        for (std::size_t i = 3; i < 6; ++i) EXPECT_EQ(logits[i], -kInf) << targets[i];
      }
}

// The row's own temperature, seed and offset through all three.
TEST(MergeParameters, PerRow) {
  const std::int64_t seed[] = {3, -1, 4, 4}, offset[] = {0, 1, -2, 9};
  const float t[] = {0.5f, 1, 2.0f, 0.75f};
  const std::vector<std::int64_t> targets = {0, 8999, 5000, 4096};
  for (const Context& context : kContexts) {
    const Sharded s = in_shards(repeated(4), even_cuts(kColumns, 2), targets,
                                {.temperature = Tensor::of(t, {4}),
                                 .seed = Tensor::of(seed, {4}),
                                 .draws = 5,
                                 .offset = Tensor::of(offset, {4})},
                                context);
    for (std::size_t i = 0; i < 4; ++i) {
      const Truth truth(kRow, t[i]);
      EXPECT_TRUE(within_contract(s.lse[i], truth.lse()));
      EXPECT_TRUE(within_contract(s.entropy[i], truth.entropy()));
      const float target = kRow[static_cast<std::size_t>(targets[i])];
      EXPECT_TRUE(within_contract(s.target_logprob[i], truth.logprob(target)));
      const std::vector<double> cdf = cdf_of(kRow, t[i]);
      for (std::uint32_t k = 0; k < 5; ++k) {
        const auto at = 5 * i + k;
        EXPECT_EQ(s.token[at], token_at(cdf, uniform(static_cast<std::uint64_t>(seed[i]),
                                                     static_cast<std::uint64_t>(offset[i]), k)));
        const float drawn = kRow[static_cast<std::size_t>(s.token[at])];
        EXPECT_TRUE(within_contract(s.logprob[at], truth.logprob(drawn)));
      }
    }
  }
}

TEST(MergeParameters, OneForAllRows) {
  for (const Context& context : kContexts)
    for (const float t : {0.5f, 2.0f}) {
      const std::vector<double> cdf = cdf_of(kRow, t);
      for (const std::uint64_t seed : {0ull, 1ull, 1ull << 40})
        for (const std::uint64_t offset : {0ull, 1ull, 1ull << 40}) {
          const Sharded s =
              in_shards(repeated(1), every_tile(kColumns), {0},
                        {.temperature = t, .seed = seed, .draws = 3, .offset = offset}, context);
          EXPECT_TRUE(within_contract(s.lse[0], Truth(kRow, t).lse()));
          for (std::uint32_t k = 0; k < 3; ++k)
            EXPECT_EQ(s.token[k], token_at(cdf, uniform(seed, offset, k)));
        }
    }
}

TEST(MergeParameters, U) {
  const float narrow[] = {0.125f, 0.6f, 0.0f, 0.99f};
  const double wide[] = {0.25, 0.5, 0.875, 1 - 0x1p-53};
  const std::vector<double> cdf = cdf_of(kRow, 1);
  for (const Context& context : kContexts) {
    const auto tokens = [&](const Tensor& u) {
      return in_shards(repeated(2), every_tile(kColumns), {0, 0}, {.draws = 2, .u = u}, context)
          .token;
    };
    std::vector<std::int64_t> wanted_narrow, wanted_wide;
    for (const float u : narrow) wanted_narrow.push_back(token_at(cdf, static_cast<double>(u)));
    for (const double u : wide) wanted_wide.push_back(token_at(cdf, u));
    EXPECT_EQ(tokens(Tensor::of(narrow, {2, 2})), wanted_narrow);
    EXPECT_EQ(tokens(Tensor::of(wide, {2, 2})), wanted_wide);
    // One that is out of range: nothing is drawn from its row.
    const double bad[] = {0.25, 1.0, 0.875, 0.5};
    const Sharded s = in_shards(repeated(2), every_tile(kColumns), {0, 0},
                                {.draws = 2, .u = Tensor::of(bad, {2, 2})}, context);
    EXPECT_EQ(s.token, (std::vector<std::int64_t>{-1, -1, wanted_wide[2], wanted_wide[1]}));
    EXPECT_EQ(static_cast<RowStatus>(s.status[0]), RowStatus::bad_parameter);
    EXPECT_EQ(s.status[1], 0);
  }
}

// The order of shards, the row's columns, and the target's logit in whichever shard it lies.
TEST(MergeParameters, ShardsVocabSizeAndTargets) {
  std::vector<TileRecord> low(1), high(1);
  std::vector<float> z = gaussian(4096, 1, 1, 0);
  const Tensor first = Tensor::of(z.data(), {1, 4096});
  for (const Context& context : kContexts) {
    must(on::measure({.logits = first, .records = bytes_of(low, 1), .temperature = 1.0f}, context));
    const Tensor second = Tensor::of(kRow.data(), {1, 4000});
    must(on::measure({.logits = second, .records = bytes_of(high, 1)}, context));
    const auto top = std::max_element(kRow.begin(), kRow.begin() + 4000) - kRow.begin();
    const auto merged = [&](bool swapped, std::int64_t columns, std::int64_t target) {
      const Tensor shards[] = {bytes_of(swapped ? high : low, 1),
                               bytes_of(swapped ? low : high, 1)};
      float target_logits[] = {2.0f, -kInf}, logprob, max;
      const Tensor logits[] = {Tensor::of(&target_logits[swapped], {1}),
                               Tensor::of(&target_logits[!swapped], {1})};
      std::int64_t argmax;
      std::int32_t status;
      must(on::merge({.shards = shards,
                      .vocab_size = columns,
                      .targets = Tensor::of(&target, {1}),
                      .target_logits = logits,
                      .logprobs = Tensor::of(&logprob, {1}),
                      .ignore_index = 17,
                      .max = Tensor::of(&max, {1}),
                      .argmax = Tensor::of(&argmax, {1}),
                      .row_status = Tensor::of(&status, {1})},
                     context));
      EXPECT_EQ(max, kRow[static_cast<std::size_t>(top)]);
      EXPECT_EQ(argmax, swapped ? top : top + 4096);
      return std::pair(logprob, static_cast<RowStatus>(status));
    };
    std::vector<float> row = z;
    row.insert(row.end(), kRow.begin(), kRow.begin() + 4000);
    const double wanted = Truth(row).logprob(2.0f);
    for (const bool swapped : {false, true}) {
      EXPECT_TRUE(within_contract(merged(swapped, 8096, 5000).first, wanted));
      EXPECT_EQ(merged(swapped, 8096, 8095).second, RowStatus::ok);
      EXPECT_EQ(merged(swapped, 8095, 8095).second, RowStatus::bad_target);
      EXPECT_EQ(merged(swapped, 8096, 17), std::pair(0.0f, RowStatus::ignored));
      EXPECT_EQ(merged(swapped, 8096, -100).second, RowStatus::bad_target);
    }
  }
}

// draw alone: where the shard begins, what is padding, and the temperature of the weights.
TEST(DrawParameters, VocabStartVocabSizeAndTemperature) {
  const std::vector<float> z = columns_of(0, 5000);
  const std::vector<double> u = {0, 0.1, 0.4, 0.7, 0.95, 1 - 0x1p-53};
  for (const Context& context : kContexts)
    for (const float t : {0.5f, 2.0f}) {
      const std::vector<double> cdf = cdf_of(z, t);
      std::vector<TileRecord> records(2);
      std::vector<DrawChoice> choices(6);
      must(on::measure({.logits = repeated(1),
                        .records = bytes_of(records, 1),
                        .temperature = t,
                        .vocab_size = 5000},
                       context));
      const Tensor shard = bytes_of(records, 1);
      must(on::merge({.shards = {&shard, 1},
                      .vocab_size = 5000,
                      .choices = bytes_of(choices, 1),
                      .u = Tensor::of(u.data(), {1, 6}),
                      .draws = 6,
                      .temperature = t},
                     context));
      const auto draw_at = [&](std::int64_t start, std::int64_t size, float temperature) {
        std::vector<std::int64_t> token(6, 99);
        must(on::draw({.logits = repeated(1),
                       .choices = bytes_of(choices, 1),
                       .token = Tensor::of(token.data(), {1, 6}),
                       .temperature = temperature,
                       .vocab_start = start,
                       .vocab_size = size},
                      context));
        return token;
      };
      std::vector<std::int64_t> wanted;
      for (const double x : u) wanted.push_back(token_at(cdf, x));
      EXPECT_EQ(draw_at(0, 5000, t), wanted);
      // Two tiles of a row whose first is elsewhere: the second is here, under its own name.
      const std::vector<std::int64_t> shifted = draw_at(4096, 5000, t);
      for (std::size_t k = 0; k < 6; ++k) {
        EXPECT_EQ(shifted[k] >= 4096, wanted[k] >= 4096);
        EXPECT_TRUE(wanted[k] >= 4096 || shifted[k] == -1) << shifted[k];
      }
      EXPECT_NE(draw_at(0, 0, t).back(), 4999) << "padding was drawn from";
      EXPECT_NE(draw_at(0, 5000, 4 * t), wanted);
    }
}

}  // namespace
}  // namespace logsum::test
