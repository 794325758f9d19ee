// SPDX-License-Identifier: Apache-2.0
// On a GPU a row's bits don't depend on how rows are laid over it: batch, slot, schedule, where
// the row begins. Rows stay on the GPU; what is expected of each is what it gives alone, and under
// cross_device what the CPU gives.
#include <gtest/gtest.h>

#include "support/cuda.hpp"
#include "support/statistics.hpp"

namespace logsum::test {
namespace {

const SampleArgs kSampling{.temperature = 0.8f, .seed = 12, .offset = 3, .draws = 2};

// Around which the clusters get smaller, and give way to spans, on a GPU with 132 processors.
std::vector<std::int64_t> batches() {
  if (is_quick()) return {2, 9, 67, 265};
  return {2,  3,  4,  7,   8,   9,   15,  16,  17,  32,  33, 34,
          65, 66, 67, 131, 132, 133, 263, 264, 265, 511, 512};
}
constexpr std::int64_t kMany = 4096;

std::vector<std::int64_t> vocabularies() {
  if (is_quick()) return {1, 31, 9001};
  return {1, 31, 32000, 128256, 131072, 151936, 262144, 262147};
}

// Distinct rows on the host, and what is known of each.
struct Known {
  Batch batch;
  std::vector<std::int64_t> targets;
  std::vector<Scores> scores;
  std::vector<Draws> draws;

