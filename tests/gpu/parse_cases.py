# SPDX-License-Identifier: Apache-2.0
"""From what programs print, write and exit with to a part of the report."""

import json
import pathlib
import tempfile
import unittest

import architectures
import gtest_result
import plain
import report
import sanitizer
import skips
from process import Run

PASSED = """\
[==========] Running 3 tests from 1 test suite.
[ RUN      ] A.Adds
[       OK ] A.Adds (1 ms)
[ RUN      ] A.Typed/0
[       OK ] A.Typed/0 (0 ms)
[ RUN      ] A.Later
[  SKIPPED ] A.Later (0 ms)
[==========] 3 tests from 1 test suite ran. (1 ms total)
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] A.Later
[logsum] 12 calls on cuda
"""
FAILED = """\
[ RUN      ] A.Adds
/home/someone/logsum/tests/a_test.cpp:12: Failure
  1 != 2
[  FAILED  ] A.Adds, where GetParam() = 4 (3 ms)
[ RUN      ] A.Ends
[       OK ] A.Ends (0 ms)
[  FAILED  ] 1 test, listed below:
[  FAILED  ] A.Adds
"""
HALF = "[ RUN      ] A.Adds\n[       OK ] A.Adds (1 ms)\n[ RUN      ] A.Hangs\nsome words\n"
JSON = {
    "testsuites": [
        {
            "name": "A",
            "testsuite": [
                {"name": "Adds", "status": "RUN", "result": "COMPLETED"},
                {"name": "Later", "status": "RUN", "result": "SKIPPED"},
                {"name": "DISABLED_No", "status": "NOTRUN", "result": "SUPPRESSED"},
                {
                    "name": "Fails",
                    "status": "RUN",
                    "result": "COMPLETED",
                    "failures": [{"failure": "one"}, {"failure": "two"}],
                },
            ],
        }
    ]
}


class GTest(unittest.TestCase):
    def read(self, run, document=None):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.json"
            if document:
                path.write_text(json.dumps(document), encoding="utf-8")
            return gtest_result.read(run, path)

    def counts(self, result):
        return [result[key] for key in ("outcome", "run", "passed", "failed", "skipped")]

    def test_passed(self):
        result = self.read(Run("exited", 0, 1.25, PASSED))
        self.assertEqual(self.counts(result), ["passed", 3, 2, 0, 1])
        self.assertEqual(result["cuda_calls"], 12)
        self.assertEqual(result["skips"], ["A.Later"])
        self.assertEqual(result["failures"], [])

    def test_failed(self):
        result = self.read(Run("exited", 1, 1, FAILED))
        self.assertEqual(self.counts(result), ["failed", 2, 1, 1, 0])
        [failure] = result["failures"]
        self.assertEqual(failure["name"], "A.Adds")
        self.assertEqual(failure["message"], "tests/a_test.cpp:12: Failure\n  1 != 2")

    def test_json_counts_before_text(self):
        result = self.read(Run("exited", 1, 1, "[logsum] 1 calls on cuda\n"), JSON)
        self.assertEqual(self.counts(result), ["failed", 3, 1, 1, 1])
        self.assertEqual(result["failures"], [{"name": "A.Fails", "message": "one\ntwo"}])
        self.assertEqual(result["skips"], ["A.Later"])

    def test_crashed(self):
        result = self.read(Run("crashed", "SIGSEGV", 1, HALF))
        self.assertEqual(self.counts(result), ["crashed", 2, 1, 1, 0])
        [failure] = result["failures"]
        self.assertEqual(failure["name"], "A.Hangs")
        self.assertIn("crashed SIGSEGV", failure["message"])
        self.assertIn("some words", failure["message"])

    def test_timed_out(self):
        result = self.read(Run("timed out", "after 5 s", 5, HALF))
        self.assertEqual(self.counts(result), ["timed out", 2, 1, 1, 0])

    def test_crashed_after_the_last_test(self):
        result = self.read(Run("crashed", "SIGABRT", 1, PASSED))
        self.assertEqual(result["outcome"], "crashed")
        self.assertEqual(result["failures"][0]["name"], "(the program)")

    def test_a_status_that_no_test_explains(self):
        result = self.read(Run("exited", 1, 1, PASSED))
        self.assertEqual(result["outcome"], "failed")
        self.assertIn("with status 1", result["failures"][0]["message"])

    def test_a_program_that_does_not_start(self):
        result = self.read(Run("exited", 127, 0, "libx.so.1: cannot open shared object file\n"))
        self.assertEqual(self.counts(result), ["failed", 0, 0, 0, 0])
        self.assertIn("libx.so.1", result["failures"][0]["message"])

    def test_messages_are_cut(self):
        text = gtest_result.shorten("x" * 10000)
        self.assertLessEqual(len(text), gtest_result.MESSAGE)


