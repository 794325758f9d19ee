// SPDX-License-Identifier: Apache-2.0
// token_logprobs and sample with every output asked for, and the comparison of their rows to the
// bit. Outputs hold 99 before the call, so that one that isn't written shows.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "logsum/sample.hpp"
#include "logsum/token_logprobs.hpp"
#include "support/matrix.hpp"

namespace logsum::test {

inline void must(const Status& status) { ASSERT_TRUE(status.ok()) << status.message(); }

// [rows, K] scores with the five best of each row.
struct Scores {
  std::size_t rows, k, n;
  std::vector<float> logprobs, lse, entropy, top_logprobs;
  std::vector<std::int64_t> argmax, rank, top_ids;
  std::vector<std::int32_t> status;

  Scores(std::size_t row_count, std::size_t targets_per_row, std::size_t top)
      : rows(row_count),
        k(targets_per_row),
        n(top),
        logprobs(rows * k, 99),
        lse(rows, 99),
        entropy(rows, 99),
        top_logprobs(rows * n, 99),
        argmax(rows, 99),
        rank(rows * k, 99),
        top_ids(rows * n, 99),
        status(rows, 99) {}
};

// All of token_logprobs' arguments; `args` brings parameters.
inline TokenLogprobsArgs scores_into(Scores& s, const Tensor& logits,
                                     const std::vector<std::int64_t>& targets,
                                     TokenLogprobsArgs args) {
  const auto rows = static_cast<std::int64_t>(s.rows), k = static_cast<std::int64_t>(s.k),
             n = static_cast<std::int64_t>(s.n);
  args.logits = logits;
  if (k > 0) {
    args.targets = Tensor::of(targets.data(), {rows, k});
    args.logprobs = Tensor::of(s.logprobs.data(), {rows, k});
    args.rank = Tensor::of(s.rank.data(), {rows, k});
  }
  args.lse = Tensor::of(s.lse.data(), {rows});
  args.entropy = Tensor::of(s.entropy.data(), {rows});
  args.argmax = Tensor::of(s.argmax.data(), {rows});
  args.top_ids = Tensor::of(s.top_ids.data(), {rows, n});
  args.top_logprobs = Tensor::of(s.top_logprobs.data(), {rows, n});
  args.row_status = Tensor::of(s.status.data(), {rows});
  return args;
}

// Scores logits [rows, V]; targets are [rows, K] for the K that fits.
inline Scores scores_of(const Tensor& logits, const std::vector<std::int64_t>& targets,
                        const Context& context = {}, const TokenLogprobsArgs& args = {}) {
  const auto rows = static_cast<std::size_t>(logits.shape[0]);
  const std::int64_t columns = args.vocab_size ? args.vocab_size : logits.dim(-1);
  Scores s(rows, targets.size() / std::max<std::size_t>(rows, 1),
           static_cast<std::size_t>(std::min<std::int64_t>(5, columns)));
  must(on::token_logprobs(scores_into(s, logits, targets, args), context));
  return s;
}

// [rows, n] draws.
struct Draws {
  std::size_t rows, n;
  std::vector<std::int64_t> token;
  std::vector<float> logprob, raw_logprob, lse, entropy;
  std::vector<std::int32_t> status;

