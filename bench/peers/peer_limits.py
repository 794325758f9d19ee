# SPDX-License-Identifier: Apache-2.0
"""What no kernel over the same logits can beat: reading them, and copying them."""

from functools import partial

import torch
from candidate import Candidate
from table import LIMITS

GRIDS = ((1024, 4, 16), (2048, 8, 8), (8192, 8, 4))  # words a step, warps, CTAs per processor


def load():
    return torch.__version__


def candidates(case):
    reads = [
        Candidate(LIMITS, f"read, {ctas} CTAs of {warps} warps per SM", partial(read, grid=grid))
        for grid in GRIDS
        for _, warps, ctas in [grid]
    ]
    return [Candidate(LIMITS, "copy", copy), *reads]


def copy(inputs):
    into = torch.empty_like(inputs.logits)
    return lambda: {"copied": into.copy_(inputs.logits)}


def read(inputs, grid):
    if not inputs.logits.is_cuda:
        return lambda: {"largest": inputs.logits.amax()}
    from read_kernel import read_words

    step, warps, ctas = grid
    words = inputs.logits.view(-1).view(torch.int32)
    processors = torch.cuda.get_device_properties(words.device).multi_processor_count
    programs = min(processors * ctas, -(-words.numel() // step))
    sink = torch.zeros(programs, dtype=torch.int32, device=words.device)

    def call():
        read_words[(programs,)](words, sink, words.numel(), BLOCK=step, num_warps=warps)
        return {"sink": sink}

    return call
