# SPDX-License-Identifier: Apache-2.0
"""Liger-Kernel's Triton kernels, and its CuTe DSL one."""

from functools import partial

import cute_dsl
import torch
import torch_losses
from candidate import BETA, CLASSES, DISTILL, EPSILON, JSD_BETA, POLICY, SCORE, Candidate
from in_place import InPlace


def load():
    if not torch.cuda.is_available():
        raise RuntimeError("needs CUDA")
    import importlib.metadata

    cute_dsl.find()
    from liger_kernel.ops import grpo_loss  # noqa: F401

    return importlib.metadata.version("liger-kernel")


def candidates(case):
    return {
        "score": [
            Candidate(SCORE, "Liger selective log-softmax (1 row less)", selective),
            Candidate(SCORE, "Liger cross-entropy, no gradient", cross_entropy),
        ],
        "policy_loss": [Candidate(POLICY, "Liger, in place", policy)],
        "cross_entropy": [Candidate(CLASSES, "Liger, in place", classes)],
        "distill_loss": [
            Candidate(DISTILL, f"log_softmax + Liger {name}", partial(distill, implementation=impl))
            for name, impl in (("Triton", "nvidia-triton"), ("CuTe DSL", "nvidia-cutedsl"))
        ],
    }.get(case.family, [])


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


def policy(inputs):
    from liger_kernel.transformers.grpo_loss import triton_grpo_loss

    # Of the last position of each sequence it takes the logits, as the model gives them, no target.
    rollout, shape = inputs.rollout, inputs.rollout.old.shape
    targets = inputs.targets.view(shape)
    old, ref, targets = (x[:, :-1].contiguous() for x in (rollout.old, rollout.ref, targets))

    def make(logits):
        logits = logits.view(*shape, -1).requires_grad_()

        def call():
            loss, _ = triton_grpo_loss(
                logits,
                old,
                ref,
                targets,
                rollout.advantages,
                temperature=1.0,
                beta=BETA,
                eps_low=EPSILON,
                eps_high=EPSILON,
                inplace=True,
                loss_type="dapo",
                reduce=True,
            )
            return torch_losses.gradient(loss, logits)

        return call

    return InPlace(inputs.logits, make)


def classes(inputs):
    from liger_kernel.transformers.functional import liger_cross_entropy

    def make(logits):
        logits.requires_grad_()
        return lambda: torch_losses.gradient(liger_cross_entropy(logits, inputs.targets), logits)

    return InPlace(inputs.logits, make)


def distill(inputs, implementation):
    """Of log-probs, which it wants; in f32, as its own fused linear layer makes them."""
    from liger_kernel.ops.jsd import LigerJSDFunction

    def loss(student, teacher):
        log_q, log_p = (torch.log_softmax(x, -1, dtype=torch.float32) for x in (student, teacher))
        return LigerJSDFunction.apply(log_q, log_p, None, JSD_BETA, -100, implementation, None)

    return torch_losses.distill(loss, inputs)
