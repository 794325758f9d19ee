# SPDX-License-Identifier: Apache-2.0
"""FILE and FILE:TENSOR, streaming, alignment, and that nothing but the data decides the bits."""

import os
import pathlib

import arrays
import tool
import truth
from tool import ToolTest, rows


class Inputs(ToolTest):
    def setUp(self):
        super().setUp()
        self.a, self.b = rows(2, 9), rows(2, 9)

    def file(self, name="x.safetensors", **tensors):
        return self.write(name, arrays.safetensors(tensors))

    def argmax(self, *args):
        return [r["token"] for r in self.json("sample", *args, "--temperature", 0)["rows"]]

    def test_which_tensor(self):
        a, b = (([z.index(max(z)) for z in m]) for m in (self.a, self.b))
        both = self.file(policy=("F32", self.a), logits=("F32", self.b))
        self.assertEqual(self.argmax(both), b)
        self.assertEqual(self.argmax(both + ":policy"), a)
        only = self.file(
            "only.safetensors",
            ids=("I64", [[1, 2]]),
            bias=("F32", [1.0, 2.0]),
            scores=("F16", self.a),
        )
        self.assertEqual(self.argmax(only), a)
        colon = self.file("odd:name.safetensors", **{"x:y": ("F32", self.a), "z": ("F32", self.b)})
        self.assertEqual(self.argmax(colon + ":x:y"), a)
        self.assertEqual(self.argmax(self.file("p:q", scores=("F32", self.b))), b)

    def test_candidates_are_listed(self):
        path = self.file(
            p=("F32", self.a), q=("BF16", self.b), ids=("I64", [[1]]), bias=("F32", [1.0])
        )
        self.assert_fails(
            ["sample", path], 2, path, "FILE:TENSOR", '"p" f32 [2, 9], "q" bf16 [2, 9]'
        )
        self.assert_fails(["sample", self.file("y", ids=("I64", [[1]]))], 1, "no floating tensor")
        self.assert_fails(["sample", path + ":nothing"], 1, path, '"nothing"', '"p"')
        self.assert_fails(
            ["sample", self.write("a.npy", arrays.npy("F32", self.a)) + ":x"], 1, "a.npy", '"x"'
        )

    def test_targets(self):
        path = self.file(logits=("F32", self.a), targets=("I64", [1, 2]), other=("I32", [3, 4]))
        bare = self.file("bare.safetensors", logits=("F32", self.a))
        vector = self.write("v.npy", arrays.npy("I64", [3, 4]))

        def scored(*args):
            return [r["target"] for r in self.json("score", *args)["rows"]]

        self.assertEqual(scored(path), [1, 2])
        self.assertEqual(scored(path, "--targets", ":other"), [3, 4])
        self.assertEqual(scored(bare, "--targets", path + ":other"), [3, 4])
        self.assertEqual(scored(bare, "--targets", path), [1, 2])
        self.assertEqual(scored(bare, "--targets", vector), [3, 4])
        self.assert_fails(["score", bare], 2, bare, '"targets"', "--targets")
        self.assert_fails(
            ["score", bare, "--targets", path + ":logits"], 1, "x.safetensors:logits", "f32", "i64"
        )
        wide = self.write("w.npy", arrays.npy("I64", [3, 4, 5]))
        self.assert_fails(["score", bare, "--targets", wide], 1, "w.npy", "[3]", "[2]")
        for value in (9, -1, 2**62):
            bad = self.write("bad.npy", arrays.npy("I64", [0, value]))
            self.assert_fails(
                ["score", bare, "--targets", bad],
                1,
                "bad.npy",
                f"row 1 is {value}",
                "[0, 9)",
                "-100",
            )
        self.assert_fails(
            ["score", bare, "--targets", vector, "--vocab-size", 4], 1, "row 1 is 4", "[0, 4)"
        )

    def test_misaligned_tensors(self):
        for dtype in ("F32", "F16", "BF16"):
            tensors = {"logits": (dtype, self.a), "targets": ("I64", [1, 2])}
            even = self.write("even.safetensors", arrays.safetensors(tensors))
            odd = self.write("odd.safetensors", arrays.safetensors(tensors, misaligned=True))
            for args in (["score", "--top", 2], ["sample", "--seed", 4]):
                self.assertEqual(
                    self.json(args[0], odd, *args[1:]), self.json(args[0], even, *args[1:])
                )
            self.assertEqual(
                self.json("doctor", odd) | {"input": ""}, self.json("doctor", even) | {"input": ""}
            )

    def test_nothing_but_the_data_decides_the_bits(self):
        z = rows(3, 9000)
        path = self.file(logits=("F32", z), targets=("I64", [1, 2, 8999]))
        expected = self.ok("score", path, "--json", "--top", 3), self.ok(
            "sample", path, "--json", "--draws", 2
        )
        targets = [t["name"] for t in self.json("info")["simd_targets"] if t["available"]]
        ways = (
            [["--simd", t] for t in targets]
            + [["--threads", n] for n in (1, 2, 5)]
            + [["--backend", "cpu"]]
        )
        for way in ways:
            self.assertEqual(self.ok("score", path, "--json", "--top", 3, *way), expected[0], way)
            self.assertEqual(
                self.ok(*way, "sample", path, "--json", "--draws", 2), expected[1], way
            )
        reference = self.json("score", path, "--backend", "reference")["rows"]
        for row, truth_row, logits in zip(self.json("score", path)["rows"], reference, z):
            for name in ("logprob", "entropy", "lse"):
                self.assert_near(row[name], truth_row[name])
            self.assert_near(truth_row["lse"], truth.lse(logits))

    def test_more_rows_than_a_block(self):
        # 130 MB in three blocks, zero but for the rows that are looked at.
        count, columns = 32500, 1000
        marked = {0: 5, 16776: 999, 16777: 0, 20000: 3, count - 1: 7}
        for extra in (0, 1):
            header = arrays.safetensors({}, misaligned=bool(extra))[8:]
            entry = {
                "logits": {
                    "dtype": "F32",
                    "shape": [count, columns],
                    "data_offsets": [0, count * columns * 4],
                }
            }
            header = str(entry).replace("'", '"').encode()
            header += b" " * (-len(header) % 8 + extra)
            path = self.write("long.safetensors", len(header).to_bytes(8, "little") + header)
            os.truncate(path, 8 + len(header) + count * columns * 4)
            with open(path, "r+b") as file:
                for row, column in marked.items():
                    file.seek(8 + len(header) + 4 * (row * columns + column))
                    file.write(arrays.encode("F32", [30.0]))
            self.ok("sample", path, "--temperature", 0, "--output", "t.npy", "--select", "token")
            tokens = arrays.read_npy(self.dir / "t.npy")[2]
            self.assertEqual(len(tokens), count)
            self.assertEqual({i: t for i, t in enumerate(tokens) if i in marked}, marked)
            self.assertEqual(sum(tokens), sum(marked.values()))

    def test_memory_stays_small(self):
        # 1 GB of zeros: the resident set may hold a block and the program.
        path = self.write("big.npy", arrays.npy("F32", [], [4096, 65536]))
        os.truncate(path, os.path.getsize(path) + 4096 * 65536 * 4)
        pid = os.posix_spawn(tool.PROGRAM, [tool.PROGRAM, "sample", path, "--quiet"], os.environ)
        _, status, usage = os.wait4(pid, 0)
        self.assertEqual(status, 0)
        program = pathlib.Path(tool.PROGRAM).read_bytes()
        if b"__asan_" not in program and b"__tsan_" not in program:
            self.assertLess(usage.ru_maxrss, 150 * 1024)
