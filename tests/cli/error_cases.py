# SPDX-License-Identifier: Apache-2.0
"""Bad input: one clear line that names what and where, the right exit code, nothing left behind."""

import json
import os
import struct

import arrays
from tool import ToolTest, rows


class Usage(ToolTest):
    def setUp(self):
        super().setUp()
        self.path = self.write(
            "a.safetensors",
            arrays.safetensors({"logits": ("F32", rows(2, 9)), "targets": ("I64", [1, 2])}),
        )

    def test_options_out_of_range(self):
        not_integers = ("", "x", "1.5", "0x10", " 5", "5 ", "1e3", "9223372036854775808", "5,6")
        cases = {
            ("score", "--temperature"): (
                "-1",
                "0",
                "nan",
                "inf",
                "1e-30",
                "1e30",
                "",
                "x",
                "1.0x",
                "0x1",
                " 1",
            ),
            ("score", "--vocab-size"): ("0", "-1", "10", "2147483648", *not_integers),
            ("score", "--ignore-index"): ("-9223372036854775809", *not_integers),
            ("score", "--top"): ("0", "-3", "10", *not_integers),
            ("sample", "--temperature"): ("-1", "-0.5", "nan", "1e-30", "x"),
            ("sample", "--seed"): ("-1", "18446744073709551616", *not_integers[:-2]),
            ("sample", "--offset"): ("-1", "18446744073709551616", *not_integers[:-2]),
            ("sample", "--u"): ("1.0", "1", "-0.1", "nan", "2", "", "x"),
            ("sample", "--draws"): ("0", "-1", "2147483648", *not_integers),
            ("sample", "--vocab-size"): ("0", "10"),
            ("doctor", "--vocab-size"): ("0", "10"),
            ("score", "--threads"): ("0", "-1", "1025", *not_integers),
            ("score", "--simd"): ("sse9", ""),
            ("score", "--backend"): ("cuda", "automatic"),
        }
        for (command, option), values in cases.items():
            for value in values:
                self.assert_fails([command, self.path, option, value], 2, option, value.strip())

    def test_legal_extremes(self):
        for args in (
            ["score", "--ignore-index", -(2**63)],
            ["score", "--vocab-size", 9],
            ["score", "--top", 9],
            ["score", "--temperature", 2**64],
            ["sample", "--seed", 2**64 - 1],
            ["sample", "--u", "1e-300"],
            ["sample", "--u", "1e-400"],
            ["sample", "--temperature", "0.0"],
            ["sample", "--offset", 2**64 - 1],
            ["sample", "--threads", 1024],
        ):
            self.ok(args[0], self.path, *args[1:])

    def test_the_command_line(self):
        commands = "score, sample, compare, loss, doctor, info, bench, demo"
        self.assert_fails([], 2, commands)
        self.assert_fails(["scroe", self.path], 2, '"scroe"', commands)
        self.assert_fails(["score"], 2, "INPUT")
        self.assert_fails(["score", self.path, "extra"], 2, "extra")
        self.assert_fails(["score", self.path, "--frobnicate"], 2, "--frobnicate")
        self.assert_fails(["score", self.path, "--top"], 2, "--top")
        self.assert_fails(["score", self.path, "--top", "1", "--top", "2"], 2, "--top")
        self.assert_fails(["score", self.path, "--seed", "1"], 2, "--seed")
        self.assert_fails(["score", ""], 2, "empty input")
        self.assert_fails(["score", self.path, "\033[31mred\033[0m"], 2, "\\x1b[31mred")

    def test_help_and_version(self):
        self.assertRegex(self.ok("--version"), r"^logsum \d+\.\d+\.\d+\n$")
        commands = ("score", "sample", "compare", "loss", "doctor", "info", "bench", "demo")
        for args in (["--help"], *([c, "--help"] for c in commands)):
            self.assertIn("Usage: logsum", self.ok(*args))
        self.assertIn("null", self.ok("score", "--help"))


