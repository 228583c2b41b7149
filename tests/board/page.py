"""Owns docs/benchmark.md: its words and tables, each section replaced as a whole."""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .boards import find
from .chart import duration
from .measured import GAPS, LABELS, NOT_RUN, Cell, Table, ahead, cells, gap_bound, gap_name
from .pictures import KEPT_PICTURE, STALL_PICTURE, write_pictures
from .results import Job
from .scenario import Manager
from .sizes import SIZES, sized
from .versions import Versions

PAGE = "benchmark.md"
OVERSLEPT_SHOWN_MS = 1.0
INTRODUCTION = """\
# Benchmark

lmkd beside no manager and beside two others, on the emulated board of this repository: 256 MB, one core, time counted
in executed instructions (500 MIPS), flash of 20 MB/s. So figures do not follow the load of the machine that emulates;
they still vary from run to run, as those of a real board do: the flash works in the host's time. Everybody without
lmkd gets a zram swap of half the memory (lz4); lmkd brings up its own. All run as they come: lmkd without a
configuration file, earlyoom with its defaults as Debian's service starts it, nohang with the configuration that it
ships.

The foreground wakes every 20 ms, works through 24 MB of its own memory and a 7 MB file, and notes when it is done: the
worst time between two such beats is what a person sees as a stall (20 ms: none at all). What the emulating machine
itself was late for an idle processor is left out (`tests/board/load/README.md`). Beside the foreground wait eight
applications of 12 MB (`small-...`: that many small ones), and then something happens:
"""
VERDICT = """\
"Met": every bound of the scenario held in every run of lmkd (gap as shown, so many kept, foreground alive, no kernel
OOM kill, lmkd within 8.5 MB, and what else `tests/board/scenarios.py` says). "Ahead": lmkd's worst run is behind none
of the others' in the foreground's life, worst gap, applications kept and kernel OOM kills, and ahead in something.
Gaps within the bound count as alike: nobody sees them. `switch`: gaps in the first second of the application that
comes to the front; those of the first foreground (bound: 33 ms) count as well.
"""
SMALL_PRINT = """\
No foreground left means no further gaps: read the worst gap together with the table of who is alive. `tests/board`
holds board, load and scenarios; `tests/board/load/README.md` says exactly what is measured.
"""
SIZED = """\
## Other boards

The same loads with all sizes in proportion to the board's memory; rates as they are. What must hold here: no kernel
OOM kill, and the foreground lives. With two cores the emulator cannot count instructions: time is the host's there,
so gaps follow the speed and the load of the machine that emulates, and say little of a real board.
"""
ENERGY = """\
## An idle board

What the service costs while nothing happens, over a minute on the board of 256 MB after it has settled.
"""


@dataclass(frozen=True, slots=True)
class Page:
    """What is to be on the page, in its order, and what it was measured with."""

    versions: Versions
    scenarios: Sequence[str]
    managers: Sequence[Manager]
    sized: Sequence[str]
    sized_managers: Sequence[Manager]
    energy: str


def write_page(page: Page, rows: Iterable[tuple[Job, Mapping[str, Any]]], out: Path) -> list[Path]:
    """Write the page and its pictures below `out`; what other commands wrote into the page stays."""
    found = cells(rows)
    shown = {name: found[name] for name in page.scenarios if name in found}
    out.mkdir(parents=True, exist_ok=True)
    replace_section(out / PAGE, "comparison", _comparison(page, shown))
    replace_section(out / PAGE, "energy", _energy(page, found))
    replace_section(out / PAGE, "boards", _sized(page, found))
    return [out / PAGE, *write_pictures(shown, page.managers, out)]


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
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(heads))]
    shown = ["| " + " | ".join(
        cell.ljust(width) if column < texts else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ) + " |" for line in lines]  # fmt: skip
    rule = ["-" * (width + 1) + ("-" if column < texts else ":") for column, width in enumerate(widths)]
    return "\n".join([shown[0], "|" + "|".join(rule) + "|", *shown[1:]])


def _cell(found: Table, scenario: str, manager: Manager) -> Cell:
    return found.get(scenario, {}).get(manager, Cell(scenario, manager, (), ()))


def _comparison(page: Page, shown: Table) -> str:
    made = ", ".join(f"{name} {version}" for name, version in page.versions.rows.items())
    parts = [INTRODUCTION, table(("scenario", "what happens"), ((name, find(name).about) for name in shown), 2)]
    day = time.strftime("%Y-%m-%d", time.gmtime())
    parts.append(folded(f"Made on {day} with `make bench` (`python -m tests.board bench`): {made}."))
    parts.append(_runs_made(page, shown))
    parts += ["## lmkd at a glance", verdict(shown, page.managers), *_missed(shown), VERDICT]
    parts.append(f"![Worst gap of the foreground, by scenario and manager]({STALL_PICTURE})")
    parts.append(f"![Background applications kept, by scenario and manager]({KEPT_PICTURE})")
    for title, text in TABLES:
        heads = ("scenario", *(LABELS[manager] for manager in page.managers))
        lines = ((name, *(text(_cell(shown, name, who)) for who in page.managers)) for name in shown)
        parts += [f"## {title}", table(heads, lines)]
        parts += _overslept(shown) if text is gap_text else []
    parts.append(SMALL_PRINT)
    return "\n\n".join(part.strip() for part in parts)


