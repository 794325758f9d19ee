#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the GPU bundle on the machine with the GPU: the tests with the CUDA backend, some of them
under compute-sanitizer, the benchmark; writes OUT/report.json and OUT/report.md.

A crash or a hang is a failure in the report. Where the machine's time is short: --deadline leaves
for a later call with the same OUT and --missing what hasn't begun."""

import argparse
import datetime
import json
import os
import pathlib
import shlex
import signal
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor, as_completed

import architectures
import gtest_result
import machine
import plain
import process
import report
import sanitizer
import skips

BUNDLE = pathlib.Path(__file__).resolve().parent.parent
HERE = BUNDLE / "gpu"
# What makes tests fewer or smaller, or has them run elsewhere, as a developer may have set it.
STEERING = ("LOGSUM_", "GTEST_", "TESTBRIDGE_")
PHASES = ("tests", "sanitizers", "benchmark")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("out", type=pathlib.Path, help="folder for the report, logs and results")
    parser.add_argument("--phases", default=",".join(PHASES), help="of: %(default)s")
    parser.add_argument("--only", default="", metavar="TEXT", help="programs with TEXT in the name")
    parser.add_argument("--missing", action="store_true", help="only what has no result in OUT")
    parser.add_argument("-j", "--jobs", type=int, default=4, help="programs at once (%(default)s)")
    parser.add_argument("--timeout", type=float, default=580, metavar="S", help="of a program")
    parser.add_argument("--deadline", type=float, default=1e9, metavar="S", help="of this call")
    parser.add_argument("--sanitizer", metavar="PATH", help="instead of the bundle's own")
    parser.add_argument("--benchmark", metavar="COMMAND", help="instead of benchmark.txt's")
    parser.add_argument(
        "--backend",
        choices=("cuda", "cpu"),
        default="cuda",
        help="cpu: a rehearsal without a GPU, whose report is no evidence",
    )
    options = parser.parse_args()
    options.phases = options.phases.split(",")
    for phase in options.phases:
        if phase not in PHASES:
            parser.error(f"'{phase}' is no phase, there are {', '.join(PHASES)}")
    return options


def listed(name):
    return (HERE / name).read_text(encoding="utf-8")


class Runner:
    def __init__(self, options, manifest):
        self.options = options
        self.parts = report.Parts(options.out)
        self.end = time.monotonic() + options.deadline
        self.programs = manifest["programs"]
        self.entries = sanitizer.entries(listed("sanitize.txt"))
        self.excused = sanitizer.exceptions(listed("sanitize_exceptions.txt"))
        self.skips = skips.read(listed("skips.txt"))
        self.limits = sanitizer.limits(self.excused)
        self.sanitizer = options.sanitizer or sanitizer.find(BUNDLE)
        if options.backend != "cuda":
            self.sanitizer = None  # it refuses programs that don't use the GPU
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(STEERING)}
        demo = BUNDLE / "examples/data/demo_logits.safetensors"
        self.environment["LOGSUM_DEMO_LOGITS"] = str(demo)
        if options.backend == "cuda":
            self.environment["LOGSUM_TEST_BACKEND"] = "cuda"
        for folder in ("logs", "gtest"):
            (options.out / folder).mkdir(exist_ok=True)

    def once(self, kind, name, command, read, **extra):
        """Runs a program and keeps what `read` makes of it."""
        if self.options.missing and self.parts.has(kind, name):
            return
        limit = min(self.options.timeout, self.end - time.monotonic())
        if limit < 1:
            return
        log = self.options.out / "logs" / f"{kind}-{name}.log"
        run = process.run(command, {**self.environment, **extra}, limit, log)
        if run.ending == "timed out" and limit < self.options.timeout:
            print(f"not finished: {kind} {name}, in the {limit:.0f} s that were left", flush=True)
            return  # which isn't its fault
        result = read(run)
        self.parts.put(kind, name, result)
        counts = "".join(
            f", {result[key]} {key.replace('_', ' ')}"
            for key in ("run", "failed", "skipped", "errors", "cuda_calls")
            if result.get(key) is not None
        )
        print(f"{result['outcome']}: {kind} {name}{counts}, {run.seconds:.1f} s", flush=True)

    def test(self, name):
        if name in plain.PROGRAMS:
            return self.once("test", name, plain.command(BUNDLE, name), plain.read)
        json_path = self.options.out / "gtest" / f"{name}.json"
        json_path.unlink(missing_ok=True)
        command = [str(BUNDLE / "bin" / name), f"--gtest_output=json:{json_path}"]
        return self.once("test", name, command, lambda run: gtest_result.read(run, json_path))

    def sanitize(self, entry):
        program, chosen = BUNDLE / "bin" / entry.program, f"--gtest_filter={entry.filter}"
        command = sanitizer.command(self.sanitizer, entry.tool, program, chosen)
        # The statistical tests look for bias, not for memory errors.
        self.once(
            "sanitizer", report.sanitizer_name(entry), command, sanitizer.read, LOGSUM_QUICK="1"
        )

    def limit(self, tool, program):
        command = sanitizer.command(self.sanitizer, tool, BUNDLE / "bin" / program)
        self.once("limit", f"{tool}-{program}", command, sanitizer.read)

    def benchmark(self):
        text = self.options.benchmark
        text = text or listed("benchmark.txt").strip()

        def read(run):
            result = {"command": text, "outcome": "failed", "seconds": round(run.seconds, 1)}
            if run.ending == "exited" and run.status == 0:
                try:
                    return {**result, "outcome": "passed", "output": json.loads(run.text)}
                except ValueError:
                    pass
            how = "" if run.ending == "exited" else f"{run.ending} {run.status}: "
            return {**result, "message": gtest_result.shorten(how + run.text)}

        words = shlex.split(text)
        self.once("benchmark", "all", [str(BUNDLE / "bin" / words[0]), *words[1:]], read)

    def jobs(self):
        if "tests" in self.options.phases:
            for name in self.programs:
                if self.options.only in name:
                    yield self.test, name
        if "sanitizers" in self.options.phases and self.sanitizer:
            for entry in self.entries:
                if self.options.only in entry.program:
                    yield self.sanitize, entry
            for limit in self.limits:
                yield self.limit, *limit

    def complaints(self, made):
        """What a report's parts that have run say against what they tried."""
        for test in made["tests"]:
            rehearsed = {test["program"]: set(test.get("skips", ()))}
            allowed = self.skips if self.options.backend == "cuda" else rehearsed
            if test["outcome"] != "not run" and (wrong := skips.wrong(test, allowed)):
                yield f"{test['program']} {wrong}"
        for run in made["sanitizers"]:
            entry = sanitizer.entry_of(run)
            if run["outcome"] != "not run" and (
                wrong := sanitizer.wrong(run, self.excused.get(entry))
            ):
                yield f"{' '.join(entry)}: {wrong}"
        for run in made["limits"]:
            if run["outcome"] == "passed":
                yield (
                    f"{run['tool']} no longer reports {run['program']}: "
                    "exceptions that name it must go (sanitize_exceptions.txt)"
                )
        if made["benchmark"]["outcome"] not in ("passed", "not run"):
            yield f"the benchmark: {made['benchmark']['outcome']}"

    def all(self):
        with ThreadPoolExecutor(self.options.jobs) as pool:
            try:
                for future in as_completed([pool.submit(*job) for job in self.jobs()]):
                    future.result()
            except BaseException:
                process.stop_all()
                raise
        # The file's is for a GPU: a rehearsal has none to time.
        if "benchmark" in self.options.phases and (
            self.options.backend == "cuda" or self.options.benchmark
        ):
            self.benchmark()  # alone


