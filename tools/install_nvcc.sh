#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prints the path of an nvcc that can compile src/cuda: CUDACXX, else one in PATH that is new
# enough, else one of NVIDIA's Python wheels, which it puts into DIR (default build/nvcc), 300 MB.
# It needs no GPU and no driver.
# Usage: export CUDACXX=$(tools/install_nvcc.sh [DIR])
set -euo pipefail
cd "$(dirname "$0")/.."
oldest=$(sed -n 's/^set(LOGSUM_NVCC_MINIMUM \(.*\))$/\1/p' cmake/LogsumCuda.cmake)

# is_new_enough NVCC
is_new_enough() {
  local release
  release=$("$1" --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p') || return 1
  [ -n "$release" ] && printf '%s\n' "$oldest" "$release" | sort --check=quiet --version-sort
}

if [ -n "${CUDACXX:-}" ]; then
  echo "$CUDACXX"
  exit 0
fi
if found=$(command -v nvcc) && is_new_enough "$found"; then
  echo "$found"
  exit 0
fi

directory=${1:-build/nvcc}
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
toolkit=$directory/nvidia/cu13
wheels=(nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88
  nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85)
stamp=$directory/installed
if ! cmp -s "$stamp" <(echo "${wheels[@]}"); then
  echo "installing nvcc into $directory" >&2
  rm -rf "$directory"/nvidia*
  python3 -m pip install -qq --no-deps --target "$directory" "${wheels[@]}" >&2
  # What the wheels lack of a toolkit's layout: modes, lib64, the name that CMake looks for.
  chmod +x "$toolkit"/bin/* "$toolkit"/nvvm/bin/*
  ln -sfn lib "$toolkit/lib64"
  ln -sfn libcudart.so.13 "$toolkit/lib/libcudart.so"
  echo "${wheels[@]}" >"$stamp"
fi
echo "$toolkit/bin/nvcc"
