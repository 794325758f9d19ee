# SPDX-License-Identifier: Apache-2.0
"""logsum compare: every number against math alone, every option changes what is said, and what bad
input gets."""

import math
import random

import arrays
from compare_truth import Truth
from tool import SOURCE, ToolTest
from truth import INF, NAN

B, T = 12, 40


def logps(seed, spread):
    """Log-probs as f32 holds them, and the same with noise."""
    source = random.Random(seed)
    a = [[-source.expovariate(0.8) - 1e-3 for _ in range(T)] for _ in range(B)]
    b = [[min(x + source.gauss(0, spread), -1e-6) for x in row] for row in a]
    return [[arrays.decode("F32", arrays.encode("F32", row)) for row in m] for m in (a, b)]


class CompareTest(ToolTest):
    def setUp(self):
        super().setUp()
        self.a, self.b = logps(3, 0.3)

    def files(self, dtype="F32", b_dtype=None):
        return [
            self.write("r.npy", arrays.npy(dtype, self.a)),
            self.write("t.npy", arrays.npy(b_dtype or dtype, self.b)),
        ]

    def compare(self, *args, code=0, **files):
        return self.json("compare", *self.files(**files), *args, code=code)

    def near(self, value, truth, relative=1e-9):
        self.assertIsNotNone(value)
        self.assertAlmostEqual(value, truth, delta=relative * abs(truth) + 1e-15)


