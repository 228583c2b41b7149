"""Owns the pictures of a comparison: horizontal bars in groups as SVG, readable on light and on dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 880, 132, 98
TOP, BOTTOM = 92, 34
BAR, BAR_GAP, GROUP_GAP = 13, 2, 16
# Okabe and Ito's palette: told apart by colour-blind people too, on white and on black.
COLOURS: Mapping[str, str] = {"lmkd": "#0072b2", "earlyoom": "#e69f00", "nohang": "#009e73", "none": "#8c8c8c"}
STYLE = """\
  svg { font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 12px; }
  .paper { fill: #ffffff; } text { fill: #1f2328; } .quiet { fill: #59636e; }
  .grid { stroke: #d1d9e0; stroke-width: 1; } .limit { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 5 3; }
  .limit-text { fill: #cf222e; } .heading { font-size: 16px; font-weight: 600; }
  .value { font-size: 11px; paint-order: stroke; stroke: #ffffff; stroke-width: 3px; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; } text { fill: #e6edf3; } .quiet { fill: #9198a1; } .grid { stroke: #3d444d; }
    .limit { stroke: #f85149; } .limit-text { fill: #f85149; } .lmkd { fill: #56b4e9; }
    .value { stroke: #0d1117; }
  }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One value and how it is written; None: there is no such figure, `text` says why."""

    value: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Scale:
    """The axis: from `least` to `most` with its marks; a line at `limit`."""

    least: float
    most: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False
    limit: float | None = None
    limit_text: str = ""

    def place(self, value: float) -> float:
        """Where on the picture, in pixels from its left."""
        inside = min(max(value, self.least), self.most)
        if self.logarithmic:
            share = math.log(inside / self.least) / math.log(self.most / self.least)
        else:
            share = (inside - self.least) / (self.most - self.least)
        return LEFT + share * (WIDTH - LEFT - RIGHT)


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture: groups of bars (a scenario each), a bar of each series (a manager) in a group."""

    title: str
    subtitle: str
    scale: Scale
    series: tuple[str, ...]
    labels: Mapping[str, str]  # how a series is called
    groups: Mapping[str, Mapping[str, Bar]]


def draw(chart: Chart) -> str:
    """The SVG text."""
    group_height = len(chart.series) * (BAR + BAR_GAP) - BAR_GAP
    height = TOP + len(chart.groups) * (group_height + GROUP_GAP) - GROUP_GAP + BOTTOM
    bottom = height - BOTTOM + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-labelledby="title subtitle">',
        f"<style>\n{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        f'<text id="title" class="heading" x="16" y="26">{escape(chart.title)}</text>',
        f'<text id="subtitle" class="quiet" x="16" y="45">{escape(chart.subtitle)}</text>',
        *_legend(chart),
        *_axis(chart.scale, bottom),
    ]
    values: list[str] = []  # above the line of the limit, as it is above the bars
    y = TOP
    for name, bars in chart.groups.items():
        middle = y + group_height / 2 + 4
        parts.append(f'<text x="{LEFT - 10}" y="{middle:.1f}" text-anchor="end">{escape(name)}</text>')
        for series in chart.series:
            shape, text = _bar(chart, series, bars.get(series), y)
            parts.append(shape)
            values.append(text)
            y += BAR + BAR_GAP
        y += GROUP_GAP - BAR_GAP
    if chart.scale.limit is not None:
        parts += _limit(chart.scale, bottom)
    return "\n".join([*filter(None, parts), *values, "</svg>", ""])


def _legend(chart: Chart) -> list[str]:
    parts, x = [], 16.0
    for series in chart.series:
        label = chart.labels[series]
        parts.append(f'<rect class="{series}" x="{x:.0f}" y="57" width="12" height="12" fill="{COLOURS[series]}"/>')
        parts.append(f'<text x="{x + 17:.0f}" y="67">{escape(label)}</text>')
        x += 34 + 7 * len(label)
    return parts


def _axis(scale: Scale, bottom: float) -> list[str]:
    parts = []
    for value, text in scale.ticks:
        x = scale.place(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom:.1f}"/>')
        parts.append(f'<text class="quiet" x="{x:.1f}" y="{bottom + 15:.1f}" text-anchor="middle">{text}</text>')
    return parts


def _limit(scale: Scale, bottom: float) -> list[str]:
    x = scale.place(scale.limit or scale.least)
    return [
        f'<line class="limit" x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom:.1f}"/>',
        f'<text class="limit-text" x="{x:.1f}" y="{TOP - 11}" text-anchor="middle">{escape(scale.limit_text)}</text>',
    ]


def _bar(chart: Chart, series: str, bar: Bar | None, y: float) -> tuple[str, str]:
    """The bar, empty where there is nothing to show, and its value."""
    bar = bar or Bar(None, "not run")
    end = chart.scale.place(bar.value) if bar.value else LEFT
    text = f'<text class="value" x="{end + 5:.1f}" y="{y + BAR - 2.5:.1f}">{escape(bar.text)}</text>'
    if not bar.value:
        return "", text
    shape = f'x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR}"'
    return f'<rect class="{series}" {shape} fill="{COLOURS[series]}"/>', text


def decades(least: float, values: Sequence[float]) -> tuple[float, tuple[tuple[float, str], ...]]:
    """The end of a logarithmic axis in ms that holds all values, and its marks."""
    marks = [least]
    top = max([*values, least * 10])
    while marks[-1] < top:
        marks.append(marks[-1] * 10)
    return marks[-1], tuple((mark, f"{mark:.0f} ms" if mark < 1000 else f"{mark / 1000:.0f} s") for mark in marks)


def duration(ms: float) -> str:
    """For people: ms, from two seconds on in seconds."""
    return f"{ms:.0f} ms" if ms < 2000 else f"{ms / 1000:.1f} s"
