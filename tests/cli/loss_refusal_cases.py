# SPDX-License-Identifier: Apache-2.0
"""logsum loss: what is refused, with which words and exit code."""

import arrays
from loss_batch import NAMES, B, LossTest, T, V, grid, make_batch, split_files


class Refusals(LossTest):
    def refused(self, code, args, *parts):
        self.assert_fails(["loss", *args], code, *parts)

    def test_which_tensor(self):
        b = make_batch()
        paths = split_files(self, b)
        self.refused(2, [paths[0]], "0.safetensors", '"advantages"', "--advantages")
        self.refused(2, [paths[1]], "1.safetensors", '"targets"', "--targets")
        self.refused(2, [paths[0], paths[2]], "or the others", "--advantages")
        self.refused(2, [*paths[:2], self.file(b)], "is in", "0.safetensors", "b.safetensors")
        self.refused(2, [*paths, "--old", paths[2]], "which tensor", '"other"')
        npy = self.write("a.npy", arrays.npy("F32", b.advantages[::T]))
        self.refused(2, [paths[0], npy], "a.npy", "no name")
        self.refused(1, [*paths, "no.safetensors"], "no.safetensors", "No such file")
        self.refused(1, [paths[0], paths[1] + ":advantages"], "No such file")
        self.refused(1, [*paths, "--old", "no.npy"], "no.npy", "No such file")
        self.refused(1, [*paths, "--old", ":new"], '"new"')
        self.refused(1, ["-", paths[1]], "-: ", "No such file")
        self.refused(1, [*paths, "--targets", "none"], "none", "No such file")
        self.refused(2, [], "FILE")

    def test_files_that_are_read_stay(self):
        path = self.file(make_batch())
        for name in (path, str(self.dir / "." / ".." / self.dir.name / "b.safetensors")):
            self.refused(2, [path, "--grad", name], "--grad is", "another file")
        out = [str(self.dir / "g.safetensors"), f"{self.dir}/./g.safetensors"]
        self.refused(2, [path, "--grad", out[0], "--output", out[1]], "same file")

    def test_what_asks_for_a_reference(self):
        b = make_batch()
        b.ref = None
        for args in (["--beta", 0.04], ["--beta", 0.04, "--ref", "none"]):
            self.refused(2, [self.file(b), *args], "--beta is 0.04", "ref_per_token_logps", "--ref")

    def test_dtypes_and_shapes(self):
        b = make_batch()
        cube = [grid(b.old)]
        for name, tensor, *parts in (
            ("targets", ("F32", grid(b.old)), "dtype f32", "i32 or i64"),
            ("targets", ("I64", b.targets), "shape [12]", "[3, 4]"),
            ("advantages", ("I64", [1] * B), "dtype i64", "f32, f16, bf16 or f64"),
            ("advantages", ("F32", [1.0] * (B + 1)), "advantages has shape [4]"),
            ("advantages", ("F32", [[cube]]), "shape [1, 1, 1, 3, 4]", "of tokens or sequences"),
            ("advantages", ("F32", [1.0], [1] * 40), "of tokens or sequences"),
            ("completion_mask", ("F32", grid(b.old)), "dtype f32", "i64, i32, u8 or bool"),
            ("completion_mask", ("U8", [1] * B), "shape [3]", "[3, 4]"),
            ("entropy_mask", ("F16", grid(b.old)), "dtype f16", "i64, i32, u8 or bool"),
            (NAMES["old"], ("I32", grid(b.targets)), "dtype i32", "f32, f16, bf16 or f64"),
            (NAMES["ref"], ("F32", b.old), "shape [12]", "[3, 4]"),
            (NAMES["sampling"], ("F32", cube), "shape [1, 3, 4]", "[3, 4]"),
            (NAMES["old"], ("F64", grid([1e300] * 12)), "0,0 is 1e+300, beyond f32"),
            (NAMES["weights"], ("F32", [1.0] * 5), "importance_weights has shape [5]"),
            ("cu_seqlens", ("I32", [0, 12]), "[N, V] where cu_seqlens"),
            ("logits", ("F64", grid(b.logits)), "f64", "f32, f16 or bf16"),
        ):
            path = self.file(b, **{name: tensor})
            self.refused(1, [path], path, *parts)
        tensors = {"logits": ("F32", [1.0, 2.0]), "targets": ("I64", [0], [])}
        tensors["advantages"] = ("F32", [1.0], [])
        path = self.write("one.safetensors", arrays.safetensors(tensors))
        self.refused(1, [path], "one.safetensors:logits", "[2]", "[..., T, V]")

    def test_cuts(self):
        b = make_batch()
        for cuts, *parts in (
            ([0, 5], "cu_seqlens[1] is 5, must rise from 0 to 12"),
            ([1, 12], "cu_seqlens[0] is 1"),
            ([0, 7, 5, 12], "cu_seqlens[2] is 5"),
            ([0, 13], "cu_seqlens[1] is 13"),
            ([0, -(2**62), 12], "cu_seqlens[1] is -4611686018427387904"),
            ([0, 2**62, 12], "cu_seqlens[1] is 4611686018427387904"),
            ([], "shape [0]", "[B + 1]"),
            ([[0, 12]], "shape [1, 2]", "[B + 1]"),
            ([0], "cu_seqlens[0] is 0, must rise"),
        ):
            tensors = {
                "logits": ("F32", b.logits),
                "targets": ("I64", b.targets),
                "advantages": ("F32", b.advantages),
                "cu_seqlens": ("I64", cuts),
            }
            path = self.write("c.safetensors", arrays.safetensors(tensors))
            self.refused(1, [path], "c.safetensors:cu_seqlens", *parts)

    def test_hostile_files(self):
        good = arrays.safetensors({"x": ("F32", [1.0])})
        b = make_batch()
        path = self.file(b)
        for name, data in (
            ("empty", b""),
            ("text", b"hello, this is no tensor file"),
            ("cut", good[:-1]),
            ("long", b"\xff" * 8 + good[8:]),
            ("json", b"\x02" + bytes(7) + b"[]"),
        ):
            bad = self.write(name, data)
            self.refused(1, [bad], name)
            self.refused(1, [path, bad], name)
            self.refused(1, [path, "--old", bad], name)
        self.refused(1, [str(self.dir), path], "is a directory")
        # A type that there is no name for is one, once it is asked for.
        header = b'{"completion_mask":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}'
        odd = self.write("f8", len(header).to_bytes(8, "little") + header + bytes(4))
        self.refused(1, [path, odd], "F8_E4M3")
        self.ok("loss", path, odd, "--mask", "none")

    def test_options(self):
        path = self.file(make_batch())
        for option, *values in (
            ("--loss-type", "", "GRPO", "ppo", "\x1b[2J"),
            ("--compat", "", "openrlhf"),
            ("--objective", "", "ppo", "0"),
            ("--ratio-level", "tokens"),
            ("--aggregation", "mean"),
            ("--cispo-bounds", "lower"),
            ("--kl-estimator", "k4"),
            ("--bias-correction-kl", "true"),
            ("--empty-sequences", "no"),
            ("--epsilon-low", "", "x", "nan", "inf", "none", "1e39", " 1", "0x1", "0.2,0.3"),
            ("--delta", "", "nan", "inf", "None", "-1e39"),
            ("--beta", "none", "1,5"),
            ("--temperature", "0", "-1", "nan", "1e30"),
            ("--normalizer", "-1", "nan", "inf", "none"),
            ("--entropy-normalizer", "-1"),
            ("--grad-scale", "nan", "inf"),
            ("--vocab-size", "0", "10", "x"),
            ("--ignore-index", "9223372036854775808", "1.5"),
            ("--worst", "-1", "x", ""),
        ):
            for value in values:
                self.refused(2, [path, option, value], option)
        # What the operation refuses, it names as it calls it; before any file is opened.
        for option, value, *more in (
            ("--epsilon-low", 1.5),
            ("--epsilon-high", -0.1),
            ("--delta", 1.1),
            ("--dual-clip", 1),
            ("--sapo-tau-pos", 0),
            ("--sapo-tau-neg", -1),
            ("--vespo-k-pos", -1),
            ("--vespo-lambda-neg", -1),
            ("--log-ratio-clamp", 0),
            ("--beta", -0.1),
            ("--kl-input-clamp", 0),
            ("--kl-output-clamp", -1),
            ("--ratio-level", "sequence", "--objective", "gmpo"),
        ):
            name = "options." + option[2:].replace("-", "_")
            self.refused(2, ["no.safetensors", option, value, *more], name)

    def test_legal_extremes(self):
        path = self.file(make_batch())
        for option, value in (
            ("--delta", "none"),
            ("--off-policy-threshold", "none"),
            ("--off-policy-threshold", -5),
            ("--entropy-coef", -0.5),
            ("--normalizer", 0),
            ("--grad-scale", 0),
            ("--ignore-index", -(2**63)),
            ("--vocab-size", V),
            ("--temperature", 2**64),
            ("--worst", 2**31 - 1),
        ):
            self.ok("loss", path, option, value)

    def test_outputs_that_cannot_be(self):
        path = self.file(make_batch())
        for args, code, *parts in (
            (["--grad", "g.npy"], 2, "--grad", "must end in .safetensors"),
            (["--grad", "o.safetensors", "--output", "o.safetensors"], 2, "--grad", "--output"),
            (["--grad", "no/g.safetensors"], 1, "no/g.safetensors", "No such file"),
            (["--output", "o.npy"], 2, "--select", "ratio"),
            (["--output", "o.npy", "--select", "kl2"], 2, "--select", "kl2"),
            (["--select", "kl"], 2, "--output"),
        ):
            self.refused(code, [path, *args], *parts)
