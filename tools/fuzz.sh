#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs each libFuzzer target for some seconds (default 60) on its kept corpus. Usage: fuzz.sh
# [seconds]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
cmake -S . -B build/fuzz -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLOGSUM_FUZZ=ON \
  -DLOGSUM_TESTS=OFF -DLOGSUM_TOOL=OFF -DLOGSUM_CUDA=OFF -DLOGSUM_SANITIZE=address,undefined \
  -DCMAKE_CXX_COMPILER=clang++-14 -DCMAKE_C_COMPILER=clang-14 >/dev/null
cmake --build build/fuzz --target logsum_fuzzers
for target in build/fuzz/fuzz/*_fuzz; do
  name=$(basename "$target")
  work=build/fuzz/work/$name
  mkdir -p "$work"
  echo "-- $name, $seconds s"
  rm -f "$work".*-*
  # Not a pipe: its status would be that of the last command.
  if ! "$target" -max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$work." \
    "$work" "fuzz/corpus/${name%_fuzz}" >"$work.log" 2>&1; then
    tail -n 60 "$work.log"
    echo "fuzz.sh: $name failed" >&2
    # libFuzzer prints small inputs only, and a CI machine's files are gone.
    for input in "$work".*-*; do
      [[ -e $input ]] || continue
      echo "fuzz.sh: on this input (base64 -d FILE.b64 > FILE, $target FILE):" >&2
      base64 "$input" >&2
    done
    exit 1
  fi
  grep 'stat::number_of_executed_units' "$work.log"
done