class Numbers(CompareTest):
    def check(self, out, truth):
        self.assertEqual(
            [out[n] for n in ("tokens", "compared", "masked")],
            [truth.total, truth.n, truth.masked],
        )
        d = out["difference"]
        self.near(d["mean_abs"], truth.mean_abs)
        self.near(d["max_abs"], truth.max_abs)
        self.near(d["mean"], truth.mean, 1e-8)
        self.near(d["correlation"], truth.correlation)
        self.assertEqual(d["identical"], truth.identical)
        for name, quarter in zip(("first_quarter", "last_quarter"), truth.quarters):
            self.near(d[name], quarter)
        for name, k in zip(("k1", "k2", "k3"), truth.kl):
            self.near(out["kl_rollout_trainer"][name], k, 2e-6)
        ratio = out["ratio"]
        self.near(ratio["mean"], truth.mean_ratio)
        self.near(ratio["effective_sample_size"], truth.ess)
        for name, (log_ratio, value) in truth.quantiles.items():
            self.near(out["log_ratio"]["quantiles"][name], log_ratio)
            self.near(ratio["quantiles"][name], value)

    def test_against_math(self):
        mask = [[(i * 7 + j) % 5 > 0 for j in range(T)] for i in range(B)]
        out = self.compare("--mask", self.write("m.npy", arrays.npy("U8", mask)))
        truth = Truth(self.a, self.b, mask)
        self.check(out, truth)
        self.check(self.compare(), Truth(self.a, self.b))
        sequences = out["sequences"]
        self.assertEqual(sequences["count"], B)
        for name, value in truth.sequence_quantiles.items():
            self.near(sequences["mean_log_ratio"][name], value)
        gspo = sequences["gspo"]
        self.assertEqual((gspo["below"], gspo["above"]), truth.sequences_outside(3e-4, 4e-4))
        self.assertEqual([gspo["low"], gspo["high"]], [3e-4, 4e-4])

    def test_every_dtype(self):
        for dtype, b_dtype in (("F16", "F32"), ("BF16", "BF16"), ("F64", "F64"), ("F64", "BF16")):
            out = self.compare(dtype=dtype, b_dtype=b_dtype)
            stored = [
                [arrays.decode(t, arrays.encode(t, row)) for row in m]
                for m, t in ((self.a, dtype), (self.b, b_dtype))
            ]
            self.check(out, Truth(*stored))
            self.assertEqual(out["rollout"]["dtype"], dtype.lower())
            self.assertEqual(out["trainer"]["dtype"], b_dtype.lower())

    def test_one_dimension_is_one_sequence(self):
        flat = [arrays.flat(m) for m in (self.a, self.b)]
        paths = [self.write(n, arrays.npy("F32", m)) for n, m in zip("rt", flat)]
        out = self.json("compare", *paths)
        self.check(out, Truth([flat[0]], [flat[1]]))
        self.assertIsNone(out["sequences"])
        self.assertEqual(list(out["importance_weights"]["modes"]), ["token_truncate", "token_mask"])
        self.assertEqual(set(out["worst"][0]) & {"sequence", "token"}, {"token"})
        self.assertIn("Worst tokens\n", self.ok("compare", *paths, "--html", "o.html"))

    def test_importance_weights(self):
        truth = Truth(self.a, self.b)
        for low, high in ((0, 2), (0.5, 1.25)):
            args = ["--clip-min", low, "--clip-max", high] if low else []
            weights = self.compare(*args)["importance_weights"]
            self.assertEqual((weights["clip_min"], weights["clip_max"]), (low, high))
            for level in ("token", "sequence"):
                for mode in ("truncate", "mask"):
                    found = weights["modes"][f"{level}_{mode}"]
                    expected = truth.weights(level, mode, low, high)
                    for name, value in zip(
                        ("mean_weight", "clipped_share", "effective_sample_size"), expected
                    ):
                        self.near(found[name], value, 2e-6)

    def test_epsilons(self):
        truth = Truth(self.a, self.b)
        bands = [(b["low"], b["high"], b["below"], b["above"]) for b in self.compare()["clipped"]]
        self.assertEqual(bands, [(0.2, 0.2, *truth.outside(0.2, 0.2))])
        out = self.compare("--epsilon", "0.1", "--epsilon", "0.2,0.28")
        bands = [(b["low"], b["high"], b["below"], b["above"]) for b in out["clipped"]]
        self.assertEqual(
            bands, [(0.1, 0.1, *truth.outside(0.1, 0.1)), (0.2, 0.28, *truth.outside(0.2, 0.28))]
        )
        self.near(out["clipped"][1]["share"], sum(truth.outside(0.2, 0.28)) / (B * T))

    def test_worst(self):
        ids = [[1000 * i + j for j in range(T)] for i in range(B)]
        path = self.write("ids.npy", arrays.npy("I32", ids))
        truth = Truth(self.a, self.b).worst
        for count in (0, 1, 10, 500):
            out = self.compare("--worst", count, "--tokens", path)["worst"]
            self.assertEqual([(w["sequence"], w["token"]) for w in out], truth[:count])
        self.assertEqual(len(self.compare()["worst"]), 10)
        self.assertNotIn("token_id", self.compare()["worst"][0])
        for entry in out:
            i, j = entry["sequence"], entry["token"]
            self.assertEqual(entry["token_id"], ids[i][j])
            self.assertEqual((entry["rollout"], entry["trainer"]), (self.a[i][j], self.b[i][j]))
            self.assertEqual(entry["difference"], self.b[i][j] - self.a[i][j])
            self.near(entry["ratio"], math.exp(entry["difference"]))
        text = self.ok("compare", *self.files(), "--tokens", path)
        self.assertIn("token id", text)
        self.assertIn("Worst tokens", text)
        self.assertNotIn("Worst tokens", self.ok("compare", *self.files(), "--worst", 0))

    def test_far_apart(self):
        self.a[0][0], self.b[0][0] = -900.0, -1.0
        self.a[1][1], self.b[1][1] = -3e38, 0.0
        out = self.compare()
        self.assertIsNone(out["ratio"]["mean"])
        self.assertEqual(out["kl_rollout_trainer"]["k3_overflows"], 2)
        self.assertIsNone(out["worst"][0]["ratio"])
        self.near(out["ratio"]["effective_sample_size"], 1)
        self.assertIn("inf", self.ok("compare", *self.files(), "--html", "o.html"))


