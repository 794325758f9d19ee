#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the batch of docs/loss.md: four completions of a made-up policy, a step after they were
sampled.

The policy's logits are bf16. Old log-probs are of the logits before the step, those of the
reference of logits farther off; sequences end early, and what is behind the end is masked. Token
2,5 had another distribution in the rollout.

    python3 examples/make_loss_batch.py examples/data
"""

import json
import math
import pathlib
import random
import struct
import sys

SEQUENCES, TOKENS, COLUMNS = 4, 12, 48
LENGTHS = (12, 9, 12, 7)


def bf16(x):
    """The bits, rounded to nearest even."""
    (bits,) = struct.unpack("<I", struct.pack("<f", x))
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16


def log_softmax(z):
    top = max(z)
    log_sum = math.log(math.fsum(math.exp(x - top) for x in z))
    return [x - top - log_sum for x in z]


def write(folder):
    random.seed(23)
    logits, targets, old, ref, mask = [], [], [], [], []
    for sequence in range(SEQUENCES):
        for token in range(TOKENS):
            z = [round(random.gauss(0, 2.0) * 16) / 16 for _ in range(COLUMNS)]
            y = random.choices(range(COLUMNS), [math.exp(x) for x in z])[0]
            before = [x + random.gauss(0, 0.08) for x in z]
            if (sequence, token) == (2, 5):
                before[y] += 1.5
            logits += map(bf16, z)
            targets.append(y)
            old.append(log_softmax(before)[y])
            ref.append(log_softmax([x + random.gauss(0, 0.3) for x in before])[y])
            mask.append(int(token < LENGTHS[sequence]))
    shape = [SEQUENCES, TOKENS]
    tensors = {
        "targets": ("I64", "q", shape, targets),
        "advantages": ("F32", "f", shape[:1], [1.25, -0.25, -1.5, 0.5]),
        "old_per_token_logps": ("F32", "f", shape, old),
        "ref_per_token_logps": ("F32", "f", shape, ref),
        "logits": ("BF16", "H", [*shape, COLUMNS], logits),
        "completion_mask": ("U8", "B", shape, mask),
    }
    header, data = {}, b""
    for name, (dtype, code, dims, values) in tensors.items():
        packed = struct.pack(f"<{len(values)}{code}", *values)
        offsets = [len(data), len(data) + len(packed)]
        header[name] = {"dtype": dtype, "shape": dims, "data_offsets": offsets}
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "loss_batch.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
