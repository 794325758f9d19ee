#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the wheels beside it, without internet and without their dependencies:
#
#   install.sh SITE [FOLDER_WITH_FURTHER_PARTS]
#   PYTHONPATH=SITE python3 bench/peers/run.py …
#
# Modules of FlashInfer that prebuild_flashinfer.py has compiled are taken from aot/ beside it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
site=${1:?usage: install.sh SITE [FOLDER_WITH_FURTHER_PARTS]}
joined=$(mktemp -d)
trap 'rm -rf "$joined"' EXIT

cp "$here"/*.whl "$joined"
shopt -s nullglob
parts=("${2:-$here}"/*.part-1)
for first in "${parts[@]}"; do
  name=$(basename "$first" .part-1)
  cat "$first" "$here/$name".part-[2-9] > "$joined/$name"
done
python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade \
  --target "$site" "$joined"/*.whl
if [[ -d $here/aot && -d $site/flashinfer ]]; then
  mkdir -p "$site/flashinfer/data/aot"
  cp -r "$here/aot/." "$site/flashinfer/data/aot/"
fi
