// SPDX-License-Identifier: Apache-2.0
// What carries the tests' memory to a GPU (support/mirror.hpp), within the host's: an operation
// there sees what it would at home, and a write outside its tensors is seen.
#include "support/mirror.hpp"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <functional>
#include <numeric>

#include "support/matrix.hpp"
#include "support/mirrored.hpp"

namespace logsum::test {
namespace {

std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }
float* floats(const Tensor& tensor) { return static_cast<float*>(tensor.data); }

// A call that succeeds, once it has got to its backend and done something else.
template <class Args, class Deed>
auto operation_that(Status (*operation)(const Args&, const Context&) noexcept, const Deed& deed) {
  return [=](const Args& args, const Context& context) {
    const Status status = operation(args, context);
    if (status.ok()) deed(args, context);
    return status;
  };
}

// Logits and lse of two rows, in memory of its own.
struct Call {
  std::vector<float> logits = {0, 1, 2, 3, 4, 5}, lse = {99, 99};
  LogsumexpArgs args{.logits = Tensor::of(logits.data(), {2, 3}),
                     .lse = Tensor::of(lse.data(), {2})};

  template <class Deed>
  Status run(const Deed& deed, const Context& context = {}) {
    return mirrored(host_memory(), operation_that(&logsumexp, deed), args, context);
  }
};

TEST(Mirror, TensorsThatOverlapOrTouchStayWhereTheyAreToOneAnother) {
  std::vector<float> memory(100);
  Tensor a = Tensor::of(&memory[10], {10}), inside = Tensor::of(&memory[12], {2});
  Tensor behind = Tensor::of(&memory[20], {5}), apart = Tensor::of(&memory[40], {5});
  const Tensor home = a;
  Mirror mirror(host_memory());
  for (Tensor* t : {&a, &inside, &behind, &apart}) mirror.add(*t);
  EXPECT_EQ(mirror.size(), 20 * sizeof(float));
  mirror.to_device();
  EXPECT_NE(a.data, home.data);
  EXPECT_EQ(inside.data, floats(a) + 2);
  EXPECT_EQ(behind.data, floats(a) + 10);
  EXPECT_NE(address(apart.data), address(a.data) + 30 * sizeof(float));
  for (std::ptrdiff_t i = 0; i < 5; ++i) floats(behind)[i] = 7;
  EXPECT_EQ(mirror.to_host(), "");
  EXPECT_EQ(std::accumulate(memory.begin(), memory.end(), 0.0f), 35);
  EXPECT_EQ(memory[20], 7);
}

TEST(Mirror, KeepsEveryAlignment) {
  alignas(256) std::byte memory[1024] = {};
  for (std::size_t i = 0; i < 256; ++i) {
    Tensor t = Tensor::of(reinterpret_cast<std::uint8_t*>(memory + i), {3});
    Workspace workspace{memory + 512 + i, 5};
    Mirror mirror(host_memory());
    mirror.add(t);
    mirror.add(workspace);
    mirror.to_device();
    EXPECT_EQ(address(t.data) % 256, i);
    EXPECT_EQ(address(workspace.data) % 256, i);
    EXPECT_EQ(mirror.to_host(), "");
  }
}

// Forwards, backwards, in place and with gaps, whose content goes there and comes back.
TEST(Mirror, CopiesAgainToWhereItWas) {
  std::vector<float> memory = {1, 2, 3};
  Tensor tensor = Tensor::of(memory.data(), {3});
  Mirror mirror(host_memory());
  mirror.add(tensor);
  mirror.to_device();
  void* const there = tensor.data;
  memory[1] = 7;
  mirror.to_device();
  ASSERT_EQ(tensor.data, there);
  static_cast<float*>(there)[2] += static_cast<float*>(there)[1];
  EXPECT_EQ(mirror.to_host(), "");
  EXPECT_EQ(memory, (std::vector<float>{1, 7, 10}));
}

TEST(Mirror, StridesOfAnySign) {
  std::vector<float> memory(64);
  std::iota(memory.begin(), memory.end(), 0.0f);
  const std::int64_t shape[] = {3, 2, 4}, strides[] = {-10, 3, 0};
  Tensor t = Tensor::strided(&memory[40], DType::f32, shape, strides);
  Mirror mirror(host_memory());
  mirror.add(t);
  EXPECT_EQ(mirror.size(), 24 * sizeof(float));
  mirror.to_device();
  for (std::ptrdiff_t i = -20; i <= 3; ++i)
    EXPECT_EQ(floats(t)[i], 40.0f + static_cast<float>(i)) << i;
  floats(t)[-20] = -1;
  floats(t)[1] = -2;  // a gap
  floats(t)[3] = -3;
  EXPECT_EQ(mirror.to_host(), "");
  EXPECT_EQ(memory[20], -1);
  EXPECT_EQ(memory[41], -2);
  EXPECT_EQ(memory[43], -3);
  EXPECT_EQ(memory[19], 19);
  EXPECT_EQ(memory[44], 44);
}

TEST(Mirror, NothingIsDoneForWhatIsntThere) {
  float x = 0;
  Tensor absent, empty = Tensor::of(&x, {0, 3}),
                 null = Tensor::of(static_cast<float*>(nullptr), {0});
  Workspace none;
  Mirror mirror(host_memory());
  for (Tensor* t : {&absent, &empty, &null}) mirror.add(*t);
  mirror.add(none);
  mirror.to_device();
  EXPECT_EQ(mirror.to_host(), "");
  EXPECT_EQ(absent.data, nullptr);
  EXPECT_EQ(empty.data, &x);
  EXPECT_EQ(null.data, nullptr);
  EXPECT_EQ(none.data, nullptr);
}

TEST(Mirrored, CallsGiveTheSame) {
  Call there, here;
  const std::int64_t before = Mirror::count();
  EXPECT_TRUE(there
                  .run([&](const LogsumexpArgs& args, const Context&) {
                    EXPECT_NE(args.logits.data, there.logits.data());
                  })
                  .ok());
  EXPECT_EQ(Mirror::count(), before + 1);
  EXPECT_TRUE(logsumexp(here.args).ok());
  EXPECT_EQ(there.lse, here.lse);
  EXPECT_EQ(there.logits, here.logits);
}

TEST(Mirrored, AWriteOutsideIsAFailure) {
  for (const std::ptrdiff_t outside : {-1, -64, 2, 3, 100}) {
    Call call;
    const std::string where = outside < 0
                                  ? "byte " + std::to_string(-outside * 4 - 3) + " before 8 bytes"
                                  : "byte " + std::to_string(outside * 4 - 7) + " behind 8 bytes";
    EXPECT_NONFATAL_FAILURE(EXPECT_TRUE(call.run([=](const LogsumexpArgs& args, const Context&) {
                                              floats(args.lse)[outside] = 1;
                                            })
                                            .ok()),
                            where);
  }
  // Also of something that isn't a tensor's.
  Call call;
  std::vector<std::uint64_t> memory(logsumexp_workspace_size(call.args) / 8, 1);
  const Context context{.workspace = {memory.data(), memory.size() * 8}};
  const auto write = [&](const LogsumexpArgs&, const Context& there) {
    static_cast<std::uint64_t*>(there.workspace.data)[memory.size()] = 1;
  };
  EXPECT_NONFATAL_FAILURE(EXPECT_TRUE(call.run(write, context).ok()), "bytes of workspace");
}

// An input that is written is seen where it was, by the test's own check.
TEST(Mirrored, InputsComeBackToo) {
  Call call;
  EXPECT_TRUE(
      call.run([](const LogsumexpArgs& args, const Context&) { floats(args.logits)[4] = 17; })
          .ok());
  EXPECT_EQ(call.logits[4], 17);
}

TEST(Mirrored, AWorkspaceIsZeroAndStaysThere) {
  Call call;
  std::vector<std::byte> memory(logsumexp_workspace_size(call.args) + 64, std::byte{1});
  const Context context{.workspace = {memory.data(), memory.size()}};
  const auto look = [&](const LogsumexpArgs&, const Context& there) {
    const auto* bytes = static_cast<const std::byte*>(there.workspace.data);
    EXPECT_NE(bytes, memory.data());
    EXPECT_EQ(bytes[memory.size() - 1], std::byte{0});  // behind what the operation needs
  };
  EXPECT_TRUE(call.run(look, context).ok());
  for (const std::byte b : memory) EXPECT_EQ(b, std::byte{1});
}

// Pointers into nowhere and a tensor without end: refused for what is wrong beside, without a look.
TEST(Mirrored, WhatIsRefusedIsntLookedAt) {
  const std::int64_t before = Mirror::count();
  const std::vector<std::function<void(LogsumexpArgs&)>> faults = {
      [](LogsumexpArgs& a) { a.lse.dtype = DType::i64; },
      [](LogsumexpArgs& a) { a.lse.shape[0] = 3; },
      [](LogsumexpArgs& a) { a.lse.rank = 1000; },
      [](LogsumexpArgs& a) { a.dim = 7; },
      [](LogsumexpArgs& a) { a.logits.strides[0] = INT64_MAX; },
      [](LogsumexpArgs& a) { a.lse.data = static_cast<float*>(a.logits.data) + 5; }};
  for (const auto& spoil : faults) {
    Call call;
    call.args.logits.data = reinterpret_cast<void*>(64);
    spoil(call.args);
    const Status status = mirrored(host_memory(), logsumexp, call.args, {});
    EXPECT_EQ(status.code(), StatusCode::invalid_argument) << status.message();
    EXPECT_EQ(std::string(status.message()), logsumexp(call.args).message());
  }
  EXPECT_EQ(Mirror::count(), before);
}

// A call that would copy gigabytes is the test's mistake.
TEST(Mirrored, TooMuchIsAFailure) {
  std::vector<float> memory(5);  // lse before the logits, whose extent has no end
  LogsumexpArgs args{.logits = Tensor::of(&memory[2], {2, 3}), .lse = Tensor::of(&memory[0], {2})};
  args.logits.strides[0] = std::int64_t{1} << 40;
  EXPECT_NONFATAL_FAILURE(EXPECT_FALSE(mirrored(host_memory(), logsumexp, args, {}).ok()),
                          "too many to copy");
}

// The tensors that merge's arguments only point to.
TEST(Mirrored, SpansOfTensors) {
  TileRecord records[2];
  records[0].sum = 1;
  records[1].sum = 3;
  float lse = 99, direct = 99;
  const auto bytes = [](TileRecord& r) { return reinterpret_cast<std::uint8_t*>(&r); };
  const Tensor shards[] = {Tensor::of(bytes(records[0]), {1, 1, 24}),
                           Tensor::of(bytes(records[1]), {1, 1, 24})};
  MergeArgs args{.shards = shards, .vocab_size = 5000, .lse = Tensor::of(&lse, {1})};
  const auto look = [&](const MergeArgs& there, const Context&) {
    EXPECT_NE(there.shards[1].data, shards[1].data);
  };
  EXPECT_TRUE(mirrored(host_memory(), operation_that(&merge, look), args, {}).ok());
  EXPECT_EQ(shards[1].data, &records[1]);
  args.lse = Tensor::of(&direct, {1});
  EXPECT_TRUE(merge(args).ok());
  EXPECT_TRUE(same_bits(lse, direct));
}

}  // namespace
}  // namespace logsum::test
