# SPDX-License-Identifier: Apache-2.0
"""logsum doctor, info, bench and demo."""

import json
import math

import arrays
import truth
from tool import DEMO, ToolTest, rows

LIMITS = {
    "f16": math.log(65520),
    "bf16": math.log(0x1FF) + 119 * math.log(2),
    "f32": math.log(0x1FFFFFF) + 103 * math.log(2),
}


# Where half the smallest subnormal lies: e^x rounds to 0 below.
UNDERFLOWS = {"f16": -25 * math.log(2), "bf16": -134 * math.log(2), "f32": -150 * math.log(2)}


def log_sum(z):
    top = max(z)
    return top + math.log(sum(math.exp(x - top) for x in z))


def softmax_fails(z, dtype):
    return min(z) - log_sum(z) < UNDERFLOWS[dtype]


def naive_fails(z, dtype):
    return log_sum(z) > LIMITS[dtype] or min(z) < UNDERFLOWS[dtype] or softmax_fails(z, dtype)


def highest_temperature(z, dtype, fails):
    """By bisection: the temperature below which a formula fails; 0 if it never does."""
    low, high = 1e-6, 1e6
    if not fails([x / low for x in z], dtype):
        return 0.0
    for _ in range(100):
        middle = math.sqrt(low * high)
        if fails([x / middle for x in z], dtype):
            low = middle
        else:
            high = middle
    return low


