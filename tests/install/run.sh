#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs logsum, shared and static, and builds C++ and C consumers against it: find_package,
# pkg-config, and with exceptions off. Usage: run.sh SOURCE_DIR WORK_DIR [CMAKE_OPTION...]
set -euo pipefail
source_dir=$1
work=$2
options=("${@:3}")
here=$source_dir/tests/install
rm -rf "$work"
for shared in ON OFF; do
  prefix=$work/prefix-$shared
  cmake -S "$source_dir" -B "$work/build-$shared" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DLOGSUM_DEVELOPER_MODE=OFF -DBUILD_SHARED_LIBS=$shared -DCMAKE_INSTALL_PREFIX="$prefix" \
    -DCMAKE_INSTALL_LIBDIR=lib "${options[@]}" >"$work-configure.log"
  cmake --build "$work/build-$shared" >"$work-build.log"
  cmake --install "$work/build-$shared" >/dev/null
  cmake -S "$here" -B "$work/consumer-$shared" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" \
    "${options[@]}" >"$work-configure.log"
  cmake --build "$work/consumer-$shared"
  "$work/consumer-$shared/consumer_cpp"
  "$work/consumer-$shared/consumer_c"

  static_flag=()
  if [ "$shared" = OFF ]; then static_flag=(--static); fi
  # shellcheck disable=SC2046
  cc -std=c99 "$here/consumer.c" -o "$work/pkgconfig-$shared" \
    $(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --cflags --libs "${static_flag[@]}" logsum)
  LD_LIBRARY_PATH=$prefix/lib "$work/pkgconfig-$shared"
done
