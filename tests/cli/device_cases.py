# SPDX-License-Identifier: Apache-2.0
"""GPUs: what info says of them, what is refused by name where there is none; and with
LOGSUM_TEST_BACKEND=cuda that the commands give there what they give on the CPU."""

import json
import os
import struct
import unittest

import arrays
from loss_truth import LOSS_TYPES
from tool import DEMO, LOGPS, LOSS_BATCH, ToolTest, rows

HAS_GPU = os.environ.get("LOGSUM_TEST_BACKEND") == "cuda"


class Info(ToolTest):
    def test_gpus(self):
        cuda = self.json("info")["cuda"]
        text = self.ok("info")
        self.assertIn("  GPUs ", text)
        self.assertEqual("missing" in cuda, not cuda["gpus"])
        for gpu in cuda["gpus"]:
            self.assertRegex(gpu["compute_capability"], r"^\d+\.\d$")
            self.assertGreater(gpu["multiprocessors"], 0)
            self.assertGreater(gpu["memory_bytes"], gpu["l2_bytes"])
            self.assertIn(gpu["name"], text)
        if "missing" in cuda:
            self.assertIn(cuda["missing"], " ".join(text.split()))
        if not cuda["compiled"]:
            self.assertIn("no CUDA backend", cuda["missing"])
            self.assertIsNone(cuda["runtime"])

    def schedules(self, rows_text, kind, *options):
        out = self.json("info", "--explain", rows_text, "--like", kind, *options)
        return {s["operation"]: s for s in out["schedules"]}

    def test_explain(self):
        few = self.schedules("1,151936,bf16", "h200")["sample"]
        self.assertEqual((few["schedule"], few["ctas"]), ("clusters", few["ctas_per_row"]))
        self.assertEqual(few["threads"], 32 * (few["measuring_warps"] + 1))
        many = self.schedules("4096,151936,bf16", "h200")["token_logprobs, entropy"]
        self.assertEqual((many["schedule"], many["ctas"], many["threads"]), ("spans", 132, 640))
        self.assertNotIn("ctas_per_row", many)
        written = self.schedules("4096,151936,bf16", "h200")["gradient of either"]
        self.assertEqual((written["schedule"], written["ctas_per_row"]), ("rings", 8))
        self.assertNotIn("softmax", self.schedules("4,151936,bf16", "h200"))
        # Each with the visit that scores its rows where rings don't.
        losses = {
            "policy_loss": "token_logprobs",
            "policy_loss, entropy": "token_logprobs, entropy",
            "cross_entropy": "token_logprobs",
            "distill_loss": "token_logprobs",
            "preference_loss": "token_logprobs",
        }
        out = self.schedules("4096,151936,bf16", "h200")
        self.assertEqual([out[loss]["schedule"] for loss in losses], ["rings"] * 4 + ["spans"])
        self.assertEqual(out["policy_loss"]["measuring_warps"], 20)
        self.assertEqual(out["policy_loss, entropy"]["measuring_warps"], 20)
        out = self.schedules("4,151936,bf16", "h200")
        for loss, visit in losses.items():
            self.assertEqual(out[loss], dict(out[visit], operation=loss))
        # What is bound by its arithmetic takes clusters that leave no processor out.
        polynomial = self.schedules("4096,151936,bf16", "h200", "--determinism", "cross-device")
        self.assertEqual(polynomial["softmax"]["ctas_per_row"], 2)
        self.assertEqual(self.schedules("4096,151936,bf16", "h200")["softmax"]["ctas_per_row"], 4)
        # Clusters of several CTAs came with 9.0.
        for schedule in self.schedules("1,151936,f32", "a100").values():
            self.assertEqual(schedule.get("ctas_per_row", 1), 1)
        text = self.ok("info", "--explain", "32,32000,bf16", "--like", "t4")
        self.assertIn("32 rows of 32000 bf16 logits on t4", text)
        self.assertIn("clusters", text)

    def test_explain_refusals(self):
        for text in ("", "1", "1,2", "1,2,f64", "1,2,", "0,2,f32", "1,x,f32", "1,2,f32,"):
            self.assert_fails(["info", "--explain", text, "--like", "h200"], 2, "--explain")
        self.assert_fails(
            ["info", "--explain", "1,2,f32", "--like", "h9"], 2, "--like", "h9", "h200"
        )
        self.assert_fails(["info", "--like", "h200"], 2, "--like", "--explain")
        missing = self.json("info")["cuda"].get("missing")
        if missing:
            self.assert_fails(["info", "--explain", "1,2,f32"], 2, "--explain", missing)


