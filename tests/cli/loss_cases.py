# SPDX-License-Identifier: Apache-2.0
"""logsum loss: every number against math alone, and every option changes it."""

import random

import arrays
from loss_batch import NAMES, B, LossTest, T, V, f32, grid, make_batch
from loss_truth import LOSS_TYPES, Batch, Options
from tool import LOSS_BATCH, SOURCE


class Numbers(LossTest):
    def test_loss_types(self):
        losses = set()
        for name, (objective, level, aggregation) in LOSS_TYPES.items():
            b = make_batch(objective=objective, ratio_level=level, aggregation=aggregation)
            b.mask = [1, 1, 1, 0] + [1, 0, 0, 0] + [1, 1, 1, 1]
            out = self.check(b, options=["--loss-type", name])
            losses.add(out["summary"]["loss"])
            said = out["summary"]["options"]
            kinds = [said[name] for name in ("objective", "ratio_level", "aggregation")]
            self.assertEqual(kinds, [objective, level, aggregation])
            # By its parts, which stand whatever the type, and in any order.
            parts = ["--aggregation", aggregation, "--objective", objective, "--ratio-level", level]
            self.check(b, options=[*parts, "--loss-type", "sapo"], gradient=False)
        # bnpo and dapo are one; TRL gives them other normalizers.
        self.assertEqual(len(losses), len(LOSS_TYPES) - 1)

    def changed(self, *, base=None, batch=None, **options):
        """The answer with the options is right, and another than without."""
        plain, b = make_batch(**(base or {})), make_batch(**(base or {}) | options)
        for name, value in (batch or {}).items():
            setattr(plain, name, value)
            setattr(b, name, value)
        first, second = self.check(plain), self.check(b)
        self.assertNotEqual(first["summary"]["loss"], second["summary"]["loss"], options)

    def test_options_of_the_clipped_loss(self):
        self.changed(epsilon_low=0.45)
        self.changed(epsilon_high=0.5)
        self.changed(delta=1.3)
        self.changed(dual_clip=1.5)
        self.changed(log_ratio_clamp=0.3)
        self.changed(temperature=0.8)
        self.changed(vocab_size=V - 2)
        self.changed(normalizer=5.0)
        self.changed(aggregation="constant", normalizer=100.0)
        self.changed(ratio_level="sequence")
        self.changed(ignore_index=make_batch().targets[5])

    def test_options_of_kl_and_entropy(self):
        self.changed(beta=0.3)
        for estimator in ("k1", "k2", "k3_plus"):
            self.check(make_batch(beta=0.3, kl_estimator=estimator))
        for estimator in ("k1", "k2"):
            self.changed(base={"beta": 0.3}, kl_estimator=estimator)
        self.changed(base={"beta": 0.3}, use_bias_correction_kl=True)
        self.changed(base={"beta": 0.3}, kl_input_clamp=0.5)
        self.changed(base={"beta": 0.3}, kl_output_clamp=0.1)
        self.changed(entropy_coef=0.1)
        self.changed(base={"entropy_coef": 0.1}, entropy_normalizer=50.0)

    def test_options_of_other_objectives(self):
        self.changed(base={"objective": "cispo"}, epsilon_high=0.7)
        self.changed(base={"objective": "cispo"}, cispo_bounds="both")
        self.changed(base={"objective": "sapo"}, sapo_tau_pos=2.0)
        self.changed(base={"objective": "sapo"}, sapo_tau_neg=2.0)
        for name in ("vespo_k_pos", "vespo_lambda_pos", "vespo_k_neg", "vespo_lambda_neg"):
            self.changed(base={"objective": "vespo"}, **{name: 1.5})
        self.changed(base={"objective": "gmpo"}, epsilon_low=0.05)
        self.changed(base={"objective": "reinforce"}, objective="gmpo")

    def test_options_that_a_batch_must_ask_for(self):
        b = make_batch()
        late = [x + 0.4 for x in b.old[T : 2 * T]]
        sampling = f32(b.old[:T] + late + b.old[2 * T :])
        self.changed(off_policy_threshold=0.2, batch={"sampling": sampling})
        empty = [0] * T + [1] * (2 * T)
        base = {"aggregation": "sequence_mean"}
        self.changed(base=base, count_empty_sequences=False, batch={"mask": empty})

    def test_grad_scale_and_dtype(self):
        self.check(make_batch(grad_scale=-3.5))
        b = make_batch()
        path = self.file(b, dtype="BF16")
        grads = {}
        for args in ([], ["--grad-f32"]):
            self.ok("loss", path, "--quiet", "--grad", "g.safetensors", *args)
            dtype, shape, grads[dtype] = arrays.read_safetensors(self.dir / "g.safetensors")[0][
                "grad_logits"
            ]
            self.assertEqual(shape, [B, T, V])
        rounded = arrays.decode("BF16", arrays.encode("BF16", grads["F32"]))
        self.assertEqual(grads["BF16"], rounded)

    def test_compat(self):
        clamps = {"log_ratio_clamp": 20.0, "kl_input_clamp": 20.0, "kl_output_clamp": 10.0}
        b = make_batch(
            beta=0.3, objective="cispo", cispo_bounds="both", dual_clip=3.0, **clamps
        )
        b.ref[0], b.old[1] = -30.0, -25.0
        path = self.file(b)
        args = ["--loss-type", "cispo", "--beta", 0.3]
        out = self.check(b, path=path, options=[*args, "--compat", "verl"])
        self.assertEqual(out["summary"]["options"]["log_ratio_clamp"], 20)
        # What is set on its own stands, before or after.
        b.options.kl_output_clamp = 0.5
        self.check(b, path=path, options=["--kl-output-clamp", 0.5, *args, "--compat", "verl"])
        b.options = Options(beta=f32([0.3])[0], objective="cispo")
        for name in ("trl", "liger"):
            self.check(b, path=path, options=[*args, "--compat", name])

    def test_tensors(self):
        """Each optional tensor, and what is said without it."""
        source = random.Random(9)
        outcomes = [self.check(make_batch(beta=0.2, entropy_coef=0.1))["summary"]["loss"]]
        for name, values in (
            ("old", None),
            ("mask", [1, 0, 1, 1] * B),
            ("entropy_mask", [0, 1, 1, 0] * B),
            ("weights", f32([source.uniform(0.2, 2) for _ in range(B * T)])),
            ("weights", [0.5, 2.0, 0.0]),
            ("advantages", f32([source.gauss(0, 1) for _ in range(B * T)])),
        ):
            b = make_batch(beta=0.2, entropy_coef=0.1)
            setattr(b, name, values)
            b.weights_of_sequences = name == "weights" and len(values) == B
            more = {"advantages": ("F32", grid(b.advantages))} if name == "advantages" else {}
            outcomes.append(self.check(b, path=self.file(b, **more))["summary"]["loss"])
        self.assertEqual(len(set(outcomes)), len(outcomes))
        b = make_batch()
        b.ref = None
        out = self.check(b)
        self.assertNotIn("kl", out["rows"][0])
        # VESPO takes weights into its phi.
        for weights in (f32([source.uniform(0.2, 2) for _ in range(B * T)]), [0.5, 2.0, 0.0]):
            b = make_batch(objective="vespo")
            b.weights, b.weights_of_sequences = weights, len(weights) == B
            self.check(b)

    def test_packed(self):
        for cuts in ([0, 5, 5, 12], [0, 12], [0, 0, 1, 12, 12]):
            b = make_batch(aggregation="sequence_mean", beta=0.1)
            b.sequences = [list(range(x, y)) for x, y in zip(cuts, cuts[1:])]
            by_sequence = [(-1) ** s * (s + 1.0) for s in range(len(b.sequences))]
            for s, rows in enumerate(b.sequences):
                for i in rows:
                    b.advantages[i] = by_sequence[s]
            tensors = {
                "logits": ("F16", b.logits),
                "targets": ("I32", b.targets),
                "advantages": ("F32", by_sequence),
                "old_per_token_logps": ("F32", b.old),
                "ref_per_token_logps": ("F32", b.ref),
                "cu_seqlens": ("I32", cuts),
            }
            path = self.write("p.safetensors", arrays.safetensors(tensors))
            self.check(b, "--grad-f32", path=path)
            out = self.check(b, "--cu-seqlens", ":cu_seqlens", path=path, gradient=False)
            self.assertEqual(out["summary"]["sequences"], len(cuts) - 1)
        # Without cu_seqlens: one sequence.
        b.sequences, b.advantages = [list(range(B * T))], [2.0] * (B * T)
        one = self.write("a.npy", arrays.npy("F32", [2.0]))
        args = ("--cu-seqlens", "none", "--advantages", one)
        self.check(b, *args, "--grad-f32", path=path)

    def test_stored_in_other_types(self):
        b = make_batch(beta=0.25)
        plain = self.json("loss", self.file(b), "--beta", 0.25)
        more = {NAMES["old"]: ("F64", grid(b.old)), "targets": ("I32", grid(b.targets))}
        for kind in ("I64", "I32", "U8"):
            more["completion_mask"] = (kind, grid([7] * (B * T)))
            out = self.json("loss", self.file(b, "x.safetensors", **more), "--beta", 0.25)
            self.assertEqual(out["rows"], plain["rows"])
        for kind in ("BF16", "F16"):
            b = make_batch()
            b.old = arrays.decode(kind, arrays.encode(kind, b.old))
            b.ref = None
            more = {NAMES["old"]: (kind, grid(b.old))}
            self.check(b, path=self.file(b, **more))

    def test_nothing_counts(self):
        b = make_batch()
        b.mask = [0] * (B * T)
        out = self.json("loss", self.file(b))["summary"]
        self.assertEqual((out["loss"], out["metrics"]["token_count"]), (0, 0))
        self.assertEqual(out["rows_by_status"], {"ignored": B * T})
        for shape in ([0, T], [B, 0]):
            tensors = {
                "logits": ("F32", [], [*shape, V]),
                "targets": ("I64", [], shape),
                "advantages": ("F32", [1.0] * shape[0], shape[:1]),
            }
            path = self.write("e.safetensors", arrays.safetensors(tensors))
            out = self.json("loss", path, "--grad", "g.safetensors")
            self.assertEqual((out["rows"], out["summary"]["loss"]), ([], 0))
            self.assertIn("loss", self.ok("loss", path))
        many = {
            "logits": ("F32", [], [2**40, 0, V]),
            "targets": ("I64", [], [2**40, 0]),
            "advantages": ("F32", [], [2**40, 0]),
        }
        path = self.write("many.safetensors", arrays.safetensors(many))
        for backend in ("cpu", "reference"):
            out = self.json("loss", path, "--backend", backend)
            self.assertEqual(out["summary"]["sequences"], 2**40)

    def test_example(self):
        """The file of docs/loss.md is what its script makes, and its loss the truth's."""
        namespace = {"__name__": "make_loss_batch"}
        script = SOURCE / "examples" / "make_loss_batch.py"
        exec(compile(script.read_text("utf-8"), str(script), "exec"), namespace)
        namespace["write"](self.dir)
        tensors, _ = arrays.read_safetensors(LOSS_BATCH)
        made, _ = arrays.read_safetensors(self.dir / "loss_batch.safetensors")
        for name, (dtype, shape, values) in made.items():
            self.assertEqual(tensors[name][:2], (dtype, shape))
            # The last bit of a logarithm may be another elsewhere.
            for x, y in zip(tensors[name][2], values):
                self.assertAlmostEqual(x, y, delta=2**-22 * abs(x))
        values = {name: tensor[2] for name, tensor in tensors.items()}
        count, width, columns = tensors["logits"][1]
        b = Batch(
            logits=grid(values["logits"], columns),
            targets=values["targets"],
            advantages=[values["advantages"][i // width] for i in range(count * width)],
            sequences=grid(list(range(count * width)), width),
            old=values["old_per_token_logps"],
            ref=values["ref_per_token_logps"],
            mask=values["completion_mask"],
            options=Options(
                aggregation="sequence_mean", epsilon_high=f32([0.28])[0], beta=f32([0.04])[0]
            ),
        )
        args = ["--loss-type", "grpo", "--epsilon-high", 0.28, "--beta", 0.04]
        self.check(b, path=LOSS_BATCH, options=args, gradient=False)
