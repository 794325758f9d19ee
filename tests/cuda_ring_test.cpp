// SPDX-License-Identifier: Apache-2.0
// Rows that are written in one launch (Schedule::rings): to the CPU's bits under cross_device, to
// those of two launches otherwise, whatever the rows hold; and what rings can't do is refused or
// done in two launches.
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "logsum/softmax.hpp"
#include "logsum/softmax_backward.hpp"
#include "support/cuda.hpp"
#include "support/layouts.hpp"
#include "support/statistics.hpp"

namespace logsum::test {
namespace {

using Values = std::vector<std::vector<float>>;

// Rows that begin at multiples of 16 bytes, whatever their length.
const Layout kAligned = {"aligned, padded", -1, [](auto rows, auto columns) {
                           const auto stride = (columns + 15) / 8 * 8;
                           return Layout::Place{{rows, columns}, {stride, 1}, 0};
                         }};

enum class Form { softmax, log_softmax, softmax_backward, log_softmax_backward };
constexpr Form kForms[] = {Form::softmax, Form::log_softmax, Form::softmax_backward,
                           Form::log_softmax_backward};
bool is_backward(Form form) { return form >= Form::softmax_backward; }
bool is_log(Form form) { return form == Form::log_softmax || form == Form::log_softmax_backward; }

struct Call {
  Form form;
  Rows *in, *output;  // of a backward: grad_output, and what the forward gave
  Rows* out;
  std::vector<std::int32_t>* status;
  std::vector<float> temperature = {1};  // one, or one per row

  Status run(const Context& context) {
    PerRow<float> t = temperature[0];
    if (temperature.size() > 1) t = in->per_row(temperature);
    if (is_backward(form)) {
      const SoftmaxBackwardArgs args{.grad_output = in->tensor(),
                                     .output = output->tensor(),
                                     .grad_logits = out->tensor(),
                                     .row_status = status ? in->per_row(*status) : Tensor(),
                                     .temperature = t,
                                     .dim = in->dim()};
      return is_log(form) ? on::log_softmax_backward(args, context)
                          : on::softmax_backward(args, context);
    }
    const SoftmaxArgs args{.logits = in->tensor(),
                           .output = out->tensor(),
                           .row_status = status ? in->per_row(*status) : Tensor(),
                           .temperature = t,
                           .dim = in->dim()};
    return is_log(form) ? on::log_softmax(args, context) : on::softmax(args, context);
  }
};

// Healthy rows and sick ones, again and again.
Values mixed_values(std::int64_t rows, std::int64_t columns, DType dtype) {
  Values known = healthy_values(columns, dtype);
  for (const SickRow& sick : sick_rows()) {
    known.push_back(gaussian(columns, 5, 2, 0));
    sick.infect(known.back());
  }
  Values values;
  for (std::int64_t i = 0; i < rows; ++i) values.push_back(known[std::size_t(i) % known.size()]);
  return values;
}

// All that a form reads, in one layout.
struct Inputs {
  std::vector<std::int32_t> status;
  std::vector<float> temperature;
  Rows logits, gradients;

  Inputs(const Layout& layout, std::int64_t rows, std::int64_t columns, DType dtype)
      : status(std::size_t(rows), 99),
        logits(layout, rows, columns, dtype),
        gradients(layout, rows, columns, dtype) {
    logits.set_all(mixed_values(rows, columns, dtype));
    for (std::int64_t i = 0; i < rows; ++i) {
      gradients.set_row(i, many_logits(std::size_t(columns), std::uint64_t(i % 7), 2));
      temperature.push_back(i % 11 == 10 ? 0.0f : 0.4f + 0.2f * static_cast<float>(i % 9));
    }
  }

  // The forward's output and status by the CPU.
  Rows output(Form form, const std::vector<float>& t) {
    Rows out = poisoned();
    must(Call{form, &logits, nullptr, &out, &status, t}.run({.backend = Backend::cpu}));
    return out;
  }
  Rows poisoned() const { return Rows(kAligned, logits.rows(), logits.columns(), logits.dtype()); }
};

// A call with rings and the same without.
struct Outcome {
  Rows out;
  std::vector<std::int32_t> status;

