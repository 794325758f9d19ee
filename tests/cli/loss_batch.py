# SPDX-License-Identifier: Apache-2.0
"""Batches for logsum loss, and the check that all it says of one is the truth."""

import dataclasses
import math
import random

import arrays
import truth
from loss_truth import Batch, Options, Truth
from tool import ToolTest

B, T, V = 3, 4, 9
NAMES = {
    "old": "old_per_token_logps",
    "ref": "ref_per_token_logps",
    "sampling": "sampling_per_token_logps",
    "weights": "importance_weights",
    "mask": "completion_mask",
    "entropy_mask": "entropy_mask",
}


def f32(values):
    return arrays.decode("F32", arrays.encode("F32", values))


def grid(values, width=T):
    return [values[i : i + width] for i in range(0, len(values), width)]


def make_batch(**options):
    """Ratios of 0.4 to 2.5, among them some beyond every bound, on either side of A = 0."""
    source = random.Random(5)
    logits = [[round(source.gauss(0, 1.5) * 8) / 8 for _ in range(V)] for _ in range(B * T)]
    targets = [source.randrange(V - 2) for _ in logits]
    logps = [truth.log_softmax(z)[y] for z, y in zip(logits, targets)]
    signs = (1.25, -0.75, -1.5)
    return Batch(
        logits=logits,
        targets=targets,
        advantages=[signs[i // T] for i in range(B * T)],
        sequences=grid(list(range(B * T))),
        old=f32([x + source.uniform(-0.9, 0.9) for x in logps]),
        ref=f32([x + source.uniform(-1.2, 1.2) for x in logps]),
        options=Options(**options),
    )


class LossTest(ToolTest):
    def near(self, value, expected, relative=3e-6, absolute=2e-6, message=None):
        self.assertIsNotNone(value, message)
        self.assertAlmostEqual(
            value, expected, delta=relative * abs(expected) + absolute, msg=message
        )

    def file(self, b, name="b.safetensors", dtype="F32", **more):
        tensors = {
            "logits": (dtype, grid(b.logits)),
            "targets": ("I64", grid(b.targets)),
            "advantages": ("F32", b.advantages[::T]),
        }
        for attribute, tensor in NAMES.items():
            values = getattr(b, attribute)
            if values is not None:
                kind = "U8" if "mask" in attribute else "F32"
                tensors[tensor] = (kind, values if len(values) == B else grid(values))
        return self.write(name, arrays.safetensors(tensors | more))

    @staticmethod
    def arguments(options):
        """As the command line has them; those that are as by default are left out."""
        args = []
        for field in dataclasses.fields(Options):
            value = getattr(options, field.name)
            if value == field.default:
                continue
            if field.name == "count_empty_sequences":
                args += ["--empty-sequences", "skip"]
            elif field.name == "use_bias_correction_kl":
                args += ["--bias-correction-kl", "on"]
            else:
                args += ["--" + field.name.replace("_", "-"), value]
        return args

    def check(self, b, *args, path=None, options=None, gradient=True):
        """Runs it; all that it says must be the truth's."""
        args = [*(self.arguments(b.options) if options is None else options), *args]
        out = self.json("loss", path or self.file(b), *args, "--grad", "g.safetensors")
        expected = Truth(b)
        summary = out["summary"]
        self.near(summary["loss"], expected.total)
        for name, value in expected.metrics().items():
            self.near(summary["metrics"][name], value, message=name)
        for i, row in enumerate(out["rows"]):
            kept = i in expected.base
            self.assertEqual(row["row_status"], "ok" if kept else "ignored")
            token = expected.tokens.get(i, {"loss": 0, "kl": 0})
            self.near(row["logprob"], expected.base[i] if kept else 0)
            self.near(row["entropy"], expected.entropy[i] if kept else 0)
            self.near(row["loss"], token["loss"])
            self.near(row.get("kl", 0), token["kl"])
            ratio = math.exp(expected.base[i] - expected.old(i)) if kept else 0
            self.near(row["ratio"], ratio)
            self.assertEqual((row["target"], row["advantage"]), (b.targets[i], b.advantages[i]))
            self.assertTrue(i in b.sequences[row["sequence"]])
        tensors, _ = arrays.read_safetensors(self.dir / "g.safetensors")
        found = tensors["grad_logits"][2]
        if gradient:
            width = len(b.logits[0])
            for i in range(len(b.logits)):
                for j in range(width):
                    self.near(found[i * width + j], expected.gradient(i, j), message=(i, j))
        return out


def split_files(test, b):
    """Logits and targets in a file, the rest in two others."""
    first = {"logits": ("F32", grid(b.logits)), "targets": ("I64", grid(b.targets))}
    second = {"advantages": ("F32", b.advantages[::T]), NAMES["old"]: ("F32", grid(b.old))}
    third = {NAMES["ref"]: ("F32", grid(b.ref)), "other": ("F32", grid(b.old[::-1]))}
    return [
        test.write(f"{i}.safetensors", arrays.safetensors(tensors))
        for i, tensors in enumerate((first, second, third))
    ]
