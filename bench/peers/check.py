# SPDX-License-Identifier: Apache-2.0
"""Ours against float64 before its time counts, within the bounds its headers promise; a peer's
results for NaN only."""

import torch
from candidate import TEMPERATURE

ROWS = 4
ROUNDING = {torch.float32: 0.0, torch.bfloat16: 2.0**-8}  # half a step, relative


def worst(checks):
    """The largest error in units of its tolerance, and where."""
    return max(checks, key=lambda item: item[1])


def excess(got, want, tolerance):
    got, want = got.double(), want.double()
    error = torch.where(got == want, 0.0, (got - want).abs())  # infinities that agree
    ratio = error / tolerance
    return torch.where(ratio.isnan(), torch.inf, ratio).max().item()


def as_f32(value):
    """The temperature is an f32 argument."""
    return torch.tensor(value, dtype=torch.float32).double().item()


def log_tolerance(want):
    return 5e-7 + 2.0**-22 * want.abs().nan_to_num(posinf=0.0)


def ours(candidate, inputs, outputs):
    """(what, error / tolerance) of the first rows: above 1 is wrong."""
    rows = slice(0, ROWS)
    cut = {name: tensor[rows] for name, tensor in outputs.items()}
    logits, targets = inputs.logits[rows].double(), inputs.targets[rows]
    if "logprobs" in cut:
        return worst(score(cut, logits, targets))
    if "token" in cut:
        found = sample(cut, logits)
        u = torch.rand(inputs.logits.shape[0], dtype=torch.float64, device=logits.device)
        token = candidate.make(inputs, u=u)()["token"]
        return worst([*found, drawn(token[rows].long(), u[rows], logits)])
    if "grad_logits" in cut:
        return worst(backward(candidate.operation, cut))
    return worst(forward(candidate.operation, cut["output"], logits))


def score(cut, logits, targets):
    logp = torch.log_softmax(logits, -1)
    want = logp.gather(-1, targets[:, None])[:, 0]
    yield "logprobs", excess(cut["logprobs"], want, log_tolerance(want))
    lse = logits.logsumexp(-1)
    yield "lse", excess(cut["lse"], lse, log_tolerance(lse))
    if "entropy" in cut:
        entropy = torch.special.entr(logp.exp()).sum(-1)
        yield "entropy", excess(cut["entropy"], entropy, log_tolerance(entropy))
    first = (logits == logits.amax(-1, keepdim=True)).int().argmax(-1)
    yield "argmax", 0.0 if torch.equal(cut["argmax"].long(), first) else float("inf")
    yield "row_status", 0.0 if not cut["row_status"].any() else float("inf")


def sample(cut, logits):
    token = cut["token"].long()
    if ((token < 0) | (token >= logits.shape[-1])).any():
        return [("token", float("inf"))]
    found = []
    for name, temperature in (("logprob", TEMPERATURE), ("raw_logprob", 1.0)):
        if name in cut:
            logp = torch.log_softmax(logits / as_f32(temperature), -1)
            want = logp.gather(-1, token[:, None])[:, 0]
            found.append((name, excess(cut[name], want, log_tolerance(want))))
    return found


def drawn(token, u, logits):
    """Tokens for given uniforms against the cdf: each must hold its u, within 2^-22."""
    if (token < 0).any():
        return "token of u", float("inf")
    p = torch.softmax(logits / as_f32(TEMPERATURE), -1)
    at = token[:, None]
    after, share = p.cumsum(-1).gather(-1, at)[:, 0], p.gather(-1, at)[:, 0]
    outside = torch.maximum(after - share - u, u - after).clamp(min=0)
    outside[share == 0] = torch.inf
    return "token of u", (outside.max() / 2.0**-22).item()


def forward(operation, output, logits):
    if operation == "softmax":
        want = torch.softmax(logits, -1)
        tolerance = (4e-6 + ROUNDING[output.dtype]) * want + 2.0**-133
    else:
        want = torch.log_softmax(logits, -1)
        tolerance = log_tolerance(want) + ROUNDING[output.dtype] * want.abs().nan_to_num(posinf=0)
    yield "output", excess(output, want, tolerance)


def backward(operation, cut):
    got, gradient, output = cut["grad_logits"], cut["grad_output"].double(), cut["output"].double()
    if operation.startswith("softmax"):
        want = output * (gradient - (gradient * output).sum(-1, keepdim=True))
        tolerance = 4e-6 * want.abs() + 2.0**-46 * output * (gradient * output).abs().sum(
            -1, keepdim=True
        )
    else:
        # Unlike PyTorch's: a token of probability 0 has no part in the gradient.
        gradient = torch.where(output == -torch.inf, 0.0, gradient)
        term = output.exp() * gradient.sum(-1, keepdim=True)
        want = gradient - term
        tolerance = 4e-6 * torch.maximum(gradient.abs(), term.abs())
    yield "grad_logits", excess(got, want, tolerance + ROUNDING[got.dtype] * want.abs() + 2.0**-133)


def nan_remark(outputs):
    """Rows with a NaN in a peer's results."""
    for name, tensor in outputs.items():
        if tensor.is_floating_point() and tensor.dim() > 0:
            columns = tensor.shape[-1] if tensor.dim() > 1 else 1
            bad = tensor.isnan().reshape(-1, columns).any(1)
            if bad.any():
                return f"NaN in {name}: {int(bad.sum())} of {bad.numel()}"
    return ""
