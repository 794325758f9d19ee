# SPDX-License-Identifier: Apache-2.0
"""What a policy loss takes beside logits and targets."""

import dataclasses

import torch

ADVANTAGES = (1.0, -0.5, 1.5, -2.0)  # of the sequences
# Of the log-ratio: inside GRPO's clip and beyond it, none near a bound, where rounding would decide
# whether a token has a gradient.
STEPS = (-0.4, -0.1, 0.1, 0.4)
CHUNK = 64  # rows: what a wider type needs of a large batch's memory


@dataclasses.dataclass
class Rollout:
    old: torch.Tensor  # log-probs, f32 [sequences, tokens]
    ref: torch.Tensor
    advantages: torch.Tensor  # f32 [sequences]
    # 0 for each sequence's last row, which predicts nothing. Liger leaves that one out by itself.
    mask: torch.Tensor


def logprobs(logits, targets, dtype):
    """Log-probs of the targets, computed in dtype."""
    pairs = zip(logits.split(CHUNK), targets.split(CHUNK))
    wide = ((x.to(dtype), y[:, None]) for x, y in pairs)
    return torch.cat([x.gather(-1, y)[:, 0] - x.logsumexp(-1) for x, y in wide])


def make(logits, targets, generator):
    policy = logprobs(logits, targets, torch.float32).view(len(ADVANTAGES), -1)
    device = logits.device
    at = torch.randint(len(STEPS), policy.shape, device=device, generator=generator)
    noise = torch.empty_like(policy).normal_(0, 0.3, generator=generator)
    mask = torch.ones(policy.shape, dtype=torch.bool, device=device)
    mask[:, -1] = False
    return Rollout(
        old=policy - torch.tensor(STEPS, device=device)[at],
        ref=policy + noise,
        advantages=torch.tensor(ADVANTAGES, device=device),
        mask=mask,
    )
