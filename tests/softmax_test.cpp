// SPDX-License-Identifier: Apache-2.0
#include "logsum/softmax.hpp"

#include <gtest/gtest.h>

#include <cfenv>

#include "logsum/token_logprobs.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"

namespace logsum::test {
namespace {

const Context kReference{.backend = Backend::reference};

using Operation = Status (*)(const SoftmaxArgs&, const Context&) noexcept;

struct Form {
  const char* name;
  Operation run;
  bool is_log;
};
const Form kForms[] = {{"softmax", &on::softmax, false}, {"log_softmax", &on::log_softmax, true}};

void expect_ok(const Status& status) { EXPECT_TRUE(status.ok()) << status.message(); }

// Runs the form on `values`, laid out as wanted, into `out` of the same layout.
Rows run(const Form& form, const std::vector<std::vector<float>>& values, DType dtype,
         DType out_dtype, const Context& context = {}, const PerRow<float>& temperature = 1.0f,
         const Layout& layout = contiguous_layout()) {
  const auto rows = static_cast<std::int64_t>(values.size());
  const auto columns = static_cast<std::int64_t>(values[0].size());
  Rows z(layout, rows, columns, dtype), out(layout, rows, columns, out_dtype);
  z.set_all(values);
  expect_ok(form.run(
      {.logits = z.tensor(), .output = out.tensor(), .temperature = temperature, .dim = layout.dim},
      context));
  EXPECT_TRUE(out.canaries_live()) << form.name << ", " << layout.name;
  return out;
}

bool is_within_contract(const Form& form, float got, float truth, DType dtype) {
  if (!form.is_log) return is_rounded_probability(got, truth, dtype);
  if (std::isnan(truth) || std::isinf(truth)) return within_contract(got, truth);
  const double slack = 5e-7 + 0x1p-22 * std::fabs(static_cast<double>(truth));
  return got >= rounded_to(static_cast<float>(truth - slack), dtype) &&
         got <= rounded_to(static_cast<float>(truth + slack), dtype);
}

void expect_within_contract(const Form& form, const Rows& got, const Rows& truth,
                            const std::vector<std::vector<float>>& values) {
  for (std::int64_t row = 0; row < truth.rows(); ++row)
    for (std::int64_t i = 0; i < truth.columns(); ++i) {
      const float x = got.get(row, i), wanted = truth.get(row, i);
      ASSERT_TRUE(is_within_contract(form, x, wanted, DType::f32))
          << "row " << row << " column " << i << ": " << x << " for " << wanted << ", z is "
          << values[std::size_t(row)][std::size_t(i)];
      ASSERT_FALSE(x > (form.is_log ? 0.0f : 1.0f));
      if (values[std::size_t(row)][std::size_t(i)] == -kInf && !std::isnan(wanted)) {
        ASSERT_EQ(x, form.is_log ? -kInf : 0.0f);
      }
    }
}

// The contexts with the CPU's bits against one of them, and that one and the others against the
// truth.
void expect_contract(const Form& form, const std::vector<std::vector<float>>& values, DType dtype,
                     float t) {
  const Rows truth = run(form, values, dtype, DType::f32, kReference, t);
  const Rows first = run(form, values, dtype, DType::f32, fast_contexts()[0], t);
  expect_within_contract(form, first, truth, values);
  for (const Context& context : contract_contexts()) {
    SCOPED_TRACE(name_of(context));
    const Rows got = run(form, values, dtype, DType::f32, context, t);
    if (has_cpu_bits(context))
      ASSERT_TRUE(got.same_bits_as(first));
    else
      expect_within_contract(form, got, truth, values);
  }
}

// Narrow outputs are ConvertsToF16AndBF16AsTheScalarsDo's.
TEST(Softmax, MatchesReferenceOnEveryRowWidthDtypeAndTarget) {
  for (const Form& form : kForms)
    for (const DType dtype : logits_dtypes())
      for (const std::int64_t columns : widths()) {
        const auto values = healthy_values(columns, dtype);
        for (const float t : {1.0f, 0.6f}) {
          if (t != 1.0f && dtype == DType::f16) continue;
          SCOPED_TRACE(std::string(form.name) + " " + to_string(dtype) +
                       " V=" + std::to_string(columns) + " T=" + std::to_string(t));
          expect_contract(form, values, dtype, t);
          if (HasFatalFailure()) return;
        }
      }
}

TEST(Softmax, LogSoftmaxIsTheScorersLogprobBitForBit) {
  for (const DType dtype : logits_dtypes())
    for (const std::int64_t columns : {1, 31, 4097, 50257}) {
      const auto values = healthy_values(columns, dtype, 7);
      const auto rows = static_cast<std::int64_t>(values.size());
      const std::int64_t k = std::min<std::int64_t>(columns, 300);
      std::vector<std::int64_t> targets;
      for (std::int64_t i = 0; i < rows * k; ++i) targets.push_back(i * 7919 % columns);
      Rows z(contiguous_layout(), rows, columns, dtype);
      z.set_all(values);
      for (const float t : {1.0f, 0.3f, 2.5f}) {
        std::vector<float> scored(targets.size());
        expect_ok(on::token_logprobs({.logits = z.tensor(),
                                      .targets = Tensor::of(targets.data(), {rows, k}),
                                      .logprobs = Tensor::of(scored.data(), {rows, k}),
                                      .temperature = t}));
        const Rows out = run(kForms[1], values, dtype, DType::f32, {}, t);
        for (std::size_t i = 0; i < targets.size(); ++i)
          ASSERT_TRUE(same_bits(out.get(static_cast<std::int64_t>(i) / k, targets[i]), scored[i]))
              << to_string(dtype) << " V=" << columns << " T=" << t << ", " << i;
      }
    }
}

TEST(Softmax, LayoutsAndInPlaceGiveTheSameBits) {
  for (const Form& form : kForms)
    for (const DType dtype : logits_dtypes())
      for (const std::int64_t columns : {1, 2, 33, 1025, 4096, 9001}) {
        const auto values = healthy_values(columns, dtype);
        const auto rows = static_cast<std::int64_t>(values.size());
        std::vector<float> t;
        for (std::int64_t i = 0; i < rows; ++i) t.push_back(0.5f + 0.125f * static_cast<float>(i));
        const Rows first = run(form, values, dtype, dtype, {}, Tensor::of(t.data(), {rows}));
        for (const Layout& layout : layouts()) {
          SCOPED_TRACE(std::string(form.name) + " " + to_string(dtype) + " " + layout.name +
                       " V=" + std::to_string(columns));
          Rows z(layout, rows, columns, dtype);
          z.set_all(values);
          const PerRow<float> temperature = z.per_row(t);
          ASSERT_TRUE(run(form, values, dtype, dtype, {}, temperature, layout).same_bits_as(first));
          expect_ok(form.run({.logits = z.tensor(),
                              .output = z.tensor(),
                              .temperature = temperature,
                              .dim = layout.dim},
                             {}));
          ASSERT_TRUE(z.same_bits_as(first)) << "in place";
          ASSERT_TRUE(z.canaries_live()) << "in place";
        }
      }
}

TEST(Softmax, ATemperaturePerRowIsThatRowsTemperature) {
  const auto values = healthy_values(3000, DType::f32);
  std::vector<float> t = gaussian(20, 1, 0.2f, 1);
  for (const Form& form : kForms) {
    const Rows all = run(form, values, DType::f32, DType::f32, {}, Tensor::of(t.data(), {20}));
    const Rows one = run(form, values, DType::f32, DType::f32, {}, Tensor::of(t.data(), {1}));
    EXPECT_TRUE(run(form, values, DType::f32, DType::f32, {}, t[0]).same_bits_as(one));
    EXPECT_FALSE(all.same_bits_as(one));
    for (std::size_t row = 0; row < values.size(); ++row)
      EXPECT_EQ(run(form, {values[row]}, DType::f32, DType::f32, {}, t[row]).row(0),
                all.row(static_cast<std::int64_t>(row)))
          << healthy_rows()[row].name;
  }
}

// Input and output in different layouts and dtypes, among them one staged and one not.
TEST(Softmax, MixesLayoutsOfInputAndOutput) {
  const std::int64_t columns = 5000;
  for (const Form& form : kForms)
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const auto values = healthy_values(columns, dtype);
      const auto rows = static_cast<std::int64_t>(values.size());
      const Rows first = run(form, values, dtype, DType::f32);
      for (const Layout& from : {contiguous_layout(), layouts()[6], layouts()[7]})
        for (const Layout& to : {contiguous_layout(), layouts()[6], layouts()[8]}) {
          Rows z(from, rows, columns, dtype), out(to, rows, columns, DType::f32);
          z.set_all(values);
          expect_ok(form.run({.logits = z.tensor(), .output = out.tensor()}, {}));
          EXPECT_TRUE(out.same_bits_as(first)) << from.name << " to " << to.name;
          EXPECT_TRUE(out.canaries_live());
        }
    }
}

TEST(Softmax, BitsDependOnNeitherThreadsNorBatchNorSlot) {
  const std::int64_t columns = 50257;
  const auto values = healthy_values(columns, DType::bf16);
  BackwardsExecutor seven(7), many(300);
  for (const Form& form : kForms) {
    const Rows first = run(form, values, DType::bf16, DType::f32, {.executor = &inline_executor()});
    for (Executor* executor :
         {&default_executor(), static_cast<Executor*>(&seven), static_cast<Executor*>(&many)})
      for (const Layout& layout : {contiguous_layout(), layouts()[1]})
        EXPECT_TRUE(run(form, values, DType::bf16, DType::f32, {.executor = executor}, 1.0f, layout)
                        .same_bits_as(first));
    for (std::size_t slot = 0; slot < values.size(); ++slot) {
      const Rows alone = run(form, {values[slot]}, DType::bf16, DType::f32, {.executor = &seven});
      for (std::int64_t i = 0; i < columns; ++i)
        ASSERT_TRUE(same_bits(alone.get(0, i), first.get(static_cast<std::int64_t>(slot), i)));
    }
  }
}

// Rows of one tile, of several, and too long for a GPU's shared memory.
TEST(Softmax, BitsDependOnNoSchedule) {
  if (!on::is_cuda()) GTEST_SKIP() << "schedules are a GPU's";
  for (const Form& form : kForms)
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const std::int64_t columns : {33, 9001, 600001}) {
        auto values = healthy_values(columns > 9001 ? 33 : columns, dtype);
        if (columns > 9001) values = {gaussian(columns, 1, 3, 0), gaussian(columns, 2, 3, 0)};
        const Rows first = run(form, values, dtype, DType::f32, fast_contexts()[0]);
        Context context{.backend = Backend::cuda, .determinism = Determinism::cross_device};
        for (const Schedule schedule : {Schedule::spans, Schedule::clusters}) {
          if (columns > 9001 && schedule == Schedule::clusters) continue;
          context.schedule = schedule;
          for (const Layout& layout : {contiguous_layout(), layouts()[1]}) {
            if (layout.dim != -1 && schedule == Schedule::clusters) continue;
            ASSERT_TRUE(
                run(form, values, dtype, DType::f32, context, 1.0f, layout).same_bits_as(first))
                << form.name << ", " << layout.name << " V=" << columns;
          }
        }
      }
}

