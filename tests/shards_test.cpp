// SPDX-License-Identifier: Apache-2.0
// measure, merge, draw: a row in shards gives the bits of the whole row.
#include <gtest/gtest.h>

#include "logsum/draw.hpp"
#include "logsum/sample.hpp"
#include "logsum/token_logprobs.hpp"
#include "support/matrix.hpp"

namespace logsum::test {
namespace {

constexpr std::int64_t kDraws = 3;

struct Results {
  std::vector<std::int64_t> token, argmax;
  std::vector<float> logprob, raw_logprob, target_logprob, lse, entropy;
  std::vector<std::int32_t> status;

  explicit Results(std::int64_t rows)
      : token(static_cast<std::size_t>(rows * kDraws)),
        argmax(static_cast<std::size_t>(rows)),
        logprob(token.size()),
        raw_logprob(token.size()),
        target_logprob(argmax.size()),
        lse(argmax.size()),
        entropy(argmax.size()),
        status(argmax.size()) {}
};

void ok(const Status& status) { ASSERT_TRUE(status.ok()) << status.message(); }

Results whole(Matrix& z, std::int64_t rows, std::vector<std::int64_t>& targets, float t,
              const Context& context) {
  Results r(rows);
  ok(token_logprobs({.logits = z.tensor(),
                     .targets = Tensor::of(targets.data(), {rows}),
                     .logprobs = Tensor::of(r.target_logprob.data(), {rows}),
                     .lse = Tensor::of(r.lse.data(), {rows}),
                     .entropy = Tensor::of(r.entropy.data(), {rows}),
                     .argmax = Tensor::of(r.argmax.data(), {rows}),
                     .row_status = Tensor::of(r.status.data(), {rows}),
                     .temperature = t},
                    context));
  ok(sample({.logits = z.tensor(),
             .token = Tensor::of(r.token.data(), {rows, kDraws}),
             .logprob = Tensor::of(r.logprob.data(), {rows, kDraws}),
             .temperature = t,
             .seed = 11,
             .draws = kDraws},
            context));
  return r;
}

// The columns of a matrix from `begin` on.
Tensor columns_of(Matrix& z, std::int64_t begin, std::int64_t width) {
  Tensor t = z.tensor();
  t.data = static_cast<std::byte*>(t.data) + static_cast<std::size_t>(begin) * size_of(t.dtype);
  t.shape[1] = width;
  return t;
}

Results in_shards(Matrix& z, std::int64_t rows, std::int64_t columns, std::int64_t shard_count,
                  std::vector<std::int64_t>& targets, float t, const Context& context) {
  const std::int64_t tiles = (columns + kTileColumns - 1) / kTileColumns;
  std::vector<std::vector<TileRecord>> records;
  std::vector<std::vector<float>> target_logits;
  std::vector<Tensor> shards, record_tensors, target_tensors;
  std::vector<std::int64_t> starts;
  for (std::int64_t s = 0; s < shard_count; ++s) {
    const std::int64_t first = tiles * s / shard_count, last = tiles * (s + 1) / shard_count;
    if (first == last) continue;
    const std::int64_t begin = first * kTileColumns;
    starts.push_back(begin);
    shards.push_back(columns_of(z, begin, std::min(columns, last * kTileColumns) - begin));
    records.emplace_back(static_cast<std::size_t>(rows * (last - first)));
    target_logits.emplace_back(static_cast<std::size_t>(rows));
    record_tensors.push_back(Tensor::of(reinterpret_cast<std::uint8_t*>(records.back().data()),
                                        {rows, last - first, sizeof(TileRecord)}));
    target_tensors.push_back(Tensor::of(target_logits.back().data(), {rows}));
    ok(measure({.logits = shards.back(),
                .records = record_tensors.back(),
                .targets = Tensor::of(targets.data(), {rows}),
                .target_logits = target_tensors.back(),
                .temperature = t,
                .vocab_start = begin},
               context));
  }
  Results r(rows);
  std::vector<DrawChoice> choices(static_cast<std::size_t>(rows * kDraws));
  const Tensor choice_tensor = Tensor::of(reinterpret_cast<std::uint8_t*>(choices.data()),
                                          {rows, kDraws, sizeof(DrawChoice)});
  ok(merge({.shards = record_tensors,
            .vocab_size = columns,
            .targets = Tensor::of(targets.data(), {rows}),
            .target_logits = target_tensors,
            .logprobs = Tensor::of(r.target_logprob.data(), {rows}),
            .lse = Tensor::of(r.lse.data(), {rows}),
            .entropy = Tensor::of(r.entropy.data(), {rows}),
            .argmax = Tensor::of(r.argmax.data(), {rows}),
            .row_status = Tensor::of(r.status.data(), {rows}),
            .choices = choice_tensor,
            .seed = 11,
            .draws = kDraws,
            .temperature = t},
           context));
  std::fill(r.token.begin(), r.token.end(), -1);
  std::fill(r.logprob.begin(), r.logprob.end(), -kInf);
  for (std::size_t s = 0; s < shards.size(); ++s) {
    std::vector<std::int64_t> token(r.token.size());
    std::vector<float> logprob(r.token.size());
    ok(draw({.logits = shards[s],
             .choices = choice_tensor,
             .token = Tensor::of(token.data(), {rows, kDraws}),
             .logprob = Tensor::of(logprob.data(), {rows, kDraws}),
             .temperature = t,
             .vocab_start = starts[s]},
            context));
    for (std::size_t i = 0; i < token.size(); ++i) {
      EXPECT_TRUE(token[i] < 0 || r.token[i] < 0) << "two shards drew";
      r.token[i] = std::max(r.token[i], token[i]);
      r.logprob[i] = std::max(r.logprob[i], logprob[i]);
    }
  }
  return r;
}

TEST(Shards, GiveTheBitsOfTheWholeRow) {
  const auto cases = healthy_rows();
  const auto rows = static_cast<std::int64_t>(cases.size());
  for (const std::int64_t columns : {31, 5000, 32000, 50257}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      Matrix z(rows, columns, dtype, 5);
      std::vector<std::int64_t> targets;
      for (std::int64_t i = 0; i < rows; ++i) {
        z.set_row(i, cases[static_cast<std::size_t>(i)].make(columns, 5));
        targets.push_back(i * 7919 % columns);
      }
      for (const float t : {1.0f, 0.5f}) {
        for (const Context& context : cpu_contexts()) {
          const Results expected = whole(z, rows, targets, t, context);
          for (const std::int64_t shards : {1, 2, 3, 8}) {
            const Results got = in_shards(z, rows, columns, shards, targets, t, context);
            SCOPED_TRACE("V=" + std::to_string(columns) + " shards=" + std::to_string(shards) +
                         " " + name_of(context));
            EXPECT_EQ(got.token, expected.token);
            EXPECT_EQ(got.argmax, expected.argmax);
            EXPECT_EQ(got.status, expected.status);
            for (std::size_t i = 0; i < got.logprob.size(); ++i)
              EXPECT_TRUE(same_bits(got.logprob[i], expected.logprob[i]));
            for (std::size_t i = 0; i < got.lse.size(); ++i) {
              EXPECT_TRUE(same_bits(got.lse[i], expected.lse[i]));
              EXPECT_TRUE(same_bits(got.entropy[i], expected.entropy[i]));
              EXPECT_TRUE(same_bits(got.target_logprob[i], expected.target_logprob[i]));
            }
          }
          if (HasFailure()) return;
        }
      }
    }
  }
}

}  // namespace
}  // namespace logsum::test
