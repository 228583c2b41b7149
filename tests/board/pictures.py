"""Owns the pictures of the comparison: which figure becomes which bar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .chart import Bar, Chart, Scale, decades, draw, duration
from .measured import LABELS, Cell, Table

STALL_PICTURE, KEPT_PICTURE = "benchmark-stall.svg", "benchmark-kept.svg"
TWO_FRAMES_MS = 33
LEAST_MS = 10.0


def write_pictures(shown: Table, managers: Sequence[str], out: Path) -> list[Path]:
    """Write both below `out`."""
    there = tuple(who for who in managers if any(who in row for row in shown.values()))
    charts = {STALL_PICTURE: _stall_chart(shown, there), KEPT_PICTURE: _kept_chart(shown, there)}
    for name, chart in charts.items():
        (out / name).write_text(draw(chart), encoding="utf-8")
    return [out / name for name in charts]


def _stall_bar(cell: Cell) -> Bar:
    if cell.gap_ms is None:
        return Bar(None, cell.trouble or "no beat")
    other = "" if cell.other_gap_ms is None else f"; first foreground {duration(cell.other_gap_ms)}"
    return Bar(cell.gap_ms, duration(cell.gap_ms) + ("" if cell.alive else ", then killed") + other)


def _stall_chart(shown: Table, managers: tuple[str, ...]) -> Chart:
    bars = {name: {who: _stall_bar(cell) for who, cell in row.items()} for name, row in shown.items()}
    values = [bar.value for row in bars.values() for bar in row.values() if bar.value is not None]
    most, ticks = decades(LEAST_MS, values)
    scale = Scale(LEAST_MS, most, ticks, True, TWO_FRAMES_MS, f"{TWO_FRAMES_MS} ms: two frames")
    subtitle = "longest time between two beats of 20 ms, worst run; shorter is better, logarithmic scale"
    return Chart("Worst gap of the foreground", subtitle, scale, managers, LABELS, bars)


def _kept_bar(cell: Cell) -> Bar:
    kept = cell.kept
    if kept is None or kept[1] == 0:
        return Bar(None, cell.trouble or "-")
    return Bar(kept[0] / kept[1] * 100, f"{kept[0]} of {kept[1]}")


def _kept_chart(shown: Table, managers: tuple[str, ...]) -> Chart:
    bars = {name: {who: _kept_bar(cell) for who, cell in row.items()} for name, row in shown.items()}
    scale = Scale(0, 100, tuple((mark, f"{mark}%") for mark in (0, 25, 50, 75, 100)))
    subtitle = "share of the background applications that live at the end, worst run; longer is better"
    return Chart("Applications kept", subtitle, scale, managers, LABELS, bars)
