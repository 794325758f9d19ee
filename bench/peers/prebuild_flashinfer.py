#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles FlashInfer's sampling modules on a machine that has nvcc and no GPU, because the minutes
nvcc takes are dear on the one that has it.

    bench/peers/prebuild_flashinfer.py DIR [--arch 9.0a] [--modules sampling topk cake]

Copied to <site-packages>/flashinfer/data/aot, DIR's modules are loaded instead of compiled. The
module for top-k/top-p on probabilities ("cake") takes longest.
"""

import argparse
import importlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from flashinfer_env import use_curand_headers

MODULES = {
    "sampling": ("flashinfer.jit.sampling", "gen_sampling_module"),
    "topk": ("flashinfer.jit.topk", "gen_topk_module"),
    "cake": ("flashinfer.jit.cake_sampling", "gen_cake_sampling_module"),
}


def driver_stub(folder):
    """An empty libcuda.so to link against: the real one comes with a driver."""
    library = pathlib.Path(folder) / "libcuda.so"
    subprocess.run(
        ["cc", "-shared", "-x", "c", "/dev/null", "-o", library, "-Wl,-soname,libcuda.so.1"],
        check=True,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--arch", default="9.0a", help="as FLASHINFER_CUDA_ARCH_LIST")
    parser.add_argument("--modules", nargs="+", choices=MODULES, default=list(MODULES))
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as stubs:
        driver_stub(stubs)
        # Read when flashinfer is imported.
        os.environ["FLASHINFER_CUDA_ARCH_LIST"] = options.arch
        os.environ["FLASHINFER_EXTRA_LDFLAGS"] = f"-L{stubs}"
        use_curand_headers()
        for name in options.modules:
            start = time.monotonic()
            module, function = MODULES[name]
            spec = getattr(importlib.import_module(module), function)()
            spec.build(verbose=False)
            target = options.directory / spec.name / f"{spec.name}.so"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(spec.build_dir / f"{spec.name}.so", target)
            print(f"{name}: {time.monotonic() - start:.0f} s, {target}", flush=True)


if __name__ == "__main__":
    main()
