# SPDX-License-Identifier: Apache-2.0
"""Tests that have nothing to do on a GPU, and what a program's tests are worth but for them."""


def read(text):
    """{program: its tests that may be skipped}; lines `program test why...`, # begins a comment."""
    allowed = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split(maxsplit=2)
        if words and len(words) < 3:
            raise ValueError(f"line {number}: '{line}', must be: program test why")
        if words:
            allowed.setdefault(words[0], set()).add(words[1])
    return allowed


def wrong(test, allowed):
    """Why a program's part of the report doesn't show that its tests pass, or ''."""
    outcome = test["outcome"]
    if outcome == "not run":
        return "was not run"
    if outcome != "passed" or test["failed"] or test["failures"]:
        first = test["failures"][0]["name"] if test["failures"] else "?"
        return f"{outcome}: {test['failed']} of {test['run']} tests, first {first}"
    if test["run"] == 0:
        return "ran no test"
    if test["passed"] + test["skipped"] != test["run"]:
        return "says passed and skipped that don't add up to run"
    if len(test["skips"]) != test["skipped"]:
        return f"skipped {test['skipped']} tests, but names {len(test['skips'])}"
    strange = sorted(set(test["skips"]) - allowed.get(test["program"], set()))
    if strange:
        return f"skipped {', '.join(strange)} (skips.txt is for what has nothing to do on a GPU)"
    return ""
