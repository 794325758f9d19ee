// SPDX-License-Identifier: Apache-2.0
// distill_loss: that a row's bits don't depend on where and with whom it lies, nor on who computes
// it; and that every parameter counts.
#include <gtest/gtest.h>

#include "support/distill_text.hpp"
#include "support/elsewhere.hpp"
#include "support/tensors_of.hpp"

namespace logsum::test {
namespace {

Distill full_batch(std::int64_t columns, DType student = DType::f32, DType teacher = DType::f32) {
  Distill d;
  d.columns = columns;
  d.student_dtype = student;
  d.teacher_dtype = teacher;
  for (std::uint32_t i = 0; i < 7; ++i) {
    add_random(d, i);
    d.mask.push_back(i != 3);
    d.student_temperatures.push_back(0.5f + 0.25f * static_cast<float>(i));
    d.teacher_temperatures.push_back(2.0f - 0.125f * static_cast<float>(i));
  }
  return d;
}

TEST(DistillLossLayout, RowsOfAnyStrideAndAlignment) {
  for (const DType student : logits_dtypes())
    for (const DType teacher : {DType::f32, DType::bf16}) {
      const Distill d = full_batch(4600, student, teacher);
      for (const bool narrow : {false, true}) {
        DistillCall first(d, {.narrow_gradients = narrow});
        first.run();
        expect_text(first);
        for (const std::int64_t padding : {0, 8, 5})
          for (const std::int64_t misalign : {0, 3}) {
            DistillCall call(
                d, {.narrow_gradients = narrow, .padding = padding, .misalign = misalign});
            EXPECT_TRUE(same_results(call.run(), first)) << padding << " " << misalign;
          }
      }
    }
}

TEST(DistillLossLayout, InPlace) {
  for (const DType student : logits_dtypes())
    for (const DType teacher : logits_dtypes())
      for (const std::int64_t columns : {300, 4096, 9000}) {
        const Distill d = full_batch(columns, student, teacher);
        DistillCall apart(d, {.narrow_gradients = true});
        apart.run();
        for (const bool student_in_place : {false, true})
          for (const bool teacher_in_place : {false, true}) {
            DistillCall call(d, {.narrow_gradients = true,
                                 .student_in_place = student_in_place,
                                 .teacher_in_place = teacher_in_place});
            EXPECT_TRUE(same_results(call.run(), apart)) << student_in_place << teacher_in_place;
          }
      }
}

TEST(DistillLossLayout, PaddedColumnsAreNotReadAndGetNoGradient) {
  for (const std::int64_t columns : {10, 1025, 4097, 9000}) {
    const Distill d = full_batch(columns);
    Distill padded = d;
    padded.columns += 37;
    padded.vocab_size = columns;
    for (auto* values : {&padded.student, &padded.teacher})
      for (auto& z : *values) z.resize(z.size() + 37, kNaN);
    DistillCall call(d), wider(padded);
    EXPECT_TRUE(same_results(call.run(), wider.run()));
    for (std::size_t i = 0; i < d.rows(); ++i)
      for (std::int64_t j = columns; j < padded.columns; ++j) {
        EXPECT_EQ(wider.grad_student.get(std::int64_t(i), j), 0.0f);
        EXPECT_EQ(wider.grad_teacher.get(std::int64_t(i), j), 0.0f);
      }
    DistillCall reference(padded);
    expect_text(reference.run(kReference));
  }
}

TEST(DistillLossLayout, RowsOfSeveralDimensions) {
  const Distill d = full_batch(300);
  Distill six = d;
  for (auto* values : {&six.student, &six.teacher}) values->pop_back();
  six.mask.pop_back();
  six.student_temperatures.pop_back();
  six.teacher_temperatures.pop_back();
  DistillCall flat(six), cube(six);
  flat.run();
  for (Tensor* t : tensors_of(cube.args))
    if (t->rank > 0 && t->shape[0] == 6) split_first_dimension(*t, 2, 3);
  EXPECT_TRUE(same_results(cube.run(), flat));
}

TEST(DistillLossLayout, ARowIsTheSameAloneAndInABatch) {
  const Distill d = full_batch(9000, DType::bf16, DType::f16);
  for (const Context& context : contract_contexts()) {
    DistillCall batch(d);
    batch.run(context);
    for (std::size_t i = 0; i < d.rows(); ++i) {
      Distill alone = d.only(i);
      DistillCall call(alone);
      EXPECT_TRUE(same_row(call.run(context), 0, batch, i)) << test::name_of(context);
    }
  }
}

TEST(DistillLossLayout, ThreadsInAnyOrder) {
  const Distill d = full_batch(20000, DType::bf16, DType::bf16);
  DistillCall first(d);
  first.run();
  for (const int threads : {1, 2, 3, 16, 64}) {
    ThreadsExecutor some(threads);
    ShuffledExecutor shuffled(threads, 5);
    BackwardsExecutor backwards(threads);
    for (Executor* executor : {static_cast<Executor*>(&some), static_cast<Executor*>(&shuffled),
                               static_cast<Executor*>(&backwards)}) {
      DistillCall apart(d);
      EXPECT_TRUE(same_results(apart.run({.executor = executor}), first)) << threads;
      DistillCall in_place(d, {.narrow_gradients = true, .student_in_place = true});
      DistillCall narrow(d, {.narrow_gradients = true});
      EXPECT_TRUE(same_results(in_place.run({.executor = executor}), narrow.run())) << threads;
    }
  }
  BrokenExecutor broken;
  DistillCall call(d);
  EXPECT_EQ(on::distill_loss(call.args, {.executor = &broken, .backend = Backend::cpu}).code(),
            StatusCode::internal);
}

// Asking for less changes nothing of what is asked for.
TEST(DistillLossLayout, EachOutputAlone) {
  const Distill d = full_batch(5000);
  DistillCall all(d);
  all.run();
  const std::vector<Tensor DistillLossArgs::*> outputs = {
      &DistillLossArgs::loss, &DistillLossArgs::per_token_loss, &DistillLossArgs::row_status,
      &DistillLossArgs::grad_student, &DistillLossArgs::grad_teacher};
  for (const auto kept : outputs) {
    DistillCall call(d);
    for (const auto output : outputs)
      if (output != kept) call.args.*output = {};
    call.run();
    EXPECT_EQ(call.loss, kept == &DistillLossArgs::loss ? all.loss : 99);
    const auto expected = [&](auto output, const auto& with, const auto& without) {
      return kept == output ? with : without;
    };
    EXPECT_EQ(call.token_loss, expected(&DistillLossArgs::per_token_loss, all.token_loss,
                                        std::vector<float>(d.rows(), 99)));
    EXPECT_EQ(call.status, expected(&DistillLossArgs::row_status, all.status,
                                    std::vector<std::int32_t>(d.rows(), 99)));
    const DistillCall untouched(d);
    EXPECT_TRUE(call.grad_student.same_bits_as(
        expected(&DistillLossArgs::grad_student, all.grad_student, untouched.grad_student)));
    EXPECT_TRUE(call.grad_teacher.same_bits_as(
        expected(&DistillLossArgs::grad_teacher, all.grad_teacher, untouched.grad_teacher)));
  }
}

// Two equal halves, with the whole's normalizer, are the whole.
TEST(DistillLossLayout, HalvesOfABatchAddUp) {
  Distill d;
  d.columns = 700;
  for (std::uint32_t i = 0; i < 12; ++i) add_random(d, i);
  DistillCall whole(d);
  whole.run();
  double sum = 0;
  for (const std::size_t first : {std::size_t{0}, std::size_t{6}}) {
    Distill half = d;
    half.normalizer = 12;
    for (auto* values : {&half.student, &half.teacher})
      *values = {values->begin() + std::ptrdiff_t(first),
                 values->begin() + std::ptrdiff_t(first) + 6};
    DistillCall call(half);
    call.run();
    for (std::size_t i = 0; i < 6; ++i) EXPECT_TRUE(same_row(call, i, whole, first + i));
    sum += call.loss;
  }
  EXPECT_EQ(sum, whole.loss);
}

TEST(DistillLossLayout, EveryParameterCounts) {
  Distill d;
  d.columns = 300;
  add_random(add_random(add_random(d, 1), 2), 3);
  DistillCall before(d);
  before.run();
  const std::vector<std::function<void(Distill&)>> changes = {
      [](Distill& c) { c.divergence = Divergence::forward_kl; },
      [](Distill& c) { c.divergence = Divergence::reverse_kl; },
      [](Distill& c) { c.beta = 0.25f; },
      [](Distill& c) { c.student_temperature = 0.9f; },
      [](Distill& c) { c.teacher_temperature = 0.9f; },
      [](Distill& c) {
        c.mask = {1, 0, 1};
      },
      [](Distill& c) { c.normalizer = 5; },
      [](Distill& c) { c.vocab_size = 299; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i)
    for (const Context& context : merge_contexts()) {
      Distill changed = d;
      changes[i](changed);
      DistillCall call(changed);
      expect_text(call.run(context));
      EXPECT_NE(call.loss, before.loss) << i;
    }
}

TEST(DistillLossLayout, ScalarsOfAnyDtype) {
  Distill d;
  d.columns = 300;
  add_random(add_random(d, 1), 2);
  const double real = 6, scale = 0.5;
  const float real32 = 6, scale32 = 0.5f;
  const std::int32_t integer = 6;
  const std::int64_t long_integer = 6;
  Distill wanted = d;
  wanted.normalizer = 6;
  wanted.grad_scale = 0.5;
  for (const Context& context : merge_contexts()) {
    DistillCall first(wanted);
    first.run(context);
    for (const Tensor& n : {Tensor::of(&real, {}), Tensor::of(&real32, {1}),
                            Tensor::of(&integer, {}), Tensor::of(&long_integer, {1, 1})})
      for (const Tensor& s : {Tensor::of(&scale, {}), Tensor::of(&scale32, {})}) {
        DistillCall call(d);
        call.args.normalizer.tensor = n;
        call.args.grad_scale.tensor = s;
        EXPECT_TRUE(same_results(call.run(context), first));
      }
    // 0 in a tensor counts as 1.
    const double zero = 0;
    DistillCall call(d), of_one(d);
    call.args.normalizer.tensor = Tensor::of(&zero, {});
    of_one.args.normalizer = 1.0;
    EXPECT_TRUE(same_results(call.run(context), of_one.run(context)));
    float narrow = 99;
    DistillCall f32(wanted);
    f32.args.loss = Tensor::of(&narrow, {});
    f32.run(context);
    EXPECT_EQ(narrow, static_cast<float>(first.loss));
  }
}

}  // namespace
}  // namespace logsum::test
