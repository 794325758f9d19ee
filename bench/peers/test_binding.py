# SPDX-License-Identifier: Apache-2.0
"""The C API of logsum_ctypes.py against what a C compiler makes of the header; test_peers.py runs
it."""

import ctypes
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import logsum_ctypes as c

INCLUDE = pathlib.Path(__file__).resolve().parents[2] / "include"
STRUCTS = {
    "logsum_tensor": c.Tensor,
    "logsum_param_f32": c.ParamF32,
    "logsum_param_u64": c.ParamU64,
    "logsum_param_f64": c.ParamF64,
    "logsum_status": c.Status,
    "logsum_executor": c.Executor,
    "logsum_context": c.Context,
    "logsum_token_logprobs_args": c.TokenLogprobsArgs,
    "logsum_sample_args": c.SampleArgs,
    "logsum_softmax_args": c.SoftmaxArgs,
    "logsum_softmax_backward_args": c.SoftmaxBackwardArgs,
    "logsum_policy_options": c.PolicyOptions,
    "logsum_policy_loss_args": c.PolicyLossArgs,
    "logsum_cross_entropy_args": c.CrossEntropyArgs,
    "logsum_distill_loss_args": c.DistillLossArgs,
}


def printed_by_c(statements):
    """Lines of a program with these statements and the header."""
    text = f'#include <stdio.h>\n#include "logsum/logsum.h"\nint main(void) {{{statements}}}'
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "program"
        command = ["cc", "-x", "c", "-", f"-I{INCLUDE}", "-o", program]
        subprocess.run(command, input=text, text=True, check=True)
        return subprocess.run(
            [program], capture_output=True, text=True, check=True
        ).stdout.splitlines()


@unittest.skipUnless(shutil.which("cc"), "needs a C compiler")
class Binding(unittest.TestCase):
    def test_layout_is_the_headers(self):
        header = "".join(
            p.read_text(encoding="utf-8") for p in sorted(INCLUDE.glob("logsum/c/*.h"))
        )
        # Fields the binding is ahead of the header with are left out, at a struct's end only.
        known = {
            name: [f for f, _ in kind._fields_ if re.search(rf"\b{f}\b", header)]
            for name, kind in STRUCTS.items()
        }
        lines = [
            f'printf("{name} {field} %zu\\n", offsetof({name}, {field}));'
            for name, fields in known.items()
            for field in fields
        ]
        lines += [
            f'printf("{name} sizeof %zu\\n", sizeof({name}));'
            for name, kind in STRUCTS.items()
            if len(known[name]) == len(kind._fields_)
        ]
        out = printed_by_c("".join(lines))
        self.assertGreater(len(out), 150)
        for line in out:
            name, field, value = line.split()
            kind = STRUCTS[name]
            ours = ctypes.sizeof(kind) if field == "sizeof" else getattr(kind, field).offset
            self.assertEqual(ours, int(value), line)
        for name, kind in STRUCTS.items():
            fields = [f for f, _ in kind._fields_]
            self.assertEqual(known[name], fields[: len(known[name])], name)

    def test_defaults_are_the_headers(self):
        kinds = {kind: function for function, (kind, _, _) in c.FUNCTIONS.items()}
        names = [name for name, kind in STRUCTS.items() if kind in kinds]
        print_bytes = "".join(
            f"{{ {name} value = {name}_defaults(); const unsigned char* at = (void*)&value;"
            'for (size_t i = 0; i < sizeof value; ++i) printf("%02x", at[i]); puts(""); }'
            for name in names
        )
        for name, line in zip(names, printed_by_c(print_bytes), strict=True):
            self.assertEqual(bytes(c.arguments(kinds[STRUCTS[name]])).hex(), line, name)
