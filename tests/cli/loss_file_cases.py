# SPDX-License-Identifier: Apache-2.0
"""logsum loss: where its tensors come from and go to, bad tokens, and what is refused."""

import math

import arrays
from loss_batch import NAMES, B, LossTest, T, V, grid, make_batch, split_files
from loss_truth import Truth
from truth import NAN


class Sessions(LossTest):
    def test_backends_and_threads(self):
        b = make_batch(beta=0.1, entropy_coef=0.05)
        self.check(b, "--backend", "reference")
        plain = self.check(b, gradient=False)
        for args in (("--threads", 1), ("--simd", "portable"), ("--determinism", "cross-device")):
            self.assertEqual(self.check(b, *args, gradient=False), plain)

    def test_misaligned(self):
        b = make_batch()
        tensors = {
            "logits": ("F32", grid(b.logits)),
            "targets": ("I64", grid(b.targets)),
            "advantages": ("F32", b.advantages[::T]),
            NAMES["old"]: ("F32", grid(b.old)),
        }
        b.ref = None
        path = self.write("m.safetensors", arrays.safetensors(tensors, misaligned=True))
        self.check(b, path=path)

    def test_bad_rows_are_named_and_harm_no_other(self):
        b = make_batch()
        plain = self.json("loss", self.file(b))["rows"]
        b.logits[1][3] = NAN
        b.logits[4] = [-math.inf] * V
        b.logits[6][0] = math.inf
        b.targets[7], b.targets[9] = V, -5
        b.old[10], b.old[11] = -math.inf, NAN
        path = self.file(b)
        done = self.run_tool("loss", path, "--grad", "g.safetensors")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(
            done.stderr,
            f"logsum: {path}:logits: 7 of 12 rows have no finite loss: row 0,1 has NaN at column "
            "3, row 1,0 is all -inf, row 1,2 has +inf at column 0 and 4 more\n",
        )
        self.assertIn("7 bad", done.stdout.replace("1 empty, 1 nan", "7 bad"))
        self.assertIn("wrote g.safetensors", done.stdout)
        out = self.json("loss", path, code=1)
        self.assertIsNone(out["summary"]["loss"])
        self.assertEqual(
            out["summary"]["rows_by_status"],
            {"ok": 5, "empty": 1, "nan": 1, "pos_inf": 1, "bad_target": 2, "overflow": 2},
        )
        self.assertEqual(out["summary"]["worst"][:8][:7], [1, 4, 6, 7, 9, 10, 11])
        for i in (0, 2, 3, 5, 8):
            self.assertEqual(out["rows"][i], plain[i])
        _, metadata = arrays.read_safetensors(self.dir / "g.safetensors")
        self.assertIn("7 overflow", metadata["row_status"])
        b = make_batch()
        b.targets[7] = V
        done = self.run_tool("loss", self.file(b))
        said = f"1 of 12 rows has no finite loss: row 1,3 has target {V}, outside [0, {V})"
        self.assertIn(said, done.stderr)
        b = make_batch()
        b.old[10] = -math.inf
        done = self.run_tool("loss", self.file(b))
        self.assertIn("row 2,2 has a loss or a gradient that is no finite f32", done.stderr)
        # Masked they are nobody's business.
        b.mask = [1] * (B * T)
        b.mask[10] = 0
        b.logits[10][0] = NAN
        self.ok("loss", self.file(b))

    def test_worst(self):
        b = make_batch()
        expected = Truth(b)
        by_ratio = sorted(expected.base, key=lambda i: -abs(expected.base[i] - b.old[i]))
        out = self.json("loss", self.file(b), "--worst", 5)
        self.assertEqual(out["summary"]["worst"], by_ratio[:5])
        b.old = None
        b.advantages = [1 + i / 8 for i in range(B * T)]
        path = self.file(b, advantages=("F32", grid(b.advantages)))
        self.assertEqual(
            self.json("loss", path, "--worst", 3)["summary"]["worst"], [11, 10, 9]
        )
        text = self.ok("loss", path, "--worst", 3)
        lines = text[text.index("The 3 worst of 12 tokens by |loss|") :].splitlines()
        self.assertEqual([x.split()[0] for x in lines[2:]], ["2,3", "2,2", "2,1"])
        self.assertIn("\nTokens\n", self.ok("loss", path))
        self.assertIn("\nTokens\n", self.ok("loss", path, "--worst", 3, "--all"))
        self.assertNotIn("row_status", self.ok("loss", path, "--worst", 0))

    def test_many_tokens(self):
        count = 41
        tensors = {
            "logits": ("F32", [[0.0, 1.0]] * count),
            "targets": ("I64", [0] * count),
            "advantages": ("F32", [1.0 if i != 30 else -4.0 for i in range(count)]),
        }
        path = self.write("t.safetensors", arrays.safetensors(tensors))
        text = self.ok("loss", path)
        self.assertIn("The 20 worst of 41 tokens by |loss| (--all shows them)", text)
        table = text[text.index("row_status") :].splitlines()
        self.assertEqual(table[1].split()[0], "30")
        self.assertEqual(len(table), 21)
        every = self.ok("loss", path, "--all")
        self.assertEqual(len(every.splitlines()), len(text.splitlines()) + count - 20)

    def test_text(self):
        b = make_batch(beta=0.25, epsilon_high=0.5)
        args = ["loss", self.file(b), *self.arguments(b.options)]
        text = self.ok(*args)
        for part in (
            "clip, ratio per token, token_mean, epsilon_high 0.5, beta 0.25",
            "12: 12 ok, in 3 sequences",
            "f32 [3, 4, 9]",
            f"{Truth(b).total:.4f}"[:-1],
        ):
            self.assertIn(part, text)
        self.assertEqual(self.ok(*args, "--quiet"), "")
        text = self.ok(*args, "--output", "o.safetensors", "--grad", "g.safetensors")
        self.assertNotIn("row_status", text)
        self.assertIn("wrote o.safetensors\n", text)
        self.assertIn("wrote g.safetensors\n", text)

    def test_files_hold_what_json_says(self):
        b = make_batch(beta=0.25)
        args = ("--output", "o.safetensors", "--grad", "g.safetensors")
        out = self.json("loss", self.file(b), "--beta", 0.25, *args)["rows"]
        output, _ = arrays.read_safetensors(self.dir / "o.safetensors")
        grad, _ = arrays.read_safetensors(self.dir / "g.safetensors")
        self.assertEqual(list(out[0]), [
            "sequence", "target", "logprob", "old_logprob", "ref_logprob", "advantage", "ratio",
            "kl", "loss", "entropy", "row_status",
        ])  # fmt: skip
        for name, (_, shape, values) in output.items():
            self.assertEqual(shape, [B, T])
            if name != "row_status":
                self.assertEqual([row[name] for row in out], values, name)
            self.assertEqual(grad[name], output[name])
        self.assertEqual(set(grad) - set(output), {"grad_logits"})
        # compare takes it for what score writes.
        self.ok("compare", "o.safetensors", "g.safetensors")
        self.ok("loss", self.file(b), "--output", "l.npy", "--select", "loss")
        self.assertEqual(arrays.read_npy(self.dir / "l.npy")[1], [B, T])


