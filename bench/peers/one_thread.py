# SPDX-License-Identifier: Apache-2.0
"""An executor for logsum that runs everything on the thread that calls."""

import ctypes

import logsum_ctypes

TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
CONCURRENCY = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
RUN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, TASK, ctypes.c_void_p)


@CONCURRENCY
def one(_):
    return 1


@RUN
def run_here(_, tasks, task, argument):
    for i in range(tasks):
        task(argument, i)
    return 0


EXECUTOR = logsum_ctypes.Executor(
    None, ctypes.cast(one, ctypes.c_void_p), ctypes.cast(run_here, ctypes.c_void_p)
)
