# SPDX-License-Identifier: Apache-2.0
"""Where results go: --output, --select, tables and terminals."""

import os
import pty
import re
import struct
import subprocess
import termios
import fcntl

import arrays
import tool
from tool import DEMO, LOGPS, LOSS_BATCH, ToolTest, rows


class Output(ToolTest):
    def setUp(self):
        super().setUp()
        self.z = rows(6, 21)
        grid = [self.z[:3], self.z[3:]]
        self.path = self.write(
            "in.safetensors",
            arrays.safetensors(
                {
                    "logits": ("F32", grid),
                    "targets": ("I64", [[1, 2, 3], [-100, 5, 6]]),
                    "ref": ("F32", grid[::-1]),
                }
            ),
        )

    def test_safetensors_holds_what_json_says(self):
        for args, names, last in (
            (
                ["score", self.path, "--reference", ":ref", "--top", 2],
                {
                    "target": "I64",
                    "logprob": "F32",
                    "entropy": "F32",
                    "lse": "F32",
                    "rank": "I64",
                    "argmax": "I64",
                    "row_status": "I32",
                    "ref_logprob": "F32",
                    "k1": "F32",
                    "k2": "F32",
                    "k3": "F32",
                    "top_ids": "I64",
                    "top_logprobs": "F32",
                },
                {"top_ids": 2, "top_logprobs": 2},
            ),
            (
                ["sample", self.path, "--draws", 5],
                {
                    "token": "I64",
                    "logprob": "F32",
                    "raw_logprob": "F32",
                    "lse": "F32",
                    "entropy": "F32",
                    "row_status": "I32",
                },
                {"token": 5, "logprob": 5, "raw_logprob": 5},
            ),
        ):
            out = self.json(*args, "--output", "out.safetensors")["rows"]
            tensors, metadata = arrays.read_safetensors(self.dir / "out.safetensors")
            self.assertEqual({n: t[0] for n, t in tensors.items()}, names)
            self.assertIn("3 nan", metadata["row_status"])
            codes = {"ok": 0, "ignored": 1}
            for name, (_, shape, values) in tensors.items():
                self.assertEqual(shape, [2, 3] + ([last[name]] if name in last else []))
                said = [
                    codes.get(r[name], r[name]) if name == "row_status" else r[name] for r in out
                ]
                self.assertEqual(arrays.flat(said), values, name)

    def test_select(self):
        self.ok("score", self.path, "--output", "e.npy", "--select", "entropy")
        self.ok("score", self.path, "--output", "e.safetensors", "--select", "entropy")
        dtype, shape, values = arrays.read_npy(self.dir / "e.npy")
        self.assertEqual((dtype, shape), ("F32", [2, 3]))
        self.assertEqual(
            arrays.read_safetensors(self.dir / "e.safetensors")[0],
            {"entropy": (dtype, shape, values)},
        )
        self.assertEqual([r["entropy"] for r in self.json("score", self.path)["rows"]], values)
        self.ok("sample", self.path, "--draws", 2, "--output", "t.npy", "--select", "token")
        self.assertEqual(arrays.read_npy(self.dir / "t.npy")[:2], ("I64", [2, 3, 2]))

    def test_what_is_printed_beside_a_file(self):
        text = self.ok("score", self.path, "--output", "o.safetensors")
        self.assertIn("perplexity", text)
        self.assertIn("wrote o.safetensors", text)
        self.assertNotIn("argmax", text)
        self.assertEqual(self.ok("score", self.path, "--output", "o.safetensors", "--quiet"), "")
        self.assertEqual(self.ok("--quiet", "sample", self.path), "")
        self.assertIn('"rows"', self.ok("sample", self.path, "--quiet", "--json"))

    def test_an_output_is_replaced_whole(self):
        self.write("o.npy", b"old")
        self.ok("sample", self.path, "--output", "o.npy", "--select", "lse")
        self.assertEqual(arrays.read_npy(self.dir / "o.npy")[0], "F32")
        self.assertEqual(sorted(os.listdir(self.dir)), ["in.safetensors", "o.npy"])
        self.ok(
            "sample", self.path, "--output", self.path
        )  # its own input: mapped until the rename
        self.assertIn("token", arrays.read_safetensors(self.path)[0])

    def test_outputs_that_cannot_be(self):
        os.mkdir(self.dir / "folder.npy")
        for args, code, *parts in (
            (["--output", "o.csv"], 2, "--output", "o.csv", ".safetensors or .npy"),
            (["--output", "o.npy"], 2, "--select", "entropy"),
            (["--select", "entropy"], 2, "--output"),
            (["--output", "o.npy", "--select", "loss"], 2, '"loss"', "entropy"),
            (["--output", "no/such/o.safetensors"], 1, "no/such/o.safetensors", "No such file"),
            (["--output", "folder.npy", "--select", "lse"], 1, "folder.npy", "directory"),
        ):
            self.assert_fails(["score", self.path, *args], code, *parts)

    def test_nothing_is_left_of_a_run_that_fails(self):
        bad = self.write(
            "bad.safetensors",
            arrays.safetensors(
                {"logits": ("F32", self.z), "targets": ("I64", [1, 2, 21, 4, 5, 6])}
            ),
        )
        self.write("o.safetensors", b"old")
        self.assert_fails(["score", bad, "--output", "o.safetensors"], 1, "row 2 is 21", "[0, 21)")
        self.assertEqual((self.dir / "o.safetensors").read_bytes(), b"old")

    def test_stdout_that_is_full(self):
        for args in (
            ["score", self.path],
            ["sample", self.path, "--json"],
            ["info"],
            ["compare", *LOGPS],
            ["doctor", self.path],
            ["demo", DEMO],
            ["bench", "--vocab", 99, "--rows", 1, "--repeats", 1, "--filter", "logsumexp"],
            ["--version"],
            ["--help"],
        ):
            with open("/dev/full", "w", encoding="utf-8") as full:
                done = self.run_tool(*args, stdout=full)
            self.assertEqual(done.returncode, 1)
            self.assertIn("cannot write to standard output", done.stderr)

    def test_stderr_that_is_closed(self):
        for args, code in ((["score", "missing.npy"], 1), (["scroe"], 2)):
            done = subprocess.run(
                ["sh", "-c", 'exec "$@" 2>&-', "sh", tool.PROGRAM, *args], check=False
            )
            self.assertEqual(done.returncode, code)

    def test_long_tables_are_cut_in_the_middle(self):
        path = self.write("long.npy", arrays.npy("F32", rows(100, 3)))
        lines = self.ok("sample", path).splitlines()
        self.assertEqual(lines[:42][21].strip(), "... 60 more rows (--all shows them) ...")
        self.assertEqual(
            [int(x.split()[0]) for x in lines[1:21] + lines[22:42]], [*range(20), *range(80, 100)]
        )
        lines = self.ok("sample", path, "--all").splitlines()
        self.assertEqual([int(x.split()[0]) for x in lines[1:101]], [*range(100)])
        self.assertIn("160 more draws", self.ok("sample", path, "--draws", 2))