class Data(ToolTest):
    def everywhere(self, path, code, *parts):
        for command in ("score", "sample", "doctor"):
            self.assert_fails([command, path], code, *parts)

    def raw(self, header, data=b"", length=None):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return self.write(
            "h.safetensors",
            struct.pack("<Q", len(text) if length is None else length) + text + data,
        )

    def test_files(self):
        self.everywhere(str(self.dir / "no.safetensors"), 1, "no.safetensors", "No such file")
        self.everywhere("no.npy:x", 1, "no.npy: ", "No such file")
        self.everywhere(str(self.dir), 1, "is a directory")
        self.everywhere(self.write("empty", b""), 1, "empty", "is empty")
        self.everywhere(self.write("text", b"hello, this is no tensor file"), 1, "text")
        self.everywhere("/dev/null", 1, "/dev/null", "not a regular file")
        good = arrays.safetensors({"logits": ("F32", rows(2, 9)), "targets": ("I64", [1, 2])})
        for cut in (4, 7, 8, 20, len(good) - 1):
            self.everywhere(self.write("cut.safetensors", good[:cut]), 1, "cut.safetensors")
        npy = arrays.npy("F32", rows(2, 9))
        for cut in (6, 9, 30, len(npy) - 1):
            self.everywhere(self.write("cut.npy", npy[:cut]), 1, "cut.npy")

    def test_hostile_headers(self):
        tensor = {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}
        for header, data, *length in (
            (b"{}", b"", 2**63),
            (b"{}", b"", 2**64 - 1),
            (b"{}", b"", 0),
            (b"[]", b""),
            (b"{", b""),
            (b'{"logits":' * 5000, b""),
            (b"\xff\xfe{}", b""),
            ({"logits": tensor | {"data_offsets": [0, 2**63]}}, bytes(8)),
            ({"logits": tensor | {"data_offsets": [8, 0]}}, bytes(8)),
            ({"logits": tensor | {"data_offsets": [0, 16]}}, bytes(8)),
            ({"logits": tensor | {"shape": [2**62, 2**62]}}, bytes(8)),
            ({"logits": tensor | {"shape": [-1, -2]}}, bytes(8)),
            ({"logits": tensor | {"shape": [1.5, 2]}}, bytes(8)),
            ({"logits": tensor | {"dtype": "F33"}}, bytes(8)),
            ({"logits": tensor, "b": tensor}, bytes(8)),
            (
                b'{"logits":'
                + json.dumps(tensor).encode()
                + b',"logits":'
                + json.dumps(tensor).encode()
                + b"}",
                bytes(8),
            ),
        ):
            self.everywhere(self.raw(header, data, *length), 1, "h.safetensors")
        escape = self.raw({"\033[2Jx": tensor, "y": tensor | {"data_offsets": [8, 16]}}, bytes(16))
        self.everywhere(escape, 2, "\\x1b[2Jx")

    def test_hostile_npy(self):
        good = arrays.npy("F32", [[1.0, 2.0]])
        for old, new in (
            (b"False", b"True "),
            (b"'<f4'", b"'>f4'"),
            (b"'<f4'", b"'|O8'"),
            (b"(1, 2)", b"(9, 2)"),
            (b"(1, 2)", b"(-1,2)"),
            (b"'descr'", b"'desxr'"),
        ):
            self.everywhere(self.write("h.npy", good.replace(old, new)), 1, "h.npy")

    def test_dtypes_and_shapes(self):
        for dtype in ("F64", "I64", "U8"):
            path = self.write("a.safetensors", arrays.safetensors({"logits": (dtype, [[1, 2]])}))
            self.everywhere(path, 1, "a.safetensors:logits", "f32, f16 or bf16")
        self.everywhere(
            self.raw(
                {"logits": {"dtype": "F8_E4M3", "shape": [1, 8], "data_offsets": [0, 8]}}, bytes(8)
            )
            + ":logits",
            1,
            "F8_E4M3",
        )
        for shape in ([], [0], [3, 0], [1] * 9):
            count = 0 if 0 in shape else 1
            path = self.write(
                "s.safetensors", arrays.safetensors({"logits": ("F32", [1.0] * count, shape)})
            )
            self.everywhere(path, 1, "s.safetensors:logits", str(shape))

    def test_folder_that_cannot_be_written(self):
        if os.geteuid() == 0:
            self.skipTest("root writes anywhere")
        path = self.write("a.npy", arrays.npy("F32", [[1.0, 2.0]]))
        os.mkdir(self.dir / "locked", 0o500)
        self.assert_fails(
            ["sample", path, "--output", "locked/o.safetensors"], 1, "locked", "Permission denied"
        )