class Files(CompareTest):
    def test_names(self):
        both = {
            "sampled": ("F32", self.a),
            "old": ("F32", self.b),
            "mask": ("I64", [[int(j > 3) for j in range(T)] for _ in range(B)]),
            "other": ("BOOL" if "BOOL" in arrays.CODES else "U8", [[1] * T] * B),
        }
        path = self.write("b.safetensors", arrays.safetensors(both))
        plain = self.compare()
        outputs = [
            self.json("compare", *args)
            for args in (
                [path + ":sampled", path + ":old"],
                [path + ":sampled", ":old"],
                [path, path, "--rollout-name", "sampled", "--trainer-name", "old"],
            )
        ]
        for out in outputs:
            self.assertEqual(out["difference"], plain["difference"])
            self.assertEqual(out["trainer"]["input"], path + ":old")
        masked = self.json("compare", path + ":sampled", ":old", "--mask", path)
        self.assertEqual(masked["masked"], 4 * B)
        masked = self.json("compare", path + ":sampled", ":old", "--mask", ":other")
        self.assertEqual(masked["masked"], 0)
        self.assert_fails(["compare", path, path], 2, "which tensor", '"sampled"', '"old"')
        self.assert_fails(
            ["compare", path + ":old", path + ":old", "--rollout-name", "old"],
            2,
            "--rollout-name",
            "already names",
        )
        self.assert_fails(["compare", path + ":new", path + ":old"], 1, '"new"', '"old"')
        self.assert_fails(
            ["compare", path + ":mask", path + ":old"], 1, ":mask", "i64", "f32, f16, bf16 or f64"
        )

    def test_what_score_writes(self):
        tensors = {"logits": ("F32", [[1.0, 2.0], [0.5, 0.0]]), "targets": ("I64", [0, 1])}
        path = self.write("l.safetensors", arrays.safetensors(tensors))
        self.ok("score", path, "--output", "s.safetensors")
        out = self.json("compare", "s.safetensors", "s.safetensors")
        self.assertEqual(out["rollout"]["input"], "s.safetensors:logprob")
        self.assertEqual(out["verdict"]["kind"], "identical")

    def test_refusals(self):
        good = self.files()
        short = self.write("short.npy", arrays.npy("F32", self.a[:-1]))
        ids = self.write("ids.npy", arrays.npy("I64", [[1] * T] * B))
        cube = self.write("cube.npy", arrays.npy("F32", [self.a]))
        scalar = self.write("scalar.npy", arrays.npy("F32", [1.0], []))
        empty = self.write("empty.npy", arrays.npy("F32", [], [0, T]))
        nothing = self.write("zeros.npy", arrays.npy("U8", [[0] * T] * B))
        nan = self.write("nan.npy", arrays.npy("F32", [[NAN] * T] * B))
        for args, code, *parts in (
            ([good[0], short], 1, "short.npy", "[11, 40]", "r.npy", "[12, 40]"),
            ([good[0], ids], 1, "ids.npy", "i64", "f32, f16, bf16 or f64"),
            ([cube, cube], 1, "cube.npy", "[1, 12, 40]", "[T] or [B, T]"),
            ([scalar, scalar], 1, "scalar.npy", "[]", "[T] or [B, T]"),
            ([empty, empty], 1, "empty.npy", "[0, 40]", "at least one token"),
            ([good[0], "no.npy"], 1, "no.npy", "No such file"),
            ([*good, "--mask", short], 1, "short.npy", "mask has dtype f32", "u8 or bool"),
            ([*good, "--mask", nothing], 1, "r.npy", "mask is 0 for all 480 tokens"),
            ([*good, "--tokens", nothing], 1, "zeros.npy", "u8", "i64 or i32"),
            ([*good, "--tokens", "no.npy"], 1, "no.npy"),
            ([good[0], nan], 1, "none of the 480 tokens", "trainer 0,0 is nan"),
            ([*good, "--html", "no/such.html"], 1, "no/such.html", "No such file"),
            ([*good, "--html", "/dev/null"], 1, "/dev/null", "not a regular file"),
            ([*good, "--clip-min", "3"], 2, "--clip-min", "--clip-max", "2"),
            ([good[0]], 2, "TRAINER"),
        ):
            self.assert_fails(["compare", *args], code, *parts)
        ids = self.write("row.npy", arrays.npy("I64", [1] * T))
        self.assert_fails(["compare", *good, "--tokens", ids], 1, "row.npy", "[40]", "[12, 40]")
        for option, values in (
            (
                "--epsilon",
                ("", "x", "-0.1", "1.5", "0.2,", ",0.2", "0.2,0.3,0.4", "nan", "0.2,inf"),
            ),
            ("--clip-max", ("", "-1", "nan", "inf", "1e31", "2x")),
            ("--clip-min", ("", "-1", "nan", "x")),
            ("--worst", ("-1", "1.5", "", "x")),
        ):
            for value in values:
                self.assert_fails(["compare", *good, option, value], 2, option)

    def test_not_finite(self):
        clean = self.compare()
        self.a[2][5], self.b[2][5] = NAN, INF
        self.b[7][39] = -INF
        done = self.run_tool("compare", *self.files(), "--html", "o.html")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(
            done.stderr,
            "logsum: 2 of 480 tokens are not finite and were left out: "
            "rollout 2,5 is nan, trainer 2,5 is inf, trainer 7,39 is -inf\n",
        )
        self.assertIn("478 compared, 0 masked, 2 not finite", done.stdout)
        self.assertIn("trainer 7,39 is -inf", (self.dir / "o.html").read_text("utf-8"))
        out = self.compare(code=1)
        self.assertEqual((out["compared"], out["not_finite"]["tokens"]), (478, 2))
        self.assertEqual(
            out["not_finite"]["first"][2],
            {"sequence": 7, "token": 39, "array": "trainer", "value": "-inf"},
        )
        counts = [[int((i, j) not in ((2, 5), (7, 39))) for j in range(T)] for i in range(B)]
        self.near(out["difference"]["mean_abs"], Truth(self.a, self.b, counts).mean_abs)
        self.assertNotEqual(out["difference"], clean["difference"])
        # Where the mask is 0 nothing is looked at; f64 beyond f32 is not finite.
        mask = self.write("m.npy", arrays.npy("I32", counts))
        self.assertEqual(self.compare("--mask", mask)["not_finite"]["tokens"], 0)
        self.b[0][1] = -1e300
        out = self.compare("--mask", mask, dtype="F64", code=1)
        self.assertEqual(out["not_finite"]["first"][0]["value"], -1e300)
        many = [[NAN] * T] + self.a[1:]
        path = self.write("many.npy", arrays.npy("F32", many))
        done = self.run_tool("compare", path, path)
        self.assertIn(
            "rollout 0,2 is nan and 77 more", done.stderr.replace(", trainer", " trainer")
        )

    def test_quiet_and_devices(self):
        self.assertEqual(self.ok("compare", *self.files(), "--quiet"), "")
        self.assertEqual(self.compare("--threads", 1), self.compare())
        self.assertEqual(self.compare("--simd", "portable"), self.compare())
        reference = self.compare("--backend", "reference")
        self.near(
            reference["kl_rollout_trainer"]["k3"], self.compare()["kl_rollout_trainer"]["k3"], 2e-6
        )

    def test_example_arrays_are_what_their_script_makes(self):
        namespace = {"__name__": "make_logps"}
        script = SOURCE / "examples" / "make_logps.py"
        exec(compile(script.read_text("utf-8"), str(script), "exec"), namespace)
        namespace["write"](self.dir)
        for name in ("rollout_logps", "trainer_logps", "logps_mask"):
            committed = arrays.read_npy(SOURCE / "examples" / "data" / f"{name}.npy")
            dtype, shape, values = arrays.read_npy(self.dir / f"{name}.npy")
            self.assertEqual(committed[:2], (dtype, shape))
            # The last bit of a logarithm may be another elsewhere.
            for x, y in zip(committed[2], values):
                self.assertAlmostEqual(x, y, delta=2**-6 * abs(x))
