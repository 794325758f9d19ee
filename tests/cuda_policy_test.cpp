// SPDX-License-Identifier: Apache-2.0
// policy_loss on a GPU: rings and two visits give the same bits, with the CPU's exponential the
// CPU's; rows that don't count are left out of a ring; a graph's replay reads what its tensors
// hold.
#include <gtest/gtest.h>

#include "support/captured.hpp"
#include "support/policy.hpp"
#include "support/policy_grid.hpp"

namespace logsum::test {
namespace {

using CudaPolicy = OnGpu;
using CudaPolicyRings = OnGpuWithRings;

const Context kCpu{.backend = Backend::cpu};

PolicyOptions grpo(float entropy_coef = 0) {
  PolicyOptions options;
  options.beta = 0.1f;
  options.entropy_coef = entropy_coef;
  return options;
}

// Widths of one CTA per row up to eight, and whose last tile, chunk and lanes aren't whole.
const std::vector<std::int64_t> kRingWidths = {8192, 12312, 32000, 50000, 151936};

Policy masked(Policy p, std::uint32_t seed) {
  std::mt19937 random(seed);
  mask_some(p, MaskKind::with_empty_sequence, random);
  return p;
}

TEST_F(CudaPolicyRings, HaveTheCpusBits) {
  for (const std::int64_t columns : kRingWidths)
    for (const DType dtype : logits_dtypes())
      for (const float entropy_coef : {0.0f, 0.05f}) {
        SCOPED_TRACE(std::to_string(columns) + (entropy_coef ? " with entropy " : " ") +
                     to_string(dtype));
        const PolicyForm form{.grad = dtype, .in_place = columns % 3 == 0};
        const Policy p = masked(
            policy_batch(grpo(entropy_coef), 4, 5, columns, std::uint32_t(columns), dtype), 3);
        PolicyCall wanted(p, form), got(p, form);
        wanted.run(kCpu);
        got.run(cuda(Determinism::cross_device, Schedule::rings));
        ASSERT_TRUE(same_results(got, wanted));
      }
}

TEST_F(CudaPolicyRings, AreTheTwoVisitsToTheBit) {
  for (const std::int64_t columns : kRingWidths)
    for (const DType dtype : logits_dtypes())
      for (const float entropy_coef : {0.0f, -0.2f}) {
        SCOPED_TRACE(std::to_string(columns) + (entropy_coef ? " with entropy " : " ") +
                     to_string(dtype));
        const Policy p = masked(
            policy_batch(grpo(entropy_coef), 5, 4, columns, std::uint32_t(columns), dtype), 7);
        PolicyCall rings(p, {.grad = dtype}), spans(p, {.grad = dtype});
        rings.run(cuda(Determinism::per_device, Schedule::rings));
        spans.run(cuda(Determinism::per_device, Schedule::spans));
        ASSERT_TRUE(same_results(rings, spans));
      }
}

// More rows than a GPU has clusters: rings go round, and the joiners' tables with them.
TEST_F(CudaPolicyRings, GoRound) {
  for (const std::int64_t columns : {std::int64_t{8192}, std::int64_t{40960}})
    for (const DType dtype : {DType::bf16, DType::f32}) {
      Policy p = masked(policy_batch(grpo(), 40, 30, columns, 5, dtype), 9);
      PolicyCall wanted(p, {.grad = dtype}), got(p, {.grad = dtype});
      wanted.run(kCpu);
      got.run(cuda(Determinism::cross_device, Schedule::rings));
      ASSERT_TRUE(same_results(got, wanted)) << columns << " " << to_string(dtype);
    }
}

// Rows with trouble, which a helper measures again, with and without their target.
TEST_F(CudaPolicyRings, RowsWithTrouble) {
  Policy p = policy_batch(grpo(0.1f), 4, 6, 12288, 3);
  p.logits[1][700] = kNaN;
  p.logits[3][9000] = kInf;
  p.targets[5] = 12288;
  p.targets[7] = -1;
  std::fill(p.logits[9].begin(), p.logits[9].end(), -kInf);
  for (const std::size_t row : {11u, 13u})
    for (float& z : p.logits[row]) z *= row == 11 ? 1e30f : 1e7f;
  p.logits[15].assign(12288, -kInf);
  p.logits[15][std::size_t(p.targets[15])] = 2;
  p.logits[17][std::size_t(p.targets[17])] = 200;
  p.temperatures.assign(p.rows(), 1);
  p.temperatures[19] = -1;
  p.temperatures[21] = 1e-6f;
  PolicyCall wanted(p), got(p);
  wanted.run(kCpu);
  got.run(cuda(Determinism::cross_device, Schedule::rings));
  for (std::size_t i = 0; i < p.rows(); ++i)
    if (std::isnan(wanted.gradients().get(std::int64_t(i), 0)))
      EXPECT_TRUE(got.gradient_is(i, kNaN) && got.status[i] == wanted.status[i]) << i;
    else
      EXPECT_TRUE(same_row(got, i, wanted, i));
}

TEST_F(CudaPolicyRings, NothingCounts) {
  Policy p = policy_batch(grpo(), 3, 5, 8192, 4, DType::bf16);
  p.mask.assign(p.rows(), 0);
  PolicyCall call(p, {.grad = DType::bf16});
  call.run(cuda(Determinism::per_device, Schedule::rings));
  for (std::size_t i = 0; i < p.rows(); ++i) EXPECT_TRUE(call.gradient_is(i, 0.0f));
  EXPECT_EQ(call.loss, 0);
}

// Its kernels begin before those before them have ended: none sees what another call has left. Of
// the two other rows count.
TEST_F(CudaPolicyRings, CallsFollowEachOtherInOneWorkspace) {
  for (const DType dtype : {DType::bf16, DType::f32}) {
    const auto batch = [dtype](std::uint32_t seed) {
      return masked(policy_batch(grpo(0.1f), 40, 12, 8192, seed, dtype), seed);
    };
    const PolicyForm form{.grad = dtype};
    PolicyCall wanted_first(batch(3), form), wanted_second(batch(4), form);
    wanted_first.run(kCpu);
    wanted_second.run(kCpu);
    for (int round = 0; round < 3; ++round) {
      PolicyCall first(wanted_first.p, form), second(wanted_second.p, form);
      Moved<PolicyLossArgs> moved_first(cuda_memory(), first.args);
      Moved<PolicyLossArgs> moved_second(cuda_memory(), second.args);
      for (auto* moved : {&moved_first, &moved_second}) {
        moved->add_tensors();
        moved->mirror().to_device();
      }
      const std::size_t size = policy_loss_workspace_size(moved_first.args());
      const DeviceBuffer<std::byte> workspace(size);
      const Stream stream;
      Context context = cuda(Determinism::cross_device, Schedule::rings);
      context.stream = stream.get();
      context.workspace = {workspace.data(), size};
      for (int i = 0; i < 2; ++i)
        for (const auto* moved : {&moved_first, &moved_second})
          call_on_gpu(&policy_loss, moved->args(), context);
      stream.wait();
      moved_first.to_host("first");
      moved_second.to_host("second");
      ASSERT_TRUE(same_results(first, wanted_first)) << to_string(dtype) << ", round " << round;
      ASSERT_TRUE(same_results(second, wanted_second)) << to_string(dtype) << ", round " << round;
    }
  }
}

TEST_F(CudaPolicy, RingsThatDontSuitAreRefused) {
  const Policy p = policy_batch(grpo(), 2, 6, 8192, 4, DType::bf16);
  PolicyCall call(p, {.grad = DType::f32});
  const Status status = on::policy_loss(call.args, cuda(Determinism::per_device, Schedule::rings));
  EXPECT_EQ(status.code(), StatusCode::unsupported) << status.message();
}

TEST_F(CudaPolicy, AGraphsReplayReadsWhatItsTensorsHold) {
  for (const char* type : {"grpo", "gspo"}) {
    Policy p = masked(policy_batch(grpo(0.05f), 6, 5, 9000, 11), 5);
    must(set_loss_type(p.options, type));
    PolicyCall call(p);
    Captured captured(&policy_loss, call.args, &policy_loss_workspace_size,
                      cuda(Determinism::cross_device));
    for (std::uint32_t replay = 1; replay <= 3; ++replay) {
      const Policy fresh = policy_batch(grpo(0.05f), 6, 5, 9000, 11 + replay);
      call.logits.set_all(fresh.logits);
      std::copy(fresh.old.begin(), fresh.old.end(), call.p.old.begin());  // where they are
      std::copy(fresh.ref.begin(), fresh.ref.end(), call.p.ref.begin());
      captured.replay();
      Policy now = call.p;
      now.logits = fresh.logits;
      PolicyCall wanted(now);
      wanted.run(kCpu);
      ASSERT_TRUE(same_results(call, wanted)) << type << ", replay " << replay;
    }
  }
}

}  // namespace
}  // namespace logsum::test
