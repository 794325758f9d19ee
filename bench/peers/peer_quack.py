# SPDX-License-Identifier: Apache-2.0
"""quack's CuTe DSL kernels."""

import cute_dsl
import torch
import torch_losses
from candidate import CLASSES, SCORE, Candidate
from in_place import InPlace


def load():
    if not torch.cuda.is_available():
        raise RuntimeError("needs CUDA")
    import importlib.metadata

    cute_dsl.find()
    import quack.cross_entropy  # noqa: F401

    return importlib.metadata.version("quack-kernels")


def candidates(case):
    if case.family == "score":
        return [Candidate(SCORE, "quack cross_entropy with lse", cross_entropy)]
    if case.family == "softmax":
        return [
            Candidate("softmax", "quack softmax", softmax),
            Candidate("softmax backward", "quack softmax backward", softmax_backward),
        ]
    if case.family == "cross_entropy":
        return [
            Candidate(CLASSES, "quack, one kernel (of the sum), in place", classes_at_once),
            Candidate(CLASSES, "quack, autograd, in place", classes),
        ]
    return []


def cross_entropy(inputs):
    from quack.cross_entropy import cross_entropy_fwd

    def call():
        loss, lse = cross_entropy_fwd(inputs.logits, inputs.targets, return_lse=True)
        return {"loss": loss, "lse": lse}

    return call


def softmax(inputs):
    from quack.softmax import softmax_fwd

    return lambda: {"output": softmax_fwd(inputs.logits)}


def softmax_backward(inputs):
    from quack.softmax import softmax_bwd

    output = torch.softmax(inputs.logits, -1)
    return lambda: {"gradient": softmax_bwd(inputs.gradient, output)}


def classes_at_once(inputs):
    """Without what the mean divides by: the loss of each row, the gradient of their sum."""
    from quack.cross_entropy import cross_entropy_fwd

    def make(logits):
        def call():
            loss, gradient = cross_entropy_fwd(
                logits, inputs.targets, return_dx=True, inplace_backward=True
            )
            return {"loss": loss, "grad_of_sum": gradient}

        return call

    return InPlace(inputs.logits, make)


def classes(inputs):
    from quack.cross_entropy import cross_entropy as autograd

    def make(logits):
        logits.requires_grad_()

        def call():
            loss = autograd(logits, inputs.targets, inplace_backward=True)
            return torch_losses.gradient(loss, logits)

        return call

    return InPlace(inputs.logits, make)
