// SPDX-License-Identifier: Apache-2.0
// What every loss refuses, of a Call of one f32 batch of three rows and ten columns (refusals.hpp).
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "support/argument_call.hpp"
#include "support/on.hpp"
#include "support/refusals.hpp"
#include "support/rows.hpp"

namespace logsum::test {

inline const std::vector<DType> kRealDtypes = {DType::f32, DType::f64};
inline const std::vector<DType> kNumberDtypes = {DType::f32, DType::f64, DType::i32, DType::i64};

// The arguments pass, so that a refusal is of what is spoilt alone.
template <class Call>
void expect_valid() {
  Call call;
  const Status status = call.run();
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(call.wrote());
}

// Tensors of one element.
template <class Call>
void expect_refused_by_count(const std::vector<Field<Call>>& singles) {
  for (const Field<Call>& field : singles) {
    Call call;
    field.of(call).shape[0] = 2;
    expect_refusal(call, StatusCode::invalid_argument,
                   {std::string(field.name) + " has shape [2], must have one element"});
  }
}

// A gradient is of the dtype of its logits, which are f32, or f32. `side`: whose, "student_".
template <auto gradient, class Call>
void expect_gradient_refused_by_dtype(const std::string& side = "") {
  const std::string name = side.empty() ? "grad_logits" : "grad_" + side.substr(0, side.size() - 1);
  for (const DType dtype : {DType::f16, DType::bf16, DType::f64}) {
    Call call;
    of<gradient>(call).dtype = dtype;
    std::vector<std::string> phrases = {name + " has dtype " + to_string(dtype)};
    if (dtype != DType::f64) phrases.push_back("must be f32 (" + side + "logits') or f32");
    expect_refusal(call, StatusCode::invalid_argument, phrases);
  }
}

// Of logits, targets and numbers that are called so.
template <class A>
std::vector<Refusal<A>> refusals_of_rows() {
  return {
      {[](A& a) { a.logits = {}; }, {"logits is missing"}},
      {[](A& a) { a.targets = {}; }, {"targets is missing"}},
      {[](A& a) { a.logits.dtype = DType::i32; }, {"logits has dtype i32"}},
      {[](A& a) { a.logits.dtype = DType::f64; }, {"logits has dtype f64"}},
      {[](A& a) { a.logits.strides[1] = 2; }, {"logits has stride 2 along V, must be 1"}},
      {[](A& a) { a.grad_logits.shape[1] = 9; }, {"grad_logits has shape [3, 9]"}},
      {[](A& a) { a.grad_logits.shape[0] = 2; }, {"grad_logits has shape [2, 10]"}},
      {[](A& a) { a.grad_logits.strides[1] = 2; }, {"grad_logits has stride 2 along V"}},
  };
}

template <class A>
std::vector<Refusal<A>> refusals_of_numbers() {
  return {
      {[](A& a) { a.vocab_size = 11; }, {"vocab_size is 11, must be in [1, 10] (V), or 0"}},
      {[](A& a) { a.vocab_size = -1; }, {"vocab_size is -1"}},
      {[](A& a) { a.normalizer = -1.0; },
       {"normalizer is -1, must be finite and at least 2^-1022, or 0"}},
      {[](A& a) { a.normalizer = HUGE_VAL; }, {"normalizer is inf, must be finite"}},
      {[](A& a) { a.normalizer = std::nan(""); }, {"normalizer is", "nan"}},
      {[](A& a) { a.grad_scale = HUGE_VAL; }, {"grad_scale is inf, must be finite"}},
      {[](A& a) { a.grad_scale = std::nan(""); }, {"grad_scale is", "nan"}},
  };
}

// Of losses of sequences.
template <class A>
std::vector<Refusal<A>> refusals_of_sequences() {
  return {
      {[](A& a) { a.cu_seqlens.rank = 0; }, {"cu_seqlens has shape [], must be [B + 1]"}},
      {[](A& a) { a.cu_seqlens.shape[0] = 0; }, {"cu_seqlens has shape [0], must be [B + 1]"}},
      {[](A& a) { a.cu_seqlens.shape[0] = 1; },
       {"cu_seqlens has shape [1], no sequences, must have some for 3 rows"}},
      {[](A& a) {
         a.logits = Tensor::of(static_cast<float*>(a.logits.data), {1, 3, 10});
         a.grad_logits = {};
       },
       {"logits has shape [1, 3, 10], must be [N, V] where cu_seqlens is given"}},
      {[](A& a) {
         a.logits = Tensor::of(static_cast<float*>(a.logits.data), {10});
         a.cu_seqlens = {};
       },
       {"logits has shape [10], must be [..., T, V]"}},
      {[](A& a) { a.temperature = 0.0f; }, {"temperature is 0, must be in [2^-64, 2^64]"}},
      {[](A& a) { a.temperature = kNaN; }, {"temperature is", "nan"}},
  };
}

// A call whose `offsets`, which cu_seqlens is of, are these.
template <class Call>
void expect_offsets_refused(const std::vector<std::int64_t>& offsets,
                            const std::vector<std::string>& phrases) {
  Call call;
  ASSERT_EQ(offsets.size(), std::size(call.offsets));
  std::copy(offsets.begin(), offsets.end(), call.offsets);
  SCOPED_TRACE(phrases[0]);
  if (on::is_cuda())  // what a GPU holds isn't looked at: some result, within the tensors
    EXPECT_TRUE(call.run().ok());
  else
    expect_refusal(call, StatusCode::invalid_argument, phrases);
}

// An option, values it may not have, and what the refusal says of it.
template <class Options>
struct OptionCase {
  float Options::*field;
  std::vector<float> bad;
  const char* phrase;
};

template <class Call, class Options>
void expect_options_refused(const std::vector<OptionCase<Options>>& cases) {
  for (const OptionCase<Options>& c : cases)
    for (const float bad : c.bad) {
      Call call;
      call.args.options.*c.field = bad;
      SCOPED_TRACE(std::string(c.phrase) + " " + std::to_string(bad));
      expect_refusal(call, StatusCode::invalid_argument,
                     {std::string(Call::kOperation) + ": options.", c.phrase});
    }
}

// A gradient may be where its logits are.
template <class Call>
void expect_in_place() {
  Call call;
  call.args.grad_logits = call.args.logits;
  EXPECT_TRUE(call.run().ok());
  EXPECT_NE(call.logits[1], 0);
}

}  // namespace logsum::test