def _runs_made(page: Page, shown: Table) -> str:
    counts = {who: max((len(row[who].statuses) for row in shown.values() if who in row), default=0)
              for who in page.managers}  # fmt: skip
    said = ", ".join(f"{LABELS[who]} {count}" for who, count in counts.items())
    return folded(f"Runs of each scenario, with different seeds: {said}. Where there are several, the worst counts.")


def folded(text: str) -> str:
    """A paragraph in lines of 120."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def verdict(shown: Table, managers: Sequence[Manager]) -> str:
    """The table of what lmkd promises and keeps, a row a scenario."""
    heads = ("scenario", "bound", "median gap", "worst gap", "kept", "kernel OOM kills", "deaths", "met", "ahead")
    rows = []
    for name in shown:
        own = _cell(shown, name, "lmkd")
        bound = gap_bound(find(name))
        others = [_cell(shown, name, who) for who in managers if who != "lmkd" and who in shown[name]]
        rows.append((
            name, f"{bound.value:.0f} ms" if bound is not None else "-", _ms(own.gap_median_ms), _ms(own.gap_ms),
            kept_text(own), _kills_text(own), _deaths_text(own),
            own.trouble or ("no" if own.missed() else "yes"), ahead(own, others) if others else "-",
        ))  # fmt: skip
    return table(heads, rows)


def _missed(shown: Table) -> list[str]:
    rows = [f"- {name}: {text}" for name in shown for text in _cell(shown, name, "lmkd").missed()]
    return ["Not met:\n\n" + "\n".join(rows)] if rows else []


def _overslept(shown: Table) -> list[str]:
    """Where the gap with the emulator's own lateness in it is longer, it is said."""
    rows = []
    for name, row in shown.items():
        for who, cell in row.items():
            raw, gap = cell.worst("gap_raw_worst_ms"), cell.worst(GAPS[1])
            if raw is not None and gap is not None and gap_name(name) == GAPS[1] and raw - gap > OVERSLEPT_SHOWN_MS:
                rows.append(f"{name} {LABELS[who]} {raw:.0f} ms")
    return [folded(f"With what the emulator itself was late: {', '.join(rows)}.")] if rows else []


def _ms(value: float | None) -> str:
    return "-" if value is None else duration(value)


def gap_text(cell: Cell) -> str:
    """The worst gap, with the median before it when there are several runs."""
    worst, median = cell.gap_ms, cell.gap_median_ms
    if worst is None or median is None:
        return cell.trouble or "no beat"
    other = "" if cell.other_gap_ms is None else f"; first one {duration(cell.other_gap_ms)}"
    return (f"{median:.0f}, worst {duration(worst)}" if len(cell.runs) > 1 else duration(worst)) + other


def kept_text(cell: Cell) -> str:
    """Background applications kept in the worst run."""
    kept = cell.kept
    return cell.trouble or "-" if kept is None else f"{kept[0]} of {kept[1]}"


def _kills_text(cell: Cell) -> str:
    total = cell.total("oom_kill_delta")
    return cell.trouble or "-" if total is None else f"{total:.0f}"


def _deaths_text(cell: Cell) -> str:
    return cell.trouble or "-" if cell.deaths is None else str(cell.deaths)


def _alive_text(cell: Cell) -> str:
    return cell.trouble or ("yes" if cell.alive else "**no**")


TABLES: tuple[tuple[str, Callable[[Cell], str]], ...] = (
    ("Worst gap of the foreground", gap_text),
    ("Background applications kept, in the worst run", kept_text),
    ("Kernel OOM kills, all runs together", _kills_text),
    ("Applications that died, in the worst run", _deaths_text),
    ("Is the foreground alive, and what came to the front?", _alive_text),
)


def _energy(page: Page, found: Table) -> str:
    heads = ("", "wake-ups a minute", "CPU a minute", "memory (PSS)", "most memory in any run")
    rows = []
    for who in page.managers:
        cell = _cell(found, page.energy, who)
        wakeups, cpu_ms, pss_kib = (cell.worst(name) for name in ("idle_wakeups_min", "idle_cpu_ms_min",
                                                                  "manager_pss_kib"))  # fmt: skip
        most = [worst for row in found.values() if who in row and (worst := row[who].worst("manager_pss_kib"))]
        if who != "none":
            rows.append((LABELS[who], f"{wakeups:.0f}" if wakeups is not None else cell.trouble or "-", _ms(cpu_ms),
                         _mb(pss_kib), _mb(max(most, default=None))))  # fmt: skip
    return "\n\n".join((ENERGY.strip(), table(heads, rows)))


def _mb(kib: float | None) -> str:
    return "-" if kib is None else f"{kib / 1024:.1f} MB"


def _sized(page: Page, found: Table) -> str:
    heads = ["board", "scenario"]
    heads += [f"{LABELS[who]}: {text}" for who in page.sized_managers for text in ("worst gap", "kept", "OOM kills")]
    rows = []
    for size in SIZES:
        for name in page.sized:
            scenario = sized(name)
            if scenario is None or (scenario.mem_mb, scenario.cpus) != (size.mem_mb, size.cpus):
                continue
            row = [size.text, name.partition("@")[0]]
            for who in page.sized_managers:
                cell = _cell(found, name, who)
                gap = gap_text(cell) + ("" if cell.alive or cell.trouble else ", then killed")
                row += [NOT_RUN, "", ""] if not cell.statuses else [gap, kept_text(cell), _kills_text(cell)]
            rows.append(row)
    return "\n\n".join((SIZED.strip(), table(heads, rows, 2)))
