# SPDX-License-Identifier: Apache-2.0
"""Losses against float64: the loss of all rows, the gradient of some. Ours within the bounds its
headers promise; a peer's distance is a remark, which also shows that it computes the same."""

import dataclasses

import torch
from candidate import BETA, CLASSES, DISTILL, EPSILON, JSD_BETA, POLICY
from check import ROUNDING, excess, log_tolerance, worst
from rollout import CHUNK, logprobs

ROWS = 16  # spread over the batch: each sequence has some
# Of bf16 on a GPU, where the hardware's exponential is used; tighter bounds hold elsewhere.
JSD_ERROR, JSD_ROOT_ERROR, JSD_GRADIENT_ERROR, JSD_SHARE_ERROR = 2e-5, 3e-6, 2e-5, 4e-6
SMALLEST = 2.0**-126  # a smaller probability may count as 0


@dataclasses.dataclass
class Wanted:
    loss: torch.Tensor
    loss_tolerance: torch.Tensor
    loss_size: torch.Tensor  # of its terms, which may cancel
    gradient: torch.Tensor  # of the chosen rows
    gradient_size: torch.Tensor  # of its terms
    gradient_tolerance: torch.Tensor  # before it is rounded


def chosen(inputs):
    return torch.linspace(0, inputs.logits.shape[0] - 1, ROWS, device=inputs.logits.device).long()


def shares(logits, targets):
    """What a log-prob's gradient is made of: δ − p, and its size; 1 − p exact as p nears 1."""
    logp = torch.log_softmax(logits, -1)
    at_target = -torch.expm1(logp.gather(-1, targets[:, None]))
    slope = (-logp.exp()).scatter_(-1, targets[:, None], at_target)
    return slope, slope.abs()


def policy(inputs, rows):
    rollout = inputs.rollout
    lp = logprobs(inputs.logits, inputs.targets, torch.float64)
    old, ref = rollout.old.double().flatten(), rollout.ref.double().flatten()
    mask = rollout.mask.flatten()
    advantages = rollout.advantages.double().repeat_interleave(rollout.old.shape[1])
    ratio, d = torch.exp(lp - old), ref - lp
    bound = 1 + EPSILON * advantages.sign()  # not where(): f32 of two numbers
    cut = torch.where(advantages > 0, ratio > bound, ratio < bound)
    clip = -advantages * torch.where(cut, bound, ratio)
    k3 = torch.exp(d) - d - 1
    count = mask.sum().double()
    slope = torch.where(cut, 0.0, -advantages * ratio) + BETA * (1 - d.exp())
    # An error of the log-prob is one of the ratio, and of e^d.
    steep = (advantages * ratio).abs() + BETA * (1 + d.exp())
    error = log_tolerance(lp)
    weight = mask[rows, None] / count
    share, size = shares(inputs.logits[rows].double(), inputs.targets[rows])
    size = steep[rows, None] * weight * size
    return Wanted(
        loss=((clip + BETA * k3) * mask).sum() / count,
        loss_tolerance=((1e-6 * (clip.abs() + BETA * k3) + steep * error) * mask).sum() / count,
        loss_size=((clip.abs() + BETA * k3) * mask).sum() / count,
        gradient=slope[rows, None] * share * weight,
        gradient_size=size,
        gradient_tolerance=(4e-6 + error[rows, None]) * size + SMALLEST,
    )


def classes(inputs, rows):
    lp = logprobs(inputs.logits, inputs.targets, torch.float64)
    share, size = shares(inputs.logits[rows].double(), inputs.targets[rows])
    return Wanted(
        loss=-lp.mean(),
        loss_tolerance=log_tolerance(lp).mean(),
        loss_size=-lp.mean(),
        gradient=-share / len(lp),
        gradient_size=size / len(lp),
        gradient_tolerance=4e-6 * size / len(lp) + SMALLEST,
    )


def divergences(student, teacher):
    """KL of the student and of both, by row, from their mixture; q; log(q/m)."""
    log_q, log_p = (torch.log_softmax(x.double(), -1) for x in (student, teacher))
    q, p = log_q.exp(), log_p.exp()
    log_m = torch.log(JSD_BETA * p + (1 - JSD_BETA) * q)
    # A logit of −∞ has no part.
    of_q, of_p = (torch.where(x == -torch.inf, 0.0, x - log_m) for x in (log_q, log_p))
    kl_q, kl_p = (q * of_q).sum(-1), (p * of_p).sum(-1)
    return kl_q, JSD_BETA * kl_p + (1 - JSD_BETA) * kl_q, q, of_q


def distill(inputs, rows):
    pairs = zip(inputs.logits.split(CHUNK), inputs.teacher.split(CHUNK))
    d = torch.cat([divergences(*pair)[1] for pair in pairs])
    kl, _, q, ratio = divergences(inputs.logits[rows], inputs.teacher[rows])
    scale = (1 - JSD_BETA) / len(d)
    size = scale * q * (ratio.abs() + kl[:, None].abs())
    tolerance = JSD_GRADIENT_ERROR * size + JSD_SHARE_ERROR * scale * q
    return Wanted(
        loss=d.mean(),
        loss_tolerance=(JSD_ERROR * d + JSD_ROOT_ERROR * d.sqrt() + 1e-12).mean(),
        loss_size=d.mean(),
        gradient=scale * q * (ratio - kl[:, None]),
        gradient_size=size,
        gradient_tolerance=tolerance + SMALLEST,
    )


WANTED = {POLICY: policy, CLASSES: classes, DISTILL: distill}


def both(candidate, inputs, outputs):
    """What is wanted, and what there is of the chosen rows' gradient, where it is of the sum
    instead of the mean divided."""
    rows = chosen(inputs)
    if "grad_of_sum" in outputs:
        got = outputs["grad_of_sum"][rows].double() / len(inputs.targets)
    else:
        name = "grad_student" if "grad_student" in outputs else "grad_logits"
        got = outputs[name].reshape(inputs.logits.shape)[rows]
    return WANTED[candidate.operation](inputs, rows), got


def ours(candidate, inputs, outputs):
    """(what, error / tolerance): above 1 is wrong."""
    want, got = both(candidate, inputs, outputs)
    loss_tolerance = want.loss_tolerance + 2.0**-24 * want.loss.abs()
    tolerance = want.gradient_tolerance + ROUNDING[got.dtype] * want.gradient.abs()
    return worst(
        [
            ("loss", excess(outputs["loss"], want.loss, loss_tolerance)),
            ("grad_logits", excess(got, want.gradient, tolerance)),
        ]
    )


def distance(candidate, inputs, outputs):
    """How far off a peer is: its loss, in parts of the terms' sizes, and the worst row's gradient,
    in parts of its largest terms."""
    want, got = both(candidate, inputs, outputs)
    loss = (outputs["loss"].double().mean() - want.loss).abs() / want.loss_size
    largest = want.gradient_size.amax(-1)
    error = (got.double() - want.gradient).abs().amax(-1)
    gradient = torch.where(error == 0, 0.0, error / largest).max()  # 0 of a masked row
    return loss.item(), gradient.item()


def remark(*given):
    loss, gradient = distance(*given)
    return f"loss off by {100 * loss:.2g} %, gradient {100 * gradient:.2g} %"
