// SPDX-License-Identifier: Apache-2.0
// measure, merge and draw refuse what the host can see to be wrong, by name, and then write
// nothing.
#include <gtest/gtest.h>

#include "logsum/draw.hpp"
#include "support/matrix.hpp"
#include "support/refusals.hpp"

namespace logsum::test {
namespace {

const std::vector<DType> kIntegers = {DType::i32, DType::i64};

template <class Outputs>
bool is_touched(const Outputs& out) {
  Outputs untouched;
  std::memset(&untouched, 0x5a, sizeof untouched);
  return std::memcmp(&untouched, &out, sizeof out) != 0;
}

// Three rows of 5000 columns, of which one is in memory.
struct Measure {
  static constexpr const char* kOperation = "measure";

  alignas(8) float logits[5000] = {};
  std::int64_t targets[3] = {1, 2, 3};
  alignas(8) float temperature[3] = {1, 1, 1};
  struct Outputs {
    alignas(8) std::uint8_t records[3 * 2 * 24];
    alignas(8) float target_logits[3];
  } out;
  MeasureArgs args;

  Measure() {
    std::memset(&out, 0x5a, sizeof out);
    args.logits = Tensor::of(logits, {3, 5000});
    args.logits.strides[0] = 0;
    args.records = Tensor::of(out.records, {3, 2, 24});
    args.targets = Tensor::of(targets, {3});
    args.target_logits = Tensor::of(out.target_logits, {3});
    args.temperature = Tensor::of(temperature, {3});
  }
  Status run() const { return on::measure(args); }
  bool wrote() const { return is_touched(out); }
};

const std::vector<Field<Measure>> kMeasureFields = {
    {"logits", [](Measure& c) -> Tensor& { return c.args.logits; }, logits_dtypes()},
    {"records", [](Measure& c) -> Tensor& { return c.args.records; }, {DType::u8}, true, true},
    {"targets", [](Measure& c) -> Tensor& { return c.args.targets; }, kIntegers},
    {"target_logits",
     [](Measure& c) -> Tensor& { return c.args.target_logits; },
     {DType::f32},
     true},
    {"temperature", [](Measure& c) -> Tensor& { return c.args.temperature.tensor; }, {DType::f32}},
};

TEST(MeasureArguments, Tensors) {
  ASSERT_TRUE(Measure().run().ok());
  expect_refused_by_structure(kMeasureFields);
  std::vector<Field<Measure>> fields = kMeasureFields;
  expect_refused_by_dtype(fields);
  fields.erase(fields.begin() + 1);  // records' message has its own words
  expect_refused_by_rows(fields, "logits is [3, 5000]");
}

TEST(MeasureArguments, Refusals) {
  using Args = MeasureArgs;
  const std::string shape = "must be logits's leading dimensions and [2, 24]";
  const std::string packed = "records must be contiguous in its last two dimensions and aligned";
  expect_refusals<Measure, Args>({
      {[](Args& a) { a.logits = {}; }, {"logits is missing"}},
      {[](Args& a) { a.records = {}; }, {"records has shape [] and a null pointer"}},
      {[](Args& a) { a.records.shape[1] = 1; }, {"records has shape [3, 1, 24]", shape}},
      {[](Args& a) { a.records.shape[1] = 3; }, {"records has shape [3, 3, 24]", shape}},
      {[](Args& a) { a.records.shape[2] = 25; }, {"records has shape [3, 2, 25]", shape}},
      {[](Args& a) { a.records.rank = 2; }, {"records has shape [3, 2]", shape}},
      {[](Args& a) { a.records.shape[0] = 2; }, {"records has shape [2], must be [3]"}},
      {[](Args& a) { a.records.strides[2] = 2; }, {packed}},
      {[](Args& a) { a.records.strides[1] = 32; }, {packed}},
      {[](Args& a) { a.records.strides[0] = 49; }, {packed}},
      {[](Args& a) { a.records.data = static_cast<char*>(a.records.data) + 4; },
       {packed, "to 8 bytes"}},
      {[](Args& a) { a.targets = {}; }, {"targets is missing: targets and target_logits go"}},
      {[](Args& a) { a.target_logits = {}; }, {"target_logits is missing: targets and target"}},
      {[](Args& a) { a.vocab_start = 1; },
       {"vocab_start is 1, must be a multiple of 4096 in [0, 2^31)"}},
      {[](Args& a) { a.vocab_start = -4096; }, {"vocab_start is -4096, must be a multiple"}},
      {[](Args& a) { a.vocab_start = std::int64_t{1} << 31; }, {"vocab_start is 2147483648"}},
      {[](Args& a) { a.vocab_size = 5001; }, {"vocab_size is 5001, must be in [1, 5000]"}},
      {[](Args& a) { a.vocab_size = 4096; }, {"records has shape [3, 2, 24]", "and [1, 24]"}},
      {[](Args& a) { a.temperature = -1.0f; }, {"temperature is -1", "or 0 for argmax"}},
  });
}

struct Merge {
  static constexpr const char* kOperation = "merge";

