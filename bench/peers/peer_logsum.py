# SPDX-License-Identifier: Apache-2.0
"""logsum through its C API, on the current stream, with a workspace as an engine gives it one."""

import functools

import logsum_ctypes
import logsum_losses
import torch
from candidate import CLASSES, DISTILL, POLICY, SAMPLE, SCORE, SCORE_ENTROPY, TEMPERATURE, Candidate
from in_place import InPlace

METRICS = functools.partial(logsum_losses.policy, metrics=True)
# Operation, what is said of it, and its arguments
LOSSES = {
    "policy_loss": [
        (POLICY, "in place", logsum_losses.policy),
        (POLICY, "in place, with metrics", METRICS),
    ],
    "cross_entropy": [(CLASSES, "in place", logsum_losses.classes)],
    "distill_loss": [(DISTILL, "in place", logsum_losses.distill)],
}

MODES = {
    "per_device": logsum_ctypes.PER_DEVICE,
    "cross_device": logsum_ctypes.CROSS_DEVICE,
}


class Peer:
    def __init__(self, path, executor=None):
        self.path, self.executor = path, executor

    def load(self):
        if not self.path:
            raise RuntimeError("no --library given")
        self.library = logsum_ctypes.Library(self.path)
        return self.library.version()

    def candidates(self, case):
        variants = {
            family: [(*names, functools.partial(self.loss, of=of)) for *names, of in losses]
            for family, losses in LOSSES.items()
        } | {
            "sample": [
                (SAMPLE, "token + logprob", functools.partial(self.sample, raw=False)),
                (SAMPLE, "token + logprob + raw", functools.partial(self.sample, raw=True)),
            ],
            "score": [
                (SCORE, "log-prob, lse, argmax", functools.partial(self.score, entropy=False)),
                (SCORE_ENTROPY, "with entropy", functools.partial(self.score, entropy=True)),
            ],
            "softmax": [
                (name, "", functools.partial(self.forward, function=name))
                for name in ("softmax", "log_softmax")
            ]
            + [
                (f"{name} backward", "", functools.partial(self.backward, function=name))
                for name in ("softmax", "log_softmax")
            ],
        }
        found, operations = [], set()
        for mode, determinism in MODES.items():
            for operation, who, make in variants[case.family]:
                found.append(
                    Candidate(
                        operation,
                        " ".join(f"logsum {who}".split()) + f", {mode}",
                        functools.partial(make, determinism=determinism),
                        is_ours=True,
                        is_baseline=operation not in operations,
                    )
                )
                operations.add(operation)
        return found

    def prepare(self, function, outputs, determinism, **given):
        """A call that fills `outputs` and returns all its tensors, to which the struct only
        points."""
        args = logsum_ctypes.arguments(function, **given, **outputs)
        context = logsum_ctypes.context(self.executor, determinism)
        device = next(x.device for x in given.values() if isinstance(x, torch.Tensor))
        size = self.library.workspace_size(function, args)
        # Zeros, once: each call leaves its counters at zero for the next one.
        workspace = torch.zeros(max(size, 1), dtype=torch.uint8, device=device)
        context.workspace, context.workspace_size = workspace.data_ptr(), size
        results = {k: v for k, v in (given | outputs).items() if isinstance(v, torch.Tensor)}

        def call(keep=workspace):
            if device.type == "cuda":
                # Read at each call: while a graph is captured it is another one.
                context.stream = torch.cuda.current_stream().cuda_stream
            self.library.call(function, args, context)
            return results

        return call

    def score(self, inputs, determinism, entropy):
        outputs = row_outputs(inputs, "logprobs", "lse", *(["entropy"] if entropy else []))
        outputs |= integer_outputs(inputs, "argmax", "row_status")
        return self.prepare(
            "token_logprobs", outputs, determinism, logits=inputs.logits, targets=inputs.targets
        )

    def sample(self, inputs, determinism, raw, **more):
        outputs = integer_outputs(inputs, "token")
        outputs |= row_outputs(inputs, "logprob", *(["raw_logprob"] if raw else []))
        rows = torch.arange(inputs.logits.shape[0], device=inputs.logits.device)
        return self.prepare(
            "sample",
            outputs,
            determinism,
            logits=inputs.logits,
            temperature=TEMPERATURE,
            **(more or {"seed": rows + 7, "offset": torch.zeros_like(rows)}),
        )

    def forward(self, inputs, determinism, function):
        outputs = {"output": torch.empty_like(inputs.logits)}
        return self.prepare(function, outputs, determinism, logits=inputs.logits)

    def backward(self, inputs, determinism, function):
        output = getattr(torch, function)(inputs.logits, -1)
        outputs = {"grad_logits": torch.empty_like(inputs.gradient)}
        return self.prepare(
            f"{function}_backward",
            outputs,
            determinism,
            grad_output=inputs.gradient,
            output=output,
        )

    def loss(self, inputs, determinism, of):
        def make(logits):
            function, given, outputs = of(inputs, logits)
            return self.prepare(function, outputs, determinism, **given)

        return InPlace(inputs.logits, make)


def row_outputs(inputs, *names):
    rows, device = inputs.logits.shape[0], inputs.logits.device
    return {name: torch.empty(rows, dtype=torch.float32, device=device) for name in names}


def integer_outputs(inputs, *names):
    rows, device = inputs.logits.shape[0], inputs.logits.device
    return {name: torch.empty(rows, dtype=torch.int32, device=device) for name in names}
