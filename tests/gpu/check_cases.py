# SPDX-License-Identifier: Apache-2.0
"""check_report on a small tree with a good report, and with each thing that can be wrong."""

import copy
import json
import pathlib
import shutil
import tempfile
import unittest

import check_report
import render
import source_hash
from plain import PROGRAMS


def timed(operation, determinism, seconds):
    times = dict.fromkeys(("cold", "warm", "graph", "limit"), seconds)
    return {
        **{"operation": operation, "dtype": "bf16", "rows": 64, "columns": 151936},
        **{"determinism": determinism, "limit": "read", "fraction_of_limit": 0.8},
        **({"spread": 1.03} if determinism == "per-device" else {}),
        **{f"{name}_seconds": value for name, value in times.items()},
    }


BENCHMARK = {
    "data": "normal",
    "repeats": 25,
    "results": [
        timed(operation, *times)
        for operation in (
            *("sample", "token_logprobs + lse", "measure", "merge, two shards", "approx_kl"),
            *("softmax", "softmax_backward", "log_softmax", "log_softmax_backward"),
            *("logsumexp", "logsumexp_backward", "policy_loss", "cross_entropy", "preference_loss"),
            "distill_loss, jsd",
        )
        for times in (("per-device", 8e-6), ("cross-device", 1e-5))
    ],
}


def good(root):
    counts = {"run": 3, "passed": 2, "failed": 0, "skipped": 1}
    test = {"outcome": "passed", **counts, "cuda_calls": 5, "seconds": 0.1, "failures": []}
    test["skips"] = ["A.Skips"]
    found = {"outcome": "passed", "errors": 0, "tests": 2, "cuda_calls": 4, "seconds": 1.0}
    found.update(kernels=[], unnamed=0)
    return {
        "format": 4,
        "date": "2026-01-01 00:00 UTC",
        "backend": "cuda",
        "rehearsal": False,
        "source_hash": source_hash.source_hash(root),
        "tool_tests_hash": source_hash.tool_tests_hash(root),
        "build": {"cuda": "13.0", "architectures": "90-real", "compiler": "GNU 12"},
        "machine": {
            "device": "A GPU",
            "compute_capability": "9.0",
            "driver": "580",
            "cpu": "1 × A CPU",
            "sanitizer": "2025.3",
        },
        "tests": [{"program": name, **test} for name in ("a_test", "b_test", *PROGRAMS)],
        "sanitizers": [
            {"tool": "memcheck", "program": "a_test", "filter": "A.*", **found, "message": ""}
        ],
        "limits": [],
        "benchmark": {
            "outcome": "passed",
            "command": "logsum bench",
            "output": copy.deepcopy(BENCHMARK),
        },
    }


