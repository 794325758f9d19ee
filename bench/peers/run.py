#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""logsum beside its peers on one GPU, in one process. README.md says what is measured and how.

bench/peers/run.py --library build/release/src/liblogsum.so [--quick] [--json FILE]
"""

import argparse
import dataclasses
import gc
import json
import sys
import warnings
from functools import partial

try:
    import torch
except ImportError:
    sys.exit("run.py: skipped, PyTorch is not installed")

import check
import inputs as inputs_of
import limits
import peer_compile
import peer_flashinfer
import peer_liger
import peer_logsum
import peer_quack
import peer_torch
import table
import timing
from budget import Budget, OutOfTime
from logsum_ctypes import Unsupported

PEERS = {
    "logsum": None,  # made from --library
    "flashinfer": peer_flashinfer,
    "liger": peer_liger,
    "quack": peer_quack,
    "torch": peer_torch,
    "compile": peer_compile,
}
FAMILIES = ("sample", "score", "softmax")


def parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", help="liblogsum.so with CUDA; without it, only the peers")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--data", nargs="+", choices=inputs_of.KINDS, default=["normal"])
    parser.add_argument("--quick", action="store_true", help="few shapes, no extras")
    parser.add_argument(
        "--time-limit", type=float, default=180, help="seconds per peer, compilation included"
    )
    parser.add_argument("--json", help="write all results there, after each case")
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="tiny shapes on the CPU: tests this program, its times mean nothing",
    )
    return parser.parse_args(arguments)


class Run:
    def __init__(self, options):
        self.options = options
        self.device = "cpu" if options.rehearse else "cuda"
        self.peers = {name: PEERS[name] for name in options.peers}
        if "logsum" in self.peers:
            self.peers["logsum"] = peer_logsum.Peer(options.library)
        # One more for extras: what they compile must not cost a peer its other rows.
        self.budgets = {
            (name, extra): Budget(options.time_limit)
            for name in self.peers
            for extra in (False, True)
        }
        self.versions, self.rows, self.is_wrong = {}, [], False

    def load(self):
        for name, peer in list(self.peers.items()):
            try:
                with self.budgets[name, False]:
                    self.versions[name] = str(peer.load())
            except (Exception, OutOfTime) as error:  # any failure of a peer is a result too
                self.versions[name] = f"skipped: {timing.first_line(error)}"
                del self.peers[name]

    def case(self, case, kind):
        sets = [inputs_of.make(case, kind, self.device, i) for i in range(case.sets)]
        if not self.options.rehearse:
            timing.raise_clocks()
        rows = self.limits(case, sets)
        for name, peer in self.peers.items():
            for candidate in peer.candidates(case):
                if candidate.is_extra and self.options.quick:
                    continue
                row = table.Row("", "", candidate.operation, candidate.who)
                row.is_baseline = candidate.is_baseline
                budget = self.budgets[name, candidate.is_extra]
                self.measure(row, candidate, sets, case.in_graph, budget)
                rows.append(row)
                free()
        for row in rows:
            row.data, row.shape = kind, str(case)
        table.relate(rows)
        self.rows += rows
        return rows

    def limits(self, case, sets):
        rows = []
        for who, choices in (
            ("copy", [limits.copy]),
            ("read, fastest of 3 grids", [partial(limits.reader, grid=g) for g in limits.GRIDS]),
        ):
            row = table.Row("", "", table.LIMITS, who)
            try:
                found = [self.times([make(s) for s in sets], case.in_graph) for make in choices]
                row.cold_us, row.warm_us, row.remark = min(found)
            except Exception as error:
                row.remark = f"skipped: {timing.first_line(error)}"
            rows.append(row)
        return rows

    def times(self, calls, in_graph):
        method, remark = timing.best_method(calls, in_graph, self.options.rehearse)
        return method(calls), method(calls[:1]), remark

    def measure(self, row, candidate, sets, in_graph, budget):
        remarks = []
        try:
            with budget:
                calls = [candidate.make(inputs) for inputs in sets]
                outputs = calls[0]()
                if candidate.is_ours:
                    what, error = check.ours(candidate, sets[0], outputs)
                    remarks.append(f"error {error:.2f} of tolerance ({what})")
                    if not error <= 1:
                        remarks[-1] = "WRONG: " + remarks[-1]
                        self.is_wrong = True
                else:
                    remarks.append(check.nan_remark(outputs))
                del outputs
                row.cold_us, row.warm_us, remark = self.times(
                    calls, in_graph and candidate.in_graph
                )
                remarks.append(remark)
        except Unsupported as error:
            remarks.append(f"unsupported: {timing.first_line(error)}")
        except OutOfTime as error:
            remarks.append(f"skipped: {error}")
        except Exception as error:
            remarks.append(f"skipped: {type(error).__name__}: {timing.first_line(error)}")
        row.remark = "; ".join(filter(None, remarks))

    def about(self):
        return {
            "device": (
                "CPU rehearsal: times mean nothing"
                if self.options.rehearse
                else torch.cuda.get_device_name()
            ),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "versions": self.versions,
        }

    def save(self):
        if self.options.json:
            with open(self.options.json, "w", encoding="utf-8") as file:
                rows = [dataclasses.asdict(row) for row in self.rows]
                json.dump(self.about() | {"rows": rows}, file, indent=1)


def free():
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def main(arguments=None):
    options = parse(arguments)
    if not options.rehearse and not torch.cuda.is_available():
        sys.exit("run.py: skipped, no CUDA device (--rehearse runs tiny shapes on the CPU)")
    warnings.filterwarnings("ignore")
    if options.rehearse:
        torch.set_num_threads(1)
    run = Run(options)
    run.load()
    for name, value in run.about().items():
        print(f"{name}: {value}")
    print(table.header(), flush=True)
    for case in inputs_of.cases(options.families, options.quick, options.rehearse):
        for kind in options.data:
            try:
                print(table.render(run.case(case, kind)), flush=True)
                free()
            except Exception as error:  # a GPU that has faulted stays so for this process
                print(f"{case} {kind}: skipped: {timing.first_line(error)}", flush=True)
            run.save()
    if options.rehearse:
        print("REHEARSAL on the CPU: these times mean nothing")
    return 1 if run.is_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
