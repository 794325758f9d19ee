#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of tools/gpu, which lie in tests/gpu; they need no GPU."""

import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "gpu"), str(HERE.parent / "tools/gpu")]
sys.dont_write_bytecode = True


def main():
    suite = unittest.defaultTestLoader.discover(str(HERE / "gpu"), pattern="*_cases.py")
    verbosity = 2 if "-v" in sys.argv else 1
    sys.exit(not unittest.TextTestRunner(verbosity=verbosity).run(suite).wasSuccessful())


if __name__ == "__main__":
    main()
