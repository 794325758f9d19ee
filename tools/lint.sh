#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Formatting, spelling, line lengths, licence headers, shell scripts, and the set of files of each
# operation.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t code < <(git ls-files '*.cpp' '*.hpp' '*.h' '*.c' '*.cu' '*.cuh' ':!tests/install/*')
clang-format-14 --dry-run --Werror "${code[@]}"
mapfile -t text < <(git ls-files '*.cpp' '*.hpp' '*.h' '*.c' '*.cu' '*.cuh' '*.py' '*.sh' '*.md' \
  '*.txt' '*.cmake')
codespell --ignore-words-list=kinf,arithmetics,overfl "${text[@]}"
shellcheck demo test .ci/run tools/*.sh tools/gpu/*.sh tests/install/run.sh bench/peers/*.sh
python3 tools/check_tree.py