TEST(Softmax, SickRowsAreNanAndHarmNoOther) {
  for (const Form& form : kForms)
    for (const DType dtype : logits_dtypes())
      for (const std::int64_t columns : {1, 2, 1000, 9000})
        for (const Layout& layout : {contiguous_layout(), layouts()[1], layouts()[4]}) {
          // Sick rows at even places, a healthy one at odd places; the last's temperature is bad.
          const std::vector<float> healthy = gaussian(columns, 3, 2, 0);
          std::vector<std::vector<float>> values;
          for (const SickRow& sick : sick_rows()) {
            values.push_back(healthy);
            sick.infect(values.back());
            values.push_back(healthy);
          }
          values.push_back(healthy);
          values.push_back(healthy);
          const auto rows = static_cast<std::int64_t>(values.size());
          std::vector<float> t(values.size(), 1.0f);
          t.at(t.size() - 1) = -1.0f;
          std::vector<std::int32_t> status(values.size(), 99);
          Rows z(layout, rows, columns, dtype), out(layout, rows, columns, dtype);
          z.set_all(values);
          for (const Context& context : contract_contexts()) {
            expect_ok(form.run({.logits = z.tensor(),
                                .output = out.tensor(),
                                .row_status = z.per_row(status),
                                .temperature = z.per_row(t),
                                .dim = layout.dim},
                               context));
            std::vector<std::int32_t> truth(values.size(), 99);
            Rows reference(layout, rows, columns, dtype);
            expect_ok(form.run({.logits = z.tensor(),
                                .output = reference.tensor(),
                                .row_status = z.per_row(truth),
                                .temperature = z.per_row(t),
                                .dim = layout.dim},
                               kReference));
            EXPECT_EQ(status, truth);
            EXPECT_EQ(status.back(), static_cast<int>(RowStatus::bad_parameter));
            EXPECT_EQ(status[0], static_cast<int>(RowStatus::empty));
            EXPECT_EQ(status[14], static_cast<int>(RowStatus::pos_inf));
            EXPECT_EQ(status[18], static_cast<int>(RowStatus::nan));
            const Rows alone = run(form, {healthy}, dtype, dtype, context);
            for (std::int64_t row = 0; row < rows; ++row)
              for (std::int64_t i = 0; i < columns; ++i) {
                const bool is_sick = (row % 2 == 0 && row < rows - 2) || row == rows - 1;
                ASSERT_EQ(std::isnan(reference.get(row, i)), is_sick);
                if (is_sick)
                  ASSERT_TRUE(std::isnan(out.get(row, i))) << form.name << " row " << row;
                else
                  ASSERT_TRUE(same_bits(out.get(row, i), alone.get(0, i))) << row;
              }
          }
        }
}

