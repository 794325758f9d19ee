# SPDX-License-Identifier: Apache-2.0
"""What became of a GoogleTest program: tests run, passed, failed, skipped, calls on the GPU.

From its JSON where it came to its end; from what it printed where it crashed or hung, which names
the test in which that happened."""

import json
import re

LINE = re.compile(r"^\[ +(RUN|OK|FAILED|SKIPPED) +\] (\S+?\.\S+?)(?:,.*)?(?: \(\d+ ms\))?$")
CALLS = re.compile(r"^\[logsum\] (\d+) calls on cuda\b", re.M)
MESSAGE = 600  # characters of a failure's message that are kept
FAILURES = 20  # of a program


def shorten(text, limit=MESSAGE):
    """Without the build machine's folders, and not endless."""
    text = re.sub(r"(?<![\w.])/\S*?/(?=(?:tests|src|include|io|cli)/)", "", text.strip())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cuda_calls(text):
    return sum(int(n) for n in CALLS.findall(text))


def from_json(document):
    """{name: (outcome, message)}"""
    tests = {}
    for suite in document["testsuites"]:
        for test in suite["testsuite"]:
            name = f"{suite['name']}.{test['name']}"
            messages = [failure["failure"] for failure in test.get("failures", [])]
            if messages:
                tests[name] = ("failed", "\n".join(messages))
            elif test["result"] == "SKIPPED":
                tests[name] = ("skipped", "")
            elif test["status"] == "RUN":
                tests[name] = ("passed", "")
    return tests


def from_text(text):
    """{name: (outcome, message)}; the test that didn't end has the outcome None."""
    tests, current, lines = {}, None, []
    words = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}
    for line in text.splitlines():
        match = LINE.match(line)
        if match and match.group(1) == "RUN":
            current, lines = match.group(2), []
            tests[current] = (None, "")
        elif match and match.group(2) == current:
            tests[current] = (words[match.group(1)], "\n".join(lines))
            current = None
        else:
            lines.append(line)
    return tests


def read(run, json_path):
    """A program's part of the report, from process.Run and the file that it may have written."""
    try:
        tests = from_json(json.loads(json_path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        tests = from_text(run.text)
    failures = [(name, message) for name, (how, message) in tests.items() if how == "failed"]
    unended = [name for name, (how, _) in tests.items() if how is None]
    outcome = "failed" if failures else "passed"
    if run.ending != "exited" or run.status != (1 if failures else 0) or unended:
        how = f"with status {run.status}" if run.ending == "exited" else str(run.status)
        last = "\n".join(run.text.splitlines()[-8:])
        name = unended[0] if unended else "(the program)"
        failures.append((name, f"the program {run.ending} {how}; its last lines:\n{last}"))
        outcome = "failed" if run.ending == "exited" else run.ending
    count = [how for how, _ in tests.values()].count
    return {
        "outcome": outcome,
        "run": len(tests),
        "passed": count("passed"),
        "failed": count("failed") + count(None),
        "skipped": count("skipped"),
        "skips": [name for name, (how, _) in tests.items() if how == "skipped"],
        "cuda_calls": cuda_calls(run.text),
        "seconds": round(run.seconds, 1),
        "failures": [
            {"name": name, "message": shorten(message)} for name, message in failures[:FAILURES]
        ],
    }