  Known(std::int64_t columns, DType dtype, Determinism determinism)
      : batch(healthy_rows(), columns, dtype, 3), targets(spread_targets(batch.rows(), columns)) {
    for (std::int64_t i = 0; i < batch.rows(); ++i) {
      const Tensor row = batch.logits.row(i);
      scores.push_back(scores_of(row, {targets[std::size_t(i)]}, cuda(determinism)));
      draws.push_back(draws_of(row, cuda(determinism), kSampling));
    }
    if (determinism != Determinism::cross_device) return;
    const Context cpu{.backend = Backend::cpu};
    const Scores cpu_scores = scores_of(batch.tensor(), targets, cpu);
    const Draws cpu_draws = draws_of(batch.tensor(), cpu, kSampling);
    for (std::size_t i = 0; i < scores.size(); ++i) {
      EXPECT_TRUE(same_row(cpu_scores, i, scores[i], 0));
      EXPECT_TRUE(same_row(cpu_draws, i, draws[i], 0));
    }
  }
};

// Slots [first, first + count) of a matrix that repeats the known rows.
void expect_known(const Known& known, const DeviceMatrix& matrix, std::int64_t first,
                  std::int64_t count, const Context& context) {
  const Tensor logits = matrix.rows(first, count);
  std::vector<std::int64_t> targets;
  const auto known_row = [&](std::int64_t slot) {
    return static_cast<std::size_t>((first + slot) % known.batch.rows());
  };
  for (std::int64_t slot = 0; slot < count; ++slot)
    targets.push_back(known.targets[known_row(slot)]);
  const Scores scores = scores_of(logits, targets, context);
  const Draws draws = draws_of(logits, context, kSampling);
  for (std::int64_t slot = 0; slot < count; ++slot) {
    const auto i = static_cast<std::size_t>(slot);
    ASSERT_TRUE(same_row(scores, i, known.scores[known_row(slot)], 0));
    ASSERT_TRUE(same_row(draws, i, known.draws[known_row(slot)], 0));
  }
}

// Clusters take no more than two rows per processor, nor rows of more tiles.
bool fits_clusters(std::int64_t rows, std::int64_t columns) {
  int processors = 0;
  must("processors", cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
  return rows <= 2 * processors && columns <= 96 * kTileColumns;
}

std::vector<Schedule> schedules(std::int64_t rows, std::int64_t columns) {
  if (fits_clusters(rows, columns))
    return {Schedule::automatic, Schedule::spans, Schedule::clusters};
  return {Schedule::automatic};  // which is spans
}

void expect_batches(DType dtype, std::int64_t columns, Determinism determinism) {
  Known known(columns, dtype, determinism);
  const std::int64_t rows = is_quick() ? 300 : kMany;
  // Five columns apart, so that no alignment is everyone's.
  const DeviceMatrix matrix(rows, known.batch.tensor(), 5);
  for (const Schedule schedule : schedules(1, columns))
    for (std::int64_t i = 0; i < known.batch.rows(); ++i)
      expect_known(known, matrix, i, 1, cuda(determinism, schedule));
  for (const std::int64_t count : batches())
    for (const Schedule schedule : schedules(count, columns)) {
      SCOPED_TRACE(std::to_string(count) + " rows, schedule " +
                   std::to_string(static_cast<int>(schedule)));
      expect_known(known, matrix, count % 7, std::min(count, rows - 7),
                   cuda(determinism, schedule));
      if (::testing::Test::HasFailure()) return;
    }
  for (int run = 0; run < 2; ++run) expect_known(known, matrix, 0, rows, cuda(determinism));
}

class EveryDType : public OnGpu, public ::testing::WithParamInterface<DType> {};

TEST_P(EveryDType, AloneOrInAnySlotOfAnyBatch) {
  for (const std::int64_t columns : vocabularies()) {
    if (columns > 131072 && GetParam() == DType::f16) continue;  // bf16's layout
    for (const Determinism determinism : kDeterminisms) {
      SCOPED_TRACE("V=" + std::to_string(columns) + " determinism " +
                   std::to_string(static_cast<int>(determinism)));
      expect_batches(GetParam(), columns, determinism);
      if (HasFailure()) return;
    }
  }
}

// Every place that the dtype allows within 128 bytes, on both sides of the vector loads' alignment.
TEST_P(EveryDType, RowsBeginAnywhere) {
  for (const std::int64_t columns : {31, 1024, 9001, 32000})
    for (const Determinism determinism : kDeterminisms) {
      Known known(columns, GetParam(), determinism);
      const auto places = static_cast<std::int64_t>(128 / size_of(GetParam()));
      for (std::int64_t misalign = 0; misalign < places; ++misalign) {
        SCOPED_TRACE("V=" + std::to_string(columns) + " misaligned by " + std::to_string(misalign));
        const DeviceMatrix matrix(20, known.batch.tensor(), misalign % 3, misalign);
        for (const Schedule schedule : schedules(20, columns)) {
          expect_known(known, matrix, 0, 20, cuda(determinism, schedule));
          expect_known(known, matrix, 7, 1, cuda(determinism, schedule));
        }
        if (HasFailure()) return;
      }
    }
}

// What isn't asked for changes nothing, though other kernels are used.
TEST_P(EveryDType, FewerOutputs) {
  for (const std::int64_t columns : {31, 9001, 131072})
    for (const Determinism determinism : kDeterminisms) {
      Known known(columns, GetParam(), determinism);
      for (const Schedule schedule : schedules(known.batch.rows(), columns))
        for (const bool raw : {false, true}) {
          Draws d(known.draws.size(), 2);
          SampleArgs args = draws_into(d, known.batch.tensor(), kSampling);
          args.entropy = args.lse = args.row_status = {};
          if (!raw) args.raw_logprob = {};
          must(on::sample(args, cuda(determinism, schedule)));
          for (std::size_t i = 0; i < d.rows; ++i) {
            Draws wanted = known.draws[i];
            wanted.entropy = wanted.lse = {99};
            wanted.status = {99};
            if (!raw) wanted.raw_logprob = {99, 99};
            ASSERT_TRUE(same_row(d, i, wanted, 0));
          }
        }
    }
}

// The same of scoring: neither targets nor an entropy nor the best.
TEST_P(EveryDType, ScoringOfFewerOutputs) {
  for (const std::int64_t columns : {31, 9001, 131072})
    for (const Determinism determinism : kDeterminisms) {
      SCOPED_TRACE("V=" + std::to_string(columns));
      Known known(columns, GetParam(), determinism);
      for (const Schedule schedule : schedules(known.batch.rows(), columns)) {
        Scores s(known.scores.size(), 0, 0);
        must(on::token_logprobs({.logits = known.batch.tensor(),
                                 .lse = Tensor::of(s.lse.data(), {known.batch.rows()}),
                                 .argmax = Tensor::of(s.argmax.data(), {known.batch.rows()})},
                                cuda(determinism, schedule)));
        SCOPED_TRACE(to_string(schedule));
        for (std::size_t i = 0; i < s.rows; ++i) {
          Scores wanted(1, 0, 0);
          wanted.lse = known.scores[i].lse;
          wanted.argmax = known.scores[i].argmax;
          ASSERT_TRUE(same_row(s, i, wanted, 0));
        }
      }
    }
}

INSTANTIATE_TEST_SUITE_P(CudaSchedule, EveryDType, ::testing::ValuesIn(logits_dtypes()),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

}  // namespace
}  // namespace logsum::test
