// SPDX-License-Identifier: Apache-2.0
// distill_loss on a GPU in rings: within the contract, and to the bits of the visits and tiles that
// read each matrix three times; rings go round; rows that don't count, with trouble, or that the
// quick arithmetic leaves to the exact one; a graph's replay reads what its tensors hold.
#include <gtest/gtest.h>

#include <array>

#include "support/captured.hpp"
#include "support/distill_text.hpp"
#include "support/rows.hpp"
#include "support/statistics.hpp"

namespace logsum::test {
namespace {

using CudaDistill = OnGpu;
using CudaDistillRings = OnGpuWithRings;

const Context kRings = cuda(Determinism::per_device, Schedule::rings);
const Context kTiles = cuda(Determinism::per_device, Schedule::spans);
constexpr Divergence kDivergences[] = {Divergence::forward_kl, Divergence::reverse_kl,
                                       Divergence::jsd};

// Widths of one CTA per row up to eight, and whose last tile, chunk and lanes aren't whole.
const std::vector<std::int64_t> kRingWidths = {8192, 12312, 32000, 50000, 151936};

Distill batch(Divergence divergence, std::int64_t columns, std::size_t rows, DType dtype) {
  Distill d;
  d.columns = columns;
  d.divergence = divergence;
  d.beta = 0.3f;
  d.student_dtype = d.teacher_dtype = dtype;
  d.grad_scale = 20;
  for (std::size_t i = 0; i < rows; ++i)
    add_random(d, static_cast<std::uint32_t>(columns + static_cast<std::int64_t>(i)));
  return d;
}

std::string name_of(const Distill& d) {
  return "divergence " + std::to_string(int(d.divergence)) + ", " + std::to_string(d.columns) +
         " columns of " + to_string(d.student_dtype);
}

// Every row; NaN is NaN whatever its bits.
void expect_same(const DistillCall& a, const DistillCall& b) {
  const auto same = [](const Rows& x, const Rows& y, std::int64_t i) {
    for (std::int64_t j = 0; j < x.columns(); ++j) {
      const float of_x = x.get(i, j), of_y = y.get(i, j);
      if (!same_bits(of_x, of_y) && !(std::isnan(of_x) && std::isnan(of_y))) return false;
    }
    return true;
  };
  for (std::size_t i = 0; i < a.d.rows(); ++i) {
    EXPECT_EQ(a.status[i], b.status[i]) << i;
    EXPECT_TRUE(same_bits(a.token_loss[i], b.token_loss[i]) ||
                (std::isnan(a.token_loss[i]) && std::isnan(b.token_loss[i])))
        << i;
    EXPECT_TRUE(same(a.of_student(), b.of_student(), std::int64_t(i))) << i;
    EXPECT_TRUE(same(a.of_teacher(), b.of_teacher(), std::int64_t(i))) << i;
  }
}

TEST_F(CudaDistillRings, KeepTheContract) {
  for (const std::int64_t columns : kRingWidths)
    for (const DType dtype : {DType::bf16, DType::f16})
      for (const Divergence divergence : kDivergences) {
        Distill d = batch(divergence, columns, 2, dtype);
        d.student_temperatures = {0.8f, 1};
        d.teacher_temperatures = {1.7f, 1};
        SCOPED_TRACE(name_of(d));
        DistillCall call(d, {.narrow_gradients = true});
        expect_text(call.run(kRings), kQuickBounds);
        if (HasFailure()) return;
      }
}

// In the series, where the mixture's logarithms have nothing left.
TEST_F(CudaDistillRings, OfNearlyEqualRows) {
  for (const Divergence divergence : kDivergences)
    for (const float noise : {0.02f, 0.2f}) {
      Distill d = batch(divergence, 12312, 0, DType::bf16);
      const std::vector<float> teacher = gaussian(d.columns, 5, 2.0f, 3.0f);
      const std::vector<float> by = gaussian(d.columns, 6, noise, 0.0f);
      std::vector<float> student = teacher;
      for (std::size_t j = 0; j < student.size(); ++j) student[j] += by[j];
      d.add(student, teacher).add(teacher, teacher);
      SCOPED_TRACE(name_of(d) + ", noise " + std::to_string(noise));
      DistillCall call(d, {.narrow_gradients = true});
      expect_text(call.run(kRings), kQuickBounds);
      EXPECT_EQ(call.token_loss[1], 0.0f);
      if (HasFailure()) return;
    }
}

TEST_F(CudaDistillRings, AreTheTilesToTheBit) {
  for (const std::int64_t columns : kRingWidths)
    for (const DType dtype : {DType::bf16, DType::f16})
      for (const Divergence divergence : kDivergences) {
        Distill d = batch(divergence, columns, 10, dtype);
        d.mask = {1, 1, 0, 1, 1, 1, 0, 0, 1, 1};
        SCOPED_TRACE(name_of(d));
        const DistillForm form{.narrow_gradients = true, .student_in_place = columns % 3 == 0};
        DistillCall rings(d, form), tiles(d, form);
        ASSERT_TRUE(same_results(rings.run(kRings), tiles.run(kTiles)));
      }
}

// Padded columns have gradient 0; a side that isn't asked for isn't written, and changes nothing.
TEST_F(CudaDistillRings, PaddedColumnsAndOneSide) {
  for (const Divergence divergence : kDivergences) {
    Distill d = batch(divergence, 16384, 9, DType::bf16);
    d.mask = {1, 0, 1, 1, 1, 1, 1, 1, 0};
    d.vocab_size = 16380;
    SCOPED_TRACE(name_of(d));
    DistillCall rings(d, {.narrow_gradients = true}), tiles(d, {.narrow_gradients = true});
    ASSERT_TRUE(same_results(rings.run(kRings), tiles.run(kTiles)));
    for (std::int64_t i = 0; i < 9; ++i)
      for (std::int64_t j = d.vocab_size; j < d.columns; ++j)
        ASSERT_TRUE(rings.of_student().get(i, j) == 0 && rings.of_teacher().get(i, j) == 0);
    for (Tensor DistillLossArgs::*side :
         {&DistillLossArgs::grad_student, &DistillLossArgs::grad_teacher}) {
      DistillCall one(d, {.narrow_gradients = true});
      one.args.*side = {};
      const bool is_student = side == &DistillLossArgs::grad_teacher;
      const float untouched = (is_student ? one.of_teacher() : one.of_student()).get(0, 0);
      one.run(kRings);
      for (std::int64_t i = 0; i < 9; ++i)
        for (std::int64_t j = 0; j < d.columns; ++j) {
          const Rows& written = is_student ? one.of_student() : one.of_teacher();
          const Rows& wanted = is_student ? rings.of_student() : rings.of_teacher();
          const Rows& other = is_student ? one.of_teacher() : one.of_student();
          ASSERT_TRUE(same_bits(written.get(i, j), wanted.get(i, j)));
          ASSERT_EQ(other.get(i, j), untouched);
        }
      EXPECT_EQ(one.loss, rings.loss);
    }
  }
}

// Columns that the two mask by other numbers, as frameworks do: none is anything, and the second's
// is too low for a difference of f32.
TEST_F(CudaDistillRings, MasksOfAnyNumber) {
  for (const Divergence divergence : kDivergences) {
    Distill d = batch(divergence, 8192, 3, DType::bf16);
    const float lowest = -std::numeric_limits<float>::max();
    for (std::size_t j = 100; j < 8192; j += 3) {
      d.student[0][j] = rounded_to(lowest * 0.99f, DType::bf16);
      d.teacher[0][j] = rounded_to(-1e9f, DType::bf16);
      d.student[1][j] = rounded_to(-1e9f, DType::bf16);
      d.teacher[1][j] = rounded_to(lowest * 0.99f, DType::bf16);
    }
    SCOPED_TRACE(name_of(d));
    for (const Context& context : {kRings, kTiles}) {
      DistillCall call(d, {.narrow_gradients = true});
      expect_text(call.run(context), kQuickBounds);
      if (HasFailure()) return;
    }
  }
}

// What f32 flushes to 0 comes back where it is multiplied by as much.
TEST_F(CudaDistillRings, LargeScales) {
  for (const Divergence divergence : kDivergences) {
    Distill d = batch(divergence, 8192, 2, DType::bf16);
    d.grad_scale = 0x1p60;
    for (std::size_t j = 0; j < 8192; j += 5) {
      d.student[0][j] = rounded_to(-105.0f, DType::bf16);
      d.teacher[0][j] = rounded_to(-103.0f, DType::bf16);
    }
    SCOPED_TRACE(name_of(d));
    DistillCall call(d, {.narrow_gradients = true});
    expect_text(call.run(kRings), kQuickBounds);
    if (HasFailure()) return;
  }
}

// More rows than a GPU has clusters: rings go round, and the joiners' tables with them.
TEST_F(CudaDistillRings, GoRound) {
  for (const std::int64_t columns : {std::int64_t{8192}, std::int64_t{40960}}) {
    Distill d = batch(Divergence::jsd, columns, 12, DType::bf16);
    for (std::size_t i = 12; i < 900; ++i) {
      d.student.push_back(d.student[i % 12]);
      d.teacher.push_back(d.teacher[i % 11]);
    }
    DistillCall rings(d, {.narrow_gradients = true}), tiles(d, {.narrow_gradients = true});
    ASSERT_TRUE(same_results(rings.run(kRings), tiles.run(kTiles))) << columns;
  }
}

// Batches that keep rings going round for long: tiles come to wait for each other in whatever way
// they can. 7 rows again and again, which memory holds once.
TEST_F(CudaDistillRings, LongBatches) {
  constexpr std::int64_t kGiven = 7;
  std::size_t next = 0;
  for (const std::int64_t columns : {12288, 20000, 32000, 40960, 65536, 262144, 278528}) {
    const Divergence divergence = kDivergences[next++ % std::size(kDivergences)];
    const std::int64_t times = (is_quick() ? 1 << 24 : 1 << 29) / (kGiven * columns);
    const auto rows = [columns](std::uint64_t seed) {
      std::vector<std::uint16_t> bits;
      for (const float z : many_logits(kGiven * columns, seed, 3)) bits.push_back(BFloat16(z).bits);
      return bits;
    };
    const DeviceBuffer<std::uint16_t> student(rows(1)), teacher(rows(2));
    constexpr int kUnwritten = 0xff;
    DeviceBuffer<std::uint16_t> gradient(std::size_t(times * kGiven * columns));
    DeviceBuffer<float> losses(std::size_t(times * kGiven));
    const auto call = [&](std::int64_t n, const Context& context) {
      const std::array shape{n, kGiven, columns};
      const std::array strides{std::int64_t{0}, columns, std::int64_t{1}};
      const DistillLossArgs args{
          .student_logits = Tensor::strided(student.data(), DType::bf16, shape, strides, kGpu),
          .teacher_logits = Tensor::strided(teacher.data(), DType::bf16, shape, strides, kGpu),
          .per_token_loss = Tensor::of(losses.data(), {n, kGiven}, kGpu),
          .grad_student = Tensor::contiguous(gradient.data(), DType::bf16, shape, kGpu),
          .divergence = divergence,
          .normalizer = double(kGiven)};
      gradient.fill(kUnwritten, 0, std::size_t(times * kGiven * columns));
      losses.fill(kUnwritten, 0, std::size_t(times * kGiven));
      call_on_gpu(&distill_loss, args, context);
    };
    const auto gradients = [&](std::int64_t i) {
      return gradient.get(std::size_t(i * kGiven * columns), std::size_t(kGiven * columns));
    };
    call(1, kTiles);
    const std::vector<float> wanted = losses.get(0, kGiven);
    const std::vector<std::uint16_t> wanted_gradients = gradients(0);
    call(times, kRings);
    const std::vector<float> got = losses.get(0, std::size_t(times * kGiven));
    for (std::size_t i = 0; i < got.size(); ++i)
      ASSERT_TRUE(same_bits(got[i], wanted[i % kGiven])) << columns << " columns, row " << i;
    for (std::int64_t i = 0; i < times; ++i)
      ASSERT_TRUE(gradients(i) == wanted_gradients) << columns << " columns, time " << i;
  }
}

// Rows with trouble, which a helper measures again; rows whose divergence or whose gradient the
// quick arithmetic can't tell, which are left to the exact one.
TEST_F(CudaDistillRings, RowsWithTrouble) {
  for (const Divergence divergence : kDivergences) {
    Distill d = batch(divergence, 12288, 16, DType::bf16);
    d.student[1][700] = kNaN;
    d.teacher[2][9000] = kInf;
    std::fill(d.student[3].begin(), d.student[3].end(), -kInf);
    d.teacher[4].assign(12288, -kInf);
    d.teacher[4][5] = 2;
    for (float& z : d.student[5]) z = rounded_to(z * 1e30f, DType::bf16);
    for (float& z : d.teacher[6]) z = rounded_to(z * 1e7f, DType::bf16);
    d.student[7][40] = d.teacher[7][41] = -kInf;
    d.student[8][77] = d.teacher[8][78] = -2e4f;
    d.student[9][12287] = 200;
    for (std::size_t j = 0; j < 12288; j += 2) d.student[10][j] = d.teacher[10][j] = -kInf;
    d.student_temperatures.assign(16, 1);
    d.student_temperatures[11] = -1;
    d.student_temperatures[12] = 1e-6f;
    d.student_temperatures[13] = 0x1p60f;
    for (const double scale : {20.0, 1e-30}) {
      d.grad_scale = scale;
      SCOPED_TRACE(name_of(d) + ", grad_scale " + std::to_string(scale));
      DistillCall rings(d, {.narrow_gradients = true}), tiles(d, {.narrow_gradients = true});
      expect_same(rings.run(kRings), tiles.run(kTiles));
      DistillCall exact(d, {.narrow_gradients = true});
      exact.run(kReference);
      for (std::size_t i = 0; i < 16; ++i) {
        EXPECT_EQ(rings.status[i], exact.status[i]) << i;
        const auto wanted = static_cast<double>(exact.token_loss[i]);
        if (std::isfinite(wanted)) {
          EXPECT_NEAR(static_cast<double>(rings.token_loss[i]), wanted,
                      2.1e-5 * wanted + 3e-6 * std::sqrt(wanted) + 1e-12)
              << i;
        }
        for (std::int64_t j = 0; j < d.columns; ++j)
          ASSERT_EQ(std::isnan(rings.of_student().get(std::int64_t(i), j)),
                    std::isnan(exact.of_student().get(std::int64_t(i), j)))
              << i << " " << j;
      }
      if (HasFailure()) return;
    }
  }
}

TEST_F(CudaDistillRings, NothingCounts) {
  Distill d = batch(Divergence::jsd, 8192, 10, DType::bf16);
  d.mask.assign(d.rows(), 0);
  DistillCall call(d, {.narrow_gradients = true});
  call.run(kRings);
  for (std::size_t i = 0; i < d.rows(); ++i) {
    EXPECT_EQ(call.status_of(i), RowStatus::ignored);
    EXPECT_TRUE(gradient_is(call.of_student(), i, 0.0f));
    EXPECT_TRUE(gradient_is(call.of_teacher(), i, 0.0f));
  }
  EXPECT_EQ(call.loss, 0);
}

TEST_F(CudaDistill, RingsThatDontSuitAreRefused) {
  const auto refused = [](const Distill& d, const DistillForm& form, const Context& context) {
    DistillCall call(d, form);
    const Status status = on::distill_loss(call.args, context);
    EXPECT_EQ(status.code(), StatusCode::unsupported) << status.message();
  };
  Distill d = batch(Divergence::jsd, 8192, 12, DType::bf16);
  refused(d, {}, kRings);  // gradients of f32
  refused(d, {.narrow_gradients = true}, cuda(Determinism::cross_device, Schedule::rings));
  d.beta = 0.05f;
  refused(d, {.narrow_gradients = true}, kRings);
  refused(batch(Divergence::jsd, 8192, 12, DType::f32), {}, kRings);
}

TEST_F(CudaDistillRings, AGraphsReplayReadsWhatItsTensorsHold) {
  const Distill d = batch(Divergence::jsd, 9000, 12, DType::bf16);
  DistillCall call(d, {.narrow_gradients = true});
  Captured captured(&distill_loss, call.args, &distill_loss_workspace_size, kRings);
  for (std::int64_t replay = 1; replay <= 2; ++replay) {
    Distill fresh = batch(Divergence::jsd, 9000, 0, DType::bf16);
    for (std::uint32_t i = 0; i < 12; ++i)
      add_random(fresh, static_cast<std::uint32_t>(100 * replay) + i);
    call.student.set_all(fresh.student);
    call.teacher.set_all(fresh.teacher);
    captured.replay();
    DistillCall wanted(fresh, {.narrow_gradients = true});
    wanted.run(kTiles);
    ASSERT_TRUE(same_results(call, wanted)) << replay;
  }
}

}  // namespace
}  // namespace logsum::test
