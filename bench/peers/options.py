# SPDX-License-Identifier: Apache-2.0
"""The arguments of run.py, which it hands on to measure.py; those of the scripts for CPUs."""

import argparse
import importlib

# In the order in which they are measured: what the others are set beside comes first.
PEERS = ("limits", "logsum", "flashinfer", "liger", "quack", "torch", "compile")
LOSSES = ("policy_loss", "cross_entropy", "distill_loss")  # with their gradients
FAMILIES = ("sample", "score", "softmax", *LOSSES)
KINDS = ("normal", "peaked", "flat", "masked")


def parse(description, arguments=None):
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", help="liblogsum.so with CUDA; without it, only the peers")
    parser.add_argument("--peers", nargs="+", choices=PEERS[1:], default=list(PEERS[1:]))
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--data", nargs="+", choices=KINDS, default=["normal"])
    parser.add_argument("--quick", action="store_true", help="few shapes, no extras")
    parser.add_argument(
        "--time-limit",
        type=float,
        default=300,
        metavar="S",
        help="of each peer, its compiling included (%(default)g)",
    )
    parser.add_argument("--deadline", type=float, default=1e9, metavar="S", help="of the whole run")
    parser.add_argument("--json", metavar="FILE", help="all results, written after each")
    parser.add_argument("--markdown", metavar="FILE", help="the table, written at the end")
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="tiny shapes on the CPU: tests this program, its times mean nothing",
    )
    return parser.parse_args(arguments)


def cpu_parser(description):
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", help="liblogsum.so")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--vocab", type=int, default=131072)
    return parser


def peer(name, options):
    """The module of a peer, or what stands for it; imports PyTorch."""
    module = importlib.import_module(f"peer_{name}")
    return module.Peer(options.library) if name == "logsum" else module