// Probabilities down to 2^-149, at temperatures whose log2(e)/T rounds as badly as it can; the
// truth in long double.
TEST(Softmax, SmallProbabilitiesAreRightToTheLastNormal) {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> uniform(0.2f, 5.0f);
  for (int trial = 0; trial < 300; ++trial) {
    const float t = uniform(random);
    std::vector<float> z;
    for (int i = 0; i < 1100; ++i) z.push_back(3.0f - 0.1f * t * static_cast<float>(i));
    const Rows out = run(kForms[0], {z}, DType::f32, DType::f32, {}, t);
    long double sum = 0;
    for (float x : z) sum += std::exp((static_cast<long double>(x) - 3) / t);
    for (std::int64_t i = 0; i < 1100; ++i) {
      const long double p = std::exp((static_cast<long double>(z[std::size_t(i)]) - 3) / t) / sum;
      const long double slack = 4e-6L * p + (p < 0x1p-126L ? 0x1p-150L : 0);
      ASSERT_LE(std::fabs(out.get(0, i) - p), slack) << "T=" << t << " p=" << double(p);
    }
  }
}

// |z|/T where f32 arithmetic can't reach: far_chunk.hpp and RowExp::far.
TEST(Softmax, FarRowsMatchReference) {
  const float temperatures[] = {0x1p-64f, 1e-6f, 1e-3f, 1.0f, 1e6f, 0x1p64f};
  for (const Form& form : kForms)
    for (const float scale : {1e-10f, 1.0f, 3e3f, 1e8f, 1e25f, 5e37f})
      for (const float t : temperatures) {
        std::vector<float> z = gaussian(5000, 11, 1, 0.5f);
        for (float& x : z) x *= scale;
        z[77] = -kInf;
        z[78] = std::numeric_limits<float>::lowest();
        const float max = *std::max_element(z.begin(), z.end());
        z[4999] = z[4998] = max;  // ties
        std::sort(z.begin() + 100, z.begin() + 200);
        for (int i = 200; i < 300; ++i)  // the maximum's neighbours
          z[std::size_t(i)] = max * (1 - 1e-7f * static_cast<float>(i - 200));
        SCOPED_TRACE(std::string(form.name) + " scale " + std::to_string(scale) +
                     " T=" + std::to_string(t));
        expect_contract(form, {z}, DType::f32, t);
        if (HasFatalFailure()) return;
      }
}

