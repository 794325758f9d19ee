# SPDX-License-Identifier: Apache-2.0
"""Runs the tool in a folder of its own, and the checks that all tests share."""

import json
import os
import pathlib
import random
import subprocess
import tempfile
import unittest

PROGRAM = "logsum"
SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
DEMO = SOURCE / "examples" / "data" / "demo_logits.safetensors"
LOSS_BATCH = SOURCE / "examples" / "data" / "loss_batch.safetensors"
LOGPS = [SOURCE / "examples" / "data" / f"{name}_logps.npy" for name in ("rollout", "trainer")]

random.seed(7)


def rows(count, columns, spread=3.0):
    """Values that f16 and bf16 hold exactly: eighths, small."""
    return [[round(random.gauss(0, spread) * 8) / 8 for _ in range(columns)] for _ in range(count)]


class ToolTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.dir = pathlib.Path(self.folder.name)

    def write(self, name, data):
        path = self.dir / name
        path.write_bytes(data)
        return str(path)

    def run_tool(self, *args, environment=None, **options):
        env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | (environment or {})
        # A bench of a second takes over 120 where fourteen programs share the GPU.
        options = {"stdout": subprocess.PIPE, "timeout": 400} | options
        return subprocess.run(
            [PROGRAM, *map(str, args)],
            cwd=self.dir,
            env=env,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            **options,
        )

    def ok(self, *args, **options):
        done = self.run_tool(*args, **options)
        self.assertEqual((done.returncode, done.stderr), (0, ""), args)
        return done.stdout

    def json(self, *args, code=0):
        done = self.run_tool(*args, "--json")
        self.assertEqual(done.returncode, code, done.stderr)

        def refuse(constant):
            raise ValueError(f"{constant} is not JSON")

        return json.loads(done.stdout, parse_constant=refuse)

    def assert_fails(self, args, code, *parts, stdout=""):
        """One line on stderr that holds all parts, nothing on stdout, no new file."""
        before = sorted(os.listdir(self.dir))
        done = self.run_tool(*args)
        self.assertEqual(done.returncode, code, (args, done.stderr))
        self.assertTrue(
            done.stderr.startswith("logsum: ") and done.stderr.endswith("\n"), done.stderr
        )
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertTrue(done.stderr[:-1].isprintable(), repr(done.stderr))
        for part in parts:
            self.assertIn(part, done.stderr)
        if stdout is not None:
            self.assertEqual(done.stdout, stdout)
        self.assertEqual(sorted(os.listdir(self.dir)), before)

    def assert_near(self, value, truth, message=None):
        """Within the library's contract."""
        self.assertIsNotNone(value, message)
        self.assertLessEqual(abs(value - truth), 5e-7 + 2**-22 * abs(truth), message)
