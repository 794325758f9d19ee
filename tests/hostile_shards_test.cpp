// SPDX-License-Identifier: Apache-2.0
// Records and choices that measure and merge never made: of another row, another temperature, or
// random bytes. Whatever comes out, nothing hangs and nothing is read or written out of bounds
// (sanitizers watch), and a drawn token lies in the shard.
#include <gtest/gtest.h>

#include "support/guarded.hpp"
#include "support/outputs.hpp"
#include "support/shards.hpp"
#include "support/statistics.hpp"

namespace logsum::test {
namespace {

constexpr std::int64_t kDraws = 4;

struct Drawn {
  std::int64_t token[kDraws] = {99, 99, 99, 99};
  float logprob[kDraws] = {99, 99, 99, 99};
  float token_logit[kDraws] = {99, 99, 99, 99};
};

Drawn draw_from(const Tensor& logits, std::vector<DrawChoice>& choices, const PerRow<float>& t,
                const Context& context, std::int64_t vocab_start = 0) {
  Drawn d;
  must(on::draw({.logits = logits,
                 .choices = Tensor::of(reinterpret_cast<std::uint8_t*>(choices.data()),
                                       {1, kDraws, sizeof(DrawChoice)}),
                 .token = Tensor::of(d.token, {1, kDraws}),
                 .logprob = Tensor::of(d.logprob, {1, kDraws}),
                 .token_logit = Tensor::of(d.token_logit, {1, kDraws}),
                 .temperature = t,
                 .vocab_start = vocab_start},
                context));
  return d;
}

// A row whose last logit is the last readable one.
struct GuardedRow {
  std::int64_t columns;
  GuardedMemory memory;