class Device(ToolTest):
    def setUp(self):
        super().setUp()
        self.path = self.write(
            "a.safetensors",
            arrays.safetensors({"logits": ("F32", rows(2, 9)), "targets": ("I64", [1, 2])}),
        )

    def test_refusals(self):
        for name in ("", "gpu", "cuda:", "cuda:x", "cuda:-1", "CUDA"):
            self.assert_fails(["score", self.path, "--device", name], 2, "--device", name[5:])
        self.assert_fails(["score", self.path, "--determinism", "none"], 2, "--determinism", "none")
        self.assert_fails(["score", self.path, "--backend", "cuda"], 2, "--backend")
        self.assert_fails(
            ["score", self.path, "--device", "cuda", "--backend", "cpu"], 2, "--backend"
        )

    def test_what_is_missing_is_named(self):
        cuda = self.json("info")["cuda"]
        missing = cuda.get("missing", "isn't there")
        for command in ("score", "sample", "loss", "doctor", "demo"):
            path = DEMO if command == "demo" else self.path
            self.assert_fails([command, path, "--device", "cuda:99"], 2, "--device", missing)
        self.assert_fails(["bench", "--device", "cuda:99"], 2, "--device", missing)

    def test_bench_options(self):
        self.assert_fails(["bench", "--data", "odd"], 2, "--data", "odd", "masked")
        self.assert_fails(["bench", "--quick"], 2, "--quick", "--device cuda")
        self.assert_fails(["bench", "--device", "cuda", "--rows", "3"], 2, "--rows", "--vocab")
        for data in ("normal", "peaked", "flat", "masked"):
            out = self.json(
                *("bench", "--rows", 2, "--vocab", 64, "--repeats", 1, "--threads", 1),
                *("--data", data, "--filter", "sample, one row"),
            )
            self.assertEqual({r["operation"].split(",")[0] for r in out["results"]}, {"sample"})

    def test_choices_of_the_cpu(self):
        plain = self.ok("sample", self.path, "--json")
        for option in (["--device", "cpu"], ["--determinism", "cross-device"]):
            self.assertEqual(self.ok("sample", self.path, "--json", *option), plain)


@unittest.skipUnless(HAS_GPU, "LOGSUM_TEST_BACKEND isn't cuda")
class OnGpu(ToolTest):
    def same(self, *args):
        cpu = self.ok(*args, "--json")
        gpu = self.ok(*args, "--json", "--device", "cuda", "--determinism", "cross-device")
        self.assertEqual(gpu, cpu, args)

    def test_the_cpus_bits(self):
        policy, reference = f"{DEMO}:policy_logits", f"{DEMO}:reference_logits"
        self.same("score", policy, "--temperature", "0.7", "--top", "5")
        self.same("score", policy, "--reference", reference, "--vocab-size", 100003)
        self.same("sample", policy, "--temperature", "0.7", "--seed", "3")
        self.same("sample", policy, "--draws", "7", "--u", "0.25")
        self.same("sample", policy, "--temperature", "0")
        self.same("doctor", policy)
        self.same("compare", *LOGPS)
        for name in LOSS_TYPES:
            self.same("loss", LOSS_BATCH, "--loss-type", name, "--beta", "0.04")
        self.same("loss", LOSS_BATCH, "--entropy-coef", "0.01", "--temperature", "0.7")
        grads = []
        for device in ("cpu", "cuda"):
            args = ("--quiet", "--grad", "g.safetensors", "--determinism", "cross-device")
            self.ok("loss", LOSS_BATCH, "--device", device, *args)
            grads.append((self.dir / "g.safetensors").read_bytes())
        self.assertEqual(*grads)
        self.same("demo", DEMO)

    def test_several_blocks(self):
        """More rows than one copy to the GPU holds."""
        count, columns = 40000, 1024
        block = arrays.safetensors({"z": ("F32", rows(16, columns))})[-16 * columns * 4 :]
        tensor = {
            "dtype": "F32",
            "shape": [count, columns],
            "data_offsets": [0, count * columns * 4],
        }
        header = json.dumps({"logits": tensor}).encode()
        with open(self.dir / "big.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            for _ in range(count // 16):
                file.write(block)
        self.same("sample", str(self.dir / "big.safetensors"), "--seed", "5")

    def test_bench(self):
        args = ("bench", "--device", "cuda", "--rows", 4, "--vocab", 5001, "--repeats", 3)
        results = self.json(*args)["results"]
        self.assertEqual(len(results), (2 * (2 + 2 + 1 + 6 + 7 + 2) + 1) * 2)
        names = {result["operation"].split(",")[0] for result in results}
        self.assertLess({"measure", "merge", "approx_kl", "softmax_backward"}, names)
        for result in results:
            for key in ("cold", "warm", "graph", "limit"):
                if key != "limit" or result["limit"] != "none":
                    self.assertGreater(result[f"{key}_seconds"], 0, result)
            self.assertEqual("spread" in result, result["determinism"] == "per-device")
        for result in results[::2]:
            times = result["graph_seconds_by_data"]
            self.assertEqual(list(times), ["normal", "peaked", "flat", "masked"])
            self.assertEqual(times["normal"], result["graph_seconds"])
            self.assertAlmostEqual(result["spread"], max(times.values()) / min(times.values()))
        text = self.ok(*args, "--data", "masked", "--filter", "log_softmax")
        self.assertIn("log_softmax_backward", text)
        self.assertNotIn("sample", text)
        self.assert_fails([*args, "--filter", "none"], 2, "--filter", "none")
        most = 2**31 - 1
        done = self.run_tool("bench", "--device", "cuda", "--rows", most, "--vocab", most)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(f"no room on the GPU for {most} x {most} bf16", done.stderr)

    def test_demo_agrees_per_device(self):
        self.assertTrue(self.json("demo", DEMO, "--device", "cuda")["summary"]["bit_for_bit"])
