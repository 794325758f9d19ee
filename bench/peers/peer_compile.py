# SPDX-License-Identifier: Apache-2.0
"""torch.compile of the formulas: what its users get without a kernel of their own."""

import peer_torch
import torch
import torch_losses
from candidate import CLASSES, DISTILL, POLICY, SCORE, SCORE_ENTROPY, Candidate


def load():
    return torch.__version__


def candidates(case):
    return {
        "score": [
            Candidate(SCORE, "torch.compile log-prob", logprob),
            Candidate(SCORE_ENTROPY, "torch.compile log-prob + entropy", logprob_entropy),
        ],
        "policy_loss": [Candidate(POLICY, "torch.compile", policy)],
        "cross_entropy": [Candidate(CLASSES, "torch.compile", classes)],
        "distill_loss": [Candidate(DISTILL, "torch.compile", distill)],
    }.get(case.family, [])


def logprob(inputs):
    compiled = torch.compile(torch_losses.logprob, dynamic=False)
    return lambda: {"logprobs": compiled(inputs.logits, inputs.targets)}


def logprob_entropy(inputs):
    compiled = torch.compile(peer_torch.logprob_entropy, dynamic=False)

    def call():
        logprobs, entropy = compiled(inputs.logits, inputs.targets)
        return {"logprobs": logprobs, "entropy": entropy}

    return call


def policy(inputs):
    return torch_losses.policy(torch.compile(torch_losses.grpo_whole, dynamic=False), inputs)


def classes(inputs):
    compiled = torch.compile(torch_losses.cross_entropy_f32, dynamic=False)
    return torch_losses.classes(compiled, inputs)


def distill(inputs):
    return torch_losses.distill(torch.compile(torch_losses.jsd, dynamic=False), inputs)
