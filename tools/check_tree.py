#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what no compiler does: every operation has its full set of files, every source its licence
line, no line is longer than 100 characters."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Operation: the stem of its test, page and kernel files where it shares them.
OPERATIONS = {
    "token_logprobs": "token_logprobs",
    "sample": "sample",
    "measure": "shards",
    "merge": "shards",
    "draw": "shards",
    "softmax": "softmax",
    "softmax_backward": "softmax_backward",
    "logsumexp": "logsumexp",
    "approx_kl": "approx_kl",
    "policy_loss": "policy_loss",
    "cross_entropy": "cross_entropy",
    "preference_loss": "preference_loss",
    "distill_loss": "distill_loss",
    "group_advantages": "group_advantages",
    "importance_weights": "importance_weights",
}

PLACES = [
    "include/logsum/{op}.hpp",
    "include/logsum/c/{file}.h",
    "src/ops/{op}.cpp",
    "src/reference/{file}.cpp",
    "src/cpu/{file}.cpp",
    "src/cuda/{op}.cu",
    "src/capi/{file}.cpp",
    "tests/{file}_test.cpp",
    "docs/ops/{file}.md",
]

CODE = {".cpp", ".hpp", ".h", ".c", ".cu", ".cuh", ".py", ".sh", ".cmake"}
MAX_LINE = 100


def tracked():
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in names.stdout.splitlines()]


def main():
    problems = []
    for op, file in OPERATIONS.items():
        for place in PLACES:
            path = place.format(op=op, file=file)
            if not (ROOT / path).exists():
                problems.append(f"{path} is missing: every operation has one")
    for path in tracked():
        if path.suffix not in CODE | {".txt", ".md"} or not path.exists():
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        name = path.relative_to(ROOT)
        if path.suffix in CODE and not any(
            "SPDX-License-Identifier: Apache-2.0" in x for x in lines[:3]
        ):
            problems.append(f"{name}: no SPDX line among the first three")
        for number, line in enumerate(lines, 1):
            if path.suffix in CODE and len(line) > MAX_LINE:
                problems.append(f"{name}:{number}: {len(line)} characters, at most {MAX_LINE}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
