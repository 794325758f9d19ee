// SPDX-License-Identifier: Apache-2.0
// sample refuses what the host can see to be wrong, by name, and then writes nothing.
#include <gtest/gtest.h>

#include "logsum/sample.hpp"
#include "support/matrix.hpp"
#include "support/refusals.hpp"

namespace logsum::test {
namespace {

// Valid arguments: two draws for each of three rows that read three of five rows of ten columns.
struct Call {
  static constexpr const char* kOperation = "sample";

  alignas(8) float logits[50] = {};
  std::int64_t indices[3] = {4, 0, 1}, seed[3] = {}, offset[3] = {};
  double u[6] = {};
  alignas(8) float temperature[3] = {1, 1, 1};
  struct Outputs {
    std::int64_t token[6];
    alignas(8) float logprob[6];
    alignas(8) float raw_logprob[6];
    alignas(8) float lse[3];
    alignas(8) float entropy[3];
    alignas(8) std::int32_t status[3];
  } out;
  SampleArgs args;

  Call() {
    std::memset(&out, 0x5a, sizeof out);
    args.logits = Tensor::of(logits, {5, 10});
    args.indices = Tensor::of(indices, {3});
    args.token = Tensor::of(out.token, {3, 2});
    args.logprob = Tensor::of(out.logprob, {3, 2});
    args.raw_logprob = Tensor::of(out.raw_logprob, {3, 2});
    args.lse = Tensor::of(out.lse, {3});
    args.entropy = Tensor::of(out.entropy, {3});
    args.row_status = Tensor::of(out.status, {3});
    args.temperature = Tensor::of(temperature, {3});
    args.u = Tensor::of(u, {3, 2});
    args.seed = Tensor::of(seed, {3});
    args.offset = Tensor::of(offset, {3});
    args.draws = 2;
  }
  Status run() const { return on::sample(args); }
  bool wrote() const {
    Outputs untouched;
    std::memset(&untouched, 0x5a, sizeof untouched);
    return std::memcmp(&untouched, &out, sizeof out) != 0;
  }
};

const std::vector<DType> kIntegers = {DType::i32, DType::i64};
const std::vector<Field<Call>> kFields = {
    {"logits", [](Call& c) -> Tensor& { return c.args.logits; }, logits_dtypes()},
    {"indices", [](Call& c) -> Tensor& { return c.args.indices; }, kIntegers},
    {"u", [](Call& c) -> Tensor& { return c.args.u; }, {DType::f32, DType::f64}},
    {"temperature", [](Call& c) -> Tensor& { return c.args.temperature.tensor; }, {DType::f32}},
    {"seed", [](Call& c) -> Tensor& { return c.args.seed.tensor; }, {DType::i64}},
    {"offset", [](Call& c) -> Tensor& { return c.args.offset.tensor; }, {DType::i64}},
    {"token", [](Call& c) -> Tensor& { return c.args.token; }, kIntegers, true},
    {"logprob", [](Call& c) -> Tensor& { return c.args.logprob; }, {DType::f32}, true},
    {"raw_logprob", [](Call& c) -> Tensor& { return c.args.raw_logprob; }, {DType::f32}, true},
    {"lse", [](Call& c) -> Tensor& { return c.args.lse; }, {DType::f32}, true},
    {"entropy", [](Call& c) -> Tensor& { return c.args.entropy; }, {DType::f32}, true},
    {"row_status", [](Call& c) -> Tensor& { return c.args.row_status; }, {DType::i32}, true},
};

TEST(SampleArguments, ValidOnesPass) {
  Call call;
  ASSERT_TRUE(call.run().ok());
  EXPECT_TRUE(call.wrote());
}

TEST(SampleArguments, Structure) { expect_refused_by_structure(kFields); }
TEST(SampleArguments, Dtypes) { expect_refused_by_dtype(kFields); }

TEST(SampleArguments, Rows) {
  std::vector<Field<Call>> fields;
  for (const Field<Call>& field : kFields)
    if (std::string(field.name) != "logits") fields.push_back(field);
  expect_refused_by_rows(fields, "indices is [3]");
}

// Rows of eight dimensions leave none for the draws.
TEST(SampleArguments, OneDimensionTooMany) {
  float logits[4] = {};
  std::int64_t index = 0, token = 0;
  SampleArgs args{.logits = Tensor::of(logits, {1, 4}),
                  .indices = Tensor::of(&index, {1, 1, 1, 1, 1, 1, 1, 1}),
                  .token = Tensor::of(&token, {1, 1, 1, 1, 1, 1, 1, 1}),
                  .draws = 2};
  const Status status = on::sample(args);
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_NE(std::string(status.message()).find("token must have 9 dimensions"), std::string::npos)
      << status.message();
}

TEST(SampleArguments, Refusals) {
  using Args = SampleArgs;
  expect_refusals<Call, Args>({
      {[](Args& a) { a.logits = {}; }, {"logits is missing"}},
      {[](Args& a) { a.token = {}; }, {"token is missing"}},
      {[](Args& a) { a.logits.strides[1] = 2; }, {"logits has stride 2 along V, must be 1"}},
      {[](Args& a) { a.vocab_size = 11; }, {"vocab_size is 11, must be in [1, 10] (V), or 0"}},
      {[](Args& a) { a.vocab_size = -1; }, {"vocab_size is -1, must be in [1, 10]"}},
      {[](Args& a) { a.logits.shape[0] = 0; }, {"indices has 3 rows, logits has none"}},
      {[](Args& a) { a.draws = 0; }, {"draws is 0, must be in [1, 2^31 - 1]"}},
      {[](Args& a) { a.draws = -1; }, {"draws is -1, must be in [1, 2^31 - 1]"}},
      {[](Args& a) { a.draws = std::int64_t{1} << 31; }, {"draws is 2147483648, must be in"}},
      {[](Args& a) { a.draws = 3; }, {"token has shape [3, 2], must be [3, 3] (indices is [3])"}},
      {[](Args& a) { a.draws = 1; }, {"token has shape [3, 2], must be [3, 1] (indices is [3])"}},
      {[](Args& a) { a.logprob.shape[1] = 1; }, {"logprob has shape [3, 1], must be [3, 2]"}},
      {[](Args& a) { a.u.shape[1] = 1; }, {"u has shape [3, 1], must be [3, 2]"}},
      {[](Args& a) { a.u.rank = 1; }, {"u has shape [3], must be [3, 2]"}},
      {[](Args& a) { a.lse.rank = 0; }, {"lse has shape [], must be [3]"}},
      {[](Args& a) { a.seed.tensor.shape[0] = 2; }, {"seed has shape [2], must be [3]"}},
      {[](Args& a) { a.offset.tensor.shape[0] = 2; }, {"offset has shape [2], must be [3]"}},
      {[](Args& a) { a.temperature = -1.0f; },
       {"temperature is -1, must be in [2^-64, 2^64], or 0 for argmax"}},
      {[](Args& a) { a.temperature = kNaN; }, {"temperature is", "nan", "or 0 for argmax"}},
      {[](Args& a) { a.temperature = kInf; }, {"temperature is inf, must be in [2^-64, 2^64]"}},
      {[](Args& a) { a.temperature = 0x1p-65f; }, {"temperature is", "must be in"}},
      {[](Args& a) { a.indices = {}; },
       {"token has shape [3, 2], must be [5, 2] (logits is [5, 10])"}},
  });
}

// Without a dimension of draws one draw has none anywhere.
TEST(SampleArguments, OneDrawWithAndWithoutItsDimension) {
  Call call;
  call.args.draws = 1;
  for (Tensor* t : {&call.args.token, &call.args.logprob, &call.args.raw_logprob, &call.args.u})
    t->rank = 1;
  EXPECT_TRUE(call.run().ok()) << call.run().message();
  Call mixed;
  mixed.args.draws = 1;
  for (Tensor* t : {&mixed.args.token, &mixed.args.raw_logprob, &mixed.args.u}) t->rank = 1;
  mixed.args.logprob.shape[1] = 1;
  expect_refusal(mixed, StatusCode::invalid_argument, {"logprob has shape [3, 1], must be [3]"});
}

}  // namespace
}  // namespace logsum::test
