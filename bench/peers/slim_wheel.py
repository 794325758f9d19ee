#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes out of FlashInfer's wheel, in place, the sources of kernels that sampling doesn't use: half
of it, where a wheel has to be carried to a machine.

    bench/peers/slim_wheel.py flashinfer_python-*.whl
"""

import os
import pathlib
import sys
import zipfile

DATA = "flashinfer/data/"
KEPT = (
    "include/",
    "cccl/",
    "spdlog/include/",
    "cutlass/include/",
    "cutlass/tools/util/include/",
    "csrc/cake_sampling",
)


def is_for_sampling(name):
    if not name.startswith(DATA):
        return True
    inner = name[len(DATA) :]
    return inner.startswith(KEPT) or (inner.startswith("csrc/") and inner.count("/") == 1)


def slim(wheel, is_kept):
    wheel = pathlib.Path(wheel)
    new = wheel.with_suffix(".new")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(
        new, "w", zipfile.ZIP_DEFLATED, compresslevel=9
    ) as out:
        for item in old.infolist():
            if not is_kept(item.filename):
                continue
            content = old.read(item)
            if item.filename.endswith(".dist-info/RECORD"):
                lines = content.decode().splitlines(keepends=True)
                content = "".join(x for x in lines if is_kept(x.split(",")[0])).encode()
            out.writestr(item, content, zipfile.ZIP_DEFLATED)
    os.replace(new, wheel)


if __name__ == "__main__":
    for path in sys.argv[1:]:
        slim(path, is_for_sampling)
