# SPDX-License-Identifier: Apache-2.0
"""logsum score: its columns and its summary against float64, option by option."""

import math

import arrays
import truth
from tool import ToolTest, rows

NAMES = ["target", "logprob", "entropy", "lse", "rank", "argmax", "row_status"]
KL = ["ref_logprob", "k1", "k2", "k3"]


class Score(ToolTest):
    def setUp(self):
        super().setUp()
        self.z = rows(5, 37)
        self.y = [3, 0, 36, 7, 7]

    def file(self, name="a.safetensors", dtype="F32", **more):
        tensors = {"logits": (dtype, self.z), "targets": ("I64", self.y)}
        return self.write(name, arrays.safetensors(tensors | more))

    def check_row(self, row, z, y, temperature=1.0):
        self.assertEqual(list(row)[:7], NAMES)
        self.assertEqual(row["target"], y)
        self.assert_near(row["logprob"], truth.log_softmax(z, temperature)[y])
        self.assert_near(row["entropy"], truth.entropy(z, temperature))
        self.assert_near(row["lse"], truth.lse(z, temperature))
        self.assertEqual((row["rank"], row["argmax"]), (truth.rank(z, y), z.index(max(z))))
        self.assertEqual(row["row_status"], "ok")

    def test_every_dtype_and_format(self):
        for dtype in ("F32", "F16", "BF16"):
            inputs = [
                [self.file("a.safetensors", dtype)],
                [
                    self.write("a.npy", arrays.npy(dtype, self.z)),
                    "--targets",
                    self.write("y.npy", arrays.npy("I32", self.y)),
                ],
            ]
            outputs = [self.json("score", *i) for i in inputs]
            self.assertEqual(outputs[0], outputs[1])
            self.assertEqual(len(outputs[0]["rows"]), 5)
            for row, z, y in zip(outputs[0]["rows"], self.z, self.y):
                self.check_row(row, z, y)

    def test_summary(self):
        out = self.json("score", self.file())
        logps = [truth.log_softmax(z)[y] for z, y in zip(self.z, self.y)]
        summary = out["summary"]
        self.assertEqual(list(out), ["rows", "summary"])
        self.assertAlmostEqual(summary["mean_logprob"], sum(logps) / 5, places=6)
        self.assertAlmostEqual(summary["perplexity"] / math.exp(-sum(logps) / 5), 1, places=6)
        self.assertAlmostEqual(
            summary["mean_entropy"], sum(map(truth.entropy, self.z)) / 5, places=6
        )
        self.assertEqual(
            (summary["rows"], summary["scored"], summary["rows_by_status"]), (5, 5, {"ok": 5})
        )
        self.assertEqual((summary["temperature"], summary["vocab_size"]), (1, 37))

    def test_temperature(self):
        out = self.json("score", self.file(), "--temperature", "0.7")
        for row, z, y in zip(out["rows"], self.z, self.y):
            self.check_row(row, z, y, 0.7)
        self.assertEqual(out["summary"]["temperature"], 0.7)

    def test_vocab_size_hides_padding(self):
        for z in self.z:
            z[30:] = [50.0] * 7
        self.y = [3, 0, 29, 7, 7]
        for row, z, y in zip(
            self.json("score", self.file(), "--vocab-size", 30)["rows"], self.z, self.y
        ):
            self.check_row(row, z[:30], y)

    def test_ignore_index(self):
        self.y[1] = -100
        out = self.json("score", self.file())
        row = out["rows"][1]
        self.assertEqual((row["logprob"], row["rank"], row["row_status"]), (0, 0, "ignored"))
        kept = [truth.log_softmax(self.z[i])[self.y[i]] for i in (0, 2, 3, 4)]
        self.assertAlmostEqual(out["summary"]["mean_logprob"], sum(kept) / 4, places=6)
        self.assertEqual(out["summary"]["rows_by_status"], {"ok": 4, "ignored": 1})
        self.y[1] = 5
        out = self.json("score", self.file(), "--ignore-index", 7)
        self.assertEqual([r["row_status"] for r in out["rows"]], ["ok"] * 3 + ["ignored"] * 2)

    def test_top(self):
        for row, z in zip(self.json("score", self.file(), "--top", 3)["rows"], self.z):
            best = sorted(range(37), key=lambda i: (-z[i], i))[:3]
            self.assertEqual(row["top_ids"], best)
            for logp, i in zip(row["top_logprobs"], best):
                self.assert_near(logp, truth.log_softmax(z)[i])

    def test_reference(self):
        ref = rows(5, 37)
        path = self.file(reference=("F32", ref))
        other = self.write("ref.npy", arrays.npy("F32", ref))
        out = self.json("score", path, "--reference", ":reference")
        self.assertEqual(self.json("score", path, "--reference", other), out)
        self.assertEqual(self.json("score", path, "--reference", path + ":reference"), out)
        sums = [0.0] * 3
        for row, z, r, y in zip(out["rows"], self.z, ref, self.y):
            self.assertEqual(list(row), NAMES + KL)
            self.assert_near(row["ref_logprob"], truth.log_softmax(r)[y])
            k1 = row["logprob"] - row["ref_logprob"]
            for i, (name, k) in enumerate(zip(KL[1:], (k1, k1 * k1 / 2, math.expm1(-k1) + k1))):
                self.assertAlmostEqual(row[name], k, delta=1e-6 * max(1, abs(k)))
                sums[i] += row[name] / 5
        for name, mean in zip(KL[1:], sums):
            self.assertAlmostEqual(out["summary"]["mean_" + name], mean, delta=1e-6 * max(1, mean))
        self.assertEqual(out["summary"]["k3_overflows"], 0)
        hot = self.json("score", path, "--reference", ":reference", "--temperature", 2)
        self.assert_near(hot["rows"][0]["ref_logprob"], truth.log_softmax(ref[0], 2)[self.y[0]])

    def test_overflow_of_k3_is_counted_and_leaves_the_mean_finite(self):
        tensors = {
            "logits": ("F32", [[0.0, 89.9], [0.0, 0.0]]),
            "reference": ("F32", [[0.0, 0.0], [0.0, 0.0]]),
            "targets": ("I64", [0, 0]),
        }
        path = self.write("far.safetensors", arrays.safetensors(tensors))
        out = self.json("score", path, "--reference", ":reference")
        self.assertIsNone(out["rows"][0]["k3"])
        self.assertEqual(out["summary"]["k3_overflows"], 1)
        d = math.log(0.5) + 89.9
        mean = (math.exp(d) - d - 1) / 2
        self.assertAlmostEqual(out["summary"]["mean_k3"] / mean, 1, delta=1e-5)
        text = self.ok("score", path, "--reference", ":reference")
        self.assertIn("k3 is beyond f32 in 1 row", text)

    def test_reference_of_another_width_needs_vocab_size(self):
        wide = self.write("wide.npy", arrays.npy("BF16", [z + [60.0] * 3 for z in self.z]))
        self.assert_fails(
            ["score", self.file(), "--reference", wide], 1, "wide.npy", "[5, 40]", "[5, 37]"
        )
        out = self.json("score", self.file(), "--reference", wide, "--vocab-size", 37)
        self.assertEqual([r["k3"] for r in out["rows"]], [0] * 5)
        self.assertEqual([str(r["k1"]) for r in out["rows"]], ["0.0"] * 5)  # not -0.0

    def test_row_whose_reference_is_bad(self):
        ref = rows(5, 37)
        ref[2][4] = truth.NAN
        path = self.file(reference=("F32", ref))
        done = self.run_tool("score", path, "--reference", ":reference")
        self.assertEqual(done.returncode, 1)
        self.assertIn(
            "a.safetensors:reference: 1 of 5 rows has no distribution: row 2 has NaN at column 4",
            done.stderr,
        )
        out = self.json("score", path, "--reference", ":reference", code=1)
        self.assertEqual([r["row_status"] for r in out["rows"]], ["ok", "ok", "nan", "ok", "ok"])
        self.assertIsNone(out["rows"][2]["k1"])
        self.assert_near(out["rows"][2]["logprob"], truth.log_softmax(self.z[2])[self.y[2]])
        self.assertEqual(out["summary"]["scored"], 4)

    def test_bad_rows_of_both_inputs_are_named(self):
        ref = rows(5, 37)
        self.z[1][5] = truth.INF
        ref[2][4] = truth.NAN
        path = self.file(reference=("F32", ref))
        done = self.run_tool("score", path, "--reference", ":reference")
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1))
        self.assertIn("logits: 1 of 5 rows has no distribution: row 1 has +inf", done.stderr)
        self.assertIn("reference: 1 of 5 rows has no distribution: row 2 has NaN", done.stderr)

    def test_masked_target_is_null_in_an_ok_row(self):
        self.z[0][3] = -truth.INF
        out = self.json("score", self.file())
        self.assertEqual((out["rows"][0]["logprob"], out["rows"][0]["row_status"]), (None, "ok"))
        self.assertIsNone(out["summary"]["perplexity"])

    def test_rows_without_a_distribution(self):
        self.z[1][5] = truth.NAN
        self.z[3][0] = truth.INF
        self.z[4] = [-truth.INF] * 37
        path = self.file()
        line = (
            "logsum: "
            + path
            + ":logits: 3 of 5 rows have no distribution: row 1 has NaN at column 5, "
            "row 3 has +inf at column 0, row 4 is all -inf\n"
        )
        done = self.run_tool("score", path)
        self.assertEqual((done.returncode, done.stderr), (1, line))
        self.assertIn("nan", done.stdout)
        out = self.json("score", path, code=1)
        self.assertEqual(
            [r["row_status"] for r in out["rows"]], ["ok", "nan", "ok", "pos_inf", "empty"]
        )
        self.assertEqual(
            [r["logprob"] is None for r in out["rows"]], [False, True, False, True, True]
        )
        for i in (0, 2):
            self.check_row(out["rows"][i], self.z[i], self.y[i])
        self.assertEqual(
            out["summary"]["rows_by_status"], {"ok": 2, "empty": 1, "nan": 1, "pos_inf": 1}
        )

    def test_leading_dimensions(self):
        z = [[self.z[0], self.z[1], self.z[2]], [self.z[3], self.z[4], self.z[0]]]
        y = [[1, 2, 3], [4, 5, 6]]
        path = self.write(
            "b.safetensors", arrays.safetensors({"logits": ("F16", z), "targets": ("I32", y)})
        )
        out = self.json("score", path)
        self.assertEqual([r["target"] for r in out["rows"]], [1, 2, 3, 4, 5, 6])
        self.check_row(out["rows"][4], self.z[4], 5)
        self.assertIn("1,2", self.ok("score", path))
        one = self.write(
            "c.safetensors",
            arrays.safetensors({"logits": ("F32", z[0][0]), "targets": ("I64", [3], [])}),
        )
        self.check_row(self.json("score", one + ":logits")["rows"][0], self.z[0], 3)
        none = self.write(
            "d.safetensors",
            arrays.safetensors({"logits": ("F32", [], [0, 9]), "targets": ("I64", [], [0])}),
        )
        out = self.json("score", none)
        self.assertEqual((out["rows"], out["summary"]["perplexity"]), ([], None))
        self.ok("score", none)
