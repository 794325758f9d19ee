#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what logsum needs from Debian's or Ubuntu's packages (Debian 12, Ubuntu 24.04), with
# sudo where the caller isn't root. Usage: install_packages.sh build|test|ci; each includes the
# ones before it. Does nothing where all are installed.
set -euo pipefail

packages=(g++ cmake ninja-build pkg-config libhwy-dev libtbb-dev
  libcli11-dev nlohmann-json3-dev libfmt-dev)
case ${1:-build} in
  build) ;;
  test) packages+=(libgtest-dev librapidcheck-dev librandom123-dev python3) ;;
  ci)
    packages+=(libgtest-dev librapidcheck-dev librandom123-dev python3 python3-pip
      clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev libfuzzer-14-dev
      ccache codespell shellcheck git time)
    ;;
  *)
    echo "install_packages.sh: unknown set '$1', must be build, test or ci" >&2
    exit 2
    ;;
esac

missing=()
for package in "${packages[@]}"; do
  if ! dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed; then
    missing+=("$package")
  fi
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
echo "installing: ${missing[*]}" >&2
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  "${missing[@]}" >/dev/null