class Doctor(ToolTest):
    def doctor(self, z, *args, dtype="F32"):
        path = self.write("z.npy", arrays.npy(dtype, z))
        self.assertTrue(self.ok("doctor", path, *args))
        return self.json("doctor", path, *args)

    def formula(self, out, name, dtype):
        return next(f for f in out["formulas"] if (f["formula"], f["computed_in"]) == (name, dtype))

    def test_overflow_is_counted(self):
        z = [[0.0, 1.0], [0.0, 11.0], [12.0, 1.0], [88.5, 0.0], [89.0, 3.0]]
        out = self.doctor(z)
        counts = {k: v["exp_rows"] for k, v in out["naive_exp_overflow"].items()}
        self.assertEqual(counts, {"f16": 3, "bf16": 1, "f32": 1})
        many = self.doctor([[10.0] * 4, [0.0] * 4])["naive_exp_overflow"]["f16"]
        self.assertEqual(many, {"exp_rows": 0, "sum_rows": 1})

    def test_what_the_formulas_return(self):
        z = [[1.0, 2.0, 3.0], [100.0, 0.0, -10.0]]
        out = self.doctor(z)
        naive = self.formula(out, "log(exp(z) / sum exp(z))", "f32")
        worst = naive["worst"]
        self.assertEqual((naive["bad_rows"], naive["bad_columns"]), (1, 3))
        self.assertEqual((worst["row"], worst["column"], worst["logit"]), (1, 0, 100))
        self.assertEqual(
            (worst["returned"], worst["returned_text"], worst["error"]), (None, "nan", None)
        )
        self.assertEqual((worst["stable"], worst["float64"]), (0, 0))
        softmax = self.formula(out, "log(softmax(z))", "f32")
        self.assertEqual(
            (softmax["bad_rows"], softmax["worst"]["returned_text"], softmax["worst"]["stable"]),
            (1, "-inf", -110),
        )
        self.assertEqual(self.formula(out, "log(softmax(z))", "f16")["bad_columns"], 2)

    def test_finite_errors(self):
        z = rows(4, 60)
        out = self.doctor(z, dtype="BF16")
        errors = {}
        for formula in out["formulas"]:
            worst = formula["worst"]
            expected = truth.log_softmax(z[worst["row"]])[worst["column"]]
            self.assertAlmostEqual(worst["float64"], expected, places=9)
            self.assert_near(worst["stable"], expected)
            if worst["returned"] is not None:
                self.assertAlmostEqual(worst["error"], abs(worst["returned"] - expected), places=9)
                errors[formula["formula"], formula["computed_in"]] = worst["error"]
        self.assertLess(errors["log(softmax(z))", "f32"], 5e-6)
        self.assertGreater(errors["log(softmax(z))", "bf16"], 1e-3)

    def test_unsafe_temperatures(self):
        z = [[5.0, 0.0, -20.0], [60.0, 58.0, 50.0]]
        for case in (z, z[:1], [[8.0] * 2000], [[5.0, -200.0]]):
            unsafe = self.doctor(case)["unsafe_temperatures"]
            for dtype in LIMITS:
                found = unsafe[dtype]
                formulas = {"naive_below": naive_fails, "log_of_softmax_below": softmax_fails}
                for name, fails in formulas.items():
                    expected = max(highest_temperature(row, dtype, fails) for row in case)
                    self.assertAlmostEqual(found[name], expected, delta=1e-6 * expected)
                self.assertFalse(found["naive_large"])
        # Just below, the tool finds the trouble at T = 1; just above, none.
        for factor, rows_hit in ((0.999, 1), (1.001, 0)):
            scaled = [[x / (60 / LIMITS["f32"] * factor) for x in row] for row in z]
            self.assertEqual(self.doctor(scaled)["naive_exp_overflow"]["f32"]["exp_rows"], rows_hit)
        low = self.doctor([[-200.0, -210.0]])
        self.assertAlmostEqual(
            low["unsafe_temperatures"]["f32"]["naive_below"], 210 / (150 * math.log(2)), places=6
        )
        self.assertEqual(self.formula(low, "log(exp(z) / sum exp(z))", "f32")["bad_rows"], 1)
        wide = self.doctor([[0.0] * 65530 + [1.0] * 10])
        self.assertTrue(wide["unsafe_temperatures"]["f16"]["naive_large"])

    def test_special_values_and_ties(self):
        inf, nan = truth.INF, truth.NAN
        z = [[1.0, 2.0, 3.0], [nan, nan, 1.0], [inf, 0.0, -inf], [-inf] * 3, [-inf, 4.0, 4.0]]
        out = self.doctor(z)
        self.assertEqual(out["rows_by_status"], {"ok": 2, "nan": 1, "pos_inf": 1, "empty": 1})
        self.assertEqual(out["values"], {"nan": 2, "pos_inf": 1, "neg_inf": 5, "min": 1, "max": 4})
        self.assertEqual(out["ties_at_max"], {"rows": 1, "most_columns": 2})
        self.assertEqual(self.formula(out, "log(softmax(z))", "f32")["bad_columns"], 0)
        hopeless = self.write("n.npy", arrays.npy("F32", [[nan, 1.0]]))
        self.assertIn("no row has a distribution", self.ok("doctor", hopeless))
        self.assertIsNone(self.json("doctor", hopeless)["values"]["max"])

    def test_padding(self):
        z = rows(5, 40)
        self.assertIsNone(self.doctor(z)["padding"])
        padded = [row + [float(i)] * 8 for i, row in enumerate(z)]
        padding = self.doctor(padded)["padding"]
        self.assertEqual((padding["first_column"], padding["columns"]), (40, 8))
        most = max(8 * math.exp(truth.log_softmax(row)[-1]) for row in padded)
        self.assertAlmostEqual(padding["most_probability"] / most, 1, places=9)
        self.assertIsNone(self.doctor(padded, "--vocab-size", 40)["padding"])
        masked = [row + [-truth.INF] * 2 for row in z]
        self.assertEqual(
            self.doctor(masked)["padding"],
            {"first_column": 40, "columns": 2, "most_probability": 0},
        )
        path = self.write("p.npy", arrays.npy("F32", padded))
        self.assertIn("--vocab-size 40", self.ok("doctor", path))
        self.assertEqual(self.ok("doctor", path, "--quiet"), "")

    def test_threads_and_blocks_agree(self):
        path = self.write("t.npy", arrays.npy("BF16", rows(50, 300)))
        self.assertEqual(self.ok("doctor", path, "--threads", 1), self.ok("doctor", path))


