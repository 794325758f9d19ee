# SPDX-License-Identifier: Apache-2.0
"""Liger-Kernel's Triton kernels, forward."""

import torch
from candidate import SCORE, Candidate


def load():
    if not torch.cuda.is_available():
        raise RuntimeError("needs CUDA")
    import importlib.metadata

    from liger_kernel.ops import grpo_loss  # noqa: F401

    return importlib.metadata.version("liger-kernel")


def candidates(case):
    if case.family != "score":
        return []
    return [
        Candidate(SCORE, "Liger selective log-softmax (1 row less)", selective),
        Candidate(SCORE, "Liger cross-entropy, no gradient", cross_entropy),
    ]


def selective(inputs):
    from liger_kernel.ops.grpo_loss import fused_selective_log_softmax

    # It takes sequences with a position more than there are targets, and leaves that one out.
    logits, targets = inputs.logits[None], inputs.targets[None, :-1].contiguous()
    return lambda: {"logprobs": fused_selective_log_softmax(logits, targets, 1.0)[0]}


def cross_entropy(inputs):
    from liger_kernel.transformers.functional import liger_cross_entropy

    def call():
        loss = liger_cross_entropy(inputs.logits, inputs.targets, reduction="none")
        return {"loss": loss}

    return call
