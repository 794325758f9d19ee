#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tests under AddressSanitizer and UndefinedBehaviorSanitizer, and those that share work between
# threads under ThreadSanitizer. LOGSUM_QUICK keeps the statistical tests short: they look for bias,
# not for memory errors. Without the tool, whose sources (CLI11) take minutes to compile with
# sanitizers and which only calls what is tested here.
set -euo pipefail
cd "$(dirname "$0")/.."
export LOGSUM_QUICK=1

# build SANITIZERS [TARGET...]
build() {
  local directory=build/${1/,/-}
  cmake -S . -B "$directory" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLOGSUM_TOOL=OFF \
    -DLOGSUM_CUDA=OFF "-DLOGSUM_SANITIZE=$1" >/dev/null
  cmake --build "$directory" --target "${@:2}"
}

# example_grpo is of learning: 10 s without sanitizers, more than 4 minutes with these.
build address,undefined all
ctest --test-dir build/address-undefined --output-on-failure -j2 -E '^example_grpo$'

threaded=(context invariance_machine invariance_layout shards softmax softmax_backward logsumexp
  approx_kl policy_loss_rows policy_loss_special preference_loss_rows preference_loss_special
  distill_loss_layout group_advantages importance_weights)
build thread "${threaded[@]/%/_test}"
pattern=$(IFS='|' && echo "^(${threaded[*]/%/_test})\$")
GTEST_FILTER='*Threads*:*SameTime*:*InPlace*:*LargeBatch*:*Workspace*:Shards.*' \
  ctest --test-dir build/thread --output-on-failure -j2 -R "$pattern"
