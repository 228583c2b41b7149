"""Owns docs/benchmark.md and its pictures: tables of what was measured, each section replaced as a whole."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .chart import Bar, Chart, Scale, decades, draw
from .scenario import Manager
from .versions import Versions

Row = tuple[str, Manager, Mapping[str, Any]]
Cell = Callable[[Sequence[Mapping[str, Any]]], str]
LABELS: Mapping[str, str] = {"none": "no manager", "earlyoom": "earlyoom", "nohang": "nohang", "lmkd": "lmkd"}
PAGE, STALL_PICTURE, KEPT_PICTURE = "benchmark.md", "benchmark-stall.svg", "benchmark-kept.svg"
TWO_FRAMES_MS = 33
LEAST_MS = 10.0
NOTHING = "no result"
INTRODUCTION = """\
# Benchmark

lmkd beside no manager and beside two others, on the emulated board of this repository: 256 MB, one core, time counted
in executed instructions (500 MIPS), flash of 20 MB/s. So figures do not follow the load of the machine that emulates;
they still vary from run to run, as those of a real board do: the flash works in the host's time. Everybody without
lmkd gets a zram swap of 128 MB (lz4); lmkd brings up its own. All run as they come: lmkd without a configuration
file, earlyoom with its defaults as Debian's service starts it, nohang with the configuration that it ships.