class Check(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        self.write("src/a.cpp", "int a;\n")
        self.write("tests/a_test.cpp", "int test;\n")
        self.write("tests/b_test.cpp", "int test;\n")
        self.write("tools/gpu/sanitize.txt", "# why\nmemcheck a_test A.*\n")
        self.write("tools/gpu/sanitize_exceptions.txt", "# none\n")
        self.write("tools/gpu/benchmark.txt", "logsum bench\n")
        programs = ("a_test", "b_test", *PROGRAMS)
        self.write("tools/gpu/skips.txt", "".join(f"{p} A.Skips it must\n" for p in programs))
        self.report = good(self.root)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def commit(self):
        self.write("bench/gpu/report.json", json.dumps(self.report))
        self.write("bench/gpu/report.md", render.render(self.report))

    def problems(self):
        self.commit()
        return check_report.problems(self.root)

    def refused(self, *texts):
        found = self.problems()
        self.assertEqual(len(found), len(texts), found)
        for problem, text in zip(found, texts):
            self.assertIn(text, problem)

    def test_good(self):
        self.assertEqual(self.problems(), [])

    def test_none(self):
        [problem] = check_report.problems(self.root)
        self.assertIn("report.json can't be read", problem)

    def test_no_json(self):
        self.commit()
        self.write("bench/gpu/report.json", '{"format": 3')
        [problem] = check_report.problems(self.root)
        self.assertIn("is no JSON", problem)

    def test_other_format(self):
        self.report["format"] = 0
        self.refused("format 0")

    def test_stale(self):
        self.write("src/a.cpp", "int b;\n")
        self.refused("stale")

    def test_stale_by_a_new_file(self):
        self.write("src/b.cu", "")
        self.refused("stale")

    def test_not_stale_by_documentation_and_tools(self):
        self.write("README.md", "words\n")
        self.write("tools/gpu/run.py", "words\n")
        self.write("src/notes.md", "words\n")
        self.assertEqual(self.problems(), [])

    def test_rehearsal(self):
        self.report.update(rehearsal=True, backend="cpu")
        self.refused("a rehearsal on the cpu backend")

    def test_backend_alone_makes_it_a_rehearsal(self):
        self.report["backend"] = "cpu"
        self.refused("a rehearsal on the cpu backend")

    def test_no_gpu(self):
        self.report["machine"]["device"] = "none"
        self.refused("names no GPU")

    def test_failed(self):
        failure = {"name": "A.Adds", "message": "1 != 2"}
        self.report["tests"][0].update(outcome="failed", failed=1, passed=1, failures=[failure])
        self.refused("a_test failed: 1 of 3 tests, first A.Adds")

    def test_crashed(self):
        failure = {"name": "A.Adds", "message": "SIGSEGV"}
        self.report["tests"][0].update(outcome="crashed", failed=1, passed=1, failures=[failure])
        self.refused("a_test crashed")

    def test_failure_under_a_passed_outcome(self):
        self.report["tests"][1].update(failed=1, passed=1)
        self.refused("b_test passed: 1 of 3")

    def test_numbers_that_do_not_add_up(self):
        self.report["tests"][1]["run"] = 4
        self.refused("b_test says passed and skipped that don't add up")

    def test_not_run(self):
        self.report["tests"][1] = {"program": "b_test", "outcome": "not run"}
        self.refused("b_test was not run")

    def test_a_program_is_missing(self):
        del self.report["tests"][1]
        self.refused("b_test isn't in it")

    def test_a_program_that_is_no_more(self):
        other = {"program": "c_test", "run": 2, "skipped": 0, "skips": []}
        self.report["tests"].append({**self.report["tests"][0], **other})
        self.refused("no tests/c_test.cpp")

    def test_zero_tests_of_a_program(self):
        self.report["tests"][1].update(run=0, passed=0, skipped=0, skips=[])
        self.refused("b_test ran no test")

    def test_all_skipped(self):
        skips = ["A.Skips", "A.Adds", "A.Ends"]
        self.report["tests"][1].update(run=3, passed=0, skipped=3, skips=skips)
        self.refused("b_test skipped A.Adds, A.Ends (skips.txt")

    def test_an_example_that_found_no_gpu(self):
        self.report["tests"][2].update(run=1, passed=0, skipped=1, skips=["it"])
        self.refused("decode_loop skipped it")

    def test_a_skip_is_allowed_by_program_and_test(self):
        self.report["tests"][1].update(run=1, passed=0, skipped=1)
        self.assertEqual(self.problems(), [])
        self.write("tools/gpu/skips.txt", "a_test A.Skips it must\n")
        self.assertIn("b_test skipped A.Skips", self.problems()[0])
        self.write("tools/gpu/skips.txt", "a_test A.Skips\n")
        with self.assertRaisesRegex(ValueError, "line 1.*why"):
            self.problems()

    def test_skips_without_names(self):
        self.report["tests"][1].update(passed=1, skipped=2)
        self.refused("b_test skipped 2 tests, but names 1")

    def test_no_call(self):
        for test in self.report["tests"]:
            test["cuda_calls"] = 0
        self.refused("no test called the CUDA backend")

    def test_sanitizer_errors(self):
        self.report["sanitizers"][0].update(outcome="errors found", errors=2)
        self.refused("memcheck a_test A.*: errors found (2)")

    def test_sanitizer_errors_under_a_passed_outcome(self):
        self.report["sanitizers"][0]["errors"] = 2
        self.refused("memcheck a_test A.*: 2 errors")

    def excuse(self, outcome):
        self.report["sanitizers"][0].update(outcome="errors found", errors=2, kernels=["f_kernel"])
        self.report["limits"] = [{"tool": "memcheck", "program": "least", "outcome": outcome}]
        text = "memcheck a_test A.* e_kernel,f_kernel least the tool doesn't see it\n"
        self.write("tools/gpu/sanitize_exceptions.txt", text)

    def test_sanitizer_errors_that_are_explained(self):
        self.excuse("errors found")
        self.assertEqual(self.problems(), [])
        text = (self.root / "bench/gpu/report.md").read_text(encoding="utf-8")
        self.assertIn("| memcheck | least | errors found |", text)

    def test_an_exception_is_for_errors_alone(self):
        self.excuse("errors found")
        for outcome in ("timed out", "crashed", "failed"):
            self.report["sanitizers"][0]["outcome"] = outcome
            self.refused(f"memcheck a_test A.*: {outcome}")

    def test_an_exception_is_for_tests_that_ran(self):
        self.excuse("errors found")
        self.report["sanitizers"][0]["tests"] = 0
        self.refused("memcheck a_test A.*: no test ran to its end")
        self.report["sanitizers"][0].update(tests=2, cuda_calls=0)
        self.refused("memcheck a_test A.*: no call of the CUDA backend")

    def test_an_exception_is_for_the_kernels_it_names(self):
        self.excuse("errors found")
        self.report["sanitizers"][0]["kernels"] = ["f_kernel", "g_kernel"]
        self.refused("errors in g_kernel, excused are those in e_kernel, f_kernel")
        self.report["sanitizers"][0]["kernels"] = []
        self.refused("errors in nothing")
        self.report["sanitizers"][0].update(kernels=["f_kernel"], unnamed=1)
        self.refused("1 of 2 errors name no kernel")

    def test_the_tool_no_longer_reports_the_minimal_program(self):
        self.excuse("passed")
        self.refused("memcheck no longer reports least")

    def test_the_minimal_program_was_not_run(self):
        self.excuse("crashed")
        self.refused("memcheck least: crashed")
        self.report["limits"] = []
        self.refused("memcheck least: not run")

    def test_an_exception_needs_a_reason(self):
        self.write("tools/gpu/sanitize_exceptions.txt", "memcheck a_test A.* f_kernel least\n")
        with self.assertRaisesRegex(ValueError, "line 1.*why"):
            self.problems()

    def test_an_exception_for_nothing(self):
        self.excuse("errors found")
        self.report["sanitizers"][0].update(outcome="passed", errors=0)
        self.refused("excuses nothing")

    def test_sanitizer_not_run(self):
        entry = {key: self.report["sanitizers"][0][key] for key in ("tool", "program", "filter")}
        self.report["sanitizers"] = [{**entry, "outcome": "not run"}]
        self.refused("memcheck a_test A.*: not run")

    def test_sanitizer_without_tests_or_calls(self):
        self.report["sanitizers"][0]["tests"] = 0
        self.refused("no test ran to its end, or the filter matches none")
        self.report["sanitizers"][0].update(tests=1, cuda_calls=0)
        self.refused("no call of the CUDA backend")

    def test_sanitizer_lists_differ(self):
        self.write("tools/gpu/sanitize.txt", "racecheck a_test A.*\n")
        self.refused("racecheck a_test A.*: not run", "not in sanitize.txt")

    def test_benchmark(self):
        self.commit()
        text = (self.root / "bench/gpu/report.md").read_text(encoding="utf-8")
        self.assertIn("| sample | bf16 | 64 × 151936 | 8.00 | 8.00 | 8.00 | read 8.00 |", text)
        self.assertIn("| read 8.00 | 80 % | 1.03 | 10.00 | +25 % |", text)
        results = self.report["benchmark"]["output"]["results"]
        results[0]["spread"] = 0
        self.refused("no spread for sample bf16 64 151936")
        results[0]["spread"] = 1
        results[1]["graph_seconds"] = 0
        self.refused("no time for sample bf16 64 151936 cross-device")
        del results[1]
        self.refused("no time for sample bf16 64 151936 cross-device")
        del results[0]
        self.refused("the benchmark has no sample")
        results = copy.deepcopy(BENCHMARK["results"])
        results[6].update(limit="none", limit_seconds=0, fraction_of_limit=0)
        self.report["benchmark"]["output"]["results"] = results
        self.commit()
        text = (self.root / "bench/gpu/report.md").read_text(encoding="utf-8")
        self.assertIn("| merge, two shards | bf16 | 64 × 151936 ", text)
        self.assertIn(" | 8.00 |  |  | 1.03 |", text)
        results[10:12] = []
        self.refused("the benchmark has no softmax")
        self.report["benchmark"]["output"] = copy.deepcopy(BENCHMARK)
        self.report["benchmark"]["command"] = "logsum bench --quick"
        self.refused("the benchmark is of `logsum bench --quick`, must be `logsum bench`")
        self.report["benchmark"] = {"outcome": "not run"}
        self.refused("the benchmark: not run")
        self.report["benchmark"] = {"outcome": "crashed", "message": "SIGSEGV"}
        self.refused("the benchmark: crashed: SIGSEGV")

    def test_markdown_edited_by_hand(self):
        self.commit()
        text = (self.root / "bench/gpu/report.md").read_text(encoding="utf-8")
        self.write("bench/gpu/report.md", text.replace("25 calls", "26 calls"))
        [problem] = check_report.problems(self.root)
        self.assertIn("neither is edited by hand", problem)

    def test_json_edited_by_hand(self):
        self.commit()
        self.report["tests"][0]["cuda_calls"] = 6
        self.write("bench/gpu/report.json", json.dumps(self.report))
        [problem] = check_report.problems(self.root)
        self.assertIn("neither is edited by hand", problem)
