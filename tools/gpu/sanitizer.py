# SPDX-License-Identifier: Apache-2.0
"""compute-sanitizer: where it is, what to run under it, what it found."""

import os
import re
import shutil
from collections import namedtuple

from gtest_result import cuda_calls, shorten

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
FOUND = 77  # its exit status where it found errors; the programs' own are 0 and 1
SUMMARY = re.compile(r"^=+ (?:ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard)", re.M)
RAN = re.compile(r"^\[=+\] (\d+) tests? from .* ran\.", re.M)

Entry = namedtuple("Entry", "tool program filter")


def entries(text):
    """Lines `tool,tool... program filter`, an Entry for each tool; # begins a comment."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        tools = TOOLS if words[0] == "all" else words[0].split(",")
        if len(words) != 3 or not set(tools) <= set(TOOLS):
            known = "|".join(TOOLS)
            raise ValueError(f"line {number}: '{line}', must be: {known}|all program filter")
        found += [Entry(tool, *words[1:]) for tool in tools]
    return found


def find(bundle):
    """The bundle's own, else the machine's, else None."""
    own = bundle / "sanitizer" / "compute-sanitizer"
    if own.exists():
        return str(own)
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    return shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path=f"{home}/bin:{home}/compute-sanitizer"
    )


def command(tool_path, entry, program):
    return [
        tool_path,
        f"--tool={entry.tool}",
        f"--error-exitcode={FOUND}",
        "--print-limit=10",
        str(program),
        f"--gtest_filter={entry.filter}",
    ]


def read(run):
    """An entry's part of the report, from process.Run."""
    summary, ran = SUMMARY.search(run.text), RAN.search(run.text)
    errors = int(summary.group(1) or summary.group(2)) if summary else None
    if run.ending != "exited":
        outcome = run.ending
    elif errors is None or run.status not in (0, FOUND):
        outcome = "failed"  # the tests themselves, or the sanitizer
    else:
        outcome = "passed" if errors == 0 and run.status == 0 else "errors found"
    marked = [line for line in run.text.splitlines() if line.startswith("=====")]
    detail = "" if outcome == "passed" else "\n".join((marked or run.text.splitlines())[:12])
    if outcome in ("crashed", "timed out"):
        detail = f"{run.status}\n{detail}"
    return {
        "outcome": outcome,
        "errors": errors,
        "tests": int(ran.group(1)) if ran else 0,
        "cuda_calls": cuda_calls(run.text),
        "seconds": round(run.seconds, 1),
        "message": shorten(detail),
    }
