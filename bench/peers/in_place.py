# SPDX-License-Identifier: Apache-2.0
"""A call whose gradient overwrites its logits, as memory in training asks for."""

import torch


class InPlace:
    """Works on a copy, which `restore` makes anew: else a second call would have the gradient of a
    gradient, whose arithmetic takes other branches, and the next peer other logits."""

    def __init__(self, logits, make):
        self.logits, self.copy = logits, logits.detach().clone()
        self.call = make(self.copy)

    def restore(self):
        with torch.no_grad():  # a copy that requires a gradient may be written to
            self.copy.copy_(self.logits)

    def __call__(self):
        return self.call()


def restore(call):
    """Before each call, out of the time; nothing to do for calls that write elsewhere."""
    if isinstance(call, InPlace):
        call.restore()
