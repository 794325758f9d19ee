# SPDX-License-Identifier: Apache-2.0
"""What no kernel over the same logits can beat: reading them, and copying them."""

import torch

GRIDS = ((1024, 4, 16), (2048, 8, 8), (8192, 8, 4))  # words a step, warps, CTAs per processor


def copy(inputs):
    into = torch.empty_like(inputs.logits)
    return lambda: into.copy_(inputs.logits)


def reader(inputs, grid):
    if not inputs.logits.is_cuda:
        return lambda: inputs.logits.amax()
    from read_kernel import read_words

    step, warps, ctas = grid
    words = inputs.logits.view(-1).view(torch.int32)
    processors = torch.cuda.get_device_properties(words.device).multi_processor_count
    programs = min(processors * ctas, -(-words.numel() // step))
    sink = torch.zeros(programs, dtype=torch.int32, device=words.device)
    return lambda: read_words[(programs,)](words, sink, words.numel(), BLOCK=step, num_warps=warps)
