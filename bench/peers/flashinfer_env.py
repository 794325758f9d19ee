# SPDX-License-Identifier: Apache-2.0
"""What FlashInfer's compiler calls need beyond its own flags."""

import importlib.util
import os
import pathlib
import shutil


def cuda_home():
    nvcc = shutil.which("nvcc")
    return pathlib.Path(nvcc).resolve().parent.parent if nvcc else pathlib.Path("/usr/local/cuda")


def use_curand_headers():
    """A toolkit may come without curand.h; then that of the nvidia-curand package is found."""
    if (cuda_home() / "include/curand.h").exists():
        return
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations if spec else ():
        for header in sorted(pathlib.Path(folder).glob("*/include/curand.h")):
            flags = os.environ.get("FLASHINFER_EXTRA_CUDAFLAGS", "")
            # Last, so that the toolkit's own headers win.
            os.environ["FLASHINFER_EXTRA_CUDAFLAGS"] = f"{flags} -isystem {header.parent}".strip()
            return
