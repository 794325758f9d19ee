// SPDX-License-Identifier: Apache-2.0
// Outputs that share memory with an input or another output are refused by name; tensors that lie
// between each other without sharing a byte, like fields of records, work.
#include <gtest/gtest.h>

#include "logsum/draw.hpp"
#include "support/outputs.hpp"
#include "support/refusals.hpp"

namespace logsum::test {
namespace {

constexpr std::int64_t kRows = 4, kColumns = 10;

// All of sample's tensors, each somewhere in one block of memory.
struct SampleMemory {
  alignas(64) std::byte bytes[4096] = {};
  SampleArgs args;

  struct Place {
    const char* name;
    Tensor* tensor;
    bool output;
  };
  std::vector<Place> places;

  SampleMemory() {
    args.logits = Tensor::of(reinterpret_cast<float*>(at(0)), {kRows, kColumns});
    args.indices = Tensor::of(reinterpret_cast<std::int64_t*>(at(1)), {kRows});
    args.u = Tensor::of(reinterpret_cast<double*>(at(2)), {kRows});
    args.temperature = Tensor::of(reinterpret_cast<float*>(at(3)), {kRows});
    args.seed = Tensor::of(reinterpret_cast<std::int64_t*>(at(4)), {kRows});
    args.offset = Tensor::of(reinterpret_cast<std::int64_t*>(at(5)), {kRows});
    args.token = Tensor::of(reinterpret_cast<std::int64_t*>(at(6)), {kRows});
    args.logprob = Tensor::of(reinterpret_cast<float*>(at(7)), {kRows});
    args.raw_logprob = Tensor::of(reinterpret_cast<float*>(at(8)), {kRows});
    args.lse = Tensor::of(reinterpret_cast<float*>(at(9)), {kRows});
    args.entropy = Tensor::of(reinterpret_cast<float*>(at(10)), {kRows});
    args.row_status = Tensor::of(reinterpret_cast<std::int32_t*>(at(11)), {kRows});
    places = {{"logits", &args.logits, false},
              {"indices", &args.indices, false},
              {"u", &args.u, false},
              {"temperature", &args.temperature.tensor, false},
              {"seed", &args.seed.tensor, false},
              {"offset", &args.offset.tensor, false},
              {"token", &args.token, true},
              {"logprob", &args.logprob, true},
              {"raw_logprob", &args.raw_logprob, true},
              {"lse", &args.lse, true},
              {"entropy", &args.entropy, true},
              {"row_status", &args.row_status, true}};
  }
  std::byte* at(std::size_t i) { return bytes + 256 * i; }
};

std::int64_t bytes_of(const Tensor& t) {
  return t.elements() * static_cast<std::int64_t>(size_of(t.dtype));
}

// Each output with each other tensor: sharing the last bytes of the one and the first of the other
// is refused, touching isn't.
TEST(Overlap, EveryPairOfSamplesTensors) {
  const std::size_t count = SampleMemory().places.size();
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = 0; j < count; ++j) {
      SampleMemory memory;
      const auto& out = memory.places[i];
      const auto& other = memory.places[j];
      if (i == j || !out.output) continue;
      SCOPED_TRACE(std::string(out.name) + " and " + other.name);
      auto* end = static_cast<std::byte*>(other.tensor->data) + bytes_of(*other.tensor);
      out.tensor->data = end - 8;
      const char* first = i < j ? out.name : other.name;
      const char* second = i < j ? other.name : out.name;
      expect_refused(
          on::sample(memory.args), StatusCode::invalid_argument,
          {other.output ? "outputs " + std::string(first) + " and " + second + " overlap in memory"
                        : "output " + std::string(out.name) + " overlaps input " + other.name +
                              " in memory"});
      // One right behind the other.
      out.tensor->data = end;
      EXPECT_TRUE(on::sample(memory.args).ok()) << on::sample(memory.args).message();
    }
}

TEST(Overlap, ScoresAndShardsToo) {
  float logits[40] = {}, out[40] = {};
  std::int64_t targets[4] = {};
  expect_refused(on::token_logprobs(
                     {.logits = Tensor::of(logits, {4, 10}), .lse = Tensor::of(logits + 38, {4})}),
                 StatusCode::invalid_argument, {"output lse overlaps input logits"});
  expect_refused(
      on::token_logprobs({.logits = Tensor::of(logits, {4, 10}),
                          .targets = Tensor::of(targets, {4}),
                          .logprobs = Tensor::of(reinterpret_cast<float*>(targets), {4})}),
      StatusCode::invalid_argument, {"output logprobs overlaps input targets"});
  expect_refused(on::token_logprobs({.logits = Tensor::of(logits, {4, 10}),
                                     .lse = Tensor::of(out, {4}),
                                     .top_logprobs = Tensor::of(out + 3, {4, 2})}),
                 StatusCode::invalid_argument, {"outputs lse and top_logprobs overlap"});
  expect_refused(on::token_logprobs({.logits = Tensor::of(logits, {4, 10}),
                                     .entropy = Tensor::of(out, {4}),
                                     .temperature = Tensor::of(out + 3, {1})}),
                 StatusCode::invalid_argument, {"output entropy overlaps input temperature"});
  TileRecord records[4] = {};
  auto* bytes = reinterpret_cast<std::uint8_t*>(records);
  expect_refused(on::measure({.logits = Tensor::of(reinterpret_cast<float*>(records), {2, 10}),
                              .records = Tensor::of(bytes + 72, {1, 1, 24})}),
                 StatusCode::invalid_argument, {"measure: "});
  expect_refused(on::measure({.logits = Tensor::of(reinterpret_cast<float*>(records), {2, 10}),
                              .records = Tensor::of(bytes + 48, {2, 1, 24})}),
                 StatusCode::invalid_argument, {"output records overlaps input logits"});
  const Tensor shard = Tensor::of(bytes, {2, 1, 24});
  expect_refused(on::merge({.shards = {&shard, 1},
                            .vocab_size = 10,
                            .lse = Tensor::of(reinterpret_cast<float*>(bytes + 40), {2})}),
                 StatusCode::invalid_argument, {"output lse overlaps input shards"});
  expect_refused(
      on::draw({.logits = Tensor::of(logits, {1, 10}),
                .choices = Tensor::of(bytes, {1, 2, 32}),
                .token = Tensor::of(reinterpret_cast<std::int64_t*>(bytes + 56), {1, 2})}),
      StatusCode::invalid_argument, {"output token overlaps input choices"});
}

// Inputs may share memory, and a tensor without elements shares nothing.
TEST(Overlap, InputsMayShareMemory) {
  float logits[20] = {};
  std::int64_t numbers[2] = {0, 1};
  std::int64_t token[2];
  EXPECT_TRUE(on::sample({.logits = Tensor::of(logits, {2, 10}),
                          .indices = Tensor::of(numbers, {2}),
                          .token = Tensor::of(token, {2}),
                          .seed = Tensor::of(numbers, {2}),
                          .offset = Tensor::of(numbers, {2})})
                  .ok());
  EXPECT_TRUE(on::token_logprobs({.logits = Tensor::of(logits, {0, 10}),
                                  .lse = Tensor::of(logits, {0}),
                                  .entropy = Tensor::of(logits, {0})})
                  .ok());
}

// Backwards: the extent of a tensor with a negative stride lies before its pointer.
TEST(Overlap, NegativeStrides) {
  float memory[100] = {};
  const std::int64_t shape[] = {4, 10}, strides[] = {-10, 1};
  const Tensor backwards = Tensor::strided(memory + 60, DType::f32, shape, strides);
  expect_refused(on::token_logprobs({.logits = backwards, .lse = Tensor::of(memory + 36, {4})}),
                 StatusCode::invalid_argument, {"output lse overlaps input logits"});
  EXPECT_TRUE(on::token_logprobs({.logits = backwards, .lse = Tensor::of(memory + 26, {4})}).ok());
  EXPECT_TRUE(on::token_logprobs({.logits = backwards, .lse = Tensor::of(memory + 70, {4})}).ok());
}

template <class T>
Tensor field(T* first, std::size_t record, std::int64_t rows, std::int64_t inner = 0) {
  const auto step = static_cast<std::int64_t>(record / sizeof(T));
  const std::int64_t shape[] = {rows, inner};
  const std::int64_t strides[] = {inner ? step * inner : step, step};
  const std::size_t rank = inner ? 2 : 1;
  return Tensor::strided(first, dtype_of<T>, std::span(shape, rank), std::span(strides, rank));
}

// Fields of an array of records, as an engine keeps its requests.
TEST(Overlap, FieldsOfRecordsWork) {
  struct Small {
    std::int32_t token;
    float logprob;
  };
  struct Large {
    float raw_logprob;
    std::int32_t pad, token;
    float logprob;
  };
  constexpr std::int64_t n = 2;
  Batch batch(healthy_rows(), 5000, DType::bf16);
  const std::int64_t rows = batch.rows();
  const Draws wanted = draws_of(batch.tensor(), {}, {.seed = 9, .draws = n});
  std::vector<Small> small(static_cast<std::size_t>(rows * n));
  std::vector<Large> large(small.size(), Large{0, 77, 0, 0});
  must(on::sample({.logits = batch.tensor(),
                   .token = field(&small[0].token, sizeof(Small), rows, n),
                   .logprob = field(&small[0].logprob, sizeof(Small), rows, n),
                   .seed = 9,
                   .draws = n}));
  must(on::sample({.logits = batch.tensor(),
                   .token = field(&large[0].token, sizeof(Large), rows, n),
                   .logprob = field(&large[0].logprob, sizeof(Large), rows, n),
                   .raw_logprob = field(&large[0].raw_logprob, sizeof(Large), rows, n),
                   .seed = 9,
                   .draws = n}));
  for (std::size_t i = 0; i < small.size(); ++i) {
    EXPECT_EQ(small[i].token, wanted.token[i]);
    EXPECT_TRUE(same_bits(small[i].logprob, wanted.logprob[i]));
    EXPECT_EQ(large[i].token, wanted.token[i]);
    EXPECT_EQ(large[i].pad, 77);
    EXPECT_TRUE(same_bits(large[i].logprob, wanted.logprob[i]));
    EXPECT_TRUE(same_bits(large[i].raw_logprob, wanted.raw_logprob[i]));
  }
  // An output between the fields of an input's records.
  struct Request {
    std::int64_t target;
    float logprob;
    std::int32_t status;
  };
  std::vector<Request> requests(static_cast<std::size_t>(rows), Request{3, 0, 99});
  must(on::token_logprobs({.logits = batch.tensor(),
                           .targets = field(&requests[0].target, sizeof(Request), rows),
                           .logprobs = field(&requests[0].logprob, sizeof(Request), rows),
                           .row_status = field(&requests[0].status, sizeof(Request), rows)}));
  const Scores scores =
      scores_of(batch.tensor(), std::vector<std::int64_t>(static_cast<std::size_t>(rows), 3));
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(requests[i].target, 3);
    EXPECT_TRUE(same_bits(requests[i].logprob, scores.logprobs[i]));
    EXPECT_EQ(requests[i].status, 0);
  }
}

