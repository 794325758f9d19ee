# SPDX-License-Identifier: Apache-2.0
"""Where CuTe DSL is, for peers whose kernels are written in it."""

import os
import site


def find():
    """By a .pth file, which Python doesn't read in PYTHONPATH's folders."""
    for folder in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        site.addsitedir(folder)