class Architectures(unittest.TestCase):
    def test_runs_on(self):
        for compiled_for, gpus, others in (
            ("90-real", ["9.0"], ["8.9", "10.0", "12.0"]),
            ("80-real", ["8.0", "8.6", "8.9"], ["7.5", "9.0"]),
            ("90a-real", ["9.0"], ["10.0"]),
            ("90a", ["9.0"], ["10.0"]),
            ("100f-real", ["10.0", "10.3"], ["12.0"]),
            ("75-virtual", ["7.5", "9.0", "12.0"], ["7.0"]),
            ("90", ["9.0", "10.0", "12.1"], ["8.9"]),
            ("80-real;90-real", ["8.6", "9.0"], ["10.0"]),
            ("75;80;86;89;90;100;120", ["7.5", "8.7", "9.0", "10.3", "12.0", "12.1"], ["7.0"]),
            ("all-major", ["9.0"], []),
        ):
            for gpu in gpus:
                self.assertTrue(architectures.runs_on(compiled_for, gpu), (compiled_for, gpu))
            for gpu in others:
                self.assertFalse(architectures.runs_on(compiled_for, gpu), (compiled_for, gpu))


class Plain(unittest.TestCase):
    def skips(self, lines):
        count = sum("skipped" in line for line in lines.splitlines())
        text = f"{lines}\n\nRan 9 tests in 1 s\n\nOK (skipped={count})\n"
        result = plain.read(Run("exited", 0, 1, text))
        self.assertEqual(result["skipped"], count)
        return result["skips"]

    def test_names_of_skipped_tests(self):
        self.assertEqual(
            self.skips(
                "test_a (a_cases.Data.test_a) ... skipped 'root'\n"
                "test_b (a_cases.Data.test_b) ... ok\n"
                "test_c (a_cases.More.test_c)\nWhat it is. ... skipped 'why'\n"
                "test_d (a_cases.More) ... skipped 'as Python 3.10 says it'\n"
            ),
            ["Data.test_a", "More.test_c", "More.test_d"],
        )
        self.assertEqual(self.skips("  test_a (a.Data.test_a) (i=1) ... skipped 'a part'"), [])

    def test_no_gpu(self):
        result = plain.read(Run("exited", plain.SKIPPED, 1, "no GPU\n"))
        self.assertEqual((result["passed"], result["skipped"], result["skips"]), (0, 1, ["it"]))


