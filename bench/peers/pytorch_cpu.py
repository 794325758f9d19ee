#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""logsum beside PyTorch's CPU kernels, one thread each, in one process: log_softmax + gather
against token_logprobs, softmax + multinomial against sample. Medians; logits come from memory, not
from cache.

    bench/peers/pytorch_cpu.py build/release/src/liblogsum.so [--rows 256] [--vocab 131072]
"""

import statistics
import sys
import time

try:
    import torch
except ImportError:
    sys.exit("pytorch_cpu.py: skipped, PyTorch is not installed")

import logsum_ctypes
from one_thread import EXECUTOR
from options import cpu_parser


def median_ms(work, repeats=7):
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def main():
    options = cpu_parser(__doc__).parse_args()
    torch.set_num_threads(1)
    library = logsum_ctypes.Library(options.library)
    context = logsum_ctypes.context(EXECUTOR)

    print(f"{options.rows} x {options.vocab}, one thread, PyTorch {torch.__version__}")
    print(f"{'':34} {'PyTorch':>10} {'logsum':>10} {'ratio':>7}")
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16):
        logits = (torch.randn(options.rows, options.vocab) * 2.5).to(dtype)
        targets = torch.randint(options.vocab, (options.rows,))
        out, lse = torch.empty(options.rows), torch.empty(options.rows)
        token = torch.empty(options.rows, dtype=torch.int64)

        score = logsum_ctypes.arguments(
            "token_logprobs", logits=logits, targets=targets, logprobs=out, lse=lse
        )
        draw = logsum_ctypes.arguments("sample", logits=logits, token=token, logprob=out)

        def gather(x=logits, y=targets):
            return torch.log_softmax(x, -1).gather(-1, y[:, None])

        def multinomial(x=logits):
            return torch.multinomial(torch.softmax(x, -1), 1)

        for name, theirs, ours in (
            ("log_softmax + gather", gather, ("token_logprobs", score, context)),
            ("softmax + multinomial", multinomial, ("sample", draw, context)),
        ):
            a, b = median_ms(theirs, 5), median_ms(lambda c=ours: library.call(*c), 9)
            print(f"{str(dtype)[6:] + ' ' + name:34} {a:7.1f} ms {b:7.1f} ms {a / b:6.1f}x")


if __name__ == "__main__":
    main()
