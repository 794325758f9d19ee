#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""logsum's training losses beside PyTorch eager on the CPU: loss and gradient of bf16 logits, in
one process, by turns; medians. logsum's gradient overwrites the logits, which are put back before
each call of either, out of the time. PyTorch's losses are those of torch_losses.py.

    bench/peers/pytorch_cpu_losses.py build/release/src/liblogsum.so [--rows 256] [--vocab 131072]
"""

import os
import statistics
import sys
import time

try:
    import torch
except ImportError:
    sys.exit("pytorch_cpu_losses.py: skipped, PyTorch is not installed")

import check_losses
import inputs as inputs_of
import peer_torch
from in_place import restore
from one_thread import EXECUTOR
from options import LOSSES, cpu_parser
from peer_logsum import Peer

SPIN_SECONDS = 0.05  # PyTorch's threads look that long for work on cores that logsum's need


def candidates(peer, case):
    """Ours and theirs. One mode: on the CPU both are the same."""
    ours = [x for x in peer.candidates(case) if x.who.endswith("per_device")]
    return ours[0], peer_torch.candidates(case)


def milliseconds(call):
    restore(call)
    time.sleep(SPIN_SECONDS)
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def medians(calls, repeats):
    """By turns, so that a noisy minute of the machine is everybody's."""
    rounds = [[milliseconds(call) for call in calls] for _ in range(repeats + 1)]
    return [statistics.median(times) for times in zip(*rounds[1:])]


def main():
    parser = cpu_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--families", nargs="+", choices=LOSSES, default=list(LOSSES))
    # oneTBB, which logsum uses without an executor of ours, has a thread for each core.
    cores = len(os.sched_getaffinity(0))
    every = sorted({1, cores})
    parser.add_argument("--threads", nargs="+", type=int, choices=every, default=every)
    options = parser.parse_args()
    print(f"{options.rows} x {options.vocab} bf16, PyTorch {torch.__version__}, {cores} cores")
    print(f"{'':58} {'PyTorch':>10} {'logsum':>10} {'ratio':>7}")
    for family in options.families:
        case = inputs_of.Case(family, options.rows, options.vocab, torch.bfloat16)
        inputs = inputs_of.make(case, "normal", "cpu", 0)
        for threads in options.threads:
            torch.set_num_threads(threads)
            peer = Peer(options.library, EXECUTOR if threads == 1 else None)
            peer.load()
            ours, theirs = candidates(peer, case)
            calls = [x.make(inputs) for x in (ours, *theirs)]
            what, error = check_losses.ours(ours, inputs, calls[0]())
            if not error <= 1:
                sys.exit(f"{family}: WRONG, error {error:.2f} of tolerance ({what})")
            own, *others = medians(calls, options.repeats)
            for candidate, ms in zip(theirs, others):
                name = f"{family}, threads: {threads}, {candidate.who}"
                print(f"{name:58} {ms:7.1f} ms {own:7.1f} ms {ms / own:6.1f}x", flush=True)


if __name__ == "__main__":
    main()