class Terminal(ToolTest):
    def on_terminal(self, width, *args, **environment):
        try:
            pid, terminal = pty.fork()
        except OSError as error:
            self.skipTest(f"no terminal to test with: {error}")
        if pid == 0:
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
            env = (
                {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
                | {"TERM": "xterm"}
                | environment
            )
            os.execve(tool.PROGRAM, [tool.PROGRAM, *map(str, args)], env)
        text = b""
        while True:
            try:
                part = os.read(terminal, 65536)
            except OSError:
                break
            if not part:
                break
            text += part
        os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        return text.decode().replace("\r\n", "\n")

    def test_tables_fit_the_terminal(self):
        policy = f"{DEMO}:policy_logits"
        for width in (80, 120):
            for args in (
                ["score", policy, "--reference", ":reference_logits", "--top", 4],
                ["sample", policy],
                ["demo", DEMO],
                ["info"],
                ["info", "--explain", "64,151936,bf16", "--like", "h200"],
                ["--help"],
                ["info", "--help"],
                ["score", "--help"],
                ["sample", "--help"],
                ["compare", "--help"],
                ["compare", *LOGPS],
                ["loss", "--help"],
                ["loss", LOSS_BATCH],
                ["loss", LOSS_BATCH, "--all"],
                ["doctor", "--help"],
                ["bench", "--help"],
                ["demo", "--help"],
            ):
                plain = re.sub("\033\\[[0-9;]*m", "", self.on_terminal(width, *args))
                self.assertLessEqual(max(map(len, plain.split("\n"))), width, plain)
        narrow = self.on_terminal(
            80, "score", policy, "--reference", ":reference_logits", NO_COLOR="1"
        )
        self.assertEqual(narrow.count("  row "), 2)
        self.assertIn("k3", narrow)

    def test_colour(self):
        self.assertIn("\033[", self.on_terminal(80, "info"))
        self.assertNotIn("\033", self.on_terminal(80, "info", NO_COLOR="1"))
        self.assertNotIn("\033", self.on_terminal(80, "info", TERM="dumb"))
        self.assertIn("\033[", self.on_terminal(80, "info", NO_COLOR=""))
        self.assertNotIn("\033", self.ok("info"))

    def test_progress_bar(self):
        # 160 MB of zeros, examined by one thread: seconds, in three blocks.
        path = self.write("big.npy", arrays.npy("F32", [], [160, 262144]))
        os.truncate(path, os.path.getsize(path) + 160 * 262144 * 4)
        args = ["doctor", path, "--threads", 1]
        text = self.on_terminal(80, *args, NO_COLOR="1")
        self.assertRegex(text, r"\rexamining \[#+-+\]  \d\d %  [0-9.]+ GB/s  0:\d\d left\033\[K")
        self.assertIn("\r\033[K  logits", text)
        self.assertNotIn("examining", self.on_terminal(80, "sample", path))  # less than a second
        self.assertEqual(self.on_terminal(80, "sample", path, "--quiet"), "")