  TileRecord records[2][3][2] = {};
  std::int64_t targets[3] = {1, 2, 3}, seed[3] = {}, offset[3] = {};
  alignas(8) float target_logits[2][4] = {};
  alignas(8) float temperature[3] = {1, 1, 1};
  double u[6] = {};
  struct Outputs {
    alignas(8) float logprobs[3];
    alignas(8) float lse[3];
    alignas(8) float entropy[3];
    alignas(8) float max[3];
    std::int64_t argmax[3];
    alignas(8) std::int32_t status[3];
    alignas(8) std::uint8_t choices[3 * 2 * 32];
  } out;
  Tensor shards[2], logits[2];
  MergeArgs args;

  Merge() {
    std::memset(&out, 0x5a, sizeof out);
    for (int s = 0; s < 2; ++s) {
      shards[s] = Tensor::of(reinterpret_cast<std::uint8_t*>(records[s]), {3, 2, 24});
      logits[s] = Tensor::of(target_logits[s], {3});
    }
    args.shards = shards;
    args.vocab_size = 16384;
    args.targets = Tensor::of(targets, {3});
    args.target_logits = logits;
    args.logprobs = Tensor::of(out.logprobs, {3});
    args.lse = Tensor::of(out.lse, {3});
    args.entropy = Tensor::of(out.entropy, {3});
    args.max = Tensor::of(out.max, {3});
    args.argmax = Tensor::of(out.argmax, {3});
    args.row_status = Tensor::of(out.status, {3});
    args.choices = Tensor::of(out.choices, {3, 2, 32});
    args.u = Tensor::of(u, {3, 2});
    args.seed = Tensor::of(seed, {3});
    args.offset = Tensor::of(offset, {3});
    args.draws = 2;
    args.temperature = Tensor::of(temperature, {3});
  }
  Status run() const { return on::merge(args); }
  bool wrote() const { return is_touched(out); }
};

const std::vector<Field<Merge>> kMergeFields = {
    {"targets", [](Merge& c) -> Tensor& { return c.args.targets; }, kIntegers},
    {"target_logits", [](Merge& c) -> Tensor& { return c.logits[1]; }, {DType::f32}},
    {"logprobs", [](Merge& c) -> Tensor& { return c.args.logprobs; }, {DType::f32}, true},
    {"lse", [](Merge& c) -> Tensor& { return c.args.lse; }, {DType::f32}, true},
    {"entropy", [](Merge& c) -> Tensor& { return c.args.entropy; }, {DType::f32}, true},
    {"max", [](Merge& c) -> Tensor& { return c.args.max; }, {DType::f32}, true},
    {"argmax", [](Merge& c) -> Tensor& { return c.args.argmax; }, kIntegers, true},
    {"row_status", [](Merge& c) -> Tensor& { return c.args.row_status; }, {DType::i32}, true},
    {"u", [](Merge& c) -> Tensor& { return c.args.u; }, {DType::f32, DType::f64}},
    {"seed", [](Merge& c) -> Tensor& { return c.args.seed.tensor; }, {DType::i64}},
    {"offset", [](Merge& c) -> Tensor& { return c.args.offset.tensor; }, {DType::i64}},
    {"temperature", [](Merge& c) -> Tensor& { return c.args.temperature.tensor; }, {DType::f32}},
};

TEST(MergeArguments, Tensors) {
  ASSERT_TRUE(Merge().run().ok());
  expect_refused_by_structure(kMergeFields);
  expect_refused_by_dtype(kMergeFields);
  expect_refused_by_rows(kMergeFields, "shards[0] is [3, 2, 24]");
  for (const char* name : {"shards[1]", "choices"}) {
    const auto of = name[0] == 's' ? [](Merge& c) -> Tensor& { return c.shards[1]; }
                                   : [](Merge& c) -> Tensor& { return c.args.choices; };
    const std::vector<Field<Merge>> bytes = {{name, of, {DType::u8}, name[0] == 'c', true}};
    expect_refused_by_structure(bytes);
    expect_refused_by_dtype(bytes);
  }
  // Also where nothing is drawn: u is looked at all the same.
  Merge merge_only;
  merge_only.args.choices = {};
  merge_only.args.u.rank = 1000000;
  expect_refusal(merge_only, StatusCode::invalid_argument, {"u has 1000000 dimensions"});
}

TEST(MergeArguments, Refusals) {
  using Args = MergeArgs;
  const std::string together = "targets, target_logits and logprobs go together: one is missing";
  expect_refusals<Merge, Args>({
      {[](Args& a) { a.shards = {}; }, {"shards is empty, must have at least one"}},
      {[](Args& a) { a.vocab_size = 0; }, {"vocab_size is 0, must be in [1, 2^31 - 1]"}},
      {[](Args& a) { a.vocab_size = -5; }, {"vocab_size is -5, must be in [1, 2^31 - 1]"}},
      {[](Args& a) { a.vocab_size = std::int64_t{1} << 31; }, {"vocab_size is 2147483648"}},
      {[](Args& a) { a.vocab_size = 16385; }, {"shards have 4 tiles, vocab_size 16385 has 5"}},
      {[](Args& a) { a.vocab_size = 12288; }, {"shards have 4 tiles, vocab_size 12288 has 3"}},
      {[](Args& a) { a.shards = a.shards.first(1); }, {"shards have 2 tiles"}},
      {[](Args& a) { a.targets = {}; }, {together}},
      {[](Args& a) { a.logprobs = {}; }, {together}},
      {[](Args& a) { a.target_logits = {}; }, {together}},
      {[](Args& a) { a.draws = 0; }, {"draws is 0, must be in [1, 2^31 - 1]"}},
      {[](Args& a) { a.draws = std::int64_t{1} << 31; }, {"draws is 2147483648, must be in"}},
      {[](Args& a) { a.draws = 3; }, {"choices has shape [3, 2, 32]", "and [3, 32]"}},
      {[](Args& a) { a.u.shape[1] = 1; }, {"u has shape [3, 1], must be [3, 2]"}},
      {[](Args& a) { a.temperature = -1.0f; }, {"temperature is -1", "or 0 for argmax"}},
  });
  Merge flat;
  flat.shards[0].rank = 1;
  expect_refusal(flat, StatusCode::invalid_argument,
                 {"shards[0] has shape [3], must be [..., tiles, 24]"});
  Merge other;
  other.shards[1].shape[2] = 16;
  expect_refusal(
      other, StatusCode::invalid_argument,
      {"shards[1] has shape [3, 2, 16], must be shards[0]'s leading dimensions and [n, 24]"});
  Merge missing;
  missing.logits[0] = {};
  expect_refusal(missing, StatusCode::invalid_argument, {"target_logits is missing"});
}

struct Draw {
  static constexpr const char* kOperation = "draw";

