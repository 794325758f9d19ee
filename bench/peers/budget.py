# SPDX-License-Identifier: Apache-2.0
"""Seconds a peer may use in total: one that compiles for minutes must not cost the others theirs.

An alarm interrupts Python, and so the compilers it waits for; code that stays inside a C extension
is interrupted when it comes back."""

import signal
import time


class OutOfTime(BaseException):
    """Not an Exception, so that no peer's own fallback swallows it."""


class Budget:
    def __init__(self, seconds):
        self.left = seconds

    def __enter__(self):
        if self.left <= 0:
            raise OutOfTime("time limit used up")
        self.start = time.monotonic()
        signal.signal(signal.SIGALRM, self.stop)
        signal.setitimer(signal.ITIMER_REAL, self.left)

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.left -= time.monotonic() - self.start

    @staticmethod
    def stop(*_):
        raise OutOfTime("time limit reached")
