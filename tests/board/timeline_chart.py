"""Owns the picture of timelines: a panel a run of stacked bands over time, marks above it, late frames beneath."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .chart import duration
from .timeline import Mark, Timeline, field

WIDTH, LEFT, RIGHT = 880, 60, 20
HEAD, TITLE, LANES, LANE, PLOT, BETWEEN, STRIP, AXIS, PANEL_GAP = 92, 22, 3, 15, 200, 10, 62, 20, 26
PANEL = TITLE + LANES * LANE + PLOT + BETWEEN + STRIP + AXIS
LATE_LEAST_MS, LATE_MOST_MS, TWO_FRAMES_MS = 20.0, 2000.0, 33.0
CHAR_PX = 6.2
NEAR_S = 0.4  # marks of one kind so close together share a label
STRAIGHT_PX = 0.35
STYLE = """\
  svg { font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 12px; }
  .paper { fill: #ffffff; } text { fill: #1f2328; } .quiet { fill: #59636e; } .small { font-size: 11px; }
  .heading { font-size: 16px; font-weight: 600; } .strong { font-weight: 600; }
  .grid { stroke: #1f2328; stroke-opacity: 0.18; stroke-width: 1; } .frame { fill: none; stroke: #8b949e; }
  .free { fill: #e6edf3; } .cache { fill: #e69f00; } .tmpfs { fill: #f0e442; } .anon { fill: #56b4e9; }
  .store { fill: #cc79a7; } .rest { fill: #8c8c8c; }
  .held { fill: none; stroke: #4b1f3a; stroke-width: 1.5; stroke-dasharray: 5 3; }
  .limit { stroke: #cf222e; stroke-width: 1; stroke-dasharray: 5 3; } .limit-text { fill: #cf222e; }
  .late { stroke: #cf222e; stroke-width: 1.5; } .near { stroke: #59636e; stroke-width: 1.5; }
  .mark { stroke-width: 1.2; } .lmkd { stroke: #1f2328; } .kernel { stroke: #cf222e; } .load { stroke: #59636e; }
  text.lmkd, text.kernel, text.load, text.act { stroke: none; } text.kernel { fill: #cf222e; }
  .load { stroke-dasharray: 2 3; } .act { stroke: #1a7f37; } text.act { fill: #1a7f37; } text.load { fill: #59636e; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; } text { fill: #e6edf3; } .quiet, text.load { fill: #9198a1; } .free { fill: #2a313a; }
    .grid { stroke: #e6edf3; } .held { stroke: #ffd8ec; } .lmkd { stroke: #e6edf3; } text.lmkd { fill: #e6edf3; }
    .limit, .late, .kernel { stroke: #f85149; } .limit-text, text.kernel { fill: #f85149; }
    .near, .load { stroke: #9198a1; } .act { stroke: #3fb950; } text.act { fill: #3fb950; }
    .cache { fill: #b87f00; } .anon { fill: #2f81b7; } .store { fill: #a85a86; } .rest { fill: #6e7681; }
  }
"""
# From the bottom of the stack to its top: class and name.
BANDS = (
    ("rest", "kernel and services"), ("store", "store"), ("anon", "anonymous"), ("tmpfs", "tmpfs"),
    ("cache", "page cache"), ("free", "free"),
)  # fmt: skip
SAID = {
    "lmkd": "lmkd ends {}", "kernel": "kernel kills {}", "killed": "{} dies", "load": "{} begins",
    "trim": "stores {}", "fetch": "brings back {}", "hold": "holds {}", "freeze": "stops {}",
    "release": "lets {} go on",
}  # fmt: skip
PLAIN = ("lmkd", "kernel", "killed", "load")  # all others are lmkd's milder actions


@dataclass(frozen=True, slots=True)
class Frame:
    """Where one panel is, and how its time and memory become pixels."""

    top: float
    seconds: float
    total_mb: float

    def x(self, t: float) -> float:
        """Of a time in seconds."""
        return LEFT + min(max(t, 0), self.seconds) / self.seconds * (WIDTH - LEFT - RIGHT)

    def y(self, mb: float) -> float:
        """Of an amount in the plot."""
        return self.plot + PLOT * (1 - min(max(mb, 0), self.total_mb) / self.total_mb)

    @property
    def plot(self) -> float:
        """Upper edge of the plot."""
        return self.top + TITLE + LANES * LANE

    @property
    def strip(self) -> float:
        """Upper edge of the strip of late frames."""
        return self.plot + PLOT + BETWEEN

    def late_y(self, ms: float) -> float:
        """Of a gap in the strip."""
        inside = min(max(ms, LATE_LEAST_MS), LATE_MOST_MS)
        share = math.log(inside / LATE_LEAST_MS) / math.log(LATE_MOST_MS / LATE_LEAST_MS)
        return self.strip + STRIP * (1 - share)


def draw_timelines(name: str, about: str, timelines: Sequence[Timeline], seconds: float) -> str:
    """The SVG text: a panel a timeline on the same time axis."""
    height = HEAD + len(timelines) * (PANEL + PANEL_GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-labelledby="title subtitle">',
        f"<style>\n{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        f'<text id="title" class="heading" x="16" y="26">Memory over time: {escape(name)}</text>',
        f'<text id="subtitle" class="quiet" x="16" y="45">{escape(about)}</text>',
        *_legend(timelines),
    ]
    for index, each in enumerate(timelines):
        parts += _panel(each, Frame(HEAD + index * (PANEL + PANEL_GAP), seconds, each.total_kib / 1024))
    return "\n".join([*parts, "</svg>", ""])


def _shown_bands(timelines: Iterable[Timeline]) -> list[tuple[str, str]]:
    """The tmpfs only where there is something in one."""
    used = any(max(field(each.samples, 3), default=0) > 4 for each in timelines)
    return [band for band in BANDS if band[0] != "tmpfs" or used]


def _legend(timelines: Sequence[Timeline]) -> list[str]:
    parts, x = [], 16.0
    for kind, name in _shown_bands(timelines):
        parts.append(f'<rect class="{kind}" x="{x:.0f}" y="58" width="12" height="12" stroke="#8b949e"/>')
        parts.append(f'<text x="{x + 17:.0f}" y="68">{name}</text>')
        x += 36 + 6.6 * len(name)
    parts.append(f'<path class="held" d="M{x:.0f},64 h24"/>')
    parts.append(f'<text x="{x + 30:.0f}" y="68">held by the store, before compression</text>')
    return parts


def _stack(each: Timeline) -> dict[str, list[float]]:
    """Upper edge of each band in MB, over the samples."""
    free, cache, tmpfs, anon, store = (field(each.samples, index) for index in range(1, 6))
    known = [sum(row) for row in zip(free, cache, tmpfs, anon, store, strict=True)]
    rest = [max(0.0, each.total_kib / 1024 - used) for used in known]
    heights = {"rest": rest, "store": store, "anon": anon, "tmpfs": tmpfs, "cache": cache, "free": free}
    edges: dict[str, list[float]] = {}
    below = [0.0] * len(rest)
    for kind, _ in BANDS:
        below = edges[kind] = [under + height for under, height in zip(below, heights[kind], strict=True)]
    return edges


def _panel(each: Timeline, frame: Frame) -> list[str]:
    times = [row[0] for row in each.samples]
    inside = [index for index, t in enumerate(times) if 0 <= t <= frame.seconds]
    parts = [f'<text class="strong" x="16" y="{frame.top + 14:.0f}">{escape(each.headline)}</text>']
    edges = _stack(each)
    for kind, _ in reversed(BANDS):  # each is drawn down to the bottom, the next ones over it
        edge = [(frame.x(times[index]), frame.y(edges[kind][index])) for index in inside]
        parts.append(_area(kind, edge, frame.y(0)))
    swapped = field(each.samples, 6)
    held = _thinned([(frame.x(times[index]), frame.y(swapped[index])) for index in inside])
    parts.append(f'<polyline class="held" points="{_points(held)}"/>')
    return [*parts, *_axes(frame), *_late(each, frame), *_marks(each.marks, frame)]


def _area(kind: str, edge: list[tuple[float, float]], bottom: float) -> str:
    if not edge:
        return ""
    closed = [(edge[0][0], bottom), *_thinned(edge), (edge[-1][0], bottom)]
    return f'<polygon class="{kind}" points="{_points(closed)}"/>'


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without the points that lie on the line between those beside them."""
    kept = points[:1]
    for index in range(1, len(points) - 1):
        (x0, y0), (x1, y1), (x2, y2) = kept[-1], points[index], points[index + 1]
        straight = y0 + (y2 - y0) * (x1 - x0) / (x2 - x0) if x2 > x0 else y1
        if abs(straight - y1) > STRAIGHT_PX:
            kept.append(points[index])
    return [*kept, *points[-1:]] if len(points) > 1 else kept


def _axes(frame: Frame) -> list[str]:
    right, bottom = WIDTH - RIGHT, frame.strip + STRIP
    parts = []
    step = next(step for step in (16, 32, 64, 128, 256) if frame.total_mb / step <= 5)
    for mb in range(0, int(frame.total_mb) + 1, step):
        y = frame.y(mb)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        parts.append(f'<text class="quiet small" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{mb} MB</text>')
    for ms, text in ((100.0, "100 ms"), (1000.0, "1 s")):
        y = frame.late_y(ms)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        parts.append(f'<text class="quiet small" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    y = frame.late_y(TWO_FRAMES_MS)
    parts.append(f'<line class="limit" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
    parts.append(f'<text class="limit-text small" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">33 ms</text>')
    parts.append(f'<rect class="frame" x="{LEFT}" y="{frame.plot}" width="{right - LEFT}" height="{PLOT}"/>')
    parts.append(f'<rect class="frame" x="{LEFT}" y="{frame.strip}" width="{right - LEFT}" height="{STRIP}"/>')
    every = next(step for step in (1, 2, 5, 10, 20, 60) if frame.seconds / step <= 16)
    for t in range(0, int(frame.seconds) + 1, every):
        text = f"{t} s" if t else "0"
        parts.append(f'<text class="quiet small" x="{frame.x(t):.1f}" y="{bottom + 14:.1f}" text-anchor="middle">'
                     f"{text}</text>")  # fmt: skip
    return parts


def _late(each: Timeline, frame: Frame) -> list[str]:
    """A bar for each late frame."""
    bottom, parts = frame.strip + STRIP, []
    for t, ms in each.late:
        if 0 <= t <= frame.seconds:
            kind, x = ("late" if ms > TWO_FRAMES_MS else "near"), frame.x(t)
            parts.append(f'<line class="{kind}" x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{frame.late_y(ms):.1f}"/>')
    t, ms = max(each.late, key=lambda beat: beat[1], default=(0.0, 0.0))
    if ms > TWO_FRAMES_MS and t <= frame.seconds:  # the worst is named, on the side where there is room
        right = frame.x(t) < WIDTH / 2
        x, anchor = frame.x(t) + (5 if right else -5), ("start" if right else "end")
        y = max(frame.late_y(ms) - 2, frame.strip + 11)
        parts.append(
            f'<text class="limit-text small" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{duration(ms)}</text>'
        )
    return parts


def _joined(marks: Sequence[Mark]) -> list[tuple[float, str, str]]:
    """Time, kind and label; those of one kind that follow closely become one."""
    groups: list[list[Mark]] = []
    for mark in sorted(marks, key=lambda mark: (mark.by, mark.t)):
        if groups and groups[-1][-1].by == mark.by and mark.t - groups[-1][-1].t <= NEAR_S:
            groups[-1].append(mark)
        else:
            groups.append([mark])
    found = []
    for group in groups:
        names = list(dict.fromkeys(mark.name for mark in group if mark.name))
        many = f"{len(names)} applications" if len(names) > 2 else " and ".join(names)
        found.append((group[0].t, group[0].by, SAID[group[0].by].format(many)))
    return sorted(found)


def _marks(marks: Sequence[Mark], frame: Frame) -> list[str]:
    """Lines through the panel, their labels above it in lanes where they do not touch."""
    parts: list[str] = []
    labels: list[str] = []  # over the lines, on paper
    ends = [-math.inf] * LANES
    for t, by, label in _joined([mark for mark in marks if mark.t <= frame.seconds]):
        x, width = frame.x(t), CHAR_PX * len(label)
        start = min(x - 2, WIDTH - width - 4)
        lane = next((number for number in range(LANES) if ends[number] + 8 <= start), None)
        kind = by if by in PLAIN else "act"
        kind = "kernel" if kind == "killed" else kind
        top = frame.plot - 4 if lane is None else frame.plot - lane * LANE - 3
        bottom = frame.plot + PLOT if by == "load" else frame.strip + STRIP
        parts.append(f'<line class="mark {kind}" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>')
        if lane is not None:
            ends[lane] = start + width
            y = frame.plot - lane * LANE - 4
            labels.append(f'<rect class="paper" x="{start:.1f}" y="{y - 10}" width="{width:.1f}" height="12"/>')
            labels.append(f'<text class="small {kind}" x="{start:.1f}" y="{y}">{escape(label)}</text>')
    return parts + labels
