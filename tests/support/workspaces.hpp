// SPDX-License-Identifier: Apache-2.0
// Workspaces are as large as operations say.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "support/guarded.hpp"
#include "support/refusals.hpp"

namespace logsum::test {

// Nothing beside it is touched, less is refused: of a loss, whose Call has `args` and `loss`.
template <class Call, class Batch, class Operation, class Size>
void expect_workspace_is_enough(const char* name, const Batch& p, const Operation& operation,
                                const Size& workspace_size) {
  for (const auto touches : {GuardedMemory::Touches::end, GuardedMemory::Touches::begin}) {
    Call first(p), got(p), less(p);
    first.run();
    const std::size_t size = workspace_size(first.args);
    GuardedMemory memory(size, touches);
    std::memset(memory.data(), 0xab, size);
    EXPECT_TRUE(same_results(got.run({.workspace = {memory.data(), size}}), first));
    expect_refused(operation(less.args, {.workspace = {memory.data(), size - 1}}),
                   StatusCode::out_of_memory,
                   {std::string(name) + ": workspace has " + std::to_string(size - 1) +
                    " bytes, needs " + std::to_string(size)});
    EXPECT_EQ(less.loss, 99);
  }
}

}  // namespace logsum::test