  Draws(std::size_t row_count, std::size_t draws)
      : rows(row_count),
        n(draws),
        token(rows * n, 99),
        logprob(rows * n, 99),
        raw_logprob(rows * n, 99),
        lse(rows, 99),
        entropy(rows, 99),
        status(rows, 99) {}
};

// All of sample's arguments; `args` brings parameters.
inline SampleArgs draws_into(Draws& d, const Tensor& logits, SampleArgs args) {
  const auto rows = static_cast<std::int64_t>(d.rows), n = static_cast<std::int64_t>(d.n);
  args.logits = logits;
  args.token = Tensor::of(d.token.data(), {rows, n});
  args.logprob = Tensor::of(d.logprob.data(), {rows, n});
  args.raw_logprob = Tensor::of(d.raw_logprob.data(), {rows, n});
  args.lse = Tensor::of(d.lse.data(), {rows});
  args.entropy = Tensor::of(d.entropy.data(), {rows});
  args.row_status = Tensor::of(d.status.data(), {rows});
  return args;
}

// Draws args.draws tokens for each row of logits [rows, V].
inline Draws draws_of(const Tensor& logits, const Context& context = {},
                      const SampleArgs& args = {}) {
  const std::int64_t rows = args.indices.present() ? args.indices.elements() : logits.shape[0];
  Draws d(static_cast<std::size_t>(rows), static_cast<std::size_t>(args.draws));
  must(on::sample(draws_into(d, logits, args), context));
  return d;
}

// Compares `count` elements of a from i·count on with those of b from j·count on.
template <class T>
bool same_elements(const std::vector<T>& a, std::size_t i, const std::vector<T>& b, std::size_t j,
                   std::size_t count) {
  return std::memcmp(a.data() + i * count, b.data() + j * count, count * sizeof(T)) == 0;
}

inline ::testing::AssertionResult same_row(const Scores& a, std::size_t i, const Scores& b,
                                           std::size_t j) {
  const char* differs = nullptr;
  if (!same_elements(a.logprobs, i, b.logprobs, j, a.k)) differs = "logprobs";
  if (!same_elements(a.rank, i, b.rank, j, a.k)) differs = "rank";
  if (!same_elements(a.lse, i, b.lse, j, 1)) differs = "lse";
  if (!same_elements(a.entropy, i, b.entropy, j, 1)) differs = "entropy";
  if (!same_elements(a.argmax, i, b.argmax, j, 1)) differs = "argmax";
  if (!same_elements(a.top_ids, i, b.top_ids, j, a.n)) differs = "top_ids";
  if (!same_elements(a.top_logprobs, i, b.top_logprobs, j, a.n)) differs = "top_logprobs";
  if (!same_elements(a.status, i, b.status, j, 1)) differs = "row_status";
  if (!differs) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << differs << " of rows " << i << " and " << j << " differ";
}

inline ::testing::AssertionResult same_row(const Draws& a, std::size_t i, const Draws& b,
                                           std::size_t j) {
  const char* differs = nullptr;
  if (!same_elements(a.token, i, b.token, j, a.n)) differs = "token";
  if (!same_elements(a.logprob, i, b.logprob, j, a.n)) differs = "logprob";
  if (!same_elements(a.raw_logprob, i, b.raw_logprob, j, a.n)) differs = "raw_logprob";
  if (!same_elements(a.lse, i, b.lse, j, 1)) differs = "lse";
  if (!same_elements(a.entropy, i, b.entropy, j, 1)) differs = "entropy";
  if (!same_elements(a.status, i, b.status, j, 1)) differs = "row_status";
  if (!differs) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << differs << " of rows " << i << " and " << j << " differ";
}

// All rows of two calls' results.
template <class Results>
::testing::AssertionResult same_bits(const Results& a, const Results& b) {
  for (std::size_t i = 0; i < a.rows; ++i)
    if (auto same = same_row(a, i, b, i); !same) return same;
  return ::testing::AssertionSuccess();
}

// A matrix of rows by name, in the dtype's precision; `values` keeps what the rows hold.
struct Batch {
  Matrix logits;
  std::vector<std::vector<float>> values;

  Batch(const std::vector<RowCase>& cases, std::int64_t columns, DType dtype,
        std::uint32_t seed = 0, std::int64_t padding = 0, std::int64_t misalign = 0)
      : logits(static_cast<std::int64_t>(cases.size()), columns, dtype, padding, misalign) {
    for (std::size_t i = 0; i < cases.size(); ++i) {
      values.push_back(cases[i].make(columns, seed + static_cast<std::uint32_t>(i)));
      // A value too large for f16 would become +∞ and the row sick.
      for (float& x : values.back())
        x = rounded_to(dtype == DType::f16 ? std::min(x, 65504.0f) : x, dtype);
      logits.set_row(static_cast<std::int64_t>(i), values.back());
    }
  }
  std::int64_t rows() const { return static_cast<std::int64_t>(values.size()); }
  Tensor tensor() { return logits.tensor(); }
};

// One target for each row, spread over the columns.
inline std::vector<std::int64_t> spread_targets(std::int64_t rows, std::int64_t columns) {
  std::vector<std::int64_t> targets;
  for (std::int64_t i = 0; i < rows; ++i) targets.push_back(i * 7919 % columns);
  return targets;
}

// `count` values that are the given ones again and again.
template <class T>
std::vector<T> repeated(const std::vector<T>& values, std::int64_t count) {
  std::vector<T> all;
  for (std::int64_t i = 0; i < count; ++i) all.push_back(values[std::size_t(i) % values.size()]);
  return all;
}

}  // namespace logsum::test
