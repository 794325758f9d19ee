# SPDX-License-Identifier: Apache-2.0
"""Training losses as PyTorch's users write them, and autograd's gradient of the logits."""

import math

import torch
import torch.nn.functional as F
from candidate import BETA, EPSILON, JSD_BETA


def selective_log_softmax(logits, targets):
    """log p(y) without a table of all log-probs, as in TRL and verl: f32 by logsumexp, half types
    by log_softmax of one sequence at a time, in their own precision."""
    at = targets[..., None]
    if logits.dtype == torch.float32:
        lse = torch.stack([torch.logsumexp(x, -1) for x in logits])
        return logits.gather(-1, at)[..., 0] - lse
    rows = [torch.log_softmax(x, -1).gather(-1, y)[:, 0] for x, y in zip(logits, at)]
    return torch.stack(rows)


def logprob(logits, targets):
    x = logits.float()
    return x.gather(-1, targets[..., None])[..., 0] - x.logsumexp(-1)


def grpo(logprobs, old, ref, advantages, mask):
    """Clipped ratio and k3, the mean over tokens."""
    advantages = advantages[:, None]
    ratio = torch.exp(logprobs - old)
    clipped = ratio.clamp(1 - EPSILON, 1 + EPSILON)
    loss = -torch.min(ratio * advantages, clipped * advantages)
    d = ref - logprobs
    loss = loss + BETA * (torch.exp(d) - d - 1)
    return (loss * mask).sum() / mask.sum()


def grpo_half(logits, targets, *rollout):
    return grpo(selective_log_softmax(logits, targets), *rollout)


def grpo_f32(logits, targets, *rollout):
    return grpo(selective_log_softmax(logits.float(), targets), *rollout)


def grpo_whole(logits, targets, *rollout):
    """All sequences at once, which torch.compile makes one kernel of."""
    return grpo(logprob(logits, targets), *rollout)


def cross_entropy_f32(logits, targets):
    return F.cross_entropy(logits.float(), targets)


def jsd(student, teacher):
    """From the teacher, generalized, the mean over rows."""
    q, p = (torch.log_softmax(x.float(), -1) for x in (student, teacher))
    m = torch.logaddexp(p + math.log(JSD_BETA), q + math.log(1 - JSD_BETA))
    from_p, from_q = (F.kl_div(m, x, reduction="sum", log_target=True) for x in (p, q))
    return (JSD_BETA * from_p + (1 - JSD_BETA) * from_q) / student.shape[0]


def with_gradient(loss_of, logits, *others):
    """A call of loss and gradient, written to memory of its own: autograd can't overwrite."""
    logits = logits.detach().requires_grad_()
    return lambda: gradient(loss_of(logits, *others), logits)


def gradient(loss, logits):
    # Not backward(): that may copy what it adds to .grad, which no hidden layer would have.
    return {"loss": loss.detach(), "grad_logits": torch.autograd.grad(loss, logits)[0]}


def policy(loss_of, inputs):
    rollout = inputs.rollout
    shape = rollout.old.shape
    return with_gradient(
        loss_of,
        inputs.logits.view(*shape, -1),
        inputs.targets.view(shape),
        rollout.old,
        rollout.ref,
        rollout.advantages,
        rollout.mask,
    )


def classes(loss_of, inputs):
    return with_gradient(loss_of, inputs.logits, inputs.targets)


def distill(loss_of, inputs):
    return with_gradient(loss_of, inputs.logits, inputs.teacher)
