#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks bench/gpu/report.json and report.md: the CUDA backend's tests passed, on a GPU, from the
sources as they are now.

    tools/gpu/check_report.py             what CI runs
    tools/gpu/check_report.py --render    writes report.md anew from report.json
"""

import json
import pathlib
import re
import sys

import plain
import report as reports
import sanitizer
import skips
import source_hash
from render import benchmark_lines, render, totals

ROOT = source_hash.ROOT
SHOWN = 20
FORWARD = ("softmax", "log_softmax", "logsumexp")
OPERATIONS = ("sample", "token_logprobs", "measure", "merge", "approx_kl", *FORWARD)
OPERATIONS += ("policy_loss", "cross_entropy", "preference_loss", "distill_loss")
OPERATIONS += tuple(f"{name}_backward" for name in FORWARD)
REFRESH = """\
To make a new report (CONTRIBUTING.md, "CUDA"):
    tools/gpu/bundle.sh                              anywhere
    python3 build/gpu-bundle/gpu/run.py gpu-report   where the GPU is, after copying the folder
    cp gpu-report/report.* bench/gpu                 here, when that has come back"""


def about_run(report, root):
    present_hash, tool_tests_hash = source_hash.source_hash(root), source_hash.tool_tests_hash(root)
    if report["rehearsal"] or report["backend"] != "cuda":
        yield f"it is a rehearsal on the {report['backend']} backend, not a run on a GPU"
    if report["machine"]["device"] == "none":
        yield "it names no GPU"
    if report["source_hash"] != present_hash:
        yield (
            f"it is stale: made from sources {report['source_hash'][:12]}, these are "
            f"{present_hash[:12]} (tools/gpu/source_hash.py --list names the files that count)"
        )
    if report["tool_tests_hash"] != tool_tests_hash:
        yield "it is stale: the tool's tests (tests/cli_test.py, tests/cli) are others"


def about_tests(tests, programs, allowed_skips):
    reported = [test["program"] for test in tests]
    for name in sorted(set(programs) - set(reported)):
        yield f"{name} isn't in it"
    for name in sorted(set(reported) - set(programs)):
        yield f"{name} is in it, but there is no tests/{name}.cpp"
    for test in tests:
        wrong = skips.wrong(test, allowed_skips)
        if wrong:
            yield f"{test['program']} {wrong}"
    if totals(tests)["cuda_calls"] == 0:
        yield "no test called the CUDA backend"


def about_sanitizers(runs, entries, excepted):
    by_entry = {sanitizer.entry_of(run): run for run in runs}
    for entry in entries:
        wrong = sanitizer.wrong(by_entry.get(entry, reports.NOT_RUN), excepted.get(entry))
        if wrong:
            name = " ".join(entry)
            yield f"{name}: {wrong} (sanitize_exceptions.txt is for what can be explained)"
    for entry in sorted(excepted):
        if entry not in entries or by_entry.get(entry, reports.NOT_RUN)["outcome"] == "passed":
            yield f"sanitize_exceptions.txt: {' '.join(entry)} excuses nothing"
    for entry in sorted(set(by_entry) - set(entries)):
        yield f"{' '.join(entry)} is in it, but not in sanitize.txt"


def about_limits(runs, excepted):
    by_program = {(run["tool"], run["program"]): run for run in runs}
    for tool, program in sanitizer.limits(excepted):
        run = by_program.get((tool, program), reports.NOT_RUN)
        if run["outcome"] == "passed":
            yield f"{tool} no longer reports {program}: exceptions that name it must go"
        elif run["outcome"] != "errors found":
            yield f"{tool} {program}: {run['outcome']}"


def about_benchmark(benchmark, command):
    if benchmark["outcome"] != "passed":
        why = f": {benchmark['message']}" if benchmark.get("message") else ""
        yield f"the benchmark: {benchmark['outcome']}{why}"
        return
    if benchmark["command"] != command:
        yield f"the benchmark is of `{benchmark['command']}`, must be `{command}` (benchmark.txt)"
    lines = benchmark_lines(benchmark["output"]["results"])
    for operation in OPERATIONS:
        if not any(re.match(r"\w+", key[0])[0] == operation for key in lines):
            yield f"the benchmark has no {operation}"
    for key, line in lines.items():
        for determinism in ("per-device", "cross-device"):
            if line.get(determinism, {}).get("graph_seconds", 0) <= 0:
                yield f"the benchmark has no time for {' '.join(map(str, key))} {determinism}"
        if line.get("per-device", {}).get("spread", 0) < 1:
            yield f"the benchmark has no spread for {' '.join(map(str, key))}"


def problems(root):
    """What is wrong with the report of the tree at root, a line each."""
    folder, tools = root / "bench/gpu", root / "tools/gpu"
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        markdown = (folder / "report.md").read_text(encoding="utf-8")
    except OSError as error:
        return [f"there is none: {error.filename} can't be read"]
    except ValueError as error:
        return [f"report.json is no JSON: {error}"]
    if report.get("format") != reports.FORMAT:
        return [f"format {report.get('format')}, must be {reports.FORMAT}"]

    def listed(name):
        return (tools / name).read_text(encoding="utf-8")

    entries = sanitizer.entries(listed("sanitize.txt"))
    excepted = sanitizer.exceptions(listed("sanitize_exceptions.txt"))
    programs = [path.stem for path in sorted((root / "tests").glob("*_test.cpp"))]
    programs += plain.PROGRAMS
    found = [
        *about_run(report, root),
        *about_tests(report["tests"], programs, skips.read(listed("skips.txt"))),
        *about_sanitizers(report["sanitizers"], entries, excepted),
        *about_limits(report["limits"], excepted),
        *about_benchmark(report["benchmark"], listed("benchmark.txt").strip()),
    ]
    if markdown != render(report):
        found.append(
            "report.md isn't what report.json renders to: neither is edited by hand "
            "(tools/gpu/check_report.py --render writes report.md)"
        )
    return found


def main():
    if "--render" in sys.argv[1:]:
        folder = ROOT / "bench/gpu"
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        (folder / "report.md").write_text(render(report), encoding="utf-8")
    found = problems(ROOT)
    for problem in found[:SHOWN]:
        print(f"bench/gpu/report: {problem}", file=sys.stderr)
    if len(found) > SHOWN:
        print(f"and {len(found) - SHOWN} more", file=sys.stderr)
    if found:
        print(REFRESH, file=sys.stderr)
    print(f"check_report: {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