  explicit GuardedRow(std::int64_t n)
      : columns(n), memory(static_cast<std::size_t>(n) * 4, GuardedMemory::Touches::end) {
    set(gaussian(n, 3, 2, 0));
  }
  void set(const std::vector<float>& z) {
    std::memcpy(memory.data(), z.data(), z.size() * sizeof(float));
  }
  Tensor tensor() { return Tensor::of(static_cast<float*>(memory.data()), {1, columns}); }
};

std::vector<DrawChoice> good_choices(const Tensor& logits, float t) {
  std::vector<TileRecord> records(8);
  const std::int64_t columns = logits.dim(-1);
  const Tensor r =
      Tensor::of(reinterpret_cast<std::uint8_t*>(records.data()), {1, (columns + 4095) / 4096, 24});
  must(on::measure({.logits = logits, .records = r, .temperature = t == 0 ? 1 : t}));
  std::vector<DrawChoice> choices(kDraws);
  must(on::merge({.shards = {&r, 1},
                  .vocab_size = columns,
                  .choices = Tensor::of(reinterpret_cast<std::uint8_t*>(choices.data()),
                                        {1, kDraws, sizeof(DrawChoice)}),
                  .draws = kDraws,
                  .temperature = t}));
  return choices;
}

void expect_in_row(const Drawn& d, std::int64_t begin, std::int64_t columns) {
  for (const std::int64_t token : d.token)
    EXPECT_TRUE(token == -1 || (token >= begin && token < begin + columns)) << token;
}

// A temperature that fits no choice: the row draws nothing.
TEST(HostileShards, DrawWithAnotherTemperature) {
  GuardedRow row(5000);
  for (const Context& context : merge_contexts())
    for (const float made_at : {1.0f, 0.0f})
      for (const float t : {kNaN, -1.0f, kInf, 0.0f, 1e-45f, 1.0f, 0.5f}) {
        std::vector<DrawChoice> choices = good_choices(row.tensor(), made_at);
        const Drawn d = draw_from(row.tensor(), choices, Tensor::of(&t, {1}), context);
        SCOPED_TRACE("made at " + std::to_string(made_at) + ", drawn at " + std::to_string(t));
        expect_in_row(d, 0, 5000);
        if (t == 1 || t == 0.5f || (t == 0 && made_at == 0)) continue;
        for (std::size_t k = 0; k < kDraws; ++k) {
          EXPECT_EQ(d.token[k], -1);
          EXPECT_EQ(d.logprob[k], -kInf);
          EXPECT_EQ(d.token_logit[k], -kInf);
        }
      }
}

// Choices of a healthy row, drawn from one that has become sick.
TEST(HostileShards, DrawFromAnotherRow) {
  for (const std::int64_t columns : {1, 63, 1000, 4096, 5000, 8192})
    for (const SickRow& sick : sick_rows())
      for (const Context& context : merge_contexts()) {
        GuardedRow row(columns);
        std::vector<DrawChoice> choices = good_choices(row.tensor(), 1);
        std::vector<float> z = gaussian(columns, 5, 2, 0);
        sick.infect(z);
        row.set(z);
        expect_in_row(draw_from(row.tensor(), choices, 1.0f, context), 0, columns);
      }
}

DrawChoice random_choice(std::mt19937_64& random) {
  DrawChoice choice;
  for (std::size_t i = 0; i < sizeof choice / 8; ++i) {
    const std::uint64_t word = random();
    std::memcpy(reinterpret_cast<std::byte*>(&choice) + 8 * i, &word, 8);
  }
  if (random() % 4) choice.tile = static_cast<std::int64_t>(random() % 4);
  if (random() % 16 == 0) choice.tile = random() % 2 ? INT64_MIN : INT64_MAX;
  const double shares[] = {
      -1, -0.5, 0, 0.3, 1, 1e300, static_cast<double>(kNaN), static_cast<double>(kInf)};
  if (random() % 4) choice.share = shares[random() % 8];
  if (random() % 4) choice.column = static_cast<std::int32_t>(random() % 10000) - 3000;
  return choice;
}

TEST(HostileShards, DrawRandomChoices) {
  std::mt19937_64 random(1);
  GuardedRow row(5000);
  for (int i = 0; i < (is_quick() ? 200 : 4000); ++i) {
    std::vector<DrawChoice> choices;
    for (int k = 0; k < kDraws; ++k) choices.push_back(random_choice(random));
    const std::int64_t start = i % 2 ? 4096 : 0;
    for (const Context& context : merge_contexts())
      expect_in_row(draw_from(row.tensor(), choices, i % 3 ? 1.0f : 0.0f, context, start), start,
                    5000);
    if (HasFailure()) return;
  }
}

// A share is part of a tile's mass: one beyond it is no draw, least of all the last column.
TEST(HostileShards, DrawBeyondTheTilesMass) {
  GuardedRow row(5000);
  for (const Context& context : merge_contexts())
    for (const double share :
         {1 + 0x1p-52, 1.5, 2.0, 1e300, static_cast<double>(kInf), static_cast<double>(kNaN)}) {
      std::vector<DrawChoice> choices = good_choices(row.tensor(), 1);
      for (DrawChoice& choice : choices) choice.share = share;
      for (const std::int64_t token : draw_from(row.tensor(), choices, 1.0f, context).token)
        EXPECT_EQ(token, -1) << share << " " << name_of(context);
    }
}

TileRecord random_record(std::mt19937_64& random) {
  const float values[] = {0, -1, 1, 4096, 3e38f, 1e-45f, kNaN, kInf, -kInf};
  TileRecord record;
  const std::uint64_t word = random();
  record.n = random() % 3 ? static_cast<double>(random() % 200) - 100 : std::bit_cast<double>(word);
  record.sum = values[random() % 9];
  record.moment = values[random() % 9];
  record.max = values[random() % 9];
  record.argmax = static_cast<std::int32_t>(random());
  return record;
}

TEST(HostileShards, MergeRandomRecords) {
  std::mt19937_64 random(2);
  GuardedRow row(9000);
  for (int i = 0; i < (is_quick() ? 500 : 20000); ++i) {
    std::vector<TileRecord> records;
    for (int k = 0; k < 3; ++k) records.push_back(random_record(random));
    const Tensor r =
        Tensor::of(reinterpret_cast<std::uint8_t*>(records.data()), {1, 3, sizeof(TileRecord)});
    std::vector<DrawChoice> choices(kDraws);
    float lse, entropy, max;
    std::int64_t argmax;
    std::int32_t status;
    for (const Context& context : merge_contexts()) {
      const float t = i % 4 ? 1.0f : 0.0f;
      must(on::merge({.shards = {&r, 1},
                      .vocab_size = 9000,
                      .lse = Tensor::of(&lse, {1}),
                      .entropy = Tensor::of(&entropy, {1}),
                      .max = Tensor::of(&max, {1}),
                      .argmax = Tensor::of(&argmax, {1}),
                      .row_status = Tensor::of(&status, {1}),
                      .choices = Tensor::of(reinterpret_cast<std::uint8_t*>(choices.data()),
                                            {1, kDraws, sizeof(DrawChoice)}),
                      .seed = static_cast<std::uint64_t>(i),
                      .draws = kDraws,
                      .temperature = t},
                     context));
      expect_in_row(draw_from(row.tensor(), choices, t, context), 0, 9000);
    }
    if (HasFailure()) return;
  }
}

// A shard that nothing was drawn from, and draws split over shards by hand.
TEST(HostileShards, EveryChoiceBelongsToOneShard) {
  GuardedRow row(9000);
  std::vector<DrawChoice> choices = good_choices(row.tensor(), 1);
  const Drawn all = draw_from(row.tensor(), choices, 1.0f, {});
  Tensor second = row.tensor();
  second.data = static_cast<float*>(second.data) + 4096;
  second.shape[1] = 9000 - 4096;
  Tensor first = row.tensor();
  first.shape[1] = 4096;
  for (const Context& context : fast_contexts()) {
    const Drawn a = draw_from(first, choices, 1.0f, context);
    const Drawn b = draw_from(second, choices, 1.0f, context, 4096);
    for (std::size_t k = 0; k < kDraws; ++k) {
      EXPECT_EQ(std::min(a.token[k], b.token[k]), -1);
      EXPECT_EQ(std::max(a.token[k], b.token[k]), all.token[k]);
    }
  }
}

}  // namespace
}  // namespace logsum::test
