# SPDX-License-Identifier: Apache-2.0
"""Rows of results as text: one block per case, within it one per operation."""

import dataclasses


@dataclasses.dataclass
class Row:
    data: str
    shape: str
    operation: str
    who: str
    cold_us: float | None = None
    warm_us: float | None = None
    remark: str = ""  # why there is no time, or what to know about it
    is_baseline: bool = False
    copy_percent: float | None = None  # the copy's time in percent of this one's, cold
    read_percent: float | None = None
    times_ours: float | None = None


COLUMNS = ("shape", "operation", "who", "us cold", "us warm", "% copy", "% read", "x ours")
WIDTHS = (22, 22, 44, 9, 9, 7, 7, 7)
LIMITS = "limits"


def relate(rows):
    """Fills in the ratios of one case's rows."""
    copy, read = (
        next((r.cold_us for r in rows if r.operation == LIMITS and r.who.startswith(name)), None)
        for name in ("copy", "read")
    )
    for row in rows:
        if not row.cold_us:
            continue
        row.copy_percent = 100 * copy / row.cold_us if copy else None
        row.read_percent = 100 * read / row.cold_us if read else None
        ours = next((r for r in rows if r.is_baseline and r.operation == row.operation), None)
        row.times_ours = row.cold_us / ours.cold_us if ours and ours.cold_us else None


def header():
    names = [
        name.ljust(w) if i < 3 else name.rjust(w)
        for i, (name, w) in enumerate(zip(COLUMNS, WIDTHS))
    ]
    line = " ".join(names) + "  remark"
    return line + "\n" + "-" * len(line)


def render(rows):
    lines, previous = [], None
    for row in sorted(rows, key=lambda r: order(rows, r)):
        group = (row.data, row.shape, row.operation)
        names = (f"{row.shape} {row.data}", row.operation) if group != previous else ("", "")
        previous = group
        numbers = [
            number(row.cold_us, 1),
            number(row.warm_us, 1),
            number(row.copy_percent, 0),
            number(row.read_percent, 0),
            number(row.times_ours, 2),
        ]
        texts = [t.ljust(w) for t, w in zip((*names, row.who), WIDTHS)]
        line = " ".join(texts + [n.rjust(w) for n, w in zip(numbers, WIDTHS[3:])])
        lines.append(f"{line}  {row.remark}".rstrip())
    return "\n".join(lines)


def order(rows, row):
    """Operations as they first came; ours before its peers' as they came."""
    operations = list(dict.fromkeys(r.operation for r in rows))
    return operations.index(row.operation), not row.who.startswith("logsum")


def number(value, digits):
    return "" if value is None else f"{value:.{digits}f}"
