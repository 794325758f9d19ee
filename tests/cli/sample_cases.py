# SPDX-License-Identifier: Apache-2.0
"""logsum sample: tokens by the paper's random numbers and a float64 cdf; the scorer's bits."""

import arrays
import truth
from tool import ToolTest, rows

NAMES = ["token", "logprob", "raw_logprob", "lse", "entropy", "row_status"]
CLOSE = 1e-6  # nearer to a step of the cdf than this, float64 doesn't decide the token


class Sample(ToolTest):
    def setUp(self):
        super().setUp()
        self.z = rows(6, 50)
        self.path = self.write("a.safetensors", arrays.safetensors({"logits": ("BF16", self.z)}))

    def check_row(self, row, z, u, temperature=1.0):
        self.assertEqual(list(row), NAMES)
        token, distance = truth.token(z, u, temperature)
        if distance > CLOSE:
            self.assertEqual(row["token"], token)
        self.assert_near(row["logprob"], truth.log_softmax(z, temperature)[row["token"]])
        self.assert_near(row["raw_logprob"], truth.log_softmax(z)[row["token"]])
        self.assert_near(row["lse"], truth.lse(z, temperature))
        self.assert_near(row["entropy"], truth.entropy(z, temperature))

    def test_seed_and_offset(self):
        seen = set()
        for seed, offset in ((0, 0), (1, 0), (2**64 - 1, 7), (5, 2**64 - 3)):
            out = self.json("sample", self.path, "--seed", seed, "--offset", offset)
            for i, (row, z) in enumerate(zip(out["rows"], self.z)):
                self.check_row(row, z, truth.uniform(seed, (offset + i) % 2**64))
            seen.add(tuple(r["token"] for r in out["rows"]))
            self.assertEqual((out["summary"]["seed"], out["summary"]["offset"]), (seed, offset))
        self.assertGreater(len(seen), 1)
        self.assertEqual(
            self.json("sample", self.path), self.json("sample", self.path, "--seed", "0")
        )

    def test_a_part_of_the_file_draws_the_same(self):
        whole = self.json("sample", self.path, "--seed", 3)["rows"]
        part = self.write("part.npy", arrays.npy("F32", self.z[4:]))
        self.assertEqual(self.json("sample", part, "--seed", 3, "--offset", 4)["rows"], whole[4:])

    def test_temperature(self):
        out = self.json("sample", self.path, "--temperature", "1.5", "--seed", 9)
        for i, (row, z) in enumerate(zip(out["rows"], self.z)):
            self.check_row(row, z, truth.uniform(9, i), 1.5)
        for row, z in zip(self.json("sample", self.path, "--temperature", 0)["rows"], self.z):
            self.assertEqual(
                (row["token"], row["logprob"], row["entropy"]), (z.index(max(z)), 0, 0)
            )
            self.assertEqual(row["lse"], max(z))
            self.assert_near(row["raw_logprob"], truth.log_softmax(z)[row["token"]])

    def test_u(self):
        for text in ("0", "0.25", "0.5", "0.999999"):
            for row, z in zip(self.json("sample", self.path, "--u", text)["rows"], self.z):
                self.check_row(row, z, float(text))
        z = [[-truth.INF, -truth.INF, 0.0, 1.0, -truth.INF]]
        path = self.write("m.npy", arrays.npy("F32", z))
        self.assertEqual(self.json("sample", path, "--u", 0)["rows"][0]["token"], 2)
        self.assertEqual(self.json("sample", path, "--u", 1 - 2**-53)["rows"][0]["token"], 3)
        out = self.json("sample", path, "--u", 0.5, "--draws", 3)
        self.assertEqual((out["rows"][0]["token"], out["summary"]["u"]), ([3, 3, 3], 0.5))

    def test_draws(self):
        rows_out = self.json("sample", self.path, "--draws", 4, "--seed", 11)["rows"]
        for i, (row, z) in enumerate(zip(rows_out, self.z)):
            self.assertEqual([len(row[n]) for n in NAMES[:3]], [4] * 3)
            for d in range(4):
                one = {n: row[n][d] if n in NAMES[:3] else row[n] for n in NAMES}
                self.check_row(one, z, truth.uniform(11, i, d))
        self.assertEqual(
            [r["token"][0] for r in rows_out],
            [r["token"] for r in self.json("sample", self.path, "--seed", 11)["rows"]],
        )
        self.assertIn("draw", self.ok("sample", self.path, "--draws", 4).splitlines()[0])

    def test_vocab_size(self):
        out = self.json("sample", self.path, "--vocab-size", 20, "--seed", 1)
        for i, (row, z) in enumerate(zip(out["rows"], self.z)):
            self.check_row(row, z[:20], truth.uniform(1, i))

    def test_the_scorer_gives_the_same_bits(self):
        for temperature in ("1", "0.3"):
            args = ["--temperature", temperature]
            self.ok("sample", self.path, *args, "--output", "s.safetensors")
            drawn, _ = arrays.read_safetensors(self.dir / "s.safetensors")
            scored = self.json("score", self.path, "--targets", "s.safetensors:token", *args)
            self.assertEqual([r["logprob"] for r in scored["rows"]], drawn["logprob"][2])

    def test_rows_without_a_distribution(self):
        self.z[2][49] = truth.NAN
        path = self.write("n.npy", arrays.npy("F16", self.z))
        done = self.run_tool("sample", path, "--output", "s.safetensors")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(
            done.stderr,
            f"logsum: {path}: 1 of 6 rows has no distribution: " "row 2 has NaN at column 49\n",
        )
        tensors, _ = arrays.read_safetensors(self.dir / "s.safetensors")
        self.assertEqual(
            (tensors["token"][2][2], tensors["row_status"][2]), (-1, [0, 0, 3, 0, 0, 0])
        )
        out = self.json("sample", path, code=1)
        self.assertEqual((out["rows"][2]["token"], out["rows"][2]["logprob"]), (-1, None))
        self.check_row(out["rows"][3], self.z[3], truth.uniform(0, 3))
        self.assertEqual(
            self.json("sample", path, "--vocab-size", 49)["rows"][2]["row_status"], "ok"
        )