class Others(ToolTest):
    def test_info(self):
        out = self.json("info", "--threads", 3)
        self.assertEqual(out["threads"], 3)
        names = [b["name"] for b in out["backends"]]
        self.assertIn(names, (["cpu", "reference"], ["cpu", "reference", "cuda"]))
        chosen = [t for t in out["simd_targets"] if t["chosen"]]
        self.assertEqual(len(chosen), 1)
        self.assertTrue(chosen[0]["available"])
        portable = self.json("info", "--simd", "portable")["simd_targets"]
        self.assertEqual([t["name"] for t in portable if t["chosen"]], ["portable"])
        text = self.ok("info")
        for word in (
            "version",
            out["version"],
            "reference",
            chosen[0]["name"] + " ",
            "chosen",
            "threads",
        ):
            self.assertIn(word, text)

    def test_bench_times_every_operation(self):
        small = ["bench", "--rows", "2", "--repeats", "1"]
        results = self.json(*small, "--vocab", "1000,5000", "--threads", "1")["results"]
        names = {r["operation"] for r in results}
        for name in (
            "token_logprobs",
            "token_logprobs + entropy",
            "logsumexp",
            "sample",
            "sample, one row, 64 draws",
            "softmax",
            "log_softmax",
            "softmax_backward",
            "log_softmax_backward",
            "logsumexp_backward",
            "measure, merge: two shards",
            "approx_kl",
            "plain libm loop",
        ):
            self.assertIn(name, names)
        self.assertEqual({r["columns"] for r in results}, {1000, 5000})
        self.assertEqual({r["dtype"] for r in results}, {"f32", "bf16"})
        self.assertTrue(all(r["seconds"] > 0 and r["threads"] == 1 for r in results))

        filtered = self.json(*small, "--vocab", "999", "--filter", "sample", "--threads", "2")
        self.assertEqual(
            {(r["operation"], r["threads"]) for r in filtered["results"]},
            {(n, 2) for n in ("sample", "sample, one row", "sample, one row, 64 draws")},
        )
        table = self.ok(*small, "--vocab", "999", "--filter", "sample")
        self.assertIn("2 x 999", table)
        self.assert_fails(["bench", "--filter", "frobnicate"], 2, "--filter", '"frobnicate"')
        for option in ("--vocab", "--rows", "--repeats"):
            self.assert_fails(["bench", option, "0"], 2, option)

    def test_demo_of_bad_data(self):
        def file(z, y):
            tensors = {
                "policy_logits": ("F32", z),
                "reference_logits": ("F32", [[0.0] * 4] * 3),
                "targets": ("I64", y),
            }
            return self.write("bad.safetensors", arrays.safetensors(tensors))

        z = [[0.0] * 4, [1.0, truth.NAN, 0.0, 0.0], [-truth.INF] * 4]
        self.assert_fails(
            ["demo", file(z, [0, 1, 2])], 1, "2 of 3 rows", "row 1 has NaN", "row 2 is all -inf"
        )
        self.assert_fails(["demo", file([[0.0] * 4] * 3, [0, 4, 2])], 1, "row 1 is 4", "[0, 4)")
        self.assert_fails(["demo", file(z, [0, -1, 2]), "--json"], 1, "row 1 is -1")

    def test_demo(self):
        text = self.ok("demo", DEMO)
        self.assertIn("agree bit for bit in all 8 rows", text.splitlines()[-1])
        out = self.json("demo", DEMO, "--seed", 5, "--temperature", 0.8)
        self.assertEqual(
            out["summary"], {"rows": 8, "rows_with_equal_bits": 8, "bit_for_bit": True}
        )
        policy = self.json(
            "score",
            f"{DEMO}:policy_logits",
            "--reference",
            ":reference_logits",
            "--temperature",
            0.8,
        )
        drawn = self.json("sample", f"{DEMO}:policy_logits", "--seed", 5, "--temperature", 0.8)
        for row, scored, sampled in zip(out["rows"], policy["rows"], drawn["rows"]):
            self.assertEqual(
                (row["sampled"], row["logprob"]), (sampled["token"], sampled["logprob"])
            )
            self.assertEqual(
                [row[n] for n in ("target", "target_logp", "ref_logp", "k3_kl", "rank", "entropy")],
                [scored[n] for n in ("target", "logprob", "ref_logprob", "k3", "rank", "entropy")],
            )
        self.ok("demo", DEMO, "--backend", "reference")

    def test_demo_without_its_data(self):
        self.assert_fails(["demo"], 1, "examples/data/demo_logits.safetensors", "No such file")
        path = self.write("x.safetensors", arrays.safetensors({"logits": ("F32", [[1.0]])}))
        self.assert_fails(["demo", path], 1, '"policy_logits"', '"logits"')
        self.assert_fails(["demo", DEMO, "--temperature", "0"], 2, "--temperature")

    def test_demo_json_is_rows_and_summary(self):
        self.assertEqual(list(json.loads(self.ok("demo", DEMO, "--json"))), ["rows", "summary"])
