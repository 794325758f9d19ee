#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs all tests of the command-line tool, which lie in tests/cli: cli_test.py PATH/TO/logsum.

Plain Python: the tests write and read safetensors and NPY by themselves and compute log-softmax
with math, so that they share nothing with what they check.
"""

import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "cli"))
sys.dont_write_bytecode = True

import tool  # noqa: E402


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: cli_test.py PATH/TO/logsum [unittest options]")
    tool.PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
    suite = unittest.defaultTestLoader.discover(str(HERE / "cli"), pattern="*_cases.py")
    verbosity = 2 if "-v" in sys.argv else 1
    sys.exit(not unittest.TextTestRunner(verbosity=verbosity).run(suite).wasSuccessful())


if __name__ == "__main__":
    main()
