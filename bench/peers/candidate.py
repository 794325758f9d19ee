# SPDX-License-Identifier: Apache-2.0
"""One way of doing one operation: a row of the table."""

import dataclasses
from typing import Callable

TEMPERATURE = 0.8  # of sampling; scores and softmax are at 1
TOP_K, TOP_P = 50, 0.95
EPSILON, BETA = 0.2, 0.04  # of GRPO: its clip, its k3
JSD_BETA = 0.5  # the teacher's weight


@dataclasses.dataclass
class Candidate:
    operation: str  # candidates of one operation are compared
    who: str
    # From Inputs to a call that puts the work on the current stream and returns its outputs by
    # name, as far as something can be said about them.
    make: Callable
    is_ours: bool = False
    is_baseline: bool = False  # what "x ours" divides by
    in_graph: bool = True  # can be captured
    is_extra: bool = False  # left out of --quick


SCORE, SCORE_ENTROPY = "log-prob", "log-prob + entropy"
SAMPLE, FILTERED = "sample", "top-k 50, top-p 0.95"
# Each with the gradient of the logits
POLICY, CLASSES, DISTILL = "GRPO + gradient", "CE + gradient", "JSD + gradient"