class Files(LossTest):
    def test_several(self):
        b = make_batch(beta=0.25)
        paths = split_files(self, b)
        plain = self.check(b)
        for files in (paths, [*paths, paths[0]], [paths[0] + ":logits", *paths[:0:-1]]):
            out = self.json("loss", *files, "--beta", 0.25)
            self.assertEqual(out["rows"], plain["rows"])
            inputs = out["summary"]["inputs"]
            self.assertEqual(inputs[NAMES["ref"]], f"{paths[2]}:ref_per_token_logps")
            self.assertNotIn("completion_mask", inputs)
        named = ["--ref", paths[2], "--old", paths[1] + ":old_per_token_logps"]
        named += ["--advantages", self.write("a.npy", arrays.npy("F32", b.advantages[::T]))]
        out = self.json("loss", paths[0], *named, "--beta", 0.25)
        self.assertEqual(out["rows"], plain["rows"])
        logits = self.write("z.npy", arrays.npy("F32", grid(b.logits)))
        out = self.json("loss", logits, *paths, "--beta", 0.25)
        self.assertEqual(out["rows"], plain["rows"])

    def test_names_and_none(self):
        b = make_batch()
        more = {
            "old": ("F32", grid(b.old[::-1])),
            "y": ("I32", grid(b.targets[::-1])),
            "keep": ("U8", grid([1, 0] * (B * T // 2))),
        }
        path = self.file(b, **more)
        b.old.reverse()
        b.targets.reverse()
        b.mask = [1, 0] * (B * T // 2)
        b.ref = None
        args = ("--old", ":old", "--targets", path + ":y", "--mask", ":keep", "--ref", "none")
        self.check(b, *args, path=path)
        b.mask = None
        self.check(b, *args[:4], "--ref", "none", path=path)
        b.old = None
        self.check(b, *args[2:4], "--ref", "none", "--old", "none", path=path)
