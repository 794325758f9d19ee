// SPDX-License-Identifier: Apache-2.0
// Memory that runs out inside a task is a Status: nothing is thrown through an executor or out of
// the library.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "logsum/executor.hpp"
#include "logsum/token_logprobs.hpp"
#include "support/on.hpp"

namespace {
std::atomic<std::size_t> largest_allowed = SIZE_MAX;
}

// Not inlined: the compiler would see malloc behind new, free behind delete, and warn of a
// mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  void* p = size > largest_allowed ? nullptr : std::malloc(size);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace logsum::test {
namespace {

TEST(OutOfMemory, InsideATask) {
  if (on::is_cuda()) GTEST_SKIP() << "tasks and their host memory are the CPU backend's";
  constexpr std::int64_t kColumns = 100000;
  std::vector<float> logits(kColumns, 1.0f), top(kColumns);
  const TokenLogprobsArgs args{.logits = Tensor::of(logits.data(), {1, kColumns}),
                               .top_logprobs = Tensor::of(top.data(), {1, kColumns})};
  std::vector<std::byte> workspace(token_logprobs_workspace_size(args));
  const Context context{.workspace = {workspace.data(), workspace.size()},
                        .executor = &inline_executor()};
  ASSERT_TRUE(token_logprobs(args, context).ok());
  largest_allowed = 100000;
  const Status status = token_logprobs(args, context);
  largest_allowed = SIZE_MAX;
  EXPECT_EQ(status.code(), StatusCode::out_of_memory);
  EXPECT_STREQ(status.message(), "token_logprobs: out of memory");
}

}  // namespace
}  // namespace logsum::test
