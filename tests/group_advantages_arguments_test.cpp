// SPDX-License-Identifier: Apache-2.0
// group_advantages refuses what the host can see to be wrong, by name, and then writes nothing.
#include "logsum/group_advantages.hpp"

#include <gtest/gtest.h>

#include "support/matrix.hpp"
#include "support/refusals.hpp"

namespace logsum::test {
namespace {

// Valid arguments: three groups of four.
struct Call {
  static constexpr const char* kOperation = "group_advantages";

  alignas(8) float rewards[12] = {};
  alignas(8) std::uint8_t mask[12] = {};
  struct Outputs {
    alignas(8) float advantages[12];
    alignas(8) float mean[3];
    alignas(8) float std[3];
    alignas(8) std::int32_t status[3];
  } out;
  GroupAdvantagesArgs args;

  Call() {
    std::memset(&out, 0x5a, sizeof out);
    args.rewards = Tensor::of(rewards, {3, 4});
    args.mask = Tensor::of(mask, {3, 4});
    args.advantages = Tensor::of(out.advantages, {3, 4});
    args.mean = Tensor::of(out.mean, {3});
    args.std = Tensor::of(out.std, {3});
    args.group_status = Tensor::of(out.status, {3});
  }
  Status run() const { return on::group_advantages(args); }
  bool wrote() const {
    Outputs untouched;
    std::memset(&untouched, 0x5a, sizeof untouched);
    return std::memcmp(&untouched, &out, sizeof out) != 0;
  }
};

const Field<Call> kMaskField{
    "mask", [](Call& c) -> Tensor& { return c.args.mask; }, {DType::boolean, DType::u8}};
const std::vector<Field<Call>> kWideFields = {
    {"advantages", [](Call& c) -> Tensor& { return c.args.advantages; }, {DType::f32}, true},
    {"mean", [](Call& c) -> Tensor& { return c.args.mean; }, {DType::f32}, true},
    {"std", [](Call& c) -> Tensor& { return c.args.std; }, {DType::f32}, true},
    {"group_status", [](Call& c) -> Tensor& { return c.args.group_status; }, {DType::i32}, true},
};
std::vector<Field<Call>> all_fields() {
  std::vector<Field<Call>> fields = kWideFields;
  fields.push_back(kMaskField);
  return fields;
}

TEST(GroupAdvantagesArguments, ValidOnesPass) {
  Call call;
  ASSERT_TRUE(call.run().ok()) << call.run().message();
  EXPECT_TRUE(call.wrote());
}

TEST(GroupAdvantagesArguments, Structure) { expect_refused_by_structure(kWideFields); }
TEST(GroupAdvantagesArguments, Dtypes) { expect_refused_by_dtype(all_fields()); }
TEST(GroupAdvantagesArguments, Rows) { expect_refused_by_rows(all_fields(), "rewards is [3, 4]"); }

TEST(GroupAdvantagesArguments, Refusals) {
  using Args = GroupAdvantagesArgs;
  expect_refusals<Call, Args>({
      {[](Args& a) { a.rewards = {}; }, {"rewards is missing"}},
      {[](Args& a) { a.advantages = {}; }, {"advantages is missing"}},
      {[](Args& a) { a.rewards.dtype = DType::bf16; },
       {"rewards has dtype bf16, must be f32 or f64"}},
      {[](Args& a) { a.rewards.rank = 0; }, {"rewards has no dimensions, must be [..., size]"}},
      {[](Args& a) { a.rewards = of_rank(a.rewards, 9); },
       {"rewards has 9 dimensions, must have 0 to 8"}},
      {[](Args& a) { a.mask.rank = 1; }, {"mask has shape [3], must be [3, 4]"}},
      {[](Args& a) { a.mean = a.advantages; }, {"mean has shape [3, 4], must be [3] (rewards is"}},
      {[](Args& a) { a.scale = AdvantageScale(3); },
       {"scale is 3, must be group (0), batch (1) or none (2)"}},
      {[](Args& a) { a.baseline = AdvantageBaseline(2); },
       {"baseline is 2, must be mean (0) or leave_one_out (1)"}},
      {[](Args& a) { a.epsilon = -1; }, {"epsilon is -1, must be finite and at least 0"}},
      {[](Args& a) { a.epsilon = double(kNaN); }, {"epsilon is", "nan", "must be finite"}},
      {[](Args& a) { a.epsilon = double(kInf); }, {"epsilon is inf, must be finite"}},
      {[](Args& a) { a.advantages.data = a.rewards.data; },
       {"output advantages overlaps input rewards in memory"}},
      {[](Args& a) { a.mean.data = a.std.data; }, {"outputs mean and std overlap in memory"}},
  });
}

}  // namespace
}  // namespace logsum::test
