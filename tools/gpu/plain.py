# SPDX-License-Identifier: Apache-2.0
"""Programs of the bundle that aren't GoogleTest's: the examples for GPUs, and the tool's own tests,
which with LOGSUM_TEST_BACKEND=cuda use it on the GPU as a user does."""

import re
import sys

from gtest_result import shorten

# Name: words of the command; those with a slash are paths in the bundle.
PROGRAMS = {
    "decode_loop": ["bin/decode_loop"],
    "decode_loop_c": ["bin/decode_loop_c"],
    "cli_test": [sys.executable, "tests/cli_test.py", "bin/logsum", "-v"],  # names what it skips
}
SKIPPED = 77  # the examples' exit status where there is no GPU
RAN = re.compile(r"^Ran (\d+) tests? in ", re.M)
COUNT = re.compile(r"(failures|errors|skipped)=(\d+)")
# `test (module.Class.test) ... skipped 'why'`; a line of the test's docstring may come between, and
# Python before 3.11 leaves out the second `.test`.
SKIP = re.compile(r"^(\w+) \((?:\w+\.)*?(\w+)(?:\.\1)?\)(?:\n.*)? \.\.\. skipped ", re.M)


def command(bundle, name):
    return [str(bundle / word) if "/" in word else word for word in PROGRAMS[name]]


def read(run):
    """A program's part of the report, from process.Run: unittest's counts, or one test."""
    ran = RAN.search(run.text)
    count = {key: int(n) for key, n in COUNT.findall(run.text)}
    exited = run.ending == "exited"
    skips = [f"{group}.{test}" for test, group in SKIP.findall(run.text)]
    skipped = count.get("skipped", 0)
    if not ran and exited and run.status == SKIPPED:
        skips, skipped = ["it"], 1
    failed = count.get("failures", 0) + count.get("errors", 0)
    good = exited and run.status in (0, SKIPPED) and failed == 0
    total = int(ran.group(1)) if ran else 1
    failed = failed if good or failed else 1
    lines = run.text.strip().splitlines()[-12:]
    how = "" if exited else f"{run.ending} {run.status}\n"
    return {
        "outcome": "passed" if good else "failed" if exited else run.ending,
        "run": total,
        "passed": total - failed - skipped,
        "failed": failed,
        "skipped": skipped,
        "skips": skips,
        "cuda_calls": 0,
        "seconds": round(run.seconds, 1),
        "failures": [] if good else [{"name": "it", "message": shorten(how + "\n".join(lines))}],
    }