TEST(Softmax, OneHotIsExactlyOneAndMassIsOne) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 30);
  for (int trial = 0; trial < 2000; ++trial) {
    std::vector<float> z(9, -kInf);
    z[4] = normal(random);
    const float t = std::exp(normal(random) / 15);
    ASSERT_EQ(run(kForms[0], {z}, DType::f32, DType::f32, {}, t).get(0, 4), 1.0f)
        << z[4] << " T=" << t;
    ASSERT_EQ(run(kForms[1], {z}, DType::f32, DType::f32, {}, t).get(0, 4), 0.0f);
  }
  for (const auto& values : healthy_values(50257, DType::f32)) {
    const std::vector<float> p = run(kForms[0], {values}, DType::f32, DType::f32).row(0);
    EXPECT_NEAR(std::accumulate(p.begin(), p.end(), 0.0), 1.0, 1e-6);
  }
}

// The SIMD conversions are dtype.hpp's, for every kind of value: log-probs from 0 to −∞ and
// probabilities from 1 to the f16 subnormals.
TEST(Softmax, ConvertsToF16AndBF16AsTheScalarsDo) {
  for (const DType dtype : {DType::f16, DType::bf16})
    for (const Form& form : kForms) {
      auto values = healthy_values(20000, dtype, 3);
      values.push_back(gaussian(20000, 3, 20000, 0));  // log-probs beyond f16's range
      for (float& x : values.back()) x = rounded_to(x, dtype);
      for (const float t : {1.0f, 0.25f, 7.0f})
        for (const Context& context : contract_contexts()) {
          if (&form == &kForms[0] && !has_cpu_bits(context))
            continue;  // two bytes are by the hardware, f32 isn't:
                       // CudaRing.PerDeviceKeepsTheContract
          const Rows wide = run(form, values, dtype, DType::f32, context, t);
          const Rows narrow = run(form, values, dtype, dtype, context, t);
          for (std::int64_t row = 0; row < wide.rows(); ++row)
            for (std::int64_t i = 0; i < wide.columns(); ++i)
              ASSERT_TRUE(same_bits(narrow.get(row, i), rounded_to(wide.get(row, i), dtype)))
                  << to_string(dtype) << " " << wide.get(row, i);
        }
    }
}

