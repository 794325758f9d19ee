#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the benchmark itself, without a GPU and without peers:

    python3 bench/peers/test_peers.py [liblogsum.so]

The library's path (or LOGSUM_LIBRARY) and PyTorch are optional: what needs them is skipped.
"""

import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import time
import unittest

import options
import slim_wheel
import table
from test_binding import Binding  # noqa: F401  unittest finds them here
from test_losses import Losses, StandIns  # noqa: F401

try:
    import torch
except ImportError:
    torch = None

LIBRARY = os.environ.get("LOGSUM_LIBRARY")


@unittest.skipUnless(torch and LIBRARY, "needs PyTorch and a library")
class Rehearsal(unittest.TestCase):
    def run_it(self, *more):
        import run

        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "results.json"
            arguments = ["--rehearse", "--library", LIBRARY, "--json", str(file), *more]
            with contextlib.redirect_stdout(io.StringIO()) as out:
                code = run.main(arguments)
            return code, out.getvalue(), json.loads(file.read_text(encoding="utf-8"))

    def test_ours_is_right_and_says_it_is_a_rehearsal(self):
        code, out, results = self.run_it("--peers", "logsum", "torch")
        self.assertEqual(code, 0, out)
        self.assertIn("REHEARSAL", out)
        self.assertIn("rehearsal", results["device"])
        timed = [r for r in results["rows"] if r["is_baseline"] and r["cold_us"]]
        # sample, log-prob with and without entropy, softmax, log_softmax and their gradients, three
        # losses
        self.assertEqual(len(timed), 10, out)
        self.assertTrue(all("of tolerance" in r["remark"] for r in timed))
        self.assertEqual({r["times_ours"] for r in timed}, {1.0})

    def test_every_kind_of_data(self):
        code, out, _ = self.run_it(
            "--peers", "logsum", "--data", "normal", "peaked", "flat", "masked"
        )
        self.assertEqual(code, 0, out)
        self.assertNotIn("WRONG", out)

    def test_a_wrong_result_is_noticed(self):
        import check
        import inputs
        import peer_logsum

        case = inputs.Case("score", 4, 5000, torch.float32)
        given = inputs.make(case, "normal", "cpu", 0)
        peer = peer_logsum.Peer(LIBRARY)
        peer.load()
        candidate = next(x for x in peer.candidates(case) if x.operation.endswith("entropy"))
        for name in ("logprobs", "lse", "entropy", "argmax", "row_status"):
            outputs = candidate.make(given)()
            self.assertLessEqual(check.ours(candidate, given, outputs)[1], 1)
            outputs[name] += 1
            self.assertGreater(check.ours(candidate, given, outputs)[1], 1, name)
        case = inputs.Case("sample", 4, 5000, torch.float32)
        token = torch.zeros(4, dtype=torch.int64)
        logits = inputs.make(case, "normal", "cpu", 0).logits.double()
        self.assertGreater(check.drawn(token, torch.full((4,), 0.5), logits)[1], 1)

    def test_a_peer_that_fails_is_skipped(self):
        code, out, results = self.run_it("--peers", "liger", "logsum", "--families", "score")
        self.assertEqual(code, 0, out)
        self.assertEqual(results["versions"]["liger"], "skipped: RuntimeError: needs CUDA")
        self.assertTrue(any(r["is_baseline"] and r["cold_us"] for r in results["rows"]))

    def test_markdown(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "table.md"
            self.run_it("--peers", "torch", "--families", "score", "--markdown", str(file))
            self.assertIn("| 4x9000 bf16 normal | log-prob | PyTorch", file.read_text("utf-8"))


class Process(unittest.TestCase):
    """What run.py makes of a peer's process, with a script in its place."""

    ROW = dict(data="normal", shape="1x8 f32", operation="sample", who="theirs")
    SAYS = f"""
import json, os, signal, sys, time
def say(**message): print(json.dumps(message), flush=True)
row = {ROW!r}
say(about={{"device": "a GPU"}}, version="1.0")
say(plan=[row, dict(row, who="second"), dict(row, who="third")])
say(begin=0)
say(row=0, result=dict(row, cold_us=5.0, warm_us=4.0))
say(begin=1)
"""

    def measured(self, rest, seconds=60.0, before=""):
        import run

        with tempfile.TemporaryDirectory() as folder:
            script = pathlib.Path(folder) / "measure.py"
            script.write_text(before or self.SAYS + rest)
            run.MEASURE, kept = script, run.MEASURE
            try:
                peer = run.Peer("theirs", [])
                return peer, list(peer.measure(seconds))
            finally:
                run.MEASURE = kept

    def remarks(self, rows):
        self.assertEqual([row.who for row in rows], ["theirs", "second", "third"])
        self.assertEqual(rows[0].cold_us, 5.0)
        return [row.remark for row in rows[1:]]

    def test_a_peer_that_hangs_is_killed_with_what_it_started(self):
        start = time.monotonic()
        peer, rows = self.measured("os.system('sleep 60')", seconds=2)
        self.assertLess(time.monotonic() - start, 30)
        self.assertEqual(peer.version, "1.0")
        self.assertEqual(
            self.remarks(rows),
            ["failed: time limit of 2 s reached", "skipped: time limit of 2 s reached"],
        )

    def test_a_peer_that_crashes(self):
        _, rows = self.measured("os.write(1, b'{\"row\"'); os.kill(os.getpid(), signal.SIGSEGV)")
        self.assertEqual(self.remarks(rows), ["failed: SIGSEGV: ", "skipped: SIGSEGV: "])

    def test_a_peer_that_raises(self):
        _, rows = self.measured("raise RuntimeError('no room')")
        self.assertEqual(self.remarks(rows)[0], "failed: RuntimeError: no room")

    def test_a_peer_that_is_not_installed(self):
        peer, rows = self.measured("", before="import a_peer_that_is_not_there")
        self.assertEqual(rows, [])
        self.assertRegex(peer.version, "^skipped: ModuleNotFoundError: .*a_peer_that_is_not_there")


