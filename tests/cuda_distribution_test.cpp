// SPDX-License-Identifier: Apache-2.0
// A GPU's draws by its own exponential, 1.4e9 of them, against float64 softmax: a row with tail
// tokens of probability 1e-8, of which each is drawn some five times, and two simple rows. Each
// G-test raises a false alarm for one seed in a million.
#include <gtest/gtest.h>

#include "support/cdf.hpp"
#include "support/counts.hpp"
#include "support/cuda.hpp"

namespace logsum::test {
namespace {

using CudaDistribution = OnGpu;

std::int64_t draws_wanted(std::int64_t full) { return is_quick() ? full / 10 : full; }

// At least `total` tokens of one row, many from each visit of it.
Counts counts_of(const std::vector<float>& z, DType dtype, std::int64_t total) {
  constexpr std::int64_t kRows = 2048, kDraws = 1 << 14;
  const auto columns = static_cast<std::int64_t>(z.size());
  Matrix row(1, columns, dtype);
  row.set_row(0, z);
  const DeviceMatrix logits(1, row.tensor());
  const DeviceBuffer<std::int32_t> tokens(kRows * kDraws);
  std::vector<std::int64_t> offsets(kRows);
  Counts counts(z.size());
  for (std::int64_t done = 0; done < total; done += kRows * kDraws) {
    for (std::int64_t i = 0; i < kRows; ++i) offsets[std::size_t(i)] = done + i;
    const DeviceBuffer<std::int64_t> offset(offsets);
    call_on_gpu(&sample,
                SampleArgs{.logits = Tensor::strided(logits.tensor().data, dtype,
                                                     std::array{kRows, columns},
                                                     std::array<std::int64_t, 2>{0, 1}, kGpu),
                           .token = Tensor::of(tokens.data(), {kRows, kDraws}, kGpu),
                           .seed = 2024,
                           .offset = Tensor::of(offset.data(), {kRows}, kGpu),
                           .draws = kDraws},
                cuda(Determinism::per_device));
    for (const std::int32_t token : tokens.get()) ++counts.at(static_cast<std::size_t>(token));
  }
  return counts;
}

TEST_F(CudaDistribution, PeakedRowWithItsTail) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    std::vector<float> z = peaked_row();
    for (float& x : z) x = rounded_to(x, dtype);
    const std::vector<double> p = probabilities_of(z, 1);
    const Counts counts = counts_of(z, dtype, draws_wanted(500'000'000));
    SCOPED_TRACE(to_string(dtype));
    expect_fit(counts, p);
    expect_tail(counts, p);
  }
}

TEST_F(CudaDistribution, FlatRow) {
  std::vector<float> z(4000, -7.53f);
  for (std::size_t i = 4; i < z.size(); i += 5) z[i] = -kInf;
  expect_fit(counts_of(z, DType::f32, draws_wanted(200'000'000)), probabilities_of(z, 1));
}

// Each token's share is that of its float64 logit, over six orders of magnitude.
TEST_F(CudaDistribution, RisingRow) {
  std::vector<float> z(3000);
  for (std::size_t i = 0; i < z.size(); ++i) z[i] = static_cast<float>(i) * 0.005f;
  expect_fit(counts_of(z, DType::f32, draws_wanted(200'000'000)), probabilities_of(z, 1));
}

}  // namespace
}  // namespace logsum::test
