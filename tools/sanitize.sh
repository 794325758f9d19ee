#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tests under AddressSanitizer with UndefinedBehaviorSanitizer, and under ThreadSanitizer.
# LOGSUM_QUICK keeps the statistical tests short: they look for bias, not for memory errors.
# Without the tool, whose sources (CLI11) take minutes to compile with sanitizers and which only
# calls what is tested here.
set -euo pipefail
cd "$(dirname "$0")/.."
export LOGSUM_QUICK=1
for sanitizers in address,undefined thread; do
  build=build/${sanitizers/,/-}
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLOGSUM_TOOL=OFF \
    "-DLOGSUM_SANITIZE=$sanitizers" >/dev/null
  cmake --build "$build"
  ctest --test-dir "$build" --output-on-failure
done
