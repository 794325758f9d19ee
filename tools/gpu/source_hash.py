#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the hashes of the sources that a GPU report speaks of: all that is built into the test
programs, the tool and the examples for GPUs, and what decides how; then the tool's tests, which are
Python: what they ask of the tool changes no other program's results, so that a change of them asks
for them alone to be run again. Not documentation, not comments in code, not these scripts.

Files are walked, not asked of git: a tarball has the same hash as a clone, and a source that isn't
committed yet but is compiled (CMake globs) counts.

    tools/gpu/source_hash.py [--list]
"""

import hashlib
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

FOLDERS = ["include", "src", "io", "cli", "tests/support"]
SUFFIXES = {".c", ".h", ".cpp", ".hpp", ".cu", ".cuh", ".inc"}
GLOBS = [
    "CMakeLists.txt",
    *(f"{folder}/CMakeLists.txt" for folder in ("src", "io", "cli", "tests")),
    "cmake/*.cmake",
    "tests/*_test.cpp",
    "tests/sanitizer_limits/*.cu",
    "examples/data/*",
    "examples/CMakeLists.txt",
    "examples/decode_*",
]
TOOL_TESTS = ["tests/cli_test.py", "tests/cli/*.py"]
# Says what is installed, not what is built.
EXCEPT = {"cmake/LogsumInstall.cmake"}


def files(root):
    """Paths relative to root, sorted."""
    found = {p for glob in GLOBS for p in root.glob(glob)}
    for folder in FOLDERS:
        found |= {p for p in (root / folder).rglob("*") if p.suffix in SUFFIXES}
    return names(root, found)


def tool_tests(root):
    return names(root, {p for glob in TOOL_TESTS for p in root.glob(glob)})


def names(root, paths):
    return sorted({p.relative_to(root).as_posix() for p in paths if p.is_file()} - EXCEPT)


# What isn't a comment is kept: strings, for they may hold what looks like one.
LITERAL_OR_COMMENT = re.compile(
    rb'''(R"(?P<end>[^()\\\s]*)\(.*?\)(?P=end)"'''
    rb"""|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|//[^\n]*|/\*.*?\*/""",
    re.DOTALL,
)


def code(text):
    """Without comments: a better one runs as the old one did."""
    # A raw string's lines are its own: no line ends at them.
    kept = LITERAL_OR_COMMENT.sub(
        lambda found: (found.group(1) or b" ").replace(b"\n", b"\0"), text
    )
    return b"\n".join(line.rstrip() for line in kept.split(b"\n") if line.strip())


def content(path):
    """Text as git stores it, whatever a checkout made of its line ends."""
    data = path.read_bytes()
    if b"\0" in data:
        return data
    text = data.replace(b"\r\n", b"\n")
    return code(text) if path.suffix in SUFFIXES else text


def hash_of(root, listed):
    total = hashlib.sha256()
    for name in listed:
        total.update(f"{hashlib.sha256(content(root / name)).hexdigest()}  {name}\n".encode())
    return total.hexdigest()


def source_hash(root=ROOT):
    return hash_of(root, files(root))


def tool_tests_hash(root=ROOT):
    return hash_of(root, tool_tests(root))


if __name__ == "__main__":
    if "--list" in sys.argv[1:]:
        print("\n".join(files(ROOT) + tool_tests(ROOT)))
    print(source_hash(), tool_tests_hash())
