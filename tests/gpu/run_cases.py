# SPDX-License-Identifier: Apache-2.0
"""run.py on a bundle of shell scripts: programs that pass, crash, hang; with an nvidia-smi and a
compute-sanitizer that are scripts too."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile

from check_cases import BENCHMARK

TOOLS = pathlib.Path(__file__).resolve().parent.parent.parent / "tools/gpu"

PASSES = """
echo "[ RUN      ] A.Adds"
echo "[       OK ] A.Adds (1 ms)"
echo "[==========] 1 test from 1 test suite ran. (1 ms total)"
[ "$LOGSUM_TEST_BACKEND" = cuda ] && echo "[logsum] 7 calls on cuda"
test -f "$LOGSUM_DEMO_LOGITS"
"""
CRASHES = 'echo "[ RUN      ] A.Crashes"\nkill -SEGV $$\n'
HANGS = 'echo "[ RUN      ] A.Hangs"\nsleep 100\n'
SMI = 'echo "A GPU, 9.0, 580.1"\n'
SANITIZER = """
[ "$1" = --version ] && echo "Version 2025.3.1" && exit
while [ "${1#--}" != "$1" ]; do shift; done
"$@" && echo "========= ERROR SUMMARY: 0 errors"
"""
BENCH = f"echo '{json.dumps(BENCHMARK)}'\n"


class RunBundle(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.bundle = self.folder / "bundle"
        self.out = self.folder / "out"
        for name in ("bin", "examples/data", "gpu", "tests"):
            (self.bundle / name).mkdir(parents=True)
        (self.folder / "path").mkdir()
        for path in TOOLS.glob("*.py"):
            shutil.copy(path, self.bundle / "gpu")
        (self.bundle / "examples/data/demo_logits.safetensors").write_text("")
        (self.bundle / "gpu/benchmark.txt").write_text("logsum bench\n")
        (self.bundle / "gpu/sanitize.txt").write_text("memcheck a_test A.*\n")
        (self.bundle / "gpu/sanitize_exceptions.txt").write_text("")
        (self.bundle / "gpu/skips.txt").write_text("cli_test Data.test_root why\n")
        self.script("path/nvidia-smi", SMI)
        with zipfile.ZipFile(self.bundle / "sanitizer.zip", "w") as file:
            file.writestr("compute-sanitizer", "#!/bin/sh\n" + SANITIZER)
        self.script("bundle/bin/logsum", BENCH)
        self.programs({"a_test": PASSES})

    def script(self, name, text):
        path = self.folder / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)

    def programs(self, texts, source_hash="abc", names=None, tool_tests="tt"):
        for name, text in texts.items():
            self.script(f"bundle/bin/{name}", text)
        build = {"cuda": "13.0", "architectures": "90-real", "compiler": "GNU 12"}
        manifest = {"source_hash": source_hash, "tool_tests_hash": tool_tests, "build": build}
        manifest["programs"] = names or list(texts)
        (self.bundle / "manifest.json").write_text(json.dumps(manifest))

    def start(self, *arguments):
        environment = dict(os.environ, PATH=f"{self.folder / 'path'}:{os.environ['PATH']}")
        return subprocess.Popen(
            [sys.executable, "-B", self.bundle / "gpu/run.py", self.out, *arguments],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run_it(self, *arguments, status=0):
        process = self.start(*arguments)
        said, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, status, errors)
        return said + errors

    def report(self):
        return json.loads((self.out / "report.json").read_text(encoding="utf-8"))

    def test_all(self):
        (self.bundle / "bin/a_test").chmod(0o644)  # copied by something that loses modes
        self.run_it()
        report = self.report()
        self.assertEqual(report["backend"], "cuda")
        self.assertFalse(report["rehearsal"])
        self.assertEqual(report["source_hash"], "abc")
        self.assertEqual(report["machine"]["device"], "A GPU")
        self.assertEqual(report["machine"]["sanitizer"], "2025.3.1")
        [test], [found] = report["tests"], report["sanitizers"]
        self.assertEqual((test["outcome"], test["passed"], test["cuda_calls"]), ("passed", 1, 7))
        self.assertEqual((found["outcome"], found["errors"], found["tests"]), ("passed", 0, 1))
        self.assertEqual(report["benchmark"]["output"]["results"][0]["operation"], "sample")
        text = (self.out / "report.md").read_text(encoding="utf-8")
        self.assertIn("1 tests: 1 passed, 0 failed, 0 skipped; 7 calls on the GPU", text)

    def test_exceptions_and_their_minimal_programs(self):
        found = 'echo "========= Invalid read\n=========     at void a_kernel(int)+0x1"\n'
        found += 'echo "========= \n========= ERROR SUMMARY: 1 error"\nexit 77\n'
        self.script("bundle/bin/a_test", PASSES + found)
        self.script("bundle/bin/seen", found)
        self.script("bundle/bin/unseen", "exit 0\n")
        self.run_it("--phases=sanitizers", status=1)
        exceptions = self.bundle / "gpu/sanitize_exceptions.txt"
        exceptions.write_text("memcheck a_test A.* b_kernel seen why\n")
        self.assertIn("errors in a_kernel", self.run_it("--phases=sanitizers", status=1))
        exceptions.write_text("memcheck a_test A.* a_kernel seen why\n")
        self.run_it("--phases=sanitizers")
        [limit] = self.report()["limits"]
        self.assertEqual((limit["outcome"], limit["errors"]), ("errors found", 1))
        exceptions.write_text("memcheck a_test A.* a_kernel unseen why\n")
        said = self.run_it("--phases=sanitizers", status=1)
        self.assertEqual(self.report()["limits"][0]["outcome"], "passed")
        self.assertIn("memcheck no longer reports unseen", said)

    def test_crash_and_hang_are_failures_and_lose_nothing(self):
        self.programs({"a_test": PASSES, "b_test": CRASHES, "c_test": HANGS})
        self.run_it("--timeout=1", "--phases=tests", status=1)
        outcomes = [test["outcome"] for test in self.report()["tests"]]
        self.assertEqual(outcomes, ["passed", "crashed", "timed out"])
        names = [test["failures"][0]["name"] for test in self.report()["tests"][1:]]
        self.assertEqual(names, ["A.Crashes", "A.Hangs"])

    def test_programs_that_are_not_googletests(self):
        (self.bundle / "tests/cli_test.py").write_text(
            "import sys\nassert sys.argv[1].endswith('bin/logsum') and sys.argv[2] == '-v'\n"
            "print('test_root (a_cases.Data.test_root) ... skipped why')\n"
            "print('Ran 5 tests in 1 s\\n\\nOK (skipped=1)')\n"
        )
        self.programs({"decode_loop": "exit 0", "decode_loop_c": "exit 77", "cli_test": ""})
        said = self.run_it("--phases=tests", status=1)
        self.assertIn("decode_loop_c skipped it", said)
        self.assertNotIn("cli_test skipped", said)
        keys = ("outcome", "run", "passed", "failed", "skipped")
        found = {t["program"]: tuple(t[key] for key in keys) for t in self.report()["tests"]}
        self.assertEqual(found["decode_loop"], ("passed", 1, 1, 0, 0))
        self.assertEqual(found["decode_loop_c"], ("passed", 1, 0, 0, 1))
        self.assertEqual(found["cli_test"], ("passed", 5, 4, 0, 1))

        shutil.rmtree(self.out)
        (self.bundle / "tests/cli_test.py").write_text(
            "print('Ran 5 tests in 1 s\\n\\nFAILED (failures=1, errors=1)')\nexit(1)\n"
        )
        self.programs({"decode_loop": "echo 3 DIFFER; exit 1", "decode_loop_c": CRASHES})
        self.programs({"cli_test": ""}, names=["decode_loop", "decode_loop_c", "cli_test"])
        self.run_it("--phases=tests", status=1)
        found = {t["program"]: tuple(t[key] for key in keys) for t in self.report()["tests"]}
        self.assertEqual(found["decode_loop"], ("failed", 1, 0, 1, 0))
        self.assertEqual(found["decode_loop_c"], ("crashed", 1, 0, 1, 0))
        self.assertEqual(found["cli_test"], ("failed", 5, 3, 2, 0))
        self.assertIn("3 DIFFER", self.report()["tests"][0]["failures"][0]["message"])

    def test_deadline_and_missing(self):
        self.programs({"a_test": PASSES, "b_test": "sleep 3\n" + PASSES})
        printed = self.run_it("-j1", "--deadline=2")
        self.assertIn("not finished: test b_test", printed)
        outcomes = [test["outcome"] for test in self.report()["tests"]]
        self.assertEqual(outcomes, ["passed", "not run"])
        self.script("bundle/bin/a_test", CRASHES)  # would be seen if it ran again
        self.run_it("--phases=tests", "--missing")
        outcomes = [test["outcome"] for test in self.report()["tests"]]
        self.assertEqual(outcomes, ["passed", "passed"])

    def test_the_environment_steers_no_test(self):
        self.programs({"a_test": PASSES + 'env | grep -E "^(LOGSUM|GTEST|TESTBRIDGE)_" | sort\n'})
        names = ("LOGSUM_QUICK", "LOGSUM_TEST_MIRROR", "GTEST_FILTER", "GTEST_SHARD_INDEX")
        names += ("GTEST_TOTAL_SHARDS", "TESTBRIDGE_TEST_ONLY", "LOGSUM_TEST_BACKEND")
        os.environ.update(dict.fromkeys(names, "1"))
        try:
            self.run_it("--phases=tests", "--only=a_test")
        finally:
            for name in names:
                del os.environ[name]
        log = (self.out / "logs/test-a_test.log").read_text().splitlines()
        demo = self.bundle / "examples/data/demo_logits.safetensors"
        self.assertEqual(log[-2:], [f"LOGSUM_DEMO_LOGITS={demo}", "LOGSUM_TEST_BACKEND=cuda"])
        self.assertEqual(sum("GTEST" in line or "QUICK" in line for line in log), 0)

    def test_results_of_two_builds_do_not_mix(self):
        self.run_it()
        self.programs({"a_test": PASSES}, source_hash="def")
        self.assertIn("source_hash was abc, is def", self.run_it(status=1))

    def test_other_tests_of_the_tool_ask_for_them_alone(self):
        self.run_it()
        parts = self.out / "parts"
        (parts / "test-cli_test.json").write_text("{}")
        self.programs({"a_test": CRASHES}, tool_tests="uu")
        self.run_it("--missing")
        self.assertFalse((parts / "test-cli_test.json").exists())
        report = json.loads((self.out / "report.json").read_text())
        self.assertEqual(report["tool_tests_hash"], "uu")
        self.assertEqual(report["tests"][0]["outcome"], "passed")  # not run again

    def test_a_bundle_for_another_gpu(self):
        self.script("path/nvidia-smi", 'echo "Another GPU, 12.0, 580.1"\n')
        said = self.run_it(status=1)
        self.assertIn("compiled for 90-real, Another GPU has compute capability 12.0", said)
        self.assertIn("CUDAARCHS=120-real tools/gpu/bundle.sh", said)
        self.assertFalse((self.out / "parts").exists())

    def test_rehearsal(self):
        (self.folder / "path/nvidia-smi").unlink()
        self.script("path/nvidia-smi", 'echo "no driver"\nexit 9\n')
        self.assertIn("no driver", self.run_it(status=1))
        self.run_it("--backend=cpu")
        report = self.report()
        self.assertTrue(report["rehearsal"])
        self.assertEqual(report["machine"]["device"], "none")
        self.assertEqual(report["tests"][0]["cuda_calls"], 0)
        self.assertIn("no evidence", (self.out / "report.md").read_text(encoding="utf-8"))
        self.assertEqual(report["benchmark"], {"outcome": "not run"})

    def test_benchmark_that_fails(self):
        self.script("bundle/bin/logsum", 'echo "no such option --device" >&2\nexit 2\n')
        self.run_it("--phases=benchmark", status=1)
        self.assertEqual(self.report()["benchmark"]["outcome"], "failed")
        self.assertIn("no such option", self.report()["benchmark"]["message"])

    def test_told_to_stop(self):
        self.programs({"a_test": PASSES, "b_test": f"echo $$ >{self.folder}/pid\n" + HANGS})
        process = self.start("--phases=tests")
        pid = self.folder / "pid"
        part = self.out / "parts/test-a_test.json"
        while not (pid.exists() and pid.read_text().strip() and part.exists()):
            time.sleep(0.05)
        process.terminate()
        process.communicate(timeout=30)
        outcomes = [test["outcome"] for test in self.report()["tests"]]
        self.assertEqual(outcomes, ["passed", "not run"])
        with self.assertRaises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)