  bool operator==(const Outcome& other) const {
    return out.same_bits_as(other.out) && status == other.status;
  }
};

Outcome outcome(Inputs& inputs, Form form, Rows* output, const std::vector<float>& t,
                const Context& context, bool in_place = false) {
  Outcome result{inputs.poisoned(), inputs.status};
  Rows* in = is_backward(form) ? &inputs.gradients : &inputs.logits;
  if (!is_backward(form)) result.status.assign(result.status.size(), 99);
  if (in_place) {
    result.out = *in;
    in = &result.out;
  }
  must(Call{form, in, output, &result.out, &result.status, t}.run(context));
  EXPECT_TRUE(result.out.canaries_live());
  return result;
}

class CudaRing : public OnGpuWithRings, public ::testing::WithParamInterface<DType> {};

void expect_bits(Inputs& inputs, const std::vector<float>& t) {
  for (const Form form : kForms) {
    SCOPED_TRACE("form " + std::to_string(static_cast<int>(form)));
    // Two tensors of f32: what 8 SMs hold.
    if (is_backward(form) && inputs.logits.dtype() == DType::f32 &&
        inputs.logits.columns() > 163840)
      continue;
    std::optional<Rows> output;
    if (is_backward(form))
      output = inputs.output(is_log(form) ? Form::log_softmax : Form::softmax, t);
    Rows* const given = output ? &*output : nullptr;
    const Context cpu{.backend = Backend::cpu};
    for (const Determinism determinism : kDeterminisms) {
      const Outcome wanted =
          determinism == Determinism::cross_device
              ? outcome(inputs, form, given, t, cpu)
              : outcome(inputs, form, given, t, cuda(determinism, Schedule::spans));
      const Context rings = cuda(determinism, Schedule::rings);
      ASSERT_TRUE(outcome(inputs, form, given, t, rings) == wanted);
      ASSERT_TRUE(outcome(inputs, form, given, t, rings, true) == wanted) << "in place";
      ASSERT_TRUE(outcome(inputs, form, given, t, cuda(determinism)) == wanted) << "automatic";
    }
  }
}

// One tile and many, whole and not, one CTA per row and several; fewer rows than clusters and more.
TEST_P(CudaRing, GivesTheBitsOfTheCpuAndOfTwoLaunches) {
  for (const std::int64_t columns : {1, 31, 1024, 4096, 9001, 50257, 151939, 300001})
    for (const std::int64_t rows : {1, 3, 30, 300, 2000}) {
      if (rows * columns > (is_quick() ? 310000 : 5000000)) continue;
      SCOPED_TRACE("V=" + std::to_string(columns) + " rows " + std::to_string(rows));
      Inputs inputs(kAligned, rows, columns, GetParam());
      for (const std::vector<float>& t : {std::vector<float>{0.7f}, inputs.temperature}) {
        if (t.size() > 1 && rows < 30) continue;
        expect_bits(inputs, t);
        if (HasFatalFailure()) return;
      }
    }
}

// A temperature is its row's, and a status that is given decides: else these tests would compare
// what doesn't depend on them.
TEST_P(CudaRing, ParametersMatter) {
  Inputs inputs(kAligned, 30, 9001, GetParam());
  for (const Form form : kForms) {
    Rows output = inputs.output(is_log(form) ? Form::log_softmax : Form::softmax, {1});
    const Context rings = cuda(Determinism::per_device, Schedule::rings);
    const Outcome one = outcome(inputs, form, &output, {1}, rings);
    EXPECT_FALSE(outcome(inputs, form, &output, {0.5f}, rings) == one);
    EXPECT_FALSE(outcome(inputs, form, &output, inputs.temperature, rings) == one);
    if (!is_backward(form)) continue;
    std::vector<std::int32_t> empty(inputs.status.size(), static_cast<int>(RowStatus::empty));
    std::swap(inputs.status, empty);
    EXPECT_FALSE(outcome(inputs, form, &output, {1}, rings).out.same_bits_as(one.out));
    std::swap(inputs.status, empty);
  }
}

// What a result may be, whose truth is known to within `slack` before it is rounded once.
bool allows(float got, long double truth, long double slack, DType dtype) {
  return got >= rounded_to(static_cast<float>(truth - slack), dtype) &&
         got <= rounded_to(static_cast<float>(truth + slack), dtype);
}

// The hardware's exponential, beside the truth in long double: probabilities in two bytes are
// allowed more where they are small (docs/ops/softmax.md), gradients of log_softmax what the
// polynomial is.
TEST_P(CudaRing, PerDeviceKeepsTheContract) {
  const DType dtype = GetParam();
  const Context rings = cuda(Determinism::per_device, Schedule::rings);
  for (const std::int64_t columns : {5000, 40000})
    for (const float t : {1.0f, 0.37f, 3.1f}) {
      Inputs inputs(kAligned, 40, columns, dtype);
      const Outcome p = outcome(inputs, Form::softmax, nullptr, {t}, rings);
      Rows logs = inputs.output(Form::log_softmax, {t});
      const Outcome gradient = outcome(inputs, Form::log_softmax_backward, &logs, {t}, rings);
      for (std::int64_t row = 0; row < 40; ++row) {
        if (p.status[std::size_t(row)] != static_cast<int>(RowStatus::ok)) continue;
        long double max = -kInf, mass = 0, sum = 0, magnitude = 0;
        for (std::int64_t i = 0; i < columns; ++i)
          max = std::max<long double>(max, inputs.logits.get(row, i));
        const auto weight = [&](std::int64_t i) {
          return std::exp((static_cast<long double>(inputs.logits.get(row, i)) - max) / t);
        };
        for (std::int64_t i = 0; i < columns; ++i) {
          mass += weight(i);
          if (logs.get(row, i) == -kInf) continue;
          sum += inputs.gradients.get(row, i);
          magnitude += std::fabs(inputs.gradients.get(row, i));
        }
        for (std::int64_t i = 0; i < columns; ++i) {
          const long double truth = weight(i) / mass;
          const bool is_small = truth < 0x1p-24L && dtype == DType::bf16;
          const long double slack = (is_small ? 1.4e-5L : 4e-6L) * truth;
          ASSERT_TRUE(allows(p.out.get(row, i), truth, slack + 0x1p-149L, dtype))
              << "V=" << columns << " T=" << t << " row " << row << " column " << i;
          const long double g = inputs.gradients.get(row, i), y = logs.get(row, i);
          if (y == -kInf) {
            ASSERT_EQ(gradient.out.get(row, i), 0.0f);
            continue;
          }
          const bool is_large = y > -0.69314718L;
          const long double of_sum = 0x1p-46L * magnitude;
          const long double wanted =
              is_large ? (g - sum) - std::expm1(y) * sum : g - std::exp(y) * sum;
          const long double terms =
              is_large ? std::max(std::fabs(g - sum), std::fabs(std::expm1(y) * sum))
                       : std::max(std::fabs(g), std::fabs(std::exp(y) * sum));
          ASSERT_TRUE(allows(gradient.out.get(row, i), wanted / t,
                             (4e-6L * terms + of_sum) / t + 0x1p-149L, dtype))
              << "V=" << columns << " T=" << t << " row " << row << " column " << i;
        }
      }
    }
}

// Refused where they are forced, done otherwise where not.
TEST_P(CudaRing, WhatRingsCantDo) {
  std::vector<Layout> unfit = {layouts()[0], layouts()[1], layouts()[7]};
  for (const Layout& layout : unfit) {
    Inputs inputs(layout, 30, 999, GetParam());
    for (const Form form : kForms) {
      Rows in = is_backward(form) ? inputs.gradients : inputs.logits, output = inputs.logits;
      Rows out(layout, 30, 999, GetParam()), wanted = out;
      Call call{form, &in, &output, &out, nullptr};
      const Status status = call.run(cuda(Determinism::cross_device, Schedule::rings));
      EXPECT_EQ(status.code(), StatusCode::unsupported) << layout.name;
      EXPECT_NE(std::string(status.message()).find("rings want"), std::string::npos);
      must(call.run(cuda(Determinism::cross_device)));
      call.out = &wanted;
      must(call.run({.backend = Backend::cpu}));
      EXPECT_TRUE(out.same_bits_as(wanted)) << layout.name;
    }
  }
  // Rows of more than 8 SMs' memory, and two dtypes.
  for (const std::int64_t columns : {1000, 1500000}) {
    Rows z(kAligned, 2, columns, GetParam());
    Rows out(kAligned, 2, columns, columns > 1000 ? GetParam() : DType::f32);
    if (columns == 1000 && GetParam() == DType::f32) continue;
    z.set_row(0, many_logits(std::size_t(columns), 3, 5));
    z.set_row(1, many_logits(std::size_t(columns), 4, 5));
    Call call{Form::softmax, &z, nullptr, &out, nullptr};
    EXPECT_EQ(call.run(cuda(Determinism::cross_device, Schedule::rings)).code(),
              StatusCode::unsupported);
    Rows wanted = out;
    must(call.run(cuda(Determinism::cross_device)));
    call.out = &wanted;
    must(call.run({.backend = Backend::cpu}));
    EXPECT_TRUE(out.same_bits_as(wanted));
  }
}

INSTANTIATE_TEST_SUITE_P(CudaRing, CudaRing, ::testing::ValuesIn(logits_dtypes()),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

}  // namespace
}  // namespace logsum::test
