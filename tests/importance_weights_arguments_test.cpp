// SPDX-License-Identifier: Apache-2.0
// importance_weights refuses what the host can see to be wrong, by name, and then writes nothing.
#include "logsum/importance_weights.hpp"

#include <gtest/gtest.h>

#include "support/matrix.hpp"
#include "support/refusals.hpp"

namespace logsum::test {
namespace {

// Valid arguments: four packed sequences of twelve tokens.
struct Call {
  static constexpr const char* kOperation = "importance_weights";

  alignas(8) float old_logps[12] = {};
  alignas(8) float sampling[12] = {};
  std::uint8_t mask[12] = {};
  std::int64_t cu_seqlens[5] = {0, 3, 3, 9, 12};
  struct Outputs {
    alignas(8) float weights[12];
    std::int64_t count;
    alignas(8) float effective, mean, clipped;
  } out;
  ImportanceWeightsArgs args;

  Call() {
    std::memset(&out, 0x5a, sizeof out);
    args.old_per_token_logps = Tensor::of(old_logps, {12});
    args.sampling_per_token_logps = Tensor::of(sampling, {12});
    args.completion_mask = Tensor::of(mask, {12});
    args.cu_seqlens = Tensor::of(cu_seqlens, {5});
    args.weights = Tensor::of(out.weights, {12});
    args.count = Tensor::of(&out.count, {1});
    args.effective_sample_size = Tensor::of(&out.effective, {1});
    args.mean_weight = Tensor::of(&out.mean, {1});
    args.clipped_fraction = Tensor::of(&out.clipped, {1});
  }
  Status run() const { return on::importance_weights(args); }
  bool wrote() const {
    Outputs untouched;
    std::memset(&untouched, 0x5a, sizeof untouched);
    return std::memcmp(untouched.weights, out.weights, sizeof out.weights) != 0 ||
           untouched.count != out.count;
  }
};

#define FIELD(name, ...)                                                \
  {                                                                     \
#name, [](Call & c) -> Tensor& { return c.args.name; }, __VA_ARGS__ \
  }
const std::vector<Field<Call>> kTokens = {
    FIELD(sampling_per_token_logps, {DType::f32}),
    FIELD(weights, {DType::f32}, true),
};
const std::vector<Field<Call>> kOthers = {
    FIELD(completion_mask, {DType::boolean, DType::u8}),
    FIELD(cu_seqlens, {DType::i32, DType::i64}),
    FIELD(count, {DType::i64}, true),
    FIELD(effective_sample_size, {DType::f32}, true),
    FIELD(mean_weight, {DType::f32}, true),
    FIELD(clipped_fraction, {DType::f32}, true),
};
#undef FIELD

TEST(ImportanceWeightsArguments, ValidOnesPass) {
  Call call;
  ASSERT_TRUE(call.run().ok()) << call.run().message();
  EXPECT_TRUE(call.wrote());
}

TEST(ImportanceWeightsArguments, Structure) { expect_refused_by_structure(kTokens); }
TEST(ImportanceWeightsArguments, Rows) {
  expect_refused_by_rows(kTokens, "old_per_token_logps is [12]");
}
TEST(ImportanceWeightsArguments, Dtypes) {
  expect_refused_by_dtype(kTokens);
  expect_refused_by_dtype(kOthers);
}

TEST(ImportanceWeightsArguments, Refusals) {
  using Args = ImportanceWeightsArgs;
  expect_refusals<Call, Args>({
      {[](Args& a) { a.old_per_token_logps = {}; }, {"old_per_token_logps is missing"}},
      {[](Args& a) { a.sampling_per_token_logps = {}; }, {"sampling_per_token_logps is missing"}},
      {[](Args& a) { a.weights = {}; }, {"weights is missing"}},
      {[](Args& a) { a.old_per_token_logps.dtype = DType::f64; },
       {"old_per_token_logps has dtype f64, must be f32"}},
      {[](Args& a) { a.completion_mask.shape[0] = 11; },
       {"completion_mask has shape [11], must be [12] (old_per_token_logps is [12])"}},
      {[](Args& a) { a.cu_seqlens.rank = 0; }, {"cu_seqlens has shape [], must be [B + 1]"}},
      {[](Args& a) { a.cu_seqlens.shape[0] = 0; }, {"cu_seqlens has shape [0], must be [B + 1]"}},
      {[](Args& a) { a.cu_seqlens = of_rank(a.cu_seqlens, 2); },
       {"cu_seqlens has shape [1, 1], must be [B + 1]"}},
      {[](Args& a) {
         for (Tensor* t :
              {&a.old_per_token_logps, &a.sampling_per_token_logps, &a.weights, &a.completion_mask})
           *t = Tensor::contiguous(t->data, t->dtype, std::vector<std::int64_t>{3, 4});
       },
       {"old_per_token_logps has shape [3, 4], must be [N] with cu_seqlens"}},
      {[](Args& a) {
         a.cu_seqlens = {};
         a.completion_mask = {};
         for (Tensor* t : {&a.old_per_token_logps, &a.sampling_per_token_logps, &a.weights})
           t->rank = 0;
       },
       {"old_per_token_logps has no dimensions, must be [..., T]"}},
      {[](Args& a) { a.count.shape[0] = 2; }, {"count has shape [2], must have one element"}},
      {[](Args& a) { a.mean_weight.shape[0] = 0; }, {"mean_weight has shape [0], must have one"}},
      {[](Args& a) { a.level = ImportanceLevel(2); },
       {"level is 2, must be token (0) or sequence (1)"}},
      {[](Args& a) { a.mode = ImportanceMode(3); },
       {"mode is 3, must be truncate (0), mask (1) or none (2)"}},
      {[](Args& a) { a.clip_min = -1; },
       {"clip_min is -1 and clip_max 3, must be 0 <= clip_min <= clip_max"}},
      {[](Args& a) { a.clip_min = 4; }, {"clip_min is 4 and clip_max 3"}},
      {[](Args& a) { a.clip_max = kNaN; }, {"clip_max", "nan"}},
      {[](Args& a) { a.clip_min = kNaN; }, {"clip_min", "nan"}},
      {[](Args& a) { a.weights.data = a.sampling_per_token_logps.data; },
       {"output weights overlaps input sampling_per_token_logps in memory"}},
      {[](Args& a) { a.mean_weight.data = a.clipped_fraction.data; },
       {"outputs mean_weight and clipped_fraction overlap in memory"}},
  });
}

}  // namespace
}  // namespace logsum::test