def unpack_sanitizer():
    packed, folder = BUNDLE / "sanitizer.zip", BUNDLE / "sanitizer"
    if packed.exists() and not folder.exists():
        with zipfile.ZipFile(packed) as file:
            file.extractall(folder)


def main():
    options = arguments()
    if not (BUNDLE / "manifest.json").exists():
        sys.exit(f"run.py: {BUNDLE} is no bundle; tools/gpu/bundle.sh makes one")
    manifest = json.loads((BUNDLE / "manifest.json").read_text(encoding="utf-8"))
    facts, why = machine.gpu()
    if options.backend == "cuda" and why:
        sys.exit(f"run.py: no GPU: {why} (a rehearsal without one: --backend cpu)")
    compiled_for, has = manifest["build"]["architectures"], facts["compute_capability"]
    if options.backend == "cuda" and not architectures.runs_on(compiled_for, has):
        sys.exit(
            f"run.py: this bundle is compiled for {compiled_for}, {facts['device']} has compute "
            f"capability {has}: CUDAARCHS={has.replace('.', '')}-real tools/gpu/bundle.sh makes "
            "one for it"
        )
    unpack_sanitizer()
    for program in (*(BUNDLE / "bin").iterdir(), *(BUNDLE / "sanitizer").glob("*")):
        if not os.access(program, os.X_OK):
            program.chmod(0o755)  # lost by copying or unpacking
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("run.py: told to stop"))

    runner = Runner(options, manifest)
    version = machine.sanitizer_version(runner.sanitizer) if runner.sanitizer else "not found"
    session = runner.parts.begin(
        {
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "backend": options.backend,
            "rehearsal": options.backend != "cuda",
            "source_hash": manifest["source_hash"],
            "tool_tests_hash": manifest["tool_tests_hash"],
            "build": manifest["build"],
            "machine": {**facts, "cpu": machine.cpu(), "sanitizer": version},
        }
    )
    try:
        runner.all()
    finally:
        made = report.compose(runner.parts, session, runner.programs, runner.entries, runner.limits)
        report.write(runner.parts, made)
        print(f"{options.out / 'report.md'}")
    found = list(runner.complaints(made))
    for complaint in found:
        print(complaint)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
