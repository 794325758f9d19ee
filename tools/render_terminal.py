#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders a command and its output, given on standard input, as an SVG of a terminal.

./demo | tools/render_terminal.py './demo' > docs/images/demo.svg
"""

import html
import sys

CHAR_WIDTH, LINE_HEIGHT, MARGIN, BAR = 8.4, 19, 18, 34


def main():
    lines = ["$ " + sys.argv[1]] + sys.stdin.read().rstrip("\n").split("\n")
    width = round(2 * MARGIN + CHAR_WIDTH * max(len(line) for line in lines))
    height = BAR + MARGIN + LINE_HEIGHT * len(lines)
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img">'
    )
    print(f'<rect width="{width}" height="{height}" rx="8" fill="#1b1f24"/>')
    for i, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        print(f'<circle cx="{20 + 20 * i}" cy="17" r="6" fill="{colour}"/>')
    print(
        '<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" '
        'font-size="14" fill="#d6dde5">'
    )
    for i, line in enumerate(lines):
        colour = ' fill="#7ee787"' if i == 0 or i == len(lines) - 1 else ""
        if line:
            print(
                f'<text x="{MARGIN}" y="{BAR + LINE_HEIGHT * i + 14}"{colour} xml:space="preserve">'
                f"{html.escape(line)}</text>"
            )
    print("</g>\n</svg>")


if __name__ == "__main__":
    main()
