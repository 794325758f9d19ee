#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""logsum beside PyTorch's CPU kernels, one thread each, in one process: log_softmax + gather
against token_logprobs, softmax + multinomial against sample. Medians; logits come from memory, not
from cache.

    bench/peers/pytorch_cpu.py build/release/src/liblogsum.so [--rows 256] [--vocab 131072]
"""

import argparse
import ctypes
import statistics
import sys
import time

try:
    import torch
except ImportError:
    sys.exit("pytorch_cpu.py: skipped, PyTorch is not installed")

MAX_RANK = 8
F32, BF16, I64 = 0, 2, 5


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_int32),
        ("device_type", ctypes.c_int32),
        ("device_index", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("shape", ctypes.c_int64 * MAX_RANK),
        ("strides", ctypes.c_int64 * MAX_RANK),
    ]


class ParamF32(ctypes.Structure):
    _fields_ = [("value", ctypes.c_float), ("tensor", Tensor)]


class ParamU64(ctypes.Structure):
    _fields_ = [("value", ctypes.c_uint64), ("tensor", Tensor)]


class Status(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("message", ctypes.c_char * 300)]


class Executor(ctypes.Structure):
    _fields_ = [
        ("self", ctypes.c_void_p),
        ("concurrency", ctypes.c_void_p),
        ("run", ctypes.c_void_p),
    ]


class Context(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("workspace", ctypes.c_void_p),
        ("workspace_size", ctypes.c_size_t),
        ("executor", ctypes.POINTER(Executor)),
        ("backend", ctypes.c_int32),
        ("simd", ctypes.c_int32),
    ]


class ScoreArgs(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("temperature", ParamF32),
        ("ignore_index", ctypes.c_int64),
        ("vocab_size", ctypes.c_int64),
    ] + [
        (name, Tensor)
        for name in (
            "logits",
            "targets",
            "logprobs",
            "lse",
            "entropy",
            "argmax",
            "rank",
            "top_ids",
            "top_logprobs",
            "row_status",
        )
    ]


class SampleArgs(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("temperature", ParamF32),
        ("seed", ParamU64),
        ("offset", ParamU64),
        ("draws", ctypes.c_int64),
        ("vocab_size", ctypes.c_int64),
    ] + [
        (name, Tensor)
        for name in (
            "logits",
            "indices",
            "u",
            "token",
            "logprob",
            "raw_logprob",
            "lse",
            "entropy",
            "row_status",
        )
    ]


TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
CONCURRENCY = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
RUN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, TASK, ctypes.c_void_p)


@CONCURRENCY
def one_thread(_):
    return 1


@RUN
def run_here(_, tasks, task, argument):
    for i in range(tasks):
        task(argument, i)
    return 0


def view(tensor):
    dtype = {torch.float32: F32, torch.bfloat16: BF16, torch.int64: I64}[tensor.dtype]
    t = Tensor(tensor.data_ptr(), dtype, 1, 0, tensor.dim())
    for i in range(tensor.dim()):
        t.shape[i], t.strides[i] = tensor.shape[i], tensor.stride(i)
    return t


def median_ms(work, repeats=7):
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--vocab", type=int, default=131072)
    options = parser.parse_args()
    torch.set_num_threads(1)
    library = ctypes.CDLL(options.library)
    library.logsum_token_logprobs.restype = library.logsum_sample.restype = Status
    executor = Executor(
        None, ctypes.cast(one_thread, ctypes.c_void_p), ctypes.cast(run_here, ctypes.c_void_p)
    )
    context = Context(ctypes.sizeof(Context), None, 0, ctypes.pointer(executor), 0, 0)

    def call(function, args):
        status = function(ctypes.byref(args), ctypes.byref(context))
        if status.code:
            sys.exit(status.message.decode())

    print(f"{options.rows} x {options.vocab}, one thread, PyTorch {torch.__version__}")
    print(f"{'':34} {'PyTorch':>10} {'logsum':>10} {'ratio':>7}")
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16):
        logits = (torch.randn(options.rows, options.vocab) * 2.5).to(dtype)
        targets = torch.randint(options.vocab, (options.rows,))
        out, lse = torch.empty(options.rows), torch.empty(options.rows)
        token = torch.empty(options.rows, dtype=torch.int64)

        score = ScoreArgs(ctypes.sizeof(ScoreArgs), ParamF32(1.0), -100, 0)
        score.logits, score.targets = view(logits), view(targets)
        score.logprobs, score.lse = view(out), view(lse)
        draw = SampleArgs(ctypes.sizeof(SampleArgs), ParamF32(1.0), ParamU64(0), ParamU64(0), 1, 0)
        draw.logits, draw.token, draw.logprob = view(logits), view(token), view(out)

        def gather(x=logits, y=targets):
            return torch.log_softmax(x, -1).gather(-1, y[:, None])

        def multinomial(x=logits):
            return torch.multinomial(torch.softmax(x, -1), 1)

        for name, theirs, ours in (
            (
                "log_softmax + gather",
                gather,
                lambda a=score: call(library.logsum_token_logprobs, a),
            ),
            ("softmax + multinomial", multinomial, lambda a=draw: call(library.logsum_sample, a)),
        ):
            a, b = median_ms(theirs, 5), median_ms(ours, 9)
            print(f"{str(dtype)[6:] + ' ' + name:34} {a:7.1f} ms {b:7.1f} ms {a / b:6.1f}x")


if __name__ == "__main__":
    main()
