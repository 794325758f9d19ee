// SPDX-License-Identifier: Apache-2.0
// Spans where each warp has many tiles, one after the other: of rows of every kind, of rows that
// are missing, short tiles among whole ones. What one leaves behind harms no other.
#include <gtest/gtest.h>

#include "logsum/row_status.hpp"
#include "support/cuda.hpp"

namespace logsum::test {
namespace {

using CudaSpans = OnGpu;

const SampleArgs kSampling{.temperature = 0.8f, .seed = 5, .offset = 1};

// Healthy rows and sick ones in turns, each at a multiple of 16 bytes.
Matrix rows_of_all_kinds(std::int64_t columns, DType dtype, std::int64_t& rows) {
  const auto healthy = healthy_rows();
  const auto sick = sick_rows();
  rows = static_cast<std::int64_t>(2 * healthy.size() - 1);  // odd: out of step with warps
  Matrix matrix(rows, columns, dtype);
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto kind = static_cast<std::size_t>(i / 2);
    std::vector<float> z = healthy[kind].make(columns, static_cast<std::uint32_t>(i));
    if (i % 2) sick[kind % sick.size()].infect(z);
    matrix.set_row(i, z);
  }
  return matrix;
}

TEST_F(CudaSpans, TilesOfAllKindsFollowOneAnother) {
  constexpr std::size_t kRows = 9001;  // four tiles and more for each warp of an H200
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const std::int64_t columns : {8, 1024, 1032, 3072, 4096, 4104, 7168, 8192}) {
      SCOPED_TRACE(std::string(to_string(dtype)) + ", columns " + std::to_string(columns));
      std::int64_t rows = 0;
      Matrix matrix = rows_of_all_kinds(columns, dtype, rows);
      std::vector<std::int64_t> indices(kRows);
      for (std::size_t i = 0; i < kRows; ++i) {
        const auto wanted = static_cast<std::int64_t>(i * 5 % static_cast<std::size_t>(rows));
        indices[i] = i % 7 == 3 ? -1 : i % 11 == 5 ? rows : wanted;  // some aren't there
      }
      SampleArgs args = kSampling;
      args.indices = Tensor::of(indices.data(), {static_cast<std::int64_t>(kRows)});
      for (const Determinism determinism : kDeterminisms) {
        const Context few = determinism == Determinism::cross_device
                                ? Context{.backend = Backend::cpu}
                                : cuda(determinism, Schedule::clusters);
        const Draws known = draws_of(matrix.tensor(), few, kSampling);
        const Draws got = draws_of(matrix.tensor(), cuda(determinism, Schedule::spans), args);
        for (std::size_t i = 0; i < kRows; ++i) {
          if (indices[i] < 0 || indices[i] == rows) {
            ASSERT_EQ(got.status[i], static_cast<int>(RowStatus::bad_parameter)) << i;
            ASSERT_EQ(got.token[i], -1) << i;
            continue;
          }
          const auto row = static_cast<std::size_t>(indices[i]);
          ASSERT_EQ(got.status[i], known.status[row]) << i;
          if (got.status[i] == static_cast<int>(RowStatus::ok))
            ASSERT_TRUE(same_row(got, i, known, row)) << i;
          else
            ASSERT_EQ(got.token[i], -1) << i;
        }
      }
    }
}

// Whoever brings a row's last tile has the whole of it to look for: the others go on, and wait
// where too many rows are unfinished.
TEST_F(CudaSpans, RowsThatTakeLongToFinish) {
  constexpr std::int64_t kKnown = 37, kRows = 37 * 40, kTop = 100;
  for (const std::int64_t columns : {1032, 40000}) {
    Matrix known(kKnown, columns, DType::f32), many(kRows, columns, DType::f32);
    for (std::int64_t i = 0; i < kKnown; ++i) {
      const std::vector<float> z = gaussian(columns, static_cast<std::uint32_t>(i), 2.5f, 0);
      known.set_row(i, z);
      for (std::int64_t j = i; j < kRows; j += kKnown) many.set_row(j, z);
    }
    const auto scores = [](Matrix& matrix, std::int64_t rows, const Context& context) {
      Scores s(static_cast<std::size_t>(rows), 0, kTop);
      must(on::token_logprobs(scores_into(s, matrix.tensor(), {}, {}), context));
      return s;
    };
    const Scores expected = scores(known, kKnown, {.backend = Backend::cpu});
    const Scores got = scores(many, kRows, cuda(Determinism::cross_device, Schedule::spans));
    for (std::size_t i = 0; i < kRows; ++i) ASSERT_TRUE(same_row(got, i, expected, i % kKnown));
  }
}

}  // namespace
}  // namespace logsum::test