// Fields that do share bytes: a token of 8 bytes over one of 4 and its log-prob, a record whose
// step isn't a multiple of the other's, and the same field twice.
TEST(Overlap, FieldsThatShareBytesDont) {
  alignas(8) float memory[64] = {};
  float logits[40] = {};
  const auto refused = [&](const Tensor& token, const Tensor& logprob) {
    expect_refused(
        on::sample({.logits = Tensor::of(logits, {4, 10}), .token = token, .logprob = logprob}),
        StatusCode::invalid_argument, {"outputs token and logprob overlap"});
  };
  auto* i64 = reinterpret_cast<std::int64_t*>(memory);
  auto* i32 = reinterpret_cast<std::int32_t*>(memory);
  refused(field(i64, 8, 4), field(memory + 1, 8, 4));
  refused(field(i64, 16, 4), field(memory + 1, 16, 4));
  refused(field(i32, 8, 4), field(memory, 8, 4));
  refused(field(i32, 8, 4), field(memory + 1, 12, 4));
  refused(field(i32, 4, 4), field(memory + 3, 8, 4));
  refused(field(i32 + 2, 8, 4), field(memory + 4, 16, 4));
  const auto passes = [&](const Tensor& token, const Tensor& logprob) {
    const Status status =
        on::sample({.logits = Tensor::of(logits, {4, 10}), .token = token, .logprob = logprob});
    EXPECT_TRUE(status.ok()) << status.message();
  };
  passes(field(i64, 16, 4), field(memory + 2, 16, 4));
  refused(field(i64, 16, 4), field(memory + 3, 8, 4));  // at byte 20
}

}  // namespace
}  // namespace logsum::test
