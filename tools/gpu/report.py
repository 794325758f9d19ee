# SPDX-License-Identifier: Apache-2.0
"""A report from its parts. Each program's result is a file of its own in OUT/parts, written when
that program ends: what is killed half-way loses nothing, what has no file was not run, and several
calls of run.py with one OUT make one report."""

import json

from render import render

FORMAT = 4
NOT_RUN = {"outcome": "not run"}


def dump(value):
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


class Parts:
    def __init__(self, out):
        self.out = out
        self.folder = out / "parts"
        self.folder.mkdir(parents=True, exist_ok=True)

    def _path(self, kind, name):
        return self.folder / f"{kind}-{name}.json"

    def begin(self, session):
        """Refuses to mix results of two builds, machines or backends; keeps the first date. Where
        only the tool's tests are others, their result is dropped: they run again."""
        path = self.folder / "session.json"
        if path.exists():
            old = json.loads(path.read_text(encoding="utf-8"))
            if old["tool_tests_hash"] != session["tool_tests_hash"]:
                self._path("test", "cli_test").unlink(missing_ok=True)
                old["tool_tests_hash"] = session["tool_tests_hash"]
                path.write_text(dump(old), encoding="utf-8")
            for key in session:
                if key != "date" and old[key] != session[key]:
                    raise ValueError(
                        f"{self.out} holds results of another run: {key} was {old[key]}, "
                        f"is {session[key]}; give another folder"
                    )
            return old
        path.write_text(dump(session), encoding="utf-8")
        return session

    def has(self, kind, name):
        return self._path(kind, name).exists()

    def put(self, kind, name, result):
        path = self._path(kind, name)
        partial = path.with_suffix(".partial")
        partial.write_text(dump(result), encoding="utf-8")
        partial.replace(path)

    def get(self, kind, name):
        path = self._path(kind, name)
        if not path.exists():
            return dict(NOT_RUN)
        return json.loads(path.read_text(encoding="utf-8"))


def sanitizer_name(entry):
    """Of the part's file: filters have characters that file names don't."""
    plain = "".join(c if c.isalnum() else "_" for c in entry.filter)
    return f"{entry.tool}-{entry.program}-{plain}"[:200]


def compose(parts, session, programs, entries, limits):
    return {
        "format": FORMAT,
        **session,
        "tests": [{"program": name, **parts.get("test", name)} for name in programs],
        "sanitizers": [
            {**entry._asdict(), **parts.get("sanitizer", sanitizer_name(entry))}
            for entry in entries
        ],
        "limits": [
            {"tool": tool, "program": program, **parts.get("limit", f"{tool}-{program}")}
            for tool, program in limits
        ],
        "benchmark": parts.get("benchmark", "all"),
    }


def write(parts, report):
    (parts.out / "report.json").write_text(dump(report), encoding="utf-8")
    (parts.out / "report.md").write_text(render(report), encoding="utf-8")
