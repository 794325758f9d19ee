# SPDX-License-Identifier: Apache-2.0
"""compute-sanitizer: where it is, what to run under it, what it found."""

import os
import re
import shutil
from collections import namedtuple

from gtest_result import cuda_calls, shorten

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
FOUND = 77  # its exit status where it found errors; the programs' own are 0 and 1
SUMMARY = re.compile(
    r"^=+ (?:ERROR SUMMARY: (\d+) error|"
    r"RACECHECK SUMMARY: \d+ hazards? displayed \((\d+) errors?, (\d+) warning)",
    re.M,
)
RAN = re.compile(r"^\[=+\] (\d+) tests? from .* ran\.", re.M)
# `at void a::f<...>(...)+0x10`, or `at [clone void a::f<...>(...)] g(...)` where g was inlined.
AT = re.compile(
    r"^ +(?:.* access )?at (?:\[clone )?(?:void )?((?:\w|::|<unnamed>|\(anonymous namespace\))+)",
    re.M,
)

Entry = namedtuple("Entry", "tool program filter")
# Why an entry may have errors in these kernels: a minimal program (tests/sanitizer_limits) that is
# right and that the tool reports too.
Excuse = namedtuple("Excuse", "kernels limit why")


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


def entry_of(run):
    """The entry whose part of a report this is."""
    return Entry(*(run[field] for field in Entry._fields))


def exceptions(text):
    """{Entry: Excuse}; lines `tool program filter kernel,... limit why...`, # begins a comment."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split(maxsplit=5)
        if words and len(words) < 6:
            must = "tool program filter kernel,... limit why"
            raise ValueError(f"line {number}: '{line}', must be: {must}")
        if words:
            found[Entry(*words[:3])] = Excuse(frozenset(words[3].split(",")), *words[4:])
    return found


def limits(excused):
    """The minimal programs that exceptions name: sorted (tool, program)."""
    return sorted({(entry.tool, excuse.limit) for entry, excuse in excused.items()})


def find(bundle):
    """The bundle's own, else the machine's, else None."""
    own = bundle / "sanitizer" / "compute-sanitizer"
    if own.exists():
        return str(own)
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    return shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path=f"{home}/bin:{home}/compute-sanitizer"
    )


def command(tool_path, tool, program, *arguments):
    return [
        tool_path,
        f"--tool={tool}",
        f"--error-exitcode={FOUND}",
        "--print-limit=0",  # all: an error that isn't printed names no kernel
        str(program),
        *arguments,
    ]


def named_kernels(marked):
    """Of each error of the output, which blank lines separate, the functions it is reported at."""
    errors = "\n".join(line.lstrip("=").rstrip() for line in marked).split("\n\n")
    named = ({name.split("::")[-1] for name in AT.findall(error)} for error in errors)
    return [names for names in named if names]


def read(run):
    """A part of the report, from process.Run: of an entry, or of a minimal program."""
    summary, ran = SUMMARY.search(run.text), RAN.search(run.text)
    errors = sum(int(n) for n in summary.groups() if n) if summary else None
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
    kernels = named_kernels(marked)
    return {
        "outcome": outcome,
        "errors": errors,
        "kernels": sorted(set().union(*kernels)),
        "unnamed": max(0, (errors or 0) - len(kernels)),  # errors that name no kernel
        "tests": int(ran.group(1)) if ran else 0,
        "cuda_calls": cuda_calls(run.text),
        "seconds": round(run.seconds, 1),
        "message": shorten(detail),
    }


def wrong(run, excuse=None):
    """Why an entry's part of the report doesn't show clean code, but for what is excused; or ''."""
    if run["outcome"] == "errors found" and excuse:
        if run["unnamed"]:
            return f"{run['unnamed']} of {run['errors']} errors name no kernel"
        strange = sorted(set(run["kernels"]) - excuse.kernels)
        if strange or not run["kernels"]:
            allowed = ", ".join(sorted(excuse.kernels))
            return f"errors in {', '.join(strange) or 'nothing'}, excused are those in {allowed}"
    elif run["outcome"] != "passed":
        return run["outcome"] + (f" ({run['errors']})" if run.get("errors") else "")
    elif run["errors"] != 0:
        return f"{run['errors']} errors"
    if run["tests"] == 0:
        return "no test ran to its end, or the filter matches none"
    if run["cuda_calls"] == 0:
        return "no call of the CUDA backend"
    return ""
