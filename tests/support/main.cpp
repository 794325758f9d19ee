// SPDX-License-Identifier: Apache-2.0
// Runs a program's tests as the environment wants it (on.hpp), or fails: a report that nothing was
// wrong must not mean that nothing ran.
#include <gtest/gtest.h>

#include <cstdio>

#include "support/on.hpp"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  namespace on = logsum::test::on;
  if (const std::string reason = on::why_not(); !reason.empty()) {
    std::fprintf(stderr, "[logsum] %s\n", reason.c_str());
    return 1;
  }
  const int result = RUN_ALL_TESTS();
  if (const std::string summary = on::summary(); !summary.empty())
    std::printf("[logsum] %s\n", summary.c_str());
  return result;
}
