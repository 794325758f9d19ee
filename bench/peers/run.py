#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""logsum beside its peers on one GPU, one after the other. README.md says what is measured and how.

bench/peers/run.py --library build/release/src/liblogsum.so [--quick] [--json FILE]

Each peer is measured in a process of its own (measure.py): one that hangs is killed when its time
is up, one that crashes or brings the GPU into a bad state takes none of the others along.
"""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

import options as options_of
import table

MEASURE = pathlib.Path(__file__).resolve().parent / "measure.py"


class Peer:
    """A peer's process, and what it has said so far."""

    def __init__(self, name, words):
        self.name, self.words = name, words
        self.about, self.version = {}, None
        self.rows, self.done, self.current = [], set(), None
        self.was_stopped = False

    def stop(self, process):
        self.was_stopped = process.poll() is None
        kill(process)

    def hear(self, message):
        """The row that a message completes, or None."""
        self.about = message.get("about", self.about)
        self.version = message.get("version", self.version)
        if "plan" in message:
            self.rows = [table.Row(**row) for row in message["plan"]]
        self.current = message.get("begin", self.current)
        if "row" not in message:
            return None
        self.rows[message["row"]] = table.Row(**message["result"])
        self.done.add(message["row"])
        return self.rows[message["row"]]

    def measure(self, seconds):
        """Yields each row when it is complete, then those that there was no time for."""
        with tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace") as errors:
            with subprocess.Popen(
                [sys.executable, MEASURE, self.name, *self.words],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            ) as process:
                timer = threading.Timer(seconds, self.stop, [process])
                timer.start()
                try:
                    for line in process.stdout:
                        # The last may have been cut short.
                        row = self.hear(json.loads(line)) if line.endswith("\n") else None
                        if row:
                            yield row
                    status = process.wait()
                finally:
                    timer.cancel()
                    kill(process)
            errors.seek(0)
            said = errors.read().strip().splitlines()
        if status != 0 or len(self.done) < len(self.rows):
            yield from self.missed(self.why(status, seconds, said))

    def why(self, status, seconds, said):
        if self.was_stopped:
            return f"time limit of {seconds:.0f} s reached"
        last = said[-1][:200] if said else ""
        if status < 0:
            last = f"{signal.Signals(-status).name}: {last}"
        return last or f"exit status {status}"

    def missed(self, reason):
        if self.version is None:
            self.version = f"skipped: {reason}"
        for i, row in enumerate(self.rows):
            if i not in self.done:
                row.remark = f"{'failed' if i == self.current else 'skipped'}: {reason}"
                yield row


def kill(process):
    """The group: a peer starts compilers."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def save(path, about, rows):
    content = about | {"rows": [dataclasses.asdict(row) for row in rows]}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)


def main(arguments=None):
    words = sys.argv[1:] if arguments is None else arguments
    options = options_of.parse(__doc__, words)
    end = time.monotonic() + options.deadline
    about, rows = {"versions": {}}, []
    for name in options_of.PEERS:
        if name != "limits" and name not in options.peers:
            continue
        seconds = min(options.time_limit, end - time.monotonic())
        if seconds <= 0:
            about["versions"][name] = "skipped: the deadline has passed"
            continue
        peer = Peer(name, words)
        for row in peer.measure(seconds):
            print(table.line(row), flush=True)
            if options.json:
                save(options.json, about, [*rows, *peer.rows])
        about |= peer.about
        about["versions"][name] = peer.version
        print(f"{name}: {peer.version}", flush=True)
        rows += peer.rows
    table.relate(rows)
    text = "\n".join(f"{name}: {value}" for name, value in about.items())
    print(f"\n{text}\n\n{table.render(rows)}", flush=True)
    if options.json:
        save(options.json, about, rows)
    if options.markdown:
        pathlib.Path(options.markdown).write_text(table.markdown(about, rows), encoding="utf-8")
    if options.rehearse:
        print("REHEARSAL on the CPU: these times mean nothing")
    was_measured = any(row.cold_us for row in rows)
    return 1 if any(row.is_wrong for row in rows) or not was_measured else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("run.py: told to stop"))
    sys.exit(main())
