# SPDX-License-Identifier: Apache-2.0
"""PyTorch: one kernel after another, as its users write it."""

from functools import partial

import torch
import torch.nn.functional as F
import torch_losses
from candidate import CLASSES, DISTILL, POLICY, SAMPLE, SCORE, SCORE_ENTROPY, TEMPERATURE, Candidate

SEQUENCES = 8  # a batch of completions, for formulas that go by sequence

LOSSES = {
    "policy_loss": [
        (POLICY, "PyTorch, f32 log-probs", (torch_losses.policy, torch_losses.grpo_f32)),
        (POLICY, "PyTorch, bf16 log-probs as TRL", (torch_losses.policy, torch_losses.grpo_half)),
    ],
    "cross_entropy": [
        (CLASSES, "PyTorch, f32 logits", (torch_losses.classes, torch_losses.cross_entropy_f32)),
        (CLASSES, "PyTorch, bf16 logits", (torch_losses.classes, F.cross_entropy)),
    ],
    "distill_loss": [(DISTILL, "PyTorch", (torch_losses.distill, torch_losses.jsd))],
}


def load():
    return torch.__version__


def candidates(case):
    if case.family == "sample":
        return [
            Candidate(SAMPLE, "PyTorch softmax + multinomial", multinomial),
            Candidate(SAMPLE, "PyTorch softmax + exponential race", race),
        ]
    if case.family == "score":
        return [
            Candidate(SCORE, "PyTorch log_softmax + gather", gather),
            Candidate(SCORE, "selective_log_softmax as in TRL", selective, is_extra=True),
            Candidate(SCORE_ENTROPY, "PyTorch log_softmax, gather, sum", gather_entropy),
        ]
    if case.family in LOSSES:
        return [Candidate(*names, partial(*make)) for *names, make in LOSSES[case.family]]
    return [
        Candidate("softmax", "PyTorch softmax", softmax),
        Candidate("log_softmax", "PyTorch log_softmax", log_softmax),
        Candidate("softmax backward", "PyTorch softmax backward", softmax_backward),
        Candidate("log_softmax backward", "PyTorch log_softmax backward", log_softmax_backward),
    ]


def probabilities(logits):
    return torch.softmax(logits.float() / TEMPERATURE, -1)


def multinomial(inputs):
    return lambda: {"token": torch.multinomial(probabilities(inputs.logits), 1)}


def race(inputs):
    """The largest p/q with q exponential: a draw without a host-side check of p."""

    def call():
        p = probabilities(inputs.logits)
        return {"token": p.div_(torch.empty_like(p).exponential_(1)).argmax(-1)}

    return call


def logprob_entropy(logits, targets):
    logp = torch.log_softmax(logits.float(), -1)
    return logp.gather(-1, targets[:, None])[:, 0], -(logp.exp() * logp).sum(-1)


def gather(inputs):
    at = inputs.targets[:, None]

    def call():
        logp = torch.log_softmax(inputs.logits, -1, dtype=torch.float32)
        return {"logprobs": logp.gather(-1, at)[:, 0]}

    return call


def gather_entropy(inputs):
    def call():
        logprobs, entropy = logprob_entropy(inputs.logits, inputs.targets)
        return {"logprobs": logprobs, "entropy": entropy}

    return call


def selective(inputs):
    count = SEQUENCES if inputs.logits.shape[0] % SEQUENCES == 0 else 1
    logits = inputs.logits.view(count, -1, inputs.logits.shape[-1])
    targets = inputs.targets.view(count, -1)
    selected = torch_losses.selective_log_softmax
    return lambda: {"logprobs": selected(logits, targets).flatten()}


def softmax(inputs):
    return lambda: {"output": torch.softmax(inputs.logits, -1)}


def log_softmax(inputs):
    return lambda: {"output": torch.log_softmax(inputs.logits, -1)}


def softmax_backward(inputs):
    output = torch.softmax(inputs.logits, -1)
    return backward(torch.ops.aten._softmax_backward_data, inputs, output)


def log_softmax_backward(inputs):
    output = torch.log_softmax(inputs.logits, -1)
    return backward(torch.ops.aten._log_softmax_backward_data, inputs, output)


def backward(function, inputs, output):
    return lambda: {"gradient": function(inputs.gradient, output, -1, output.dtype)}
