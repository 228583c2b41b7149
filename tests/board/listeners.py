"""Owns how late applications are told, and what many of them cost: ``python -m tests.board.listeners``."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .boards import find
from .image import ensure_base
from .packages import Progress
from .page import table
from .records import MissingFigure, events, percentile, record_of
from .scenario import Result, run_scenario
from .vm import Outcome

NAMES = ("listeners", "listeners-deaf", "listeners-1", "listeners-10", "listeners-100")
RATES_MB = {"fast": 300, "mid": 30, "slow": 5}
AFTERMATH_MS = 1000.0
PROCESSES = ("guard", "helper", "talker")
HEADS_COST = ("scenario", "worst gap of each run", "changes", *PROCESSES)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the level, and how long after the sample that changed it each reader was told, in order of time.

    ``sent_ms``: it was in the reader's socket; ``read_ms``: the reader, which shares the processor, had read it.
    """

    level: str
    t_ms: float
    sent_ms: tuple[float, ...]
    read_ms: tuple[float, ...]


def changes(outcome: Outcome) -> list[Change]:
    """What the readers were told, in order of time."""
    told: list[Mapping[str, Any]] = record_of(outcome, "talk", step="listeners")["told"]
    found = [Change(one["level"], one["t_ms"], _ms(one["sent_us"]), _ms(one["late_us"])) for one in told]
    if not all(change.sent_ms and min(change.sent_ms) > 0 for change in found):
        raise MissingFigure("a change that nobody was told")
    return found


def _ms(values_us: Iterable[float]) -> tuple[float, ...]:
    return tuple(sorted(us / 1000 for us in values_us))


def by_rate(outcome: Outcome, found: Iterable[Change]) -> dict[int, list[Change]]:
    """The changes by the growth, MB/s, of the application that was ended next, or just before."""
    ends = [
        (event["t_ms"] + AFTERMATH_MS, RATES_MB[kind])
        for event in events(outcome, "kill")
        if (kind := str(event["name"]).split("-")[0]) in RATES_MB
    ]
    rates: dict[int, list[Change]] = {rate: [] for rate in RATES_MB.values()}
    for change in found:
        rates[next((rate for t_ms, rate in ends if t_ms >= change.t_ms), RATES_MB["slow"])].append(change)
    return rates


def in_order(result: Result) -> list[Mapping[str, Any]]:
    """Guard, helper and, where there was anybody to talk to, talker: each forked by the one before."""
    return sorted(result.figures["processes"], key=lambda one: int(one["pid"]))


COLUMNS: Mapping[str, Callable[[Change], float]] = {
    "sent to the first": lambda change: change.sent_ms[0],
    "sent to the last": lambda change: change.sent_ms[-1],
    "read by the first": lambda change: change.read_ms[0],
    "read by the median": lambda change: statistics.median_low(change.read_ms),
    "read by the last": lambda change: change.read_ms[-1],
}
HEADS_LATE = ("scenario", "growth", "changes", *COLUMNS)


def late_row(name: str, growth: str, found: Sequence[Change]) -> tuple[str, ...]:
    """Median, 99th percentile and maximum over the changes."""
    if not found:
        return (name, growth, "0", *["-"] * len(COLUMNS))
    columns = ([each(change) for change in found] for each in COLUMNS.values())
    return (name, growth, str(len(found)), *(
        f"{statistics.median(column):.1f} / {percentile(column, 99):.1f} / {max(column):.1f} ms" for column in columns
    ))  # fmt: skip


def cost_row(name: str, results: Sequence[Result]) -> tuple[str, ...]:
    """Gaps; how often the level changed; memory and run time of each process: of several runs the medians."""
    gaps = ", ".join(f"{one.figures['gap_worst_ms']:.0f}" for one in results)
    told = statistics.median(len(events(one.outcome, "pressure")) for one in results)
    sizes = [[int(process["pss_kib"]) for process in in_order(one)] for one in results]
    times = [record_of(one.outcome, "talk", step="listeners")["run_ms"] for one in results]
    shown = [
        f"{statistics.median(row[at] for row in sizes):.0f} KiB, {statistics.median(row[at] for row in times):.0f} ms"
        if all(len(row) > at for row in (*sizes, *times))
        else "-"
        for at in range(len(PROCESSES))
    ]
    return (name, f"{gaps} ms", f"{told:.0f}", *shown)


def report(runs: Mapping[str, Sequence[Result]]) -> str:
    """Both tables."""
    late, cost = [], []
    for name, results in runs.items():
        cost.append(cost_row(name, results))
        rates: dict[int, list[Change]] = {}
        for result in results:
            for rate, found in by_rate(result.outcome, changes(result.outcome)).items():
                rates.setdefault(rate, []).extend(found)
        rows = [(f"{rate} MB/s", found) for rate, found in rates.items()]
        everything = [change for _, found in rows for change in found]
        if everything:
            late += [late_row(name, growth, found) for growth, found in (*rows, ("all", everything))]
    return f"{table(HEADS_LATE, late)}\n\n{table(HEADS_COST, cost)}"


def measure(names: Sequence[str], seeds: Sequence[int], say: Progress) -> dict[str, list[Result]]:
    """One board after the other. RuntimeError when one does not end by itself."""
    base = ensure_base(say)
    runs: dict[str, list[Result]] = {name: [] for name in names}
    for seed in seeds:
        for name in names:
            say(f"{name}, seed {seed}")
            result = run_scenario(replace(find(name), seed=seed), base, say)
            if result.outcome.status != "finished":
                raise RuntimeError(f"{name}: {result.outcome.status}: {result.outcome.console_tail()}")
            runs[name].append(result)
    return runs


def _say(text: str) -> None:
    print(f"board: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Median, 99th percentile and maximum over the changes of all seeds."""
    parser = argparse.ArgumentParser(prog="python -m tests.board.listeners", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], metavar="N")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME")
    options = parser.parse_args()
    print(report(measure(options.only, options.seeds, _say)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
