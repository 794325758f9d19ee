# SPDX-License-Identifier: Apache-2.0
"""Microseconds per call on a GPU, as a median, for calls that only put work on the current stream.

Each takes a list of calls that do the same on different inputs. All of them in turn are the "cold"
figure where the inputs together are larger than L2 several times over; the first alone, again and
again, is the "warm" one.
"""

import statistics
import time

import torch
from in_place import restore

GRAPH_CALLS = 32  # per replay of one call's graph: the replay's own cost is shared
AHEAD_CYCLES = 20_000_000  # about 10 ms: by then all launches are queued, and no gap is timed


def graph_us(calls, replays=25):
    """In a CUDA graph, as an engine runs its decode step: no launch cost, and no gaps."""
    if len(calls) == 1:
        calls = calls * GRAPH_CALLS
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    events = [event() for _ in range(replays + 1)]
    for _ in range(3):
        graph.replay()
    events[0].record()
    for after in events[1:]:
        graph.replay()
        after.record()
    return median_gap_us(zip(events, events[1:])) / len(calls)


def stream_us(calls, repeats=20):
    """An event pair around each call, the launches queued ahead of the GPU."""
    for call in calls[:3]:
        restore(call)
        call()
    torch.cuda._sleep(AHEAD_CYCLES)
    pairs = []
    for i in range(repeats):
        call = calls[i % len(calls)]
        restore(call)
        pairs.append((event(), event()))
        pairs[-1][0].record()
        call()
        pairs[-1][1].record()
    return median_gap_us(pairs)


def raise_clocks():
    """A GPU that idled takes a while to reach its clock."""
    torch.cuda._sleep(20 * AHEAD_CYCLES)


def wall_us(calls, repeats=3):
    """For a rehearsal on the CPU."""
    gaps = []
    for i in range(repeats):
        call = calls[i % len(calls)]
        restore(call)
        start = time.perf_counter()
        call()
        gaps.append((time.perf_counter() - start) * 1e6)
    return statistics.median(gaps)


def event():
    return torch.cuda.Event(enable_timing=True)


def median_gap_us(pairs):
    torch.cuda.synchronize()
    return 1e3 * statistics.median(before.elapsed_time(after) for before, after in pairs)


def best_method(calls, in_graph, rehearse):
    """The measuring function for these calls, and what to say about it."""
    if rehearse:
        return wall_us, "rehearsal"
    if not in_graph:
        return stream_us, ""
    try:
        graph_us(calls[:1], replays=1)
        return graph_us, ""
    except RuntimeError as error:
        torch.cuda.synchronize()
        return stream_us, f"not in a graph: {first_line(error)}"


def first_line(error):
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:100]
