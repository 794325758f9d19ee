// SPDX-License-Identifier: Apache-2.0
// More elements than 32 bits count, in one call, one column or one row. What repeated rows give is
// what each of them gives on the CPU.
#include <gtest/gtest.h>

#include "logsum/logsumexp.hpp"
#include "logsum/softmax.hpp"
#include "support/cuda.hpp"
#include "support/statistics.hpp"

namespace logsum::test {
namespace {

const Context kCpu{.backend = Backend::cpu};
const SampleArgs kSampling{.temperature = 0.9f, .seed = 4, .offset = 1, .draws = 2};

class CudaLarge : public OnGpu {
 protected:
  // Whether the GPU has room beside what other programs take; else the test is skipped.
  static bool has_gigabytes(double needed) {
    std::size_t free = 0, total = 0;
    must("memory", cudaMemGetInfo(&free, &total));
    return static_cast<double>(free) > needed * 1e9;
  }
};

// Rows on the host, and what the CPU makes of them.
struct Known {
  Matrix logits;
  std::vector<std::int64_t> targets;
  Scores scores;
  Draws draws;

  Known(std::int64_t rows, std::int64_t columns, DType dtype)
      : logits(filled(rows, columns, dtype)),
        targets(spread_targets(rows, columns)),
        scores(scores_of(logits.tensor(), targets, kCpu)),
        draws(draws_of(logits.tensor(), kCpu, kSampling)) {}

  static Matrix filled(std::int64_t rows, std::int64_t columns, DType dtype) {
    Matrix matrix(rows, columns, dtype);
    for (std::int64_t i = 0; i < rows; ++i)
      matrix.set_row(i, many_logits(std::size_t(columns), std::uint64_t(i), 6));
    return matrix;
  }
};

// The first of `count` rows that repeat the known ones.
std::vector<std::int64_t> repeated(const std::vector<std::int64_t>& targets, std::int64_t count) {
  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < count; ++i) all.push_back(targets[std::size_t(i) % targets.size()]);
  return all;
}

void expect_known(const Known& known, const DeviceMatrix& matrix) {
  const Tensor logits = matrix.tensor();
  const Context context = cuda(Determinism::cross_device);
  const Scores scores = scores_of(logits, repeated(known.targets, logits.shape[0]), context);
  const Draws draws = draws_of(logits, context, kSampling);
  for (std::size_t i = 0; i < scores.rows; ++i) {
    ASSERT_TRUE(same_row(scores, i, known.scores, i % known.scores.rows));
    ASSERT_TRUE(same_row(draws, i, known.draws, i % known.draws.rows));
  }
}

TEST_F(CudaLarge, MoreThan2To31Elements) {
  const std::int64_t rows = is_quick() ? 600 : 16400, columns = 131072;
  if (!has_gigabytes(6)) GTEST_SKIP() << "not enough memory";
  Known known(7, columns, DType::bf16);
  expect_known(known, DeviceMatrix(rows, known.logits.tensor()));
}

// Written too: each row of the output is its row's.
TEST_F(CudaLarge, SoftmaxOfMoreThan2To31Elements) {
  const std::int64_t rows = is_quick() ? 600 : 16400, columns = 131072, given = 7;
  if (!has_gigabytes(12)) GTEST_SKIP() << "not enough memory";
  Known known(given, columns, DType::bf16);
  const DeviceMatrix matrix(rows, known.logits.tensor());
  const DeviceBuffer<std::uint16_t> output(std::size_t(rows * columns), 0x7f);
  std::vector<std::uint16_t> wanted(std::size_t(given * columns));
  std::vector<float> lse(std::size_t(rows), 99);
  const auto as_rows = [&](std::uint16_t* data, std::int64_t count, Device device) {
    return Tensor::contiguous(data, DType::bf16, std::array{count, columns}, device);
  };
  must(on::softmax({.logits = known.logits.tensor(), .output = as_rows(wanted.data(), given, {})},
                   kCpu));
  const Context context = cuda(Determinism::cross_device);
  call_on_gpu(&softmax,
              SoftmaxArgs{.logits = matrix.tensor(), .output = as_rows(output.data(), rows, kGpu)},
              context);
  must(on::logsumexp({.logits = matrix.tensor(), .lse = Tensor::of(lse.data(), {rows})}, context));
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto k = static_cast<std::size_t>(i % given);
    ASSERT_TRUE(same_bits(known.scores.lse[k], lse[std::size_t(i)])) << "row " << i;
    // The rest is the same code at other places: look where 31 and 32 bits of bytes and elements
    // end, and at both ends.
    const std::int64_t at = i * columns;
    const bool is_watched = i < given || i + given >= rows || at % (1 << 29) < given * columns;
    if (!is_watched) continue;
    const auto row = output.get(std::size_t(at), std::size_t(columns));
    ASSERT_TRUE(same_elements(row, 0, wanted, k, std::size_t(columns))) << "row " << i;
  }
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
