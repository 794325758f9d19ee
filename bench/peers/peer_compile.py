# SPDX-License-Identifier: Apache-2.0
"""torch.compile of the scoring formulas: what its users get without a kernel of their own."""

import peer_torch
import torch
from candidate import SCORE, SCORE_ENTROPY, Candidate


def load():
    return torch.__version__


def candidates(case):
    if case.family != "score":
        return []
    return [
        Candidate(SCORE, "torch.compile log-prob", logprob),
        Candidate(SCORE_ENTROPY, "torch.compile log-prob + entropy", logprob_entropy),
    ]


def logprob(inputs):
    compiled = torch.compile(peer_torch.logprob, dynamic=False)
    return lambda: {"logprobs": compiled(inputs.logits, inputs.targets)}


def logprob_entropy(inputs):
    compiled = torch.compile(peer_torch.logprob_entropy, dynamic=False)

    def call():
        logprobs, entropy = compiled(inputs.logits, inputs.targets)
        return {"logprobs": logprobs, "entropy": entropy}

    return call