TEST(Softmax, HostsFloatingPointModeChangesNothing) {
  if (on::is_cuda()) GTEST_SKIP() << "the mode is the host's";
  const auto values = healthy_values(5000, DType::f32);
  const Rows first = run(kForms[0], values, DType::f32, DType::f32);
  std::fesetround(FE_UPWARD);
  const Rows upward = run(kForms[0], values, DType::f32, DType::f32);
  const int mode = std::fegetround();
  std::fesetround(FE_TONEAREST);
  EXPECT_EQ(mode, FE_UPWARD);
  EXPECT_TRUE(upward.same_bits_as(first));
}

TEST(Softmax, UsesTheWorkspaceItAsksFor) {
  for (const Layout& layout : {contiguous_layout(), layouts()[1], layouts()[4]})
    for (const std::int64_t columns : {7, 9000}) {
      const auto values = healthy_values(columns, DType::f32);
      const auto rows = static_cast<std::int64_t>(values.size());
      Rows z(layout, rows, columns, DType::f32), out(layout, rows, columns, DType::f32);
      z.set_all(values);
      const SoftmaxArgs args{.logits = z.tensor(), .output = out.tensor(), .dim = layout.dim};
      const std::size_t size = on::softmax_workspace_size(args);
      std::vector<std::uint64_t> memory(size / 8 + 2, 0x1234567890abcdef);
      BackwardsExecutor executor(9);
      Context context{.workspace = {memory.data(), size}, .executor = &executor};
      expect_ok(on::softmax(args, context));
      EXPECT_EQ(memory.back(), 0x1234567890abcdef) << layout.name;
      EXPECT_TRUE(out.same_bits_as(run(kForms[0], values, DType::f32, DType::f32)));
      context.workspace.size = size - 1;
      const Status status = on::softmax(args, context);
      EXPECT_EQ(status.code(), StatusCode::out_of_memory);
      EXPECT_EQ(std::string(status.message()), "softmax: workspace has " +
                                                   std::to_string(size - 1) + " bytes, needs " +
                                                   std::to_string(size));
    }
}

