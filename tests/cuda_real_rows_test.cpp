// SPDX-License-Identifier: Apache-2.0
// Rows of a language model, as stored in bf16 and as f32 and f16: under cross_device a GPU gives
// the CPU's bits, by each schedule that reads rows, whole and merged from two shards.
#include <gtest/gtest.h>

#include <numeric>

#include "support/cuda.hpp"
#include "support/real_rows.hpp"
#include "support/shards.hpp"

namespace logsum::test {
namespace {

using CudaRealRows = OnGpu;

Matrix converted(const RealRows& real, DType dtype) {
  Matrix matrix(real.rows(), real.columns(), dtype);
  for (std::int64_t i = 0; i < real.rows(); ++i) matrix.set_row(i, real.values(i));
  return matrix;
}

void expect_cpus_bits(const Tensor& logits, float temperature) {
  const std::int64_t rows = logits.shape[0], columns = logits.shape[1];
  const DeviceMatrix on_gpu(rows, logits);
  const std::vector<std::int64_t> targets = spread_targets(rows, columns);
  std::vector<std::int64_t> offsets(targets.size());  // each row has its own uniforms
  std::iota(offsets.begin(), offsets.end(), 0);
  const TokenLogprobsArgs scoring{.temperature = temperature};
  const SampleArgs sampling{.temperature = temperature,
                            .seed = 8,
                            .offset = Tensor::of(offsets.data(), {rows}),
                            .draws = 64};
  const ShardParameters sharded{.temperature = sampling.temperature,
                                .seed = sampling.seed,
                                .draws = sampling.draws,
                                .offset = sampling.offset};
  const Context cpu{.backend = Backend::cpu};
  const Scores scores = scores_of(logits, targets, cpu, scoring);
  const Draws draws = draws_of(logits, cpu, sampling);
  const std::vector<std::int64_t> halves = even_cuts(columns, 2);
  ASSERT_EQ(halves.size(), 3u);
  for (const Schedule schedule : {Schedule::automatic, Schedule::spans, Schedule::clusters}) {
    SCOPED_TRACE(to_string(schedule));
    const Context gpu = cuda(Determinism::cross_device, schedule);
    EXPECT_TRUE(same_bits(scores_of(on_gpu.tensor(), targets, gpu, scoring), scores));
    EXPECT_TRUE(same_bits(draws_of(on_gpu.tensor(), gpu, sampling), draws));
    EXPECT_TRUE(
        same_as_whole(in_shards(on_gpu.tensor(), halves, targets, sharded, gpu), scores, draws));
  }
}

TEST_F(CudaRealRows, GiveTheCpusBits) {
  for (const char* const name : {"policy_logits", "reference_logits"}) {
    const RealRows real(name);
    for (const float temperature : {1.0f, 0.75f})
      for (const DType dtype : logits_dtypes()) {
        SCOPED_TRACE(std::string(name) + " " + to_string(dtype) +
                     " T=" + std::to_string(temperature));
        Matrix matrix = converted(real, dtype);
        expect_cpus_bits(dtype == DType::bf16 ? real.tensor() : matrix.tensor(), temperature);
      }
  }
}

}  // namespace
}  // namespace logsum::test
