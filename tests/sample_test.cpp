// SPDX-License-Identifier: Apache-2.0
#include "logsum/sample.hpp"

#include <gtest/gtest.h>

#include "logsum/token_logprobs.hpp"
#include "support/matrix.hpp"

namespace logsum::test {
namespace {

const Context kReference{.backend = Backend::reference};

struct Draws {
  std::vector<std::int64_t> token;
  std::vector<float> logprob, raw_logprob, lse, entropy;
  std::vector<std::int32_t> status;
};

// Draws `n` tokens for each row of logits [rows, V]; args' optional inputs are taken over.
Draws draw(const Tensor& logits, const Context& context, SampleArgs args = {}) {
  const std::int64_t rows = args.indices.present() ? args.indices.elements() : logits.shape[0];
  const std::int64_t n = args.draws;
  Draws d;
  d.token.resize(static_cast<std::size_t>(rows * n), 99);
  d.logprob.resize(d.token.size(), 99);
  d.raw_logprob.resize(d.token.size(), 99);
  d.lse.resize(static_cast<std::size_t>(rows), 99);
  d.entropy.resize(d.lse.size(), 99);
  d.status.resize(d.lse.size(), 99);
  args.logits = logits;
  args.token = Tensor::of(d.token.data(), {rows, n});
  args.logprob = Tensor::of(d.logprob.data(), {rows, n});
  args.raw_logprob = Tensor::of(d.raw_logprob.data(), {rows, n});
  args.lse = Tensor::of(d.lse.data(), {rows});
  args.entropy = Tensor::of(d.entropy.data(), {rows});
  args.row_status = Tensor::of(d.status.data(), {rows});
  const Status status = sample(args, context);
  EXPECT_TRUE(status.ok()) << status.message();
  return d;
}

void expect_same_bits(const Draws& a, const Draws& b, const std::string& what) {
  EXPECT_EQ(a.token, b.token) << what;
  EXPECT_EQ(a.status, b.status) << what;
  for (std::size_t i = 0; i < a.logprob.size(); ++i) {
    EXPECT_TRUE(same_bits(a.logprob[i], b.logprob[i])) << what;
    EXPECT_TRUE(same_bits(a.raw_logprob[i], b.raw_logprob[i])) << what;
  }
  for (std::size_t i = 0; i < a.lse.size(); ++i) {
    EXPECT_TRUE(same_bits(a.lse[i], b.lse[i])) << what;
    EXPECT_TRUE(same_bits(a.entropy[i], b.entropy[i])) << what;
  }
}

// The float64 cdf of a row on both sides of a token.
struct Step {
  double below, above;
};

Step cdf_step(const std::vector<float>& z, double temperature, std::int64_t token) {
  const double max = *std::max_element(z.begin(), z.end());
  double below = 0, at = 0, sum = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double e = std::exp((static_cast<double>(z[i]) - max) / temperature);
    sum += e;
    if (static_cast<std::int64_t>(i) < token) below += e;
    if (static_cast<std::int64_t>(i) == token) at = e;
  }
  return {below / sum, (below + at) / sum};
}

TEST(Sample, MatchesReferenceOnEveryRowWidthDtypeAndTarget) {
  const auto cases = healthy_rows();
  const auto rows = static_cast<std::int64_t>(cases.size());
  for (const DType dtype : logits_dtypes()) {
    for (const std::int64_t columns : widths()) {
      Matrix z(rows, columns, dtype, 3, 1);
      std::vector<std::vector<float>> values;
      for (std::size_t i = 0; i < cases.size(); ++i) {
        values.push_back(cases[i].make(columns, static_cast<std::uint32_t>(i)));
        for (float& x : values.back()) x = rounded_to(x, dtype);
        z.set_row(static_cast<std::int64_t>(i), values.back());
      }
      for (const float t : {1.0f, 0.6f}) {
        SampleArgs args{.temperature = t, .seed = static_cast<std::uint64_t>(columns), .draws = 5};
        const Draws truth = draw(z.tensor(), kReference, args);
        Draws first;
        for (const Context& context : cpu_contexts()) {
          const Draws got = draw(z.tensor(), context, args);
          const std::string what = std::string(to_string(dtype)) + " V=" + std::to_string(columns) +
                                   " T=" + std::to_string(t) + " " + name_of(context);
          if (first.token.empty()) first = got;
          expect_same_bits(got, first, what);
          for (std::size_t i = 0; i < got.token.size(); ++i) {
            const std::size_t row = i / 5;
            SCOPED_TRACE(what + " " + cases[row].name);
            EXPECT_EQ(got.status[row], truth.status[row]);
            EXPECT_TRUE(within_contract(got.lse[row], truth.lse[row]));
            EXPECT_TRUE(within_contract(got.entropy[row], truth.entropy[row]));
            if (got.token[i] == truth.token[i]) {
              EXPECT_TRUE(within_contract(got.logprob[i], truth.logprob[i]))
                  << got.logprob[i] << " for " << truth.logprob[i];
              EXPECT_TRUE(within_contract(got.raw_logprob[i], truth.raw_logprob[i]));
              continue;
            }
            const double u = static_cast<double>(uniform_bits(static_cast<std::uint64_t>(columns),
                                                              0, static_cast<std::uint32_t>(i % 5),
                                                              RngStream::sample)) *
                             0x1p-53;
            const Step step = cdf_step(values[row], t, got.token[i]);
            EXPECT_GE(u, step.below - 0x1p-22);
            EXPECT_LE(u, step.above + 0x1p-22);
          }
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST(Sample, LogprobIsTheScorersBitForBit) {
  const std::int64_t columns = 50257;
  const auto cases = healthy_rows();
  const auto rows = static_cast<std::int64_t>(cases.size());
  for (const DType dtype : logits_dtypes()) {
    Matrix z(rows, columns, dtype);
    for (std::int64_t i = 0; i < rows; ++i)
      z.set_row(i, cases[static_cast<std::size_t>(i)].make(columns, 7));
    for (const float t : {1.0f, 0.3f, 2.5f}) {
      Draws d = draw(z.tensor(), {}, {.temperature = t, .seed = 3, .draws = 4});
      std::vector<float> scored(d.token.size()), raw(d.token.size()), lse(d.lse.size());
      for (auto [out, temperature] : {std::pair{&scored, t}, std::pair{&raw, 1.0f}}) {
        const Status status = token_logprobs({.logits = z.tensor(),
                                              .targets = Tensor::of(d.token.data(), {rows, 4}),
                                              .logprobs = Tensor::of(out->data(), {rows, 4}),
                                              .temperature = temperature,
                                              .ignore_index = -1});
        ASSERT_TRUE(status.ok()) << status.message();
      }
      for (std::size_t i = 0; i < d.token.size(); ++i) {
        if (d.token[i] < 0) continue;
        EXPECT_TRUE(same_bits(d.logprob[i], scored[i])) << cases[i / 4].name << " T=" << t;
        EXPECT_TRUE(same_bits(d.raw_logprob[i], raw[i])) << cases[i / 4].name << " T=" << t;
        EXPECT_LE(d.logprob[i], 0.0f);
      }
    }
  }
}

}  // namespace
}  // namespace logsum::test
