#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the tests and the tool with the CUDA backend and puts them, with all they need but glibc
# and libstdc++, into one folder that runs on any machine with an NVIDIA driver and a GPU of the
# compute capability it is compiled for (run.py). That is 9.0, or what CUDAARCHS says: 89-real, or
# several, "80-real;89-real". Needs nvcc (tools/install_nvcc.sh), no GPU.
# Usage: [CUDAARCHS=90-real] tools/gpu/bundle.sh [DIR]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bundle=$(realpath -m "${1:-$root/build/gpu-bundle}")
cd "$root"
build=build/gpu
largest=$((160 << 20))  # to be copied to another machine: packed by xz a fifth of it
architectures=${CUDAARCHS:-90-real}
# The wheels before 13.4 lack a program without which none starts.
sanitizer_wheel=nvidia-cuda-sanitizer-api==13.4.92

CUDACXX=$(tools/install_nvcc.sh)
export CUDACXX
hash=$(tools/gpu/source_hash.py)

# One library for all programs: a copy of the objects in each would be too large.
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLOGSUM_CUDA=ON -DLOGSUM_VISIBLE=ON \
  "-DLOGSUM_CUDA_ARCHITECTURES=$architectures" -DCMAKE_INSTALL_LIBDIR=lib \
  -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON "-DCMAKE_INSTALL_RPATH=\$ORIGIN/../lib" >/dev/null
programs=()
for source in tests/*_test.cpp; do programs+=("$(basename "$source" .cpp)"); done
limits=()
for source in tests/sanitizer_limits/*.cu; do limits+=("$(basename "$source" .cu)"); done
cmake --build "$build" --target "${programs[@]}" "${limits[@]}" decode_loop decode_loop_c \
  logsum_tool >&2
if [ "$(tools/gpu/source_hash.py)" != "$hash" ]; then
  echo "bundle.sh: the sources changed while they were built; run it again" >&2
  exit 1
fi

if [ -e "$bundle" ] && [ ! -e "$bundle/gpu" ]; then
  echo "bundle.sh: $bundle is there and is no bundle" >&2
  exit 1
fi
rm -rf "$bundle"
mkdir -p "$bundle"/{bin,lib,examples/data,gpu,tests/cli}
cp "${programs[@]/#/$build/tests/}" "${limits[@]/#/$build/tests/}" "$bundle/bin"
cp "$build"/examples/decode_loop{,_c} "$build/cli/logsum" "$bundle/bin"
cp -L "$build/src/liblogsum.so.0" "$bundle/lib"
ldd "$bundle"/bin/* | sed -n 's/.* => \(\/.*\) (.*/\1/p' | sort -u |
  grep -Ev '/(lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+)|ld-linux.*)\.so' |
  grep -Fv "$bundle/" | xargs -r cp -Lt "$bundle/lib"
strip "$bundle"/bin/* "$bundle"/lib/*
cp examples/data/* "$bundle/examples/data"
cp examples/make_logps.py examples/make_loss_batch.py "$bundle/examples"
cp tests/cli_test.py "$bundle/tests"
cp tests/cli/*.py "$bundle/tests/cli"
cp tools/gpu/*.py tools/gpu/*.txt "$bundle/gpu"

# Few machines with a driver have compute-sanitizer. Packed: 11 MiB instead of 34.
wheel=$build/$sanitizer_wheel
if [ ! -d "$wheel" ]; then
  python3 -m pip install -qq --no-deps --target "$wheel.partial" "$sanitizer_wheel" >&2
  mv "$wheel.partial" "$wheel"
fi
(cd "$wheel/nvidia/cu13/compute-sanitizer" &&
  python3 -m zipfile -c "$bundle/sanitizer.zip" compute-sanitizer TreeLauncher* lib*.so)

read -r sources tool_tests <<<"$hash"
tools/gpu/manifest.py "$build" "$sources" "$tool_tests" "${programs[@]}" >"$bundle/manifest.json"
size=$(du -sb "$bundle" | cut -f1)
echo "$bundle: ${#programs[@]} test programs, $((size >> 20)) MiB" >&2
if [ "$size" -gt "$largest" ]; then
  echo "bundle.sh: more than $((largest >> 20)) MiB" >&2
  exit 1
fi
