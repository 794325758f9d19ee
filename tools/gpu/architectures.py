# SPDX-License-Identifier: Apache-2.0
"""Which GPUs code runs on that was compiled for CMake's list of architectures."""

import re

# 90, 90-real, 90a-real, 100f-virtual, ...
ARCHITECTURE = re.compile(r"(\d+)(\d)([af]?)(-real|-virtual)?")


def runs_on(architectures, compute_capability):
    """Machine code runs on its major version's GPUs of its own minor version and later, PTX on all
    later ones; `a` on its own alone, `f` on its major version's."""
    own = tuple(int(number) for number in compute_capability.split("."))
    for word in architectures.split(";"):
        match = ARCHITECTURE.fullmatch(word)
        if not match:
            return True  # `all` and such, which no list of numbers tells
        target = int(match[1]), int(match[2])
        is_ptx = match[4] != "-real" and not match[3]
        if own == target:
            return True
        if match[3] != "a" and own >= target and (is_ptx or own[0] == target[0]):
            return True
    return False
