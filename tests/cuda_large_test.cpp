// SPDX-License-Identifier: Apache-2.0
// More elements than 32 bits count, read in one call, one column or one row. What repeated rows
// give is what each of them gives on the CPU.
#include <gtest/gtest.h>

#include "logsum/measure.hpp"
#include "support/cuda.hpp"
#include "support/statistics.hpp"

namespace logsum::test {
namespace {

const Context kCpu{.backend = Backend::cpu};
const SampleArgs kSampling{.temperature = 0.9f, .seed = 4, .offset = 1, .draws = 2};

using CudaLarge = OnGpu;

std::vector<TileRecord> records_of(const Tensor& logits, const Context& context) {
  const std::int64_t rows = logits.shape[0];
  const std::int64_t tiles = (logits.shape[1] + kTileColumns - 1) / kTileColumns;
  std::vector<TileRecord> records(std::size_t(rows * tiles));
  must(on::measure({.logits = logits,
                    .records = Tensor::of(reinterpret_cast<std::uint8_t*>(records.data()),
                                          {rows, tiles, sizeof(TileRecord)}),
                    .temperature = kSampling.temperature},
                   context));
  return records;
}

// Rows on the host, and what the CPU makes of them.
struct Known {
  Matrix logits;
  std::vector<std::int64_t> targets;
  Scores scores;
  Draws draws;
  std::vector<TileRecord> records;

  Known(std::int64_t rows, std::int64_t columns, DType dtype)
      : logits(filled(rows, columns, dtype)),
        targets(spread_targets(rows, columns)),
        scores(scores_of(logits.tensor(), targets, kCpu)),
        draws(draws_of(logits.tensor(), kCpu, kSampling)),
        records(records_of(logits.tensor(), kCpu)) {}

  static Matrix filled(std::int64_t rows, std::int64_t columns, DType dtype) {
    Matrix matrix(rows, columns, dtype);
    for (std::int64_t i = 0; i < rows; ++i)
      matrix.set_row(i, many_logits(std::size_t(columns), std::uint64_t(i), 6));
    return matrix;
  }
};

void expect_known(const Known& known, const DeviceMatrix& matrix) {
  const Tensor logits = matrix.tensor();
  const Context context = cuda(Determinism::cross_device);
  const Scores scores = scores_of(logits, repeated(known.targets, logits.shape[0]), context);
  const Draws draws = draws_of(logits, context, kSampling);
  const std::vector<TileRecord> records = records_of(logits, context);
  const std::size_t tiles = records.size() / scores.rows;
  for (std::size_t i = 0; i < scores.rows; ++i) {
    const std::size_t k = i % known.scores.rows;
    ASSERT_TRUE(same_row(scores, i, known.scores, k));
    ASSERT_TRUE(same_row(draws, i, known.draws, k));
    ASSERT_TRUE(same_elements(records, i, known.records, k, tiles)) << "records of row " << i;
  }
}

TEST_F(CudaLarge, MoreThan2To31Elements) {
  const std::int64_t rows = is_quick() ? 600 : 16400, columns = 131072;
  if (!has_gigabytes(6)) GTEST_SKIP() << "not enough memory";
  Known known(7, columns, DType::bf16);
  expect_known(known, DeviceMatrix(rows, known.logits.tensor()));
}

TEST_F(CudaLarge, ManyRows) {
  if (!has_gigabytes(2)) GTEST_SKIP() << "not enough memory";
  for (const std::int64_t columns : {1000, 1})
    for (const std::int64_t rows : {is_quick() ? 10000 : 100000, 1}) {
      SCOPED_TRACE(std::to_string(rows) + " rows, V=" + std::to_string(columns));
      Known known(std::min<std::int64_t>(rows, 997), columns, DType::f32);
      expect_known(known, DeviceMatrix(rows, known.logits.tensor()));
    }
}

// More columns than f32 counts, and than any row of tiles that shared memory holds.
TEST_F(CudaLarge, LongRows) {
  const std::int64_t columns = (is_quick() ? 1 << 21 : 1 << 26) + 13;
  if (!has_gigabytes(3)) GTEST_SKIP() << "not enough memory";
  for (const DType dtype : {DType::bf16, DType::f32}) {
    Known known(2, columns, dtype);
    expect_known(known, DeviceMatrix(5, known.logits.tensor()));
  }
}

}  // namespace
}  // namespace logsum::test
