// SPDX-License-Identifier: Apache-2.0
// What comes between rollouts and the loss in a CUDA graph: a replay reads what its tensors then
// hold, gives the CPU's bits, and is as few kernels as it should be.
#include <gtest/gtest.h>

#include "support/advantages.hpp"
#include "support/captured.hpp"
#include "support/weights.hpp"

namespace logsum::test {
namespace {

using CudaGraphRollout = OnGpu;

const Context kCpu{.backend = Backend::cpu};

std::vector<cudaGraphNodeType> kernels(std::size_t count) {
  return std::vector<cudaGraphNodeType>(count, cudaGraphNodeTypeKernel);
}

TEST_F(CudaGraphRollout, GroupAdvantages) {
  const std::int64_t groups = 300, size = 16;
  for (GroupAdvantagesArgs args : advantage_parameters())
    for (const Determinism determinism : kDeterminisms) {
      SCOPED_TRACE(describe(args));
      const GroupAdvantagesArgs parameters = args;
      std::vector<float> rewards(std::size_t(groups * size));
      Advantages a(groups, size);
      args.rewards = Tensor::of(rewards.data(), {groups, size});
      args.advantages = Tensor::of(a.advantages.data(), {groups, size});
      args.mean = Tensor::of(a.mean.data(), {groups});
      args.std = Tensor::of(a.std.data(), {groups});
      args.group_status = Tensor::of(a.status.data(), {groups});
      Captured captured(&group_advantages, args, &group_advantages_workspace_size,
                        cuda(determinism));
      ASSERT_EQ(captured.nodes(), kernels(args.scale == AdvantageScale::batch ? 3 : 1));
      for (std::uint32_t replay = 1; replay <= 3; ++replay) {
        const std::vector<float> fresh = gaussian(groups * size, replay, 1, 0.5f);
        std::copy(fresh.begin(), fresh.end(), rewards.begin());  // where they are
        captured.replay();
        ASSERT_TRUE(same_bits(a, advantages_of(fresh, size, parameters, kCpu)));
      }
    }
}

TEST_F(CudaGraphRollout, ImportanceWeights) {
  for (const bool has_statistics : {false, true})
    for (ImportanceWeightsArgs args : importance_parameters()) {
      SCOPED_TRACE(describe(args));
      const ImportanceWeightsArgs parameters = args;
      Rollout r = rollout({300, 0, 700, 1}, 0.02f);
      const std::vector<std::int32_t> cuts = r.cu_seqlens<std::int32_t>();
      const std::int64_t n = r.tokens();
      Weights w;
      w.weights.resize(std::size_t(n), 99);
      if (has_statistics) args = with_statistics(w, args);
      args.old_per_token_logps = Tensor::of(r.old_logps.data(), {n});
      args.sampling_per_token_logps = Tensor::of(r.sampling.data(), {n});
      args.cu_seqlens = Tensor::of(cuts.data(), {r.sequences() + 1});
      args.weights = Tensor::of(w.weights.data(), {n});
      Captured captured(&importance_weights, args, &importance_weights_workspace_size,
                        cuda(Determinism::per_device));
      ASSERT_EQ(captured.nodes(), kernels(has_statistics ? 2 : 1));
      for (std::uint32_t replay = 1; replay <= 3; ++replay) {
        const Rollout fresh = rollout(r.lengths, 0.02f, replay);
        std::copy(fresh.old_logps.begin(), fresh.old_logps.end(), r.old_logps.begin());
        std::copy(fresh.sampling.begin(), fresh.sampling.end(), r.sampling.begin());
        captured.replay();
        Weights wanted = weights_of(fresh, parameters, kCpu);
        if (!has_statistics) wanted = {.weights = wanted.weights};
        ASSERT_TRUE(same_bits(w, wanted));
      }
    }
}

}  // namespace
}  // namespace logsum::test
