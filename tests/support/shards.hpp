// SPDX-License-Identifier: Apache-2.0
// A matrix through measure, merge and draw, cut into any shards of whole tiles.
#pragma once

#include <vector>

#include "logsum/draw.hpp"
#include "support/outputs.hpp"

namespace logsum::test {

// What whole rows give with the same names, and the maximum and the drawn tokens' logits.
struct Sharded {
  std::vector<std::int64_t> token, argmax;
  std::vector<float> logprob, token_logit, target_logprob, lse, entropy, max;
  std::vector<std::int32_t> status;
};

// Sampling parameters as sample's.
struct ShardParameters {
  PerRow<float> temperature = 1.0f;
  PerRow<std::uint64_t> seed = 0;
  std::int64_t draws = 1;
  PerRow<std::uint64_t> offset = 0;
  Tensor u = {};  // [rows, draws]
  std::int64_t ignore_index = -100;
};

// The columns at which each tile begins, and the end.
inline std::vector<std::int64_t> every_tile(std::int64_t columns) {
  std::vector<std::int64_t> cuts;
  for (std::int64_t begin = 0; begin < columns; begin += kTileColumns) cuts.push_back(begin);
  cuts.push_back(columns);
  return cuts;
}

// `count` shards of about the same number of tiles.
inline std::vector<std::int64_t> even_cuts(std::int64_t columns, std::int64_t count) {
  const std::int64_t tiles = (columns + kTileColumns - 1) / kTileColumns;
  std::vector<std::int64_t> cuts = {0};
  for (std::int64_t s = 1; s <= count; ++s)
    if (const std::int64_t end = std::min(columns, tiles * s / count * kTileColumns);
        end > cuts.back())
      cuts.push_back(end);
  return cuts;
}

// logits [rows, V] in shards [cuts[i], cuts[i + 1]).
inline Sharded in_shards(const Tensor& logits, const std::vector<std::int64_t>& cuts,
                         const std::vector<std::int64_t>& targets,
                         const ShardParameters& parameters, const Context& context = {}) {
  const std::int64_t rows = logits.shape[0];
  const std::int64_t n = parameters.draws;
  const auto count = static_cast<std::size_t>(rows);
  const auto draw_count = static_cast<std::size_t>(rows * n);
  std::vector<std::vector<TileRecord>> records;
  std::vector<std::vector<float>> target_logits;
  std::vector<Tensor> shards, record_tensors, target_tensors;
  for (std::size_t s = 0; s + 1 < cuts.size(); ++s) {
    const std::int64_t width = cuts[s + 1] - cuts[s];
    const std::int64_t tiles = (width + kTileColumns - 1) / kTileColumns;
    Tensor shard = logits;
    shard.data = static_cast<std::byte*>(logits.data) +
                 static_cast<std::size_t>(cuts[s]) * size_of(logits.dtype);
    shard.shape[1] = width;
    shards.push_back(shard);
    records.emplace_back(static_cast<std::size_t>(rows * tiles));
    target_logits.emplace_back(count);
    record_tensors.push_back(Tensor::of(reinterpret_cast<std::uint8_t*>(records.back().data()),
                                        {rows, tiles, sizeof(TileRecord)}));
    target_tensors.push_back(Tensor::of(target_logits.back().data(), {rows}));
    must(on::measure({.logits = shard,
                      .records = record_tensors.back(),
                      .targets = Tensor::of(targets.data(), {rows}),
                      .target_logits = target_tensors.back(),
                      .temperature = parameters.temperature,
                      .vocab_start = cuts[s]},
                     context));
  }
  Sharded r;
  r.argmax.resize(count, 99);
  r.status.resize(count, 99);
  for (auto* v : {&r.target_logprob, &r.lse, &r.entropy, &r.max}) v->resize(count, 99);
  std::vector<DrawChoice> choices(draw_count);
  const Tensor choice_tensor =
      Tensor::of(reinterpret_cast<std::uint8_t*>(choices.data()), {rows, n, sizeof(DrawChoice)});
  must(on::merge({.shards = record_tensors,
                  .vocab_size = cuts.back(),
                  .targets = Tensor::of(targets.data(), {rows}),
                  .target_logits = target_tensors,
                  .logprobs = Tensor::of(r.target_logprob.data(), {rows}),
                  .ignore_index = parameters.ignore_index,
                  .lse = Tensor::of(r.lse.data(), {rows}),
                  .entropy = Tensor::of(r.entropy.data(), {rows}),
                  .max = Tensor::of(r.max.data(), {rows}),
                  .argmax = Tensor::of(r.argmax.data(), {rows}),
                  .row_status = Tensor::of(r.status.data(), {rows}),
                  .choices = choice_tensor,
                  .u = parameters.u,
                  .seed = parameters.seed,
                  .offset = parameters.offset,
                  .draws = n,
                  .temperature = parameters.temperature},
                 context));
  r.token.resize(draw_count, -1);
  r.logprob.resize(draw_count, -kInf);
  r.token_logit.resize(draw_count, -kInf);
  for (std::size_t s = 0; s < shards.size(); ++s) {
    std::vector<std::int64_t> token(draw_count, 99);
    std::vector<float> logprob(draw_count, 99), logit(draw_count, 99);
    must(on::draw({.logits = shards[s],
                   .choices = choice_tensor,
                   .token = Tensor::of(token.data(), {rows, n}),
                   .logprob = Tensor::of(logprob.data(), {rows, n}),
                   .token_logit = Tensor::of(logit.data(), {rows, n}),
                   .temperature = parameters.temperature,
                   .vocab_start = cuts[s]},
                  context));
    for (std::size_t i = 0; i < draw_count; ++i) {
      EXPECT_TRUE(token[i] < 0 || r.token[i] < 0) << "two shards drew";
      r.token[i] = std::max(r.token[i], token[i]);
      r.logprob[i] = std::max(r.logprob[i], logprob[i]);
      r.token_logit[i] = std::max(r.token_logit[i], logit[i]);
    }
  }
  return r;
}

// The rows' results in shards are those of whole rows, to the bit.
inline ::testing::AssertionResult same_as_whole(const Sharded& got, const Scores& scores,
                                                const Draws& draws) {
  const char* differs = nullptr;
  const auto same = [](const auto& a, const auto& b) {
    return same_elements(a, 0, b, 0, a.size());
  };
  if (!same(got.target_logprob, scores.logprobs)) differs = "the target's logprob";
  if (!same(got.lse, scores.lse)) differs = "lse";
  if (!same(got.entropy, scores.entropy)) differs = "entropy";
  if (!same(got.argmax, scores.argmax)) differs = "argmax";
  if (!same(got.status, scores.status)) differs = "row_status";
  if (!same(got.token, draws.token)) differs = "token";
  if (!same(got.logprob, draws.logprob)) differs = "logprob";
  if (!differs) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << differs << " differs from the whole row's";
}

}  // namespace logsum::test
