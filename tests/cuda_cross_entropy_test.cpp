// SPDX-License-Identifier: Apache-2.0
// cross_entropy on a GPU: rings and two visits give the same bits, with the CPU's exponential the
// CPU's; rings go round; rows with trouble; a graph's replay reads what its tensors hold.
#include <gtest/gtest.h>

#include "support/captured.hpp"
#include "support/cross_entropy.hpp"

namespace logsum::test {
namespace {

using CudaCrossEntropy = OnGpu;
using CudaCrossEntropyRings = OnGpuWithRings;

const Context kCpu{.backend = Backend::cpu};

// Widths of one CTA per row up to eight, and whose last tile, chunk and lanes aren't whole.
const std::vector<std::int64_t> kRingWidths = {8192, 12312, 32000, 50000, 151936};

// With all that a ring's loss may have.
Classes full_batch(std::int64_t rows, std::int64_t columns, DType dtype) {
  Classes c = class_batch(rows, columns, std::uint32_t(columns % 977), dtype);
  c.weights = class_weights(columns);
  c.lse_square_scale = 0.002f;
  for (std::int64_t i = 0; i < rows; ++i)
    c.grad_loss.push_back(1 - 0.375f * static_cast<float>(i % 5));
  c.grad_scale = 0.3;
  return c;
}

TEST_F(CudaCrossEntropyRings, HaveTheCpusBits) {
  for (const std::int64_t columns : kRingWidths)
    for (const DType dtype : logits_dtypes()) {
      SCOPED_TRACE(std::to_string(columns) + " " + to_string(dtype));
      const ClassForm form{.grad = dtype, .in_place = columns % 3 == 0};
      const Classes c = full_batch(20, columns, dtype);
      ClassCall wanted(c, form), got(c, form);
      wanted.run(kCpu);
      got.run(cuda(Determinism::cross_device, Schedule::rings));
      ASSERT_TRUE(same_results(got, wanted));
    }
}

TEST_F(CudaCrossEntropyRings, AreTheTwoVisitsToTheBit) {
  for (const std::int64_t columns : kRingWidths)
    for (const DType dtype : logits_dtypes()) {
      SCOPED_TRACE(std::to_string(columns) + " " + to_string(dtype));
      const Classes c = full_batch(20, columns, dtype);
      ClassCall rings(c, {.grad = dtype}), spans(c, {.grad = dtype});
      rings.run(cuda(Determinism::per_device, Schedule::rings));
      spans.run(cuda(Determinism::per_device, Schedule::spans));
      ASSERT_TRUE(same_results(rings, spans));
    }
}

// More rows than a GPU has clusters, and than one CTA sums.
TEST_F(CudaCrossEntropyRings, GoRound) {
  for (const DType dtype : {DType::bf16, DType::f32}) {
    const Classes c = full_batch(1500, 8192, dtype);
    ClassCall wanted(c, {.grad = dtype}), got(c, {.grad = dtype});
    wanted.run(kCpu);
    got.run(cuda(Determinism::cross_device, Schedule::rings));
    ASSERT_TRUE(same_results(got, wanted)) << to_string(dtype);
  }
}

// Rows with trouble, which a helper measures again, with and without their target.
TEST_F(CudaCrossEntropyRings, RowsWithTrouble) {
  Classes c = full_batch(24, 12288, DType::f32);
  c.logits[2][700] = kNaN;
  c.logits[3][9000] = kInf;
  c.targets[5] = 12288;
  c.targets[7] = -1;
  std::fill(c.logits[9].begin(), c.logits[9].end(), -kInf);
  for (const std::size_t row : {11u, 13u})
    for (float& z : c.logits[row]) z *= row == 11 ? 1e30f : 1e7f;
  c.logits[15].assign(12288, -kInf);
  c.logits[15][std::size_t(c.targets[15])] = 2;
  c.logits[17][std::size_t(c.targets[17])] = 200;
  c.logits[19][std::size_t(c.targets[19])] = -kInf;
  c.grad_loss[21] = kInf;
  ClassCall wanted(c), got(c);
  wanted.run(kCpu);
  got.run(cuda(Determinism::cross_device, Schedule::rings));
  for (std::size_t i = 0; i < c.rows(); ++i)
    if (std::isnan(wanted.gradients().get(std::int64_t(i), 0)))
      EXPECT_TRUE(got.gradient_is(i, kNaN) && got.status[i] == wanted.status[i]) << i;
    else
      EXPECT_TRUE(same_row(got, i, wanted, i));
}

TEST_F(CudaCrossEntropyRings, NothingCounts) {
  Classes c = class_batch(15, 8192, 4, DType::bf16);
  c.targets.assign(c.rows(), c.ignore_index);
  ClassCall call(c, {.grad = DType::bf16});
  call.run(cuda(Determinism::per_device, Schedule::rings));
  for (std::size_t i = 0; i < c.rows(); ++i) EXPECT_TRUE(call.gradient_is(i, 0.0f));
  EXPECT_EQ(call.loss, 0);
}

// Columns one by one, of more tiles and rows than warps.
TEST_F(CudaCrossEntropy, ColumnsHaveTheCpusBits) {
  for (const std::int64_t columns : {12312, 151937})
    for (const DType dtype : logits_dtypes())
      for (const float cap : {0.0f, 7.0f}) {
        Classes c = full_batch(30, columns, dtype);
        c.label_smoothing = 0.1f;
        c.softcap = cap;
        const ClassForm form{.grad = dtype, .in_place = true};
        ClassCall wanted(c, form), got(c, form), own(c, form);
        wanted.run(kCpu);
        got.run(cuda(Determinism::cross_device));
        ASSERT_TRUE(same_results(got, wanted)) << columns << " " << to_string(dtype) << " " << cap;
        own.run(cuda(Determinism::per_device));
        EXPECT_NEAR(own.loss, wanted.loss, 1e-6 * wanted.loss);
      }
}

TEST_F(CudaCrossEntropy, AGraphsReplayReadsWhatItsTensorsHold) {
  for (const float smoothing : {0.0f, 0.2f}) {
    Classes c = full_batch(12, 9000, DType::f32);
    c.label_smoothing = smoothing;
    ClassCall call(c);
    Captured captured(&cross_entropy, call.args, &cross_entropy_workspace_size,
                      cuda(Determinism::cross_device));
    for (std::uint32_t replay = 1; replay <= 3; ++replay) {
      const Classes fresh = class_batch(12, 9000, 11 + replay);
      call.logits.set_all(fresh.logits);
      std::copy(fresh.targets.rbegin(), fresh.targets.rend(), call.c.targets.begin());
      captured.replay();
      Classes now = call.c;
      now.logits = fresh.logits;
      ClassCall wanted(now);
      wanted.run(kCpu);
      ASSERT_TRUE(same_results(call, wanted)) << "replay " << replay;
    }
  }
}

}  // namespace
}  // namespace logsum::test
