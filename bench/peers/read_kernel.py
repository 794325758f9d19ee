# SPDX-License-Identifier: Apache-2.0
"""Reads everything and writes next to nothing. In its own file since it needs Triton."""

import triton
import triton.language as tl


@triton.jit
def read_words(words, sink, count, BLOCK: tl.constexpr):
    first = tl.program_id(0).to(tl.int64) * BLOCK
    column = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), dtype=tl.int32)
    for start in range(first, count, tl.num_programs(0).to(tl.int64) * BLOCK):
        at = start + column
        total ^= tl.load(words + at, mask=at < count, other=0)
    # A store that almost never happens, but that the compiler can't leave out.
    folded = tl.xor_sum(total, axis=0)
    tl.store(sink + tl.program_id(0), folded, mask=folded == 0x5EED)