  alignas(8) float logits[30] = {};
  DrawChoice choices[6] = {};
  alignas(8) float temperature[3] = {1, 1, 1};
  struct Outputs {
    std::int64_t token[6];
    alignas(8) float logprob[6];
    alignas(8) float token_logit[6];
  } out;
  DrawArgs args;

  Draw() {
    std::memset(&out, 0x5a, sizeof out);
    args.logits = Tensor::of(logits, {3, 10});
    args.choices = Tensor::of(reinterpret_cast<std::uint8_t*>(choices), {3, 2, 32});
    args.token = Tensor::of(out.token, {3, 2});
    args.logprob = Tensor::of(out.logprob, {3, 2});
    args.token_logit = Tensor::of(out.token_logit, {3, 2});
    args.temperature = Tensor::of(temperature, {3});
  }
  Status run() const { return on::draw(args); }
  bool wrote() const { return is_touched(out); }
};

TEST(DrawArguments, Tensors) {
  ASSERT_TRUE(Draw().run().ok());
  std::vector<Field<Draw>> fields = {
      {"logits", [](Draw& c) -> Tensor& { return c.args.logits; }, logits_dtypes()},
      {"token", [](Draw& c) -> Tensor& { return c.args.token; }, kIntegers, true},
      {"logprob", [](Draw& c) -> Tensor& { return c.args.logprob; }, {DType::f32}, true},
      {"token_logit", [](Draw& c) -> Tensor& { return c.args.token_logit; }, {DType::f32}, true},
      {"temperature", [](Draw& c) -> Tensor& { return c.args.temperature.tensor; }, {DType::f32}},
  };
  expect_refused_by_rows(fields, "logits is [3, 10]");
  fields.push_back(
      {"choices", [](Draw& c) -> Tensor& { return c.args.choices; }, {DType::u8}, false, true});
  expect_refused_by_structure(fields);
  expect_refused_by_dtype(fields);
}

TEST(DrawArguments, Refusals) {
  using Args = DrawArgs;
  expect_refusals<Draw, Args>({
      {[](Args& a) { a.logits = {}; }, {"logits is missing"}},
      {[](Args& a) { a.token = {}; }, {"token is missing"}},
      {[](Args& a) { a.choices = {}; }, {"choices has shape [] and a null pointer"}},
      {[](Args& a) { a.choices.shape[1] = 0; },
       {"choices has shape [3, 0, 32], n must be at least 1"}},
      {[](Args& a) { a.choices.shape[2] = 24; }, {"choices has shape [3, 2, 24]", "and [n, 32]"}},
      {[](Args& a) { a.token.shape[1] = 1; }, {"token has shape [3, 1], must be [3, 2]"}},
      {[](Args& a) { a.vocab_start = 100; }, {"vocab_start is 100, must be a multiple of 4096"}},
      {[](Args& a) { a.vocab_size = 11; }, {"vocab_size is 11, must be in [1, 10] (V), or 0"}},
      {[](Args& a) { a.temperature = -1.0f; }, {"temperature is -1", "or 0 for argmax"}},
  });
}

}  // namespace
}  // namespace logsum::test