TEST(Softmax, RefusesWhatItCantDo) {
  std::vector<float> a(200), b(200);
  std::vector<double> wide(200);
  std::vector<BFloat16> narrow(200);
  std::vector<std::int32_t> status(8);
  std::vector<std::int64_t> status64(8);
  const Tensor z = Tensor::of(a.data(), {4, 5, 6});
  const Tensor out = Tensor::of(b.data(), {4, 5, 6});
  const std::int64_t shape[] = {4, 5, 6}, overlapping[] = {1, 1, 1}, zero[] = {30, 0, 1};
  Tensor shifted = z;
  shifted.data = a.data() + 1;
  Tensor transposed = Tensor::of(a.data(), {5, 5});
  std::swap(transposed.strides[0], transposed.strides[1]);
  const auto message = [](const SoftmaxArgs& args) {
    const Status s = on::log_softmax(args);
    EXPECT_NE(s.code(), StatusCode::ok);
    EXPECT_EQ(std::string(s.message()).substr(0, 13), "log_softmax: ");
    return std::string(s.message()).substr(13);
  };
  EXPECT_EQ(message({.output = out}), "logits is missing");
  EXPECT_EQ(message({.logits = z}), "output is missing");
  EXPECT_EQ(message({.logits = Tensor::of(wide.data(), {4, 5, 6}), .output = out}),
            "logits has dtype f64, must be f32 or f16 or bf16");
  EXPECT_EQ(message({.logits = z, .output = Tensor::of(narrow.data(), {4, 5, 6})}),
            "output has dtype bf16, must be f32");
  EXPECT_EQ(message({.logits = z, .output = Tensor::of(b.data(), {4, 6, 5})}),
            "output has shape [4, 6, 5], must be [4, 5, 6] (logits is [4, 5, 6])");
  EXPECT_EQ(message({.logits = z, .output = out, .dim = 3}),
            "dim is 3, must be in [-3, 2] (logits has shape [4, 5, 6])");
  EXPECT_EQ(message({.logits = z, .output = out, .dim = -4}),
            "dim is -4, must be in [-3, 2] (logits has shape [4, 5, 6])");
  EXPECT_EQ(
      message({.logits = Tensor::of(a.data(), {4, 0}), .output = Tensor::of(b.data(), {4, 0})}),
      "logits has shape [4, 0], V must be in [1, 2^31 - 1]");
  EXPECT_EQ(message({.logits = Tensor::of(a.data(), {}), .output = Tensor::of(b.data(), {})}),
            "logits has no dimensions, must be [..., V]");
  EXPECT_EQ(
      message(
          {.logits = z, .output = out, .row_status = Tensor::of(status.data(), {4, 5}), .dim = 1}),
      "row_status has shape [4, 5], must be [4, 6] (logits without dim 1 is [4, 6])");
  EXPECT_EQ(
      message({.logits = z, .output = out, .row_status = Tensor::of(status64.data(), {4, 5})}),
      "row_status has dtype i64, must be i32");
  EXPECT_EQ(message({.logits = z, .output = out, .temperature = 0.0f}),
            "temperature is 0, must be in [2^-64, 2^64]");
  EXPECT_EQ(
      message({.logits = z, .output = out, .temperature = Tensor::of(b.data(), {5, 4}), .dim = 2}),
      "temperature has shape [5, 4], must be [4, 5] (logits without dim 2 is [4, 5])");
  EXPECT_EQ(message({.logits = z, .output = shifted}),
            "output output overlaps input logits in memory");
  EXPECT_EQ(message({.logits = Tensor::of(a.data(), {5, 5}), .output = transposed}),
            "output output overlaps input logits in memory");
  EXPECT_EQ(
      message({.logits = z, .output = Tensor::strided(b.data(), DType::f32, shape, overlapping)}),
      "output is written and its elements overlap: stride 1 in dimension 1");
  EXPECT_EQ(message({.logits = z, .output = Tensor::strided(b.data(), DType::f32, shape, zero)}),
            "output is written and its elements overlap: stride 0 in dimension 1");
  EXPECT_EQ(message({.logits = z,
                     .output = out,
                     .row_status = Tensor::of(reinterpret_cast<std::int32_t*>(b.data()), {4, 5})}),
            "outputs output and row_status overlap in memory");
  // No rows: nothing to do.
  expect_ok(on::softmax(
      {.logits = Tensor::of(a.data(), {0, 5}), .output = Tensor::of(b.data(), {0, 5})}));
}

TEST(Softmax, ABrokenExecutorIsAnError) {
  if (on::is_cuda()) GTEST_SKIP() << "executors are the CPU backend's";
  std::vector<float> z(20), out(20);
  BrokenExecutor broken;
  EXPECT_EQ(on::softmax(
                {.logits = Tensor::of(z.data(), {4, 5}), .output = Tensor::of(out.data(), {4, 5})},
                {.executor = &broken})
                .code(),
            StatusCode::internal);
}

}  // namespace
}  // namespace logsum::test
