# SPDX-License-Identifier: Apache-2.0
"""Rows of results as text and as Markdown: one block per case, within it one per operation."""

import dataclasses


@dataclasses.dataclass
class Row:
    data: str
    shape: str
    operation: str
    who: str
    family: str = ""  # two families may have a shape in common
    cold_us: float | None = None
    warm_us: float | None = None
    remark: str = ""  # why there is no time, or what to know about it
    is_baseline: bool = False
    is_wrong: bool = False
    copy_percent: float | None = None  # the copy's time in percent of this one's, cold
    read_percent: float | None = None  # the fastest read's
    times_ours: float | None = None


COLUMNS = ("shape", "operation", "who", "us cold", "us warm", "% copy", "% read", "x ours")
WIDTHS = (22, 22, 44, 9, 9, 7, 7, 7)
LIMITS = "limits"


def cases(rows):
    """The rows by what they are measured on, in the order in which each came first."""
    found = {}
    for row in rows:
        found.setdefault((row.family, row.shape, row.data), []).append(row)
    return list(found.values())


def relate(rows):
    """Fills in the ratios, each within its case."""
    for case in cases(rows):
        limits = [row for row in case if row.operation == LIMITS]
        copy, read = (
            min((r.cold_us for r in limits if r.cold_us and r.who.startswith(name)), default=None)
            for name in ("copy", "read")
        )
        for row in case:
            if not row.cold_us:
                continue
            row.copy_percent = 100 * copy / row.cold_us if copy else None
            row.read_percent = 100 * read / row.cold_us if read else None
            ours = next((r for r in case if r.is_baseline and r.operation == row.operation), None)
            row.times_ours = row.cold_us / ours.cold_us if ours and ours.cold_us else None


def cells(row):
    return [
        number(row.cold_us, 1),
        number(row.warm_us, 1),
        number(row.copy_percent, 0),
        number(row.read_percent, 0),
        number(row.times_ours, 2),
    ]


def line(row):
    """One row by itself, as it is measured; ratios come later."""
    names = [f"{row.shape} {row.data}", row.operation, row.who]
    return padded([*names, *cells(row)[:2]]) + f"  {row.remark}".rstrip()


def padded(texts):
    pairs = zip(texts, WIDTHS)
    return " ".join(t.ljust(w) if i < 3 else t.rjust(w) for i, (t, w) in enumerate(pairs))


def render(rows):
    head = padded(COLUMNS) + "  remark"
    lines = [head, "-" * len(head)]
    for case in cases(rows):
        previous = None
        for row in in_order(case):
            names = (f"{row.shape} {row.data}", row.operation)
            shown = ("", "") if row.operation == previous else names
            previous = row.operation
            lines.append(f"{padded([*shown, row.who, *cells(row)])}  {row.remark}".rstrip())
    return "\n".join(lines)


def markdown(about, rows):
    text = "# logsum beside its peers\n\n"
    text += "".join(f"- {name}: {value}\n" for name, value in about.items() if name != "versions")
    text += "".join(f"- {name}: {value}\n" for name, value in about.get("versions", {}).items())
    text += "\n| " + " | ".join((*COLUMNS, "remark")) + " |\n"
    text += "|" + " --- |" * 3 + " ---: |" * 5 + " --- |\n"
    for case in cases(rows):
        for row in in_order(case):
            texts = [f"{row.shape} {row.data}", row.operation, row.who, *cells(row), row.remark]
            text += "| " + " | ".join(t.replace("|", "\\|") for t in texts) + " |\n"
    return text


def in_order(rows):
    """Operations as they first came; ours before its peers' as they came."""
    operations = list(dict.fromkeys(row.operation for row in rows))
    return sorted(
        rows, key=lambda r: (operations.index(r.operation), not r.who.startswith("logsum"))
    )


def number(value, digits):
    return "" if value is None else f"{value:.{digits}f}"