class Sanitizer(unittest.TestCase):
    CLEAN = "========= ERROR SUMMARY: 0 errors\n"
    RAN = "[==========] 2 tests from 1 test suite ran. (9 ms total)\n[logsum] 3 calls on cuda\n"

    def test_clean(self):
        result = sanitizer.read(Run("exited", 0, 2, self.RAN + self.CLEAN))
        self.assertEqual((result["outcome"], result["errors"]), ("passed", 0))
        self.assertEqual((result["tests"], result["cuda_calls"]), (2, 3))

    def test_racecheck(self):
        text = "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n"
        result = sanitizer.read(Run("exited", 0, 2, self.RAN + text))
        self.assertEqual((result["outcome"], result["errors"]), ("passed", 0))

    def test_errors(self):
        text = "========= Invalid __global__ read of size 4 bytes\n"
        text += "========= ERROR SUMMARY: 1 error\n"
        result = sanitizer.read(Run("exited", sanitizer.FOUND, 2, self.RAN + text))
        self.assertEqual((result["outcome"], result["errors"]), ("errors found", 1))
        self.assertIn("Invalid __global__ read", result["message"])

    END = "========= "  # of an error
    INVALID = f"""\
========= Invalid __global__ read of size 4 bytes
=========     at void a::<unnamed>::first_kernel<a::B<(int)1>>(T1)+0x10
=========     Saved host backtrace up to driver entry point at kernel launch time
{END}
"""
    RACE = f"""\
========= Error: Race reported between Write access at void a::first_kernel<a::C>(T1::Call)+0x20
=========     and Read access at [clone void a::second_kernel<a::C>(T1)] int a::g<(int)1>(A)+0x5
{END}
"""

    def test_kernels_of_errors(self):
        text = self.RAN + self.INVALID * 2 + "========= ERROR SUMMARY: 2 errors\n"
        result = sanitizer.read(Run("exited", sanitizer.FOUND, 2, text))
        self.assertEqual((result["kernels"], result["unnamed"]), (["first_kernel"], 0))
        text = self.RAN + "========= COMPUTE-SANITIZER\n" + self.RACE
        text += "========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)\n"
        result = sanitizer.read(Run("exited", sanitizer.FOUND, 2, text))
        self.assertEqual((result["outcome"], result["errors"]), ("errors found", 1))
        self.assertEqual(result["kernels"], ["first_kernel", "second_kernel"])
        self.assertEqual(result["unnamed"], 0)

    def test_errors_that_are_not_printed_name_no_kernel(self):
        text = self.RAN + self.INVALID + "========= ERROR SUMMARY: 640 errors\n"
        text += "========= ERROR SUMMARY: 639 errors were not printed. Use --print-limit option\n"
        result = sanitizer.read(Run("exited", sanitizer.FOUND, 2, text))
        self.assertEqual((result["errors"], result["unnamed"]), (640, 639))
        text = self.RAN + self.RACE
        text += "========= RACECHECK SUMMARY: 1 hazards displayed (90 errors, 10 warnings)\n"
        result = sanitizer.read(Run("exited", sanitizer.FOUND, 2, text))
        self.assertEqual((result["errors"], result["unnamed"]), (100, 99))

    def test_every_error_is_printed(self):
        self.assertIn("--print-limit=0", sanitizer.command("s", "memcheck", "a_test"))

    def test_failed_test_without_errors(self):
        result = sanitizer.read(Run("exited", 1, 2, self.RAN + self.CLEAN))
        self.assertEqual(result["outcome"], "failed")

    def test_no_summary(self):
        result = sanitizer.read(Run("exited", 0, 2, self.RAN))
        self.assertEqual((result["outcome"], result["errors"]), ("failed", None))

    def test_timed_out(self):
        result = sanitizer.read(Run("timed out", "after 9 s", 9, ""))
        self.assertEqual(result["outcome"], "timed out")

    def test_list(self):
        text = "# words\n\nmemcheck a_test A.*:B.C-D.*  # why\n"
        self.assertEqual(
            sanitizer.entries(text), [sanitizer.Entry("memcheck", "a_test", "A.*:B.C-D.*")]
        )
        self.assertEqual(len(sanitizer.entries("all a_test *\nmemcheck,initcheck b_test *")), 6)
        for wrong in (
            "memcheck,all a_test *",
            "memchek a_test A.*",
            "memcheck a_test",
            "memcheck a_test A B",
        ):
            with self.assertRaisesRegex(ValueError, "line 1"):
                sanitizer.entries(wrong)

    def test_the_lists_that_are_here(self):
        tools = pathlib.Path(sanitizer.__file__).parent
        programs = {path.stem for path in (tools.parent.parent / "tests").glob("*_test.cpp")}
        entries = sanitizer.entries((tools / "sanitize.txt").read_text(encoding="utf-8"))
        self.assertEqual({entry.tool for entry in entries}, set(sanitizer.TOOLS))
        self.assertEqual({entry.program for entry in entries} - programs, set())
        self.assertEqual(len({report.sanitizer_name(entry) for entry in entries}), len(entries))

    def test_the_skips_that_are_here(self):
        tools = pathlib.Path(skips.__file__).parent
        tests = tools.parent.parent / "tests"
        allowed = skips.read((tools / "skips.txt").read_text(encoding="utf-8"))
        for name in allowed.pop("cli_test"):
            group, test = name.split(".")
            [path] = [p for p in (tests / "cli").glob("*.py") if f"def {test}(" in p.read_text()]
            self.assertIn(f"class {group}(", path.read_text())
        for program, names in allowed.items():
            text = (tests / f"{program}.cpp").read_text(encoding="utf-8")
            for name in names:
                self.assertIn(f"TEST({', '.join(name.split('.'))})", text)
