#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Downloads the peers' wheels (requirements.txt) for a machine without internet, in folders that can
# be carried one at a time:
#
#   bench/peers/fetch_wheels.sh DIR
#
#   DIR/flashinfer-liger   FlashInfer (only what sampling needs: slim_wheel.py), Liger
#   DIR/quack-1, quack-2   quack; its compiler's wheel is cut in two
#
# Each has an install.sh. README.md says how they are used.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: fetch_wheels.sh DIR}
part_bytes=48M

mkdir -p "$out/all" "$out/flashinfer-liger" "$out/quack-1" "$out/quack-2"
out=$(cd "$out" && pwd)

platforms=()
for glibc in 17 24 27 28 31 34; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 \
  --implementation cp "${platforms[@]}" --platform manylinux2014_x86_64 \
  -d "$out/all" -r "$here/requirements.txt"

cd "$out"
cp all/flashinfer_python-* all/liger_kernel-* all/apache_tvm_ffi-* flashinfer-liger/
python3 "$here/slim_wheel.py" flashinfer-liger/flashinfer_python-*.whl

big=$(basename all/nvidia_cutlass_dsl_libs_cu13-*.whl)
rm -f quack-[12]/*.part-*
split --bytes=$part_bytes --numeric-suffixes=1 --suffix-length=1 "all/$big" "quack-1/$big.part-"
mv quack-1/*.part-[2-9] quack-2/
for wheel in all/*.whl; do
  case $(basename "$wheel") in
    "$big" | flashinfer_python-* | liger_kernel-*) ;;
    *) cp "$wheel" quack-2/ ;;
  esac
done

for set in flashinfer-liger quack-2; do cp "$here/install_wheels.sh" "$set/install.sh"; done
du -sh --apparent-size flashinfer-liger quack-1 quack-2
