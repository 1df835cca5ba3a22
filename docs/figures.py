#!/usr/bin/env python3
"""Draws docs/figures.svg from docs/figures.json: seconds until a file is fetched and verified, on a logarithmic axis.

    python3 docs/figures.py docs/figures.json > docs/figures.svg
"""

import json
import math
import sys
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP, ROW = 820, 330, 30, 64, 26
COLOURS = {"racefetch": "#c2185b", "aria2c": "#1565c0", "wget": "#2e7d32", "curl": "#ef6c00"}


def main():
    with open(sys.argv[1]) as file:
        data = json.load(file)
    rows, end = data["rows"], data["longest"]
    least, most = math.log10(0.5), math.log10(end)

    def x(seconds):
        return LEFT + (math.log10(seconds) - least) / (most - least) * (WIDTH - LEFT - RIGHT)

    height = TOP + ROW * len(rows) + 34
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        "<style>text{fill:#333} .grid{stroke:#ddd} .limit{stroke:#333;stroke-width:2}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd} .grid{stroke:#444} .limit{stroke:#ddd}}</style>",
    ]
    place = LEFT
    for name, colour in COLOURS.items():
        out.append(f'<circle cx="{place}" cy="20" r="5" fill="{colour}"/><text x="{place + 10}" y="24">{name}</text>')
        place += 90
    out.append(f'<line class="limit" x1="{place}" x2="{place}" y1="14" y2="26"/><text x="{place + 8}" y="24">limit</text>')
    for seconds in (1, 2, 5, 10, 20, 50, 100, 200):
        if seconds <= end:
            out.append(f'<line class="grid" x1="{x(seconds):.1f}" x2="{x(seconds):.1f}" y1="{TOP - 12}" y2="{height - 30}"/>')
            out.append(f'<text x="{x(seconds):.1f}" y="{height - 14}" text-anchor="middle">{seconds} s</text>')
    for number, row in enumerate(rows):
        y = TOP + ROW * number
        out.append(f'<text x="{LEFT - 14}" y="{y + 4}" text-anchor="end">{escape(row["what"])}</text>')
        if limit := row.get("limit"):
            out.append(f'<line class="limit" x1="{x(limit):.1f}" x2="{x(limit):.1f}" y1="{y - 8}" y2="{y + 8}"/>')
        for name, colour in reversed(COLOURS.items()):
            seconds = row.get(name)
            if seconds is None:
                continue
            if isinstance(seconds, str):  # never: beyond the axis
                out.append(f'<text x="{x(end) + 6:.1f}" y="{y + 4}" style="fill:{colour}">×</text>')
            else:
                out.append(f'<circle cx="{x(min(seconds, end)):.1f}" cy="{y}" r="5" fill="{colour}"><title>{name}: {seconds} s</title></circle>')
    out.append("</svg>")
    print("\n".join(out))


main()
