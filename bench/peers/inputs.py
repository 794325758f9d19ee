# SPDX-License-Identifier: Apache-2.0
"""What is measured on what: the cases, and logits for them."""

import dataclasses

import rollout as rollout_of
import torch
from options import LOSSES

ROTATED_BYTES = 240e6  # four times an H200's L2
GRAPH_BYTES = 256e6  # cases with fewer bytes of logits are measured in a CUDA graph


@dataclasses.dataclass(frozen=True)
class Case:
    family: str  # options.FAMILIES
    rows: int
    vocab: int
    dtype: torch.dtype

    @property
    def bytes(self):
        return self.rows * self.vocab * self.dtype.itemsize

    @property
    def in_graph(self):
        # Losses overwrite their logits, which are put back between two calls.
        return self.bytes < GRAPH_BYTES and self.family not in LOSSES

    @property
    def sets(self):
        """How many inputs to rotate. A large one pushes the other out of L2 by itself."""
        return 2 if not self.in_graph else min(1000, max(3, int(ROTATED_BYTES / self.bytes) + 2))

    def __str__(self):
        dtype = {torch.float32: "f32", torch.bfloat16: "bf16"}[self.dtype]
        return f"{self.rows}x{self.vocab} {dtype}"


@dataclasses.dataclass
class Inputs:
    logits: torch.Tensor
    targets: torch.Tensor
    gradient: torch.Tensor | None = None  # of softmax's output
    rollout: rollout_of.Rollout | None = None  # of a policy loss
    teacher: torch.Tensor | None = None  # logits to distill from


def cases(families, quick, rehearse):
    f32, bf16 = torch.float32, torch.bfloat16
    if rehearse:
        small = {
            "sample": (3, 5000, f32),
            "score": (4, 9000, bf16),
            "softmax": (2, 4097, bf16),
            "policy_loss": (20, 5000, bf16),
            "cross_entropy": (4, 9000, bf16),
            "distill_loss": (3, 5000, bf16),
        }
        return [Case(family, *small[family]) for family in families]
    training = [(4096, 151936, bf16), (16384, 32000, bf16), (2048, 262144, bf16)]
    found = {
        "sample": [
            (rows, vocab, dtype)
            for vocab in ((151936,) if quick else (151936, 128256))
            for dtype in (f32, bf16)
            for rows in ((1, 64) if quick else (1, 8, 64, 256))
        ],
        "score": [*training, (2048, 151936, f32)],
        "softmax": [(4096, 151936, bf16), (4096, 151936, f32)],
        "policy_loss": training,
        "cross_entropy": training,
        "distill_loss": [(2048, 151936, bf16)],
    }
    if quick:
        found |= {family: found[family][:1] for family in found if family != "sample"}
    return [Case(family, *shape) for family in families for shape in found[family]]


def make(case, kind, device, seed):
    generator = torch.Generator(device).manual_seed(seed)
    shape = (case.rows, case.vocab)

    def random(scale):
        # In f32 first: a bf16 generator would give the same few values.
        return torch.empty(shape, device=device).normal_(0, scale, generator=generator)

    targets = torch.randint(case.vocab, (case.rows,), device=device, generator=generator)
    logits = random(0.1 if kind == "flat" else 2.5)
    at_targets = logits.gather(1, targets[:, None])
    if kind == "peaked":
        logits.scatter_(1, targets[:, None].roll(1), 20.0)
    if kind == "masked":
        dead = torch.empty(shape, device=device).uniform_(generator=generator) < 0.95
        logits.masked_fill_(dead, -torch.inf).scatter_(1, targets[:, None], at_targets)
    result = Inputs(logits.to(case.dtype), targets)
    if case.family == "softmax":
        result.gradient = random(1.0).to(case.dtype)
    if case.family == "policy_loss":
        result.rollout = rollout_of.make(result.logits, targets, generator)
    if case.family == "distill_loss":
        result.teacher = (logits + random(0.5)).to(case.dtype)
    return result
