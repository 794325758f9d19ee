# SPDX-License-Identifier: Apache-2.0
"""The arguments of logsum's losses: of inputs and the logits that the gradient overwrites the C
function's name, what it is given and what it writes, as tensors by name."""

import torch
from candidate import BETA, EPSILON, JSD_BETA

METRICS = 11  # LOGSUM_POLICY_METRICS


def policy(inputs, logits, metrics=False):
    rollout = inputs.rollout
    shape = rollout.old.shape
    logits = logits.view(*shape, -1)
    given = {
        "logits": logits,
        "targets": inputs.targets.view(shape),
        "advantages": rollout.advantages,
        "completion_mask": rollout.mask,
        "old_per_token_logps": rollout.old,
        "ref_per_token_logps": rollout.ref,
        "options": {"epsilon_low": EPSILON, "epsilon_high": EPSILON, "beta": BETA},
    }
    outputs = {
        "loss": one(logits),
        "per_token_logps": torch.empty_like(rollout.old),
        "per_token_kl": torch.empty_like(rollout.old),
        "grad_logits": logits,
    }
    if metrics:
        outputs["metrics"] = torch.empty(METRICS, dtype=torch.float64, device=logits.device)
    return "policy_loss", given, outputs


def classes(inputs, logits):
    given = {"logits": logits, "targets": inputs.targets}
    return "cross_entropy", given, {"loss": one(logits), "grad_logits": logits}


def distill(inputs, logits):
    given = {"student_logits": logits, "teacher_logits": inputs.teacher, "beta": JSD_BETA}
    return "distill_loss", given, {"loss": one(logits), "grad_student": logits}


def one(logits):
    return torch.empty(1, dtype=torch.float32, device=logits.device)