The foreground wakes every 20 ms, works through 24 MB of its own memory and a 7 MB file, and notes when it is done: the
worst time between two such beats is what a person sees as a stall (20 ms: none at all). Beside it wait eight
applications of 12 MB (`small-150`: 150 of 1 MB), and then something happens:
"""
SMALL_PRINT = """\
No foreground left means no further gaps: read the worst stall together with the table of who is alive. `tests/board`
holds board, load and scenarios; `tests/board/load/README.md` says exactly what is measured.
"""


def write_page(rows: Iterable[Row], versions: Versions, out: Path) -> list[Path]:
    """Write the page and both pictures below `out`; what other commands wrote into the page stays."""
    grouped = _group(rows)
    managers = tuple(name for name in LABELS if any(name in runs for runs in grouped.values()))
    out.mkdir(parents=True, exist_ok=True)
    (out / STALL_PICTURE).write_text(draw(_stall_chart(grouped, managers)), encoding="utf-8")
    (out / KEPT_PICTURE).write_text(draw(_kept_chart(grouped, managers)), encoding="utf-8")
    replace_section(out / PAGE, "comparison", _comparison(grouped, managers, versions))
    return [out / PAGE, out / STALL_PICTURE, out / KEPT_PICTURE]


def replace_section(page: Path, name: str, body: str) -> None:
    """Put `body` between the page's marks of that section, which is added when it is not there."""
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    section = f"<!-- {name}: begin -->\n{body.strip()}\n<!-- {name}: end -->"
    pattern = re.compile(rf"<!-- {name}: begin -->.*?<!-- {name}: end -->", re.DOTALL)
    if pattern.search(text):
        text = pattern.sub(lambda _: section, text)
    elif name == "comparison":
        text = f"{section}\n\n{text}".rstrip() + "\n"
    else:
        text = f"{text.rstrip()}\n\n{section}\n".lstrip()
    page.write_text(text, encoding="utf-8")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A Markdown table; all but the first `texts` columns are numbers, aligned to the right."""
    cells = [list(heads), *(list(row) for row in rows)]
    widths = [max(3, *(len(line[column]) for line in cells)) for column in range(len(heads))]
    lines = ["| " + " | ".join(
        cell.ljust(width) if column < texts else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ) + " |" for line in cells]  # fmt: skip
    rule = ["-" * (width + 1) + ("-" if column < texts else ":") for column, width in enumerate(widths)]
    return "\n".join([lines[0], "|" + "|".join(rule) + "|", *lines[1:]])


Grouped = dict[str, dict[str, list[Mapping[str, Any]]]]


def _group(rows: Iterable[Row]) -> Grouped:
    """Figures of all seeds by scenario and manager; a run without a result is an empty mapping."""
    grouped: Grouped = {}
    for scenario, manager, row in rows:
        figures = row["figures"] if row["status"] == "finished" else {}
        grouped.setdefault(scenario, {}).setdefault(manager, []).append(figures)
    return grouped


def _comparison(grouped: Grouped, managers: Sequence[str], versions: Versions) -> str:
    from .boards import find

    seeds = max(len(runs) for found in grouped.values() for runs in found.values())
    made = ", ".join(f"{name} {version}" for name, version in versions.rows.items())
    several = f" Of {seeds} runs with different seeds each figure is the worst." if seeds > 1 else ""
    parts = [INTRODUCTION, table(("scenario", "what happens"), ((name, find(name).about) for name in grouped), 2)]
    parts.append(f"Made on {time.strftime('%Y-%m-%d', time.gmtime())} with `make bench` "
                 f"(`python -m tests.board bench`): {made}.{several}")  # fmt: skip
    parts.append(f"![Worst stall of the foreground, by scenario and manager]({STALL_PICTURE})")
    parts.append(f"![Background applications kept, by scenario and manager]({KEPT_PICTURE})")
    for title, cell in TABLES:
        heads = ("scenario", *(LABELS[manager] for manager in managers))
        lines = (
            (name, *(cell(runs[who]) if who in runs else "" for who in managers)) for name, runs in grouped.items()
        )
        parts += [f"## {title}", table(heads, lines)]
    parts.append(SMALL_PRINT)
    return "\n\n".join(part.strip() for part in parts)


def _worst(runs: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [run.get(name) for run in runs]
    return None if None in values else max(value for value in values if value is not None)


def _kept_share(runs: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """Background applications kept in the worst run, and how many there were."""
    found = []
    for run in runs:
        if run.get("background_total") is None:
            return None
        kept = run["background_kept"] + run["small_kept"]
        found.append((kept, run["background_total"] + run["small_total"]))
    return min(found, default=None)


def _gap_cell(runs: Sequence[Mapping[str, Any]]) -> str:
    worst = _worst(runs, "gap_worst_ms")
    return NOTHING if worst is None else f"{worst:.0f} ms"


def _kept_cell(runs: Sequence[Mapping[str, Any]]) -> str:
    kept = _kept_share(runs)
    return NOTHING if kept is None else f"{kept[0]} of {kept[1]}"


def _kills_cell(runs: Sequence[Mapping[str, Any]]) -> str:
    worst = _worst(runs, "oom_kill_delta")
    return NOTHING if worst is None else f"{worst:.0f}"


def _alive_cell(runs: Sequence[Mapping[str, Any]]) -> str:
    values = [run.get("foreground_alive") for run in runs]
    return NOTHING if None in values else "yes" if all(values) else "**no**"


def _memory_cell(runs: Sequence[Mapping[str, Any]]) -> str:
    worst = _worst(runs, "manager_pss_kib")
    dead = any(run.get("manager_alive") is False for run in runs)
    return NOTHING if worst is None else "-" if worst == 0 else f"{worst / 1024:.1f} MB" + (" (died)" if dead else "")


TABLES: tuple[tuple[str, Cell], ...] = (
    ("Worst stall of the foreground", _gap_cell),
    ("Background applications kept", _kept_cell),
    ("Kernel OOM kills", _kills_cell),
    ("Is the foreground alive?", _alive_cell),
    ("Memory of the service (PSS)", _memory_cell),
)


def _stall_bar(runs: Sequence[Mapping[str, Any]]) -> Bar:
    dead = any(run.get("foreground_alive") is False for run in runs)
    return Bar(_worst(runs, "gap_worst_ms"), _gap_cell(runs) + (", then killed" if dead else ""))


def _stall_chart(grouped: Grouped, managers: tuple[str, ...]) -> Chart:
    bars = {name: {who: _stall_bar(runs[who]) for who in managers if who in runs} for name, runs in grouped.items()}
    values = [bar.value for found in bars.values() for bar in found.values() if bar.value is not None]
    most, ticks = decades(LEAST_MS, values)
    scale = Scale(LEAST_MS, most, ticks, True, TWO_FRAMES_MS, f"{TWO_FRAMES_MS} ms: two frames")
    subtitle = "longest time between two beats of 20 ms; shorter is better, logarithmic scale"
    return Chart("Worst stall of the foreground", subtitle, scale, managers, LABELS, bars)


def _kept_chart(grouped: Grouped, managers: tuple[str, ...]) -> Chart:
    bars: dict[str, dict[str, Bar]] = {}
    for name, runs in grouped.items():
        bars[name] = {}
        for who in managers:
            kept = _kept_share(runs[who]) if who in runs else None
            share = None if kept is None or kept[1] == 0 else kept[0] / kept[1] * 100
            bars[name][who] = Bar(share, _kept_cell(runs.get(who, [{}])))
    scale = Scale(0, 100, tuple((mark, f"{mark}%") for mark in (0, 25, 50, 75, 100)))
    subtitle = "share of the background applications that live at the end; longer is better"
    return Chart("Applications kept", subtitle, scale, managers, LABELS, bars)
