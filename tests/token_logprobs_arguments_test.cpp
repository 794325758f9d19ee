// SPDX-License-Identifier: Apache-2.0
// token_logprobs refuses what the host can see to be wrong, by name, and then writes nothing.
#include <gtest/gtest.h>

#include "logsum/token_logprobs.hpp"
#include "support/matrix.hpp"
#include "support/refusals.hpp"

namespace logsum::test {
namespace {

// Valid arguments of three rows of ten columns, two targets and four best each.
struct Call {
  static constexpr const char* kOperation = "token_logprobs";

  alignas(8) float logits[30] = {};
  std::int64_t targets[6] = {1, 2, 3, 4, 5, 6};
  alignas(8) float temperature[3] = {1, 1, 1};
  struct Outputs {
    alignas(8) float logprobs[6];
    alignas(8) float lse[3];
    alignas(8) float entropy[3];
    alignas(8) float top_logprobs[12];
    std::int64_t argmax[3], rank[6], top_ids[12];
    alignas(8) std::int32_t status[3];
  } out;
  TokenLogprobsArgs args;

  Call() {
    std::memset(&out, 0x5a, sizeof out);
    args.logits = Tensor::of(logits, {3, 10});
    args.targets = Tensor::of(targets, {3, 2});
    args.logprobs = Tensor::of(out.logprobs, {3, 2});
    args.lse = Tensor::of(out.lse, {3});
    args.entropy = Tensor::of(out.entropy, {3});
    args.argmax = Tensor::of(out.argmax, {3});
    args.rank = Tensor::of(out.rank, {3, 2});
    args.top_ids = Tensor::of(out.top_ids, {3, 4});
    args.top_logprobs = Tensor::of(out.top_logprobs, {3, 4});
    args.row_status = Tensor::of(out.status, {3});
    args.temperature = Tensor::of(temperature, {3});
  }
  Status run() const { return on::token_logprobs(args); }
  bool wrote() const {
    Outputs untouched;
    std::memset(&untouched, 0x5a, sizeof untouched);
    return std::memcmp(&untouched, &out, sizeof out) != 0;
  }
};

const std::vector<DType> kIntegers = {DType::i32, DType::i64};
const std::vector<Field<Call>> kFields = {
    {"logits", [](Call& c) -> Tensor& { return c.args.logits; }, logits_dtypes()},
    {"targets", [](Call& c) -> Tensor& { return c.args.targets; }, kIntegers},
    {"temperature", [](Call& c) -> Tensor& { return c.args.temperature.tensor; }, {DType::f32}},
    {"logprobs", [](Call& c) -> Tensor& { return c.args.logprobs; }, {DType::f32}, true},
    {"lse", [](Call& c) -> Tensor& { return c.args.lse; }, {DType::f32}, true},
    {"entropy", [](Call& c) -> Tensor& { return c.args.entropy; }, {DType::f32}, true},
    {"argmax", [](Call& c) -> Tensor& { return c.args.argmax; }, kIntegers, true},
    {"rank", [](Call& c) -> Tensor& { return c.args.rank; }, kIntegers, true},
    {"top_ids", [](Call& c) -> Tensor& { return c.args.top_ids; }, kIntegers, true},
    {"top_logprobs", [](Call& c) -> Tensor& { return c.args.top_logprobs; }, {DType::f32}, true},
    {"row_status", [](Call& c) -> Tensor& { return c.args.row_status; }, {DType::i32}, true},
};

TEST(TokenLogprobsArguments, ValidOnesPass) {
  Call call;
  ASSERT_TRUE(call.run().ok());
  EXPECT_TRUE(call.wrote());
}

TEST(TokenLogprobsArguments, Structure) { expect_refused_by_structure(kFields); }
TEST(TokenLogprobsArguments, Dtypes) { expect_refused_by_dtype(kFields); }
TEST(TokenLogprobsArguments, Rows) { expect_refused_by_rows(kFields, "logits is [3, 10]"); }

// One dimension too many; targets' would change the others' shapes.
TEST(TokenLogprobsArguments, Ranks) {
  for (const Field<Call>& field : kFields) {
    if (std::string(field.name) == "logits" || std::string(field.name) == "targets") continue;
    Call call;
    Tensor& t = field.of(call);
    t.shape[t.rank] = 1;
    t.strides[t.rank++] = 1;
    expect_refusal(call, StatusCode::invalid_argument, {field.name, "has shape ["});
  }
}

TEST(TokenLogprobsArguments, Refusals) {
  using Args = TokenLogprobsArgs;
  expect_refusals<Call, Args>({
      {[](Args& a) { a.logits = {}; }, {"logits is missing"}},
      {[](Args& a) { a.logits.rank = 0; }, {"logits has no dimensions, must be [..., V]"}},
      {[](Args& a) { a.logits.shape[1] = 0; },
       {"logits has shape [3, 0], V must be in [1, 2^31 - 1]"}},
      {[](Args& a) {
         a.logits.shape[1] = std::int64_t{1} << 31;
         a.logits.strides[0] = 0;
       },
       {"logits has shape [3, 2147483648], V must be in [1, 2^31 - 1]"}},
      {[](Args& a) { a.logits.strides[1] = 2; }, {"logits has stride 2 along V, must be 1"}},
      {[](Args& a) { a.logits.strides[1] = 0; }, {"logits has stride 0 along V, must be 1"}},
      {[](Args& a) { a.logits.strides[1] = -1; }, {"logits has stride -1 along V, must be 1"}},
      {[](Args& a) { a.vocab_size = 11; }, {"vocab_size is 11, must be in [1, 10] (V), or 0"}},
      {[](Args& a) { a.vocab_size = -1; }, {"vocab_size is -1, must be in [1, 10]"}},
      {[](Args& a) { a.vocab_size = INT64_MIN; }, {"vocab_size is -9223372036854775808"}},
      {[](Args& a) { a.vocab_size = 3; }, {"top_ids has shape [3, 4], N must be in [1, 3]"}},
      {[](Args& a) { a.logprobs = {}; }, {"logprobs is missing: targets and logprobs go together"}},
      {[](Args& a) {
         a.targets = {};
         a.rank = {};
       },
       {"targets is missing: targets and logprobs go together"}},
      {[](Args& a) { a.targets = a.logprobs = {}; }, {"targets is missing: rank is the rank of"}},
      {[](Args& a) { a.targets.shape[1] = 0; }, {"targets has shape [3, 0], K must be at least 1"}},
      {[](Args& a) { a.logprobs.shape[1] = 1; }, {"logprobs has shape [3, 1], must be [3, 2]"}},
      {[](Args& a) { a.rank.shape[1] = 3; }, {"rank has shape [3, 3], must be [3, 2]"}},
      {[](Args& a) { a.top_ids.shape[1] = 0; }, {"top_ids has shape [3, 0], N must be in [1, 10]"}},
      {[](Args& a) { a.top_ids.shape[1] = 11; }, {"top_ids has shape [3, 11], N must be in"}},
      {[](Args& a) { a.top_logprobs.shape[1] = 5; },
       {"top_logprobs has shape [3, 5], must be [3, 4]"}},
      {[](Args& a) {
         a.top_ids = {};
         a.top_logprobs.shape[1] = 0;
       },
       {"top_logprobs has shape [3, 0], N must be in [1, 10]"}},
      {[](Args& a) { a.temperature.tensor.shape[0] = 2; },
       {"temperature has shape [2], must be [3]"}},
      {[](Args& a) { a.temperature = 0.0f; }, {"temperature is 0, must be in [2^-64, 2^64]"}},
      {[](Args& a) { a.temperature = -1.0f; }, {"temperature is -1, must be in [2^-64, 2^64]"}},
      {[](Args& a) { a.temperature = kNaN; }, {"temperature is", "nan"}},
      {[](Args& a) { a.temperature = kInf; }, {"temperature is inf, must be"}},
      {[](Args& a) { a.temperature = 0x1p-65f; }, {"temperature is", "must be in [2^-64, 2^64]"}},
      {[](Args& a) { a.temperature = 0x1p65f; }, {"temperature is", "must be in [2^-64, 2^64]"}},
      {[](Args& a) { a.logits.shape[0] = a.logits.shape[1] = std::int64_t{1} << 33; },
       {"more elements than memory can hold"}},
  });
}

// Sizes of 0 that hide an overflow.
TEST(TokenLogprobsArguments, ZeroDoesntHideAnOverflow) {
  TokenLogprobsArgs args;
  const std::int64_t shape[] = {0, std::int64_t{1} << 40, std::int64_t{1} << 40, 10};
  args.logits = Tensor::contiguous(nullptr, DType::f32, shape);
  expect_refused(on::token_logprobs(args), StatusCode::invalid_argument,
                 {"more elements than memory"});
}

TEST(TokenLogprobsArguments, MessageOfTheLongestShapeIsCutNotOverrun) {
  TokenLogprobsArgs args;
  const std::int64_t huge = INT64_MAX;
  const std::int64_t shape[] = {huge, huge, huge, huge, huge, huge, huge, huge};
  float z = 0;
  args.logits = Tensor::contiguous(&z, DType::f32, shape);
  const Status status = on::token_logprobs(args);
  expect_refused(status, StatusCode::invalid_argument, {"logits has shape [9223372036854775807, "});
}

}  // namespace
}  // namespace logsum::test
