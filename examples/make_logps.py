#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the arrays that docs/compare.md compares: made-up log-probs of 24 sequences by two engines.

Most tokens are likely and some are not, as in sampled text. The rollout's engine is noisy, a little
more for unlikely tokens, and stores bf16; in sequence 7 it goes astray from token 60 on, as with a
stale cache; and three tokens are off by some nats.

    python3 examples/make_logps.py examples/data
"""

import math
import pathlib
import random
import struct
import sys

SEQUENCES, TOKENS = 24, 160
NPY = {"bf16": "<V2", "f32": "<f4", "u8": "|u1"}


def bf16(x):
    """The bits, rounded to nearest even."""
    (bits,) = struct.unpack("<I", struct.pack("<f", x))
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16


def npy(dtype, values):
    """All of the values are of one [SEQUENCES, TOKENS] array."""
    pack = {"bf16": ("H", map(bf16, values)), "f32": ("f", values), "u8": ("B", values)}
    code, numbers = pack[dtype]
    shape = (SEQUENCES, TOKENS)
    header = str({"descr": NPY[dtype], "fortran_order": False, "shape": shape})
    header += " " * (-(len(header) + 11) % 64) + "\n"
    data = struct.pack(f"<{len(values)}{code}", *numbers)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def write(folder):
    random.seed(11)
    rollout, trainer, mask = [], [], []
    for sequence in range(SEQUENCES):
        length = random.randrange(TOKENS // 2, TOKENS + 1)
        for token in range(TOKENS):
            likely = random.random() < 0.7
            true = -random.expovariate(20.0 if likely else 0.55) - 1e-6
            noise = 0.004 + 0.008 * min(-true, 4.0)
            if sequence == 7 and token >= 60:
                noise += 0.5
            trainer.append(true)
            rollout.append(min(true + random.gauss(0, noise), -1e-7))
            mask.append(int(token < length or sequence == 7))
    for at, by in ((3 * TOKENS + 17, -2.5), (12 * TOKENS + 60, 1.75), (20 * TOKENS + 5, -3.25)):
        trainer[at] = min(rollout[at] + by, -1e-6)
    for name, dtype, values in (
        ("rollout_logps", "bf16", rollout),
        ("trainer_logps", "f32", trainer),
        ("logps_mask", "u8", mask),
    ):
        assert all(map(math.isfinite, values))
        (folder / f"{name}.npy").write_bytes(npy(dtype, values))


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
