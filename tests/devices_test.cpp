// SPDX-License-Identifier: Apache-2.0
// What is said of GPUs, there or not, and how rows would be laid over one.
#include "logsum/devices.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>

#include "cuda/schedule.hpp"
#include "cuda/span_space.hpp"
#include "logsum/logsumexp.hpp"
#include "support/on.hpp"
#include "support/refusals.hpp"

namespace logsum::test {
namespace {

DeviceInfo h200() {
  DeviceInfo device;
  device.capability = 90;
  device.multiprocessors = 132;
  device.shared_bytes_per_block = 227 * 1024;
  const int clusters[] = {132, 66, 30, 15, 7};
  std::copy(std::begin(clusters), std::end(clusters), device.clusters);
  return device;
}

ScheduleInfo explained(const DeviceInfo& device, const VisitedRows& rows,
                       Schedule wanted = Schedule::automatic) {
  ScheduleInfo info;
  const Status status = explain_schedule(device, rows, wanted, info);
  EXPECT_TRUE(status.ok()) << status.message();
  return info;
}

TEST(Devices, WhatIsMissingIsNamed) {
  const CudaInfo cuda = cuda_info();
  DeviceInfo device;
  const Status first = cuda_device(0, device);
  EXPECT_EQ(first.ok(), cuda.device_count > 0);
  if (on::is_cuda()) {
    ASSERT_TRUE(first.ok()) << first.message();
  }
  if (first.ok()) {
    EXPECT_STRNE(device.name, "");
    EXPECT_GE(device.capability, 50);
    EXPECT_GT(device.multiprocessors, 0);
    if (device.clusters[1] > 0) {
      EXPECT_EQ(device.clusters[0], device.multiprocessors);
    }
    EXPECT_GT(device.memory_bytes, device.l2_bytes);
    expect_refused(cuda_device(cuda.device_count, device), StatusCode::invalid_argument,
                   {"isn't there", "must be in [0, "});
    expect_refused(cuda_device(-1, device), StatusCode::invalid_argument, {"GPU -1"});
  } else if (!cuda.compiled) {
    expect_refused(first, StatusCode::unsupported, {"no CUDA backend", "-DLOGSUM_CUDA=ON"});
  } else if (cuda.driver == 0) {
    expect_refused(first, StatusCode::unsupported, {"no NVIDIA driver"});
  }
}

// By an operation in the same words.
TEST(Devices, AnOperationNamesWhatIsMissing) {
  DeviceInfo device;
  const Status first = cuda_device(0, device);
  if (first.ok() || !cuda_info().compiled) GTEST_SKIP() << "a GPU is there, or no backend for it";
  float z[2] = {}, lse = 99;
  const Device gpu{DeviceType::cuda, 0};
  expect_refused(
      logsumexp({.logits = Tensor::of(z, {1, 2}, gpu), .lse = Tensor::of(&lse, {1}, gpu)}),
      first.code(), {"logsumexp: ", first.message()});
}

TEST(Devices, FewRowsGetClusters) {
  const ScheduleInfo one = explained(h200(), {.columns = 151936, .dtype = DType::bf16});
  EXPECT_EQ(one.schedule, Schedule::clusters);
  EXPECT_EQ(one.blocks, one.blocks_per_row);
  EXPECT_GT(one.blocks_per_row, 1);
  EXPECT_EQ(one.threads, 32 * (one.warps + 1));
  const ScheduleInfo many = explained(h200(), {.rows = 4096, .columns = 151936});
  EXPECT_EQ(many.schedule, Schedule::spans);
  EXPECT_EQ(many.blocks, 132);
  EXPECT_EQ(many.blocks_per_row, 0);

  DeviceInfo old = h200();
  old.capability = 80;
  std::fill(std::begin(old.clusters), std::end(old.clusters), 0);
  EXPECT_EQ(explained(old, {.columns = 151936}).blocks_per_row, 1);
  old.shared_bytes_per_block = 64 * 1024;  // has no room for 16 warps
  EXPECT_EQ(explained(old, {.columns = 151936}).warps, 8);
}

TEST(Devices, ClustersAreAsLargeAsAllRowsLeaveRoomFor) {
  const auto blocks = [](std::int64_t rows, std::int64_t columns = 151936) {
    return explained(h200(), {.rows = rows, .columns = columns}).blocks_per_row;
  };
  EXPECT_EQ(blocks(7), 16);
  EXPECT_EQ(blocks(8), 8);
  EXPECT_EQ(blocks(16), 4);
  EXPECT_EQ(blocks(31), 2);
  EXPECT_EQ(blocks(67), 1);
  EXPECT_EQ(blocks(1, 3 * 4096), 2);  // no CTA without a tile
  EXPECT_EQ(explained(h200(), {.rows = 1, .columns = 4096}).warps, 4);
  // Beyond one row per SM two share it.
  EXPECT_EQ(explained(h200(), {.rows = 132, .columns = 151936}).warps, 16);
  EXPECT_EQ(explained(h200(), {.rows = 133, .columns = 151936}).warps, 8);
  EXPECT_EQ(explained(h200(), {.rows = 265, .columns = 151936}).schedule, Schedule::spans);
  EXPECT_EQ(explained(h200(), {.rows = 1, .columns = 97 * 4096}).schedule, Schedule::spans);
}

// Rows that clusters don't suit, and fewer tiles than the warps of all processors.
TEST(Devices, FewTilesAreSpreadOverAllProcessors) {
  const auto blocks = [](std::int64_t rows, std::int64_t columns) {
    const ScheduleInfo info =
        explained(h200(), {.rows = rows, .columns = columns, .dtype = DType::bf16});
    EXPECT_EQ(info.schedule, Schedule::spans);
    EXPECT_EQ(info.threads, 640);
    return info.blocks;
  };
  EXPECT_EQ(blocks(300, 4096), 132);
  EXPECT_EQ(blocks(1, 97 * 4096), 97);  // no CTA without a tile
  EXPECT_EQ(blocks(2, 97 * 4096), 132);
}

// A span's tiles are divided by a row's with a multiplication, wherever that is exact.
TEST(Devices, ATilesRowIsExact) {
  constexpr int kBlocks = 10;
  for (const std::int64_t tiles : {2, 3, 5, 37, 64, 97, 127, 128})
    for (const std::int64_t end : {std::int64_t{1000}, (std::int64_t{1} << 32) / tiles,
                                   (std::int64_t{1} << 32) / tiles + 999, cuda::kMostSpanTiles}) {
      // As many rows as let a span end there.
      const std::int64_t rows = std::max<std::int64_t>((end - tiles) * kBlocks / tiles, 1);
      const cuda::SpanSpace space = cuda::span_space(nullptr, rows, tiles, 1, kBlocks);
      EXPECT_EQ(space.inverse_tiles != 0, end <= (std::int64_t{1} << 32) / tiles) << tiles;
      if (space.inverse_tiles == 0) continue;
      for (std::int64_t at = end; at > std::max<std::int64_t>(0, end - 3 * tiles); --at)
        EXPECT_EQ(static_cast<std::uint64_t>(at - 1) * space.inverse_tiles >> 32, (at - 1) / tiles)
            << at - 1 << " of rows of " << tiles;
    }
}

// Chunks on their way into shared memory lie beside the records of rows in progress.
TEST(Devices, ASpansCopiesFitBesideItsRecords) {
  const auto spans = [](int capability, int shared, DType dtype, std::int64_t tiles, int records) {
    const cuda::DeviceLimits limits{.capability = capability, .shared_per_block = shared};
    cuda::SpanSpace space = cuda::span_space(nullptr, 5000, tiles, records, 132);
    cuda::choose_copies(limits, dtype, space);
    EXPECT_LE(cuda::span_shared_bytes(space, dtype), shared - cuda::kSpanStaticShared);
    return space.copies;
  };
  for (const std::int64_t tiles : {1, 2, 3, 4, 8, 9, 16, 17, 32, 33, 38, 64, 65, 128, 129, 1000})
    for (const int records : {1, 2}) {
      EXPECT_TRUE(spans(90, 227 * 1024, DType::f32, tiles, records)) << tiles;
      EXPECT_TRUE(spans(100, 227 * 1024, DType::f32, tiles, records)) << tiles;
      EXPECT_FALSE(spans(90, 99 * 1024, DType::f32, tiles, records)) << tiles;
      EXPECT_FALSE(spans(80, 163 * 1024, DType::f32, tiles, records)) << tiles;
      EXPECT_FALSE(spans(120, 99 * 1024, DType::f32, tiles, records)) << tiles;
      EXPECT_FALSE(spans(90, 227 * 1024, DType::bf16, tiles, records)) << tiles;
    }
}

TEST(Devices, RefusesMoreTilesThanASpanCounts) {
  ScheduleInfo info;
  const std::int64_t most = cuda::kMostSpanTiles - 1;  // per processor, of rows of one tile
  EXPECT_EQ(explained(h200(), {.rows = 132 * most}).schedule, Schedule::spans);
  for (const VisitedRows& rows :
       {VisitedRows{.rows = 132 * most + 1}, VisitedRows{.rows = INT64_MAX},
        VisitedRows{.columns = INT64_MAX}, VisitedRows{.rows = INT64_MAX, .columns = INT64_MAX}})
    expect_refused(explain_schedule(h200(), rows, Schedule::automatic, info),
                   StatusCode::unsupported, {"too many for 132 processors"});
}

TEST(Devices, AScheduleCanBeWanted) {
  EXPECT_EQ(explained(h200(), {.columns = 151936}, Schedule::spans).schedule, Schedule::spans);
  ScheduleInfo info;
  expect_refused(explain_schedule(h200(), {.rows = 4096}, Schedule::clusters, info),
                 StatusCode::unsupported, {"clusters are for up to 264 rows"});
}

// Rings: persistent clusters, a row each.
ScheduleInfo rings(const WrittenRows& rows) {
  ScheduleInfo info;
  const Status status = explain_rings(h200(), rows, info);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(info.schedule, Schedule::rings);
  // A joiner, a producer and a helper beside those that measure; of a loss two joiners.
  using Operation = WrittenRows::Operation;
  const bool is_loss =
      rows.operation == Operation::loss || rows.operation == Operation::loss_with_entropy;
  const int others = is_loss ? 4 : 3;
  EXPECT_EQ(info.threads, 32 * (info.warps + others));
  EXPECT_LE(info.shared_bytes, h200().shared_bytes_per_block);
  return info;
}

TEST(Devices, RowsThatAreWrittenTakeRings) {
  using Operation = WrittenRows::Operation;
  WrittenRows rows{.rows = 4096, .columns = 151936, .dtype = DType::bf16};
  const ScheduleInfo softmax = rings(rows);
  EXPECT_EQ(softmax.blocks_per_row, 4);
  EXPECT_EQ(softmax.blocks, 120);
  rows.determinism = Determinism::cross_device;  // chunks' bounds are kept
  EXPECT_NE(rings(rows).shared_bytes, softmax.shared_bytes);
  rows.determinism = Determinism::per_device;
  rows.columns = 128256;  // where what is known of rows doesn't vanish in a line's rounding
  const std::int32_t of_softmax = rings(rows).shared_bytes;
  rows.operation = Operation::log_softmax;
  EXPECT_NE(rings(rows).shared_bytes, of_softmax);
  rows.columns = 151936;
  rows.operation = Operation::gradient;
  EXPECT_EQ(rings(rows).blocks_per_row, 8);
  EXPECT_EQ(rings(rows).warps, 12);
  rows.rows = INT64_MAX;
  EXPECT_EQ(rings(rows).blocks, 120);
  rows.columns = 32000;
  EXPECT_EQ(rings(rows).blocks, 132);
  EXPECT_EQ(rings(rows).blocks_per_row, 2);
  rows.columns = 20000;
  EXPECT_EQ(rings(rows).blocks_per_row, 1);
}

// With an entropy its warps keep more; of f32 fewer measure.
TEST(Devices, LossesTakeRings) {
  using Operation = WrittenRows::Operation;
  WrittenRows rows{
      .rows = 4096, .columns = 151936, .dtype = DType::bf16, .operation = Operation::loss};
  const ScheduleInfo loss = rings(rows);
  EXPECT_EQ(loss.warps, 20);
  EXPECT_EQ(loss.blocks % loss.blocks_per_row, 0);
  rows.operation = Operation::loss_with_entropy;
  EXPECT_EQ(rings(rows).warps, 20);
  EXPECT_NE(rings(rows).shared_bytes, loss.shared_bytes);
  rows.operation = Operation::loss;
  rows.determinism = Determinism::cross_device;  // more is sent of a row
  EXPECT_NE(rings(rows).shared_bytes, loss.shared_bytes);
  rows.dtype = DType::f32;
  EXPECT_EQ(rings(rows).warps, 16);
  ScheduleInfo info;
  for (const Operation operation : {Operation::loss, Operation::loss_with_entropy})
    expect_refused(
        explain_rings(h200(), {.rows = 8, .columns = 151936, .operation = operation}, info),
        StatusCode::unsupported, {"two launches"});
}

// Both matrices' logits of two bytes, by the hardware's exponential.
TEST(Devices, ADivergenceTakesRings) {
  WrittenRows rows{.rows = 4096,
                   .columns = 151936,
                   .dtype = DType::bf16,
                   .operation = WrittenRows::Operation::divergence};
  EXPECT_EQ(rings(rows).blocks_per_row, 8);
  EXPECT_EQ(rings(rows).warps, 12);
  ScheduleInfo info;
  rows.determinism = Determinism::cross_device;
  expect_refused(explain_rings(h200(), rows, info), StatusCode::unsupported, {"two launches"});
  rows.determinism = Determinism::per_device;
  rows.dtype = DType::f32;
  expect_refused(explain_rings(h200(), rows, info), StatusCode::unsupported, {"two launches"});
}

TEST(Devices, OrTwoLaunches) {
  ScheduleInfo info;
  const auto refused = [&](const DeviceInfo& device, const WrittenRows& rows) {
    expect_refused(explain_rings(device, rows, info), StatusCode::unsupported, {"two launches"});
  };
  refused(h200(), {.rows = 8, .columns = 151936});
  refused(h200(), {.rows = 4096, .columns = 4096});
  refused(h200(), {.rows = 4096, .columns = 1500000});
  refused(h200(), {.rows = 4096, .columns = INT64_MAX});
  DeviceInfo older = h200(), smaller = h200();
  older.capability = 80;
  refused(older, {.rows = 4096, .columns = 151936});
  smaller.shared_bytes_per_block = 48 * 1024;  // fewer slots than warps that need one
  refused(smaller, {.rows = 4096, .columns = 32000});
  expect_refused(explain_rings(h200(), {.rows = 0}, info), StatusCode::invalid_argument,
                 {"explain_rings: rows, columns are 0, 1"});
  expect_refused(explain_rings(h200(), {.dtype = DType::f64}, info), StatusCode::invalid_argument,
                 {"dtype is f64"});
}

TEST(Devices, RefusesWhatNoCallHas) {
  ScheduleInfo info;
  const auto refused = [&](const DeviceInfo& device, const VisitedRows& rows, const char* phrase) {
    expect_refused(explain_schedule(device, rows, Schedule::automatic, info),
                   StatusCode::invalid_argument, {"explain_schedule: ", phrase});
  };
  refused(h200(), {.rows = 0}, "rows, columns are 0, 1");
  refused(h200(), {.columns = -3}, "rows, columns are 1, -3");
  refused(h200(), {.dtype = DType::f64}, "dtype is f64");
  refused({}, {}, "0 multiprocessors");
}

}  // namespace
}  // namespace logsum::test
