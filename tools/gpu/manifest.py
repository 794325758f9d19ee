#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints a bundle's manifest: manifest.py BUILD_FOLDER SOURCE_HASH
TOOL_TESTS_HASH PROGRAM..."""

import json
import pathlib
import re
import sys

import plain

build, source_hash, tool_tests_hash, *programs = sys.argv[1:]


def of_compiler(language, name):
    """A value that CMake found out about a compiler."""
    [path] = pathlib.Path(build).glob(f"CMakeFiles/*/CMake{language}Compiler.cmake")
    return re.search(rf'set\({name} "([^"]*)"\)', path.read_text(encoding="utf-8")).group(1)


cache = pathlib.Path(build, "CMakeCache.txt").read_text(encoding="utf-8")
kind = of_compiler("CXX", "CMAKE_CXX_COMPILER_ID")
print(
    json.dumps(
        {
            "source_hash": source_hash,
            "tool_tests_hash": tool_tests_hash,
            "build": {
                "cuda": of_compiler("CUDA", "CMAKE_CUDA_COMPILER_VERSION"),
                "architectures": re.search(r"^LOGSUM_CUDA_ARCHITECTURES:\w+=(.*)$", cache, re.M)[1],
                "compiler": f"{kind} {of_compiler('CXX', 'CMAKE_CXX_COMPILER_VERSION')}",
            },
            "programs": [*programs, *plain.PROGRAMS],
        },
        indent=1,
    )
)