@unittest.skipUnless(torch, "needs PyTorch")
class Inputs(unittest.TestCase):
    def test_rotated_inputs_exceed_l2(self):
        import inputs

        for case in inputs.cases(options.FAMILIES, quick=False, rehearse=False):
            self.assertGreater(case.sets * case.bytes, 230e6, str(case))
            self.assertEqual(case.in_graph, case.family == "sample")

    def test_masked_rows_keep_their_target(self):
        import inputs

        made = inputs.make(inputs.Case("score", 5, 1000, torch.bfloat16), "masked", "cpu", 0)
        at = made.logits.gather(1, made.targets[:, None])
        self.assertTrue(at.isfinite().all())
        self.assertAlmostEqual(made.logits.isinf().float().mean().item(), 0.95, delta=0.03)


class Table(unittest.TestCase):
    def rows(self):
        Row = table.Row
        return [
            Row("normal", "1x8 f32", table.LIMITS, "copy", "sample", 20.0, 18.0),
            Row("normal", "1x8 f32", table.LIMITS, "read, one way", "sample", 11.0, 9.0),
            Row("normal", "1x8 f32", table.LIMITS, "read, another", "sample", 10.0, 9.0),
            Row("normal", "1x8 f32", table.LIMITS, "copy", "score", 90.0, 90.0),
            Row("normal", "1x8 f32", "sample", "theirs", "sample", 50.0, 49.0),
            Row("normal", "1x8 f32", "sample", "broken", "sample", remark="failed: why"),
            Row("normal", "1x8 f32", "sample", "logsum", "sample", 12.5, 12.0, is_baseline=True),
        ]

    def test_ratios(self):
        rows = self.rows()
        table.relate(rows)
        self.assertEqual([r.copy_percent for r in rows][4:], [40, None, 160])
        self.assertEqual([r.read_percent for r in rows][4:], [20, None, 80])
        self.assertEqual([r.times_ours for r in rows][4:], [4, None, 1])
        self.assertEqual((rows[3].copy_percent, rows[3].read_percent), (100, None))

    def test_text(self):
        rows = self.rows()
        table.relate(rows)
        lines = table.render(rows).splitlines()[2:]
        self.assertEqual(len(lines), 7)
        self.assertRegex(lines[3], r"1x8 f32 normal +sample +logsum +12\.5 +12\.0 +160 +80 +1\.00$")
        self.assertRegex(lines[5], r"^ +broken +failed: why$")
        self.assertRegex(table.line(rows[4]), r"^1x8 f32 normal +sample +theirs +50\.0 +49\.0$")

    def test_markdown(self):
        rows = self.rows()
        table.relate(rows)
        text = table.markdown({"device": "a GPU", "versions": {"theirs": "1.0"}}, rows)
        self.assertIn("- device: a GPU\n- theirs: 1.0\n", text)
        self.assertIn(
            "| 1x8 f32 normal | sample | theirs | 50.0 | 49.0 | 40 | 20 | 4.00 |  |", text
        )


class SlimWheel(unittest.TestCase):
    def test_drops_files_and_their_records(self):
        import zipfile

        with tempfile.TemporaryDirectory() as folder:
            wheel = pathlib.Path(folder) / "a-1-py3-none-any.whl"
            with zipfile.ZipFile(wheel, "w") as out:
                out.writestr("a/keep.py", "1")
                out.writestr("a/data/big.bin", "2")
                out.writestr("a-1.dist-info/RECORD", "a/keep.py,,\na/data/big.bin,,\n")
            slim_wheel.slim(wheel, lambda name: not name.startswith("a/data/"))
            with zipfile.ZipFile(wheel) as slim:
                self.assertEqual(slim.namelist(), ["a/keep.py", "a-1.dist-info/RECORD"])
                self.assertEqual(slim.read("a-1.dist-info/RECORD"), b"a/keep.py,,\n")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].endswith(".so"):
        LIBRARY = sys.argv.pop(1)
    # Decorators have read LIBRARY by now only if it came from the environment.
    if LIBRARY and os.environ.get("LOGSUM_LIBRARY") != LIBRARY:
        os.execve(
            sys.executable,
            [sys.executable, *sys.argv],
            {**os.environ, "LOGSUM_LIBRARY": str(pathlib.Path(LIBRARY).resolve())},
        )
    unittest.main()
