#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One peer's rows, for run.py: measure.py PEER [run.py's arguments].

Says on stdout, a line of JSON each: what it will measure ("plan"), what it begins with ("begin")
and what came of it ("row"), so that whoever reads knows what was under way when this process hung
or crashed. What peers print goes to stderr.
"""

import dataclasses
import gc
import json
import os
import sys
import warnings

import options as options_of
import table


class Protocol:
    """stdout, for this process alone: peers that write there write to stderr."""

    def __init__(self):
        self.out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def say(self, **message):
        print(json.dumps(message), file=self.out, flush=True)


def about(options):
    import torch

    is_rehearsal = options.rehearse
    return {
        "device": (
            "CPU rehearsal: times mean nothing" if is_rehearsal else torch.cuda.get_device_name()
        ),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }


def plan(peer, options):
    """[(case, kind, candidate)], extras last: what they compile must not cost the others time."""
    import inputs as inputs_of

    cases = inputs_of.cases(options.families, options.quick, options.rehearse)
    everything = [
        (case, kind, candidate)
        for case in cases
        for kind in options.data
        for candidate in peer.candidates(case)
        if not (candidate.is_extra and options.quick)
    ]
    return sorted(everything, key=lambda item: item[2].is_extra)


def blank(case, kind, candidate):
    row = table.Row(kind, str(case), candidate.operation, candidate.who, case.family)
    row.is_baseline = candidate.is_baseline
    return row


def measure(row, candidate, sets, in_graph, rehearse):
    import check
    import check_losses
    import timing
    from logsum_ctypes import Unsupported

    remarks = []
    is_loss = candidate.operation in check_losses.WANTED
    try:
        calls = [candidate.make(inputs) for inputs in sets]
        outputs = calls[0]()
        if candidate.is_ours:
            what, error = (check_losses if is_loss else check).ours(candidate, sets[0], outputs)
            remarks.append(f"error {error:.2f} of tolerance ({what})")
            if not error <= 1:
                remarks[-1] = "WRONG: " + remarks[-1]
                row.is_wrong = True
        elif candidate.operation != table.LIMITS:
            remarks.append(check.nan_remark(outputs))
            if is_loss and not remarks[-1]:
                remarks.append(check_losses.remark(candidate, sets[0], outputs))
        del outputs
        method, remark = timing.best_method(calls, in_graph and candidate.in_graph, rehearse)
        remarks.append(remark)
        cold = method(calls)
        row.cold_us, row.warm_us = cold, method(calls[:1])
    except Unsupported as error:
        remarks.append(f"unsupported: {timing.first_line(error)}")
    except Exception as error:  # any failure of a peer is a result too
        remarks.append(f"failed: {type(error).__name__}: {timing.first_line(error)}")
    row.remark = "; ".join(filter(None, remarks))


def free():
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def run(name, options, say):
    import torch

    if not options.rehearse and not torch.cuda.is_available():
        sys.exit("no CUDA device (--rehearse runs tiny shapes on the CPU)")
    if options.rehearse:
        torch.set_num_threads(1)
    import inputs as inputs_of
    import timing

    peer = options_of.peer(name, options)
    say(about=about(options), version=str(peer.load()))
    steps = plan(peer, options)
    say(plan=[dataclasses.asdict(blank(*step)) for step in steps])
    held, sets = None, []
    for i, (case, kind, candidate) in enumerate(steps):
        say(begin=i)
        row = blank(case, kind, candidate)
        try:
            if held != (case, kind):
                held, sets = None, []  # before the next take their room
                free()
                device = "cpu" if options.rehearse else "cuda"
                sets = [inputs_of.make(case, kind, device, n) for n in range(case.sets)]
                held = (case, kind)
                if not options.rehearse:
                    timing.raise_clocks()
            measure(row, candidate, sets, case.in_graph, options.rehearse)
        except Exception as error:  # no room for the inputs, or a GPU that has faulted
            row.remark = f"failed: {timing.first_line(error)}"
        say(row=i, result=dataclasses.asdict(row))
        try:
            free()
        except Exception:  # a GPU that has faulted; the next rows say so
            held = None


if __name__ == "__main__":
    protocol = Protocol()
    warnings.filterwarnings("ignore")
    run(sys.argv[1], options_of.parse(__doc__, sys.argv[2:]), protocol.say)
