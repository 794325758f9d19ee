// SPDX-License-Identifier: Apache-2.0
// What holds for every loss, whatever it is, of a Batch and its Call (PolicyCall, PreferenceCall).
#pragma once

#include <string>
#include <vector>

#include "support/loss_text.hpp"

namespace logsum::test {

// Exponentials by the GPU's own instruction, to narrow outputs: looser (softmax.hpp).
inline double gradient_error(const Context& context, DType dtype) {
  return has_cpu_bits(context) || dtype == DType::f32 ? 4e-6 : 1.4e-5;
}

// A batch of each choice, by make(choice, columns, dtype, seed), on each backend: the CPU's bits
// where they are promised, and what expect(call, error of the gradient) holds.
template <class Call, class Choices, class Make, class Expect>
void expect_backends_keep_the_contract(const Choices& choices, const Make& make,
                                       const Expect& expect) {
  constexpr std::int64_t kWidths[] = {7, 1000, 5000};
  std::uint32_t seed = 0;
  for (const auto& choice : choices) {
    ++seed;
    const std::int64_t columns = kWidths[seed % 7 == 0 ? 2 : seed % 7 < 3 ? 1 : 0];
    const DType dtype = logits_dtypes()[seed / 2 % 3];
    LossForm form{.grad = seed % 4 < 2 ? dtype : DType::f32, .padding = seed % 3, .misalign = 1};
    const auto p = make(choice, columns, dtype, 5000 + seed);
    SCOPED_TRACE(choice.name() + ", seed " + std::to_string(seed));
    Call first(p, form);
    expect(first.run(fast_contexts()[0]), 4e-6);
    form.in_place = form.grad == dtype && seed % 4 == 1;
    for (const Context& context : contract_contexts()) {
      SCOPED_TRACE(name_of(context));
      Call got(p, form);
      got.run(context);
      if (has_cpu_bits(context))
        ASSERT_TRUE(same_results(got, first));
      else
        expect(got, gradient_error(context, form.grad));
    }
    if (::testing::Test::HasFailure()) return;
  }
}

// Gradients of the logits' dtype, padded, misaligned, in place: f32's, rounded once.
template <class Call, class Batch>
void expect_memory_doesnt_matter(const Batch& p) {
  Call wide(p, {.grad = DType::f32});
  wide.run();
  for (const LossForm& form :
       {LossForm{.grad = p.dtype}, LossForm{.grad = p.dtype, .in_place = true},
        LossForm{.grad = p.dtype, .in_place = true, .padding = 3, .misalign = 1},
        LossForm{.grad = p.dtype, .padding = 5, .misalign = 3}}) {
    Call got(p, form);
    got.run();
    EXPECT_TRUE(same_totals(got, wide));
    for (std::size_t i = 0; i < p.rows(); ++i)
      for (std::int64_t j = 0; j < p.columns; ++j)
        ASSERT_TRUE(same_bits(got.gradients().get(std::int64_t(i), j),
                              rounded_to(wide.grad.get(std::int64_t(i), j), p.dtype)))
            << to_string(p.dtype) << " row " << i << " column " << j;
  }
}

// Columns beyond vocab_size.
template <class Call, class Batch>
void expect_padded_columns_arent_read(const Batch& p) {
  constexpr std::int64_t kPadding = 37;
  Batch wider = p;
  wider.columns = p.columns + kPadding;
  wider.vocab_size = p.columns;
  for (auto& z : wider.logits) z.resize(std::size_t(wider.columns), kNaN);
  Call first(p, {.grad = p.dtype});
  first.run();
  for (const bool in_place : {false, true}) {
    Call got(wider, {.grad = p.dtype, .in_place = in_place});
    ASSERT_TRUE(same_results(got.run(), first));
    for (std::size_t i = 0; i < p.rows(); ++i)
      for (std::int64_t j = p.columns; j < wider.columns; ++j)
        ASSERT_TRUE(same_bits(got.gradients().get(std::int64_t(i), j), 0.0f)) << i;
  }
}

// Threads, SIMD targets, backends with the CPU's bits.
template <class Call, class Batch>
void expect_machine_doesnt_matter(const Batch& p) {
  ThreadsExecutor three(3);
  ShuffledExecutor shuffled(5, 11);
  BackwardsExecutor many(300);
  Call first(p);
  first.run({.executor = &inline_executor()});
  for (const Context& context : fast_contexts()) {
    Call got(p);
    ASSERT_TRUE(same_results(got.run(context), first)) << name_of(context);
  }
  if (on::is_cuda()) return;
  for (Executor* executor : {static_cast<Executor*>(&three), static_cast<Executor*>(&shuffled),
                             static_cast<Executor*>(&many)}) {
    Call got(p, {.in_place = true});
    ASSERT_TRUE(same_results(got.run({.executor = executor}), first));
  }
}

// Each output alone, into the memory of one call; and the loss in f32 is the rounded one.
template <class Call, class Args, class Batch, class Operation>
void expect_outputs_dont_matter(const Batch& p, const std::vector<Tensor Args::*>& outputs,
                                const Operation& operation) {
  Call all(p), together(p);
  all.run();
  const Args full = together.args;
  for (const auto output : outputs) {
    for (const auto other : outputs)
      together.args.*other = other == output ? full.*output : Tensor();
    must(operation(together.args, {}));
  }
  EXPECT_TRUE(same_results(together, all));
  float loss = 99;
  all.args.loss = Tensor::of(&loss, {1, 1});
  all.run();
  EXPECT_EQ(loss, static_cast<float>(all.loss));
}

// Masked tokens among packed ones, i32 offsets: what a padded batch is.
template <class Call, class Batch>
void expect_packed_with_masked(const Batch& p, const Call& padded) {
  Batch holes = p;
  std::vector<std::int32_t> offsets;
  for (std::int64_t i = 0; i <= p.sequences; ++i) {
    offsets.push_back(static_cast<std::int32_t>(i * p.tokens));
    holes.offsets.push_back(i * p.tokens);
  }
  Call loose(holes);
  loose.args.cu_seqlens = Tensor::of(offsets.data(), {p.sequences + 1});
  EXPECT_TRUE(same_results(loose.run(), padded));
}

// A scalar that may be a tensor. make(value): a call with it, that has run. One element of any
// dtype is that number; of a normalizer 0 counts as 1; what no scalar can be is every row's bad
// parameter, for the host can't see it.
template <class Make, class ExpectBad>
void expect_scalar_of_tensors(bool is_normalizer, const Make& make, const ExpectBad& expect_bad) {
  const float f32[] = {3, 0, -1, kNaN, kInf};
  const double f64[] = {3, 0, -1, HUGE_VAL};
  const std::int32_t i32[] = {3, 0, -1};
  const std::int64_t i64[] = {3, 0, INT64_MIN};
  const auto expect_as = [&](const Tensor& tensor, double value) {
    EXPECT_TRUE(same_results(*make(tensor), *make(value)));
  };
  expect_as(Tensor::of(&f32[0], {1}), 3);
  expect_as(Tensor::of(&f64[0], {}), 3);
  if (is_normalizer) {
    expect_as(Tensor::of(&i32[0], {1, 1}), 3);
    expect_as(Tensor::of(&i64[0], {1}), 3);
    expect_as(Tensor::of(&f32[1], {1}), 1);
    expect_as(Tensor::of(&i32[1], {}), 1);
    for (const Tensor& bad : {Tensor::of(&f32[2], {1}), Tensor::of(&f64[2], {1}),
                              Tensor::of(&i32[2], {1}), Tensor::of(&i64[2], {1})})
      expect_bad(*make(bad));
  } else {
    expect_as(Tensor::of(&f64[1], {}), 0);
    expect_as(Tensor::of(&f32[2], {1, 1}), -1);
  }
  for (const Tensor& bad :
       {Tensor::of(&f32[3], {1}), Tensor::of(&f32[4], {1}), Tensor::of(&f64[3], {1})})
    expect_bad(*make(bad));
}

}  // namespace logsum::test
