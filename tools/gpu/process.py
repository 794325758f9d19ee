# SPDX-License-Identifier: Apache-2.0
"""One program under a time limit: how it ended, how long it took, what it printed."""

import os
import signal
import subprocess
import threading
import time
from collections import namedtuple

# ending: "exited", "crashed" or "timed out"; status: the exit status, or what ended it in words.
Run = namedtuple("Run", "ending status seconds text")

_alive = set()
_lock = threading.Lock()
_stopping = False


def _kill(process):
    try:  # The group: compute-sanitizer starts the program that it watches.
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def stop_all():
    """No program is left, and none starts any more."""
    global _stopping
    with _lock:
        _stopping = True
        for process in _alive:
            _kill(process)


def run(command, environment, limit, log):
    """Its output goes to the file `log`, which is there to read while the program runs."""
    begin = time.monotonic()
    with open(log, "wb") as out:
        with _lock:
            if _stopping:
                raise InterruptedError("stopped")
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            _alive.add(process)
        try:
            status = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _kill(process)  # and what it may have left behind
            process.wait()
            with _lock:
                _alive.discard(process)
    if _stopping:
        raise InterruptedError("stopped")
    seconds = time.monotonic() - begin
    text = log.read_text(encoding="utf-8", errors="replace")
    if status is None:
        return Run("timed out", f"after {limit:.0f} s", seconds, text)
    if status < 0:
        return Run("crashed", _signal_name(-status), seconds, text)
    return Run("exited", status, seconds, text)


def _signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
