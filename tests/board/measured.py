"""Owns what the runs of one scenario with one manager say together: median, worst, sums, and the bounds they break."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .boards import find
from .results import Job
from .scenario import OPERATORS, Bound, Manager, Scenario

LABELS: Mapping[str, str] = {"none": "no manager", "earlyoom": "earlyoom", "nohang": "nohang", "lmkd": "lmkd"}
GAPS = ("switch_gap_worst_ms", "gap_worst_ms")
SERVES = (Bound("manager_ready", "==", True), Bound("manager_alive", "==", True))
UNFINISHED: Mapping[str, str] = {"guest_died": "board died", "deadline": "board hung", "no_result": "no result"}
NOT_RUN = "not run"


def gap_name(scenario: str) -> str:
    """The figure that is this scenario's gap: of the switched application where there is one."""
    options = find(scenario).load
    return GAPS[0] if any(option.startswith("--switch") for option in options) else GAPS[1]


def gap_bound(scenario: Scenario) -> Bound | None:
    """What the scenario promises of its gap."""
    name = gap_name(scenario.name)
    return next((bound for bound in scenario.bounds if bound.field == name), None)


@dataclass(frozen=True, slots=True)
class Cell:
    """All runs of one scenario with one manager: how each ended, and its figures."""

    scenario: str
    manager: Manager
    statuses: tuple[str, ...]
    runs: tuple[Mapping[str, Any], ...]

    @property
    def trouble(self) -> str:
        """Why there are no figures; empty when all runs gave some."""
        bad = [status for status in self.statuses if status != "finished"]
        return UNFINISHED.get(bad[0], bad[0]) if bad else "" if self.runs else NOT_RUN

    def values(self, name: str) -> list[float]:
        """The figure in each run that has it."""
        return [float(run[name]) for run in self.runs if run.get(name) is not None]

    def worst(self, name: str) -> float | None:
        """The largest in any run; None when there is none, or a board gave no result."""
        return None if self.trouble else max(self.values(name), default=None)

    def median(self, name: str) -> float | None:
        """The median over the runs."""
        values = self.values(name)
        return statistics.median(values) if values and not self.trouble else None

    def total(self, name: str) -> float | None:
        """The sum over the runs."""
        values = self.values(name)
        return sum(values) if values and not self.trouble else None

    @property
    def gap_ms(self) -> float | None:
        """The worst gap of all runs."""
        return self.worst(gap_name(self.scenario))

    @property
    def gap_median_ms(self) -> float | None:
        """The median of the runs' worst gaps."""
        return self.median(gap_name(self.scenario))

    @property
    def other_gap_ms(self) -> float | None:
        """Where the gap is that of a switched application: the worst gap of the first foreground."""
        return None if gap_name(self.scenario) == GAPS[1] else self.worst(GAPS[1])

    @property
    def alive(self) -> bool:
        """Whether the foreground, and what was to become it, lived through every run."""
        names = ("foreground_alive", "switch_alive")
        return not self.trouble and all(run.get(name) is not False for run in self.runs for name in names)

    @property
    def kept(self) -> tuple[int, int] | None:
        """Background applications kept in the worst run, and how many there were."""
        found = [
            (run["background_kept"] + run["small_kept"], run["background_total"] + run["small_total"])
            for run in self.runs
            if run.get("background_total") is not None
        ]
        return None if self.trouble else min(found, default=None)

    @property
    def deaths(self) -> int | None:
        """Applications that died in the worst run, each time one that starts again did."""
        found = [len(run["deaths"]) + run["deaths_unlisted"] for run in self.runs if run.get("deaths") is not None]
        return None if self.trouble else max(found, default=None)

    def missed(self) -> list[str]:
        """The bounds broken, each with the number of runs and the values; a manager that died breaks one."""
        broken: Counter[Bound] = Counter()
        values: dict[Bound, list[Any]] = {}
        for run in self.runs:
            for bound in (*find(self.scenario).bounds, *SERVES):
                value = run.get(bound.field)
                if value is None or not OPERATORS[bound.op](value, bound.value):
                    broken[bound] += 1
                    values.setdefault(bound, []).append(value)
        return [
            f"{bound} in {count} of {len(self.runs)} runs ({', '.join(map(_shown, values[bound]))})"
            for bound, count in broken.items()
        ]


Table = Mapping[str, Mapping[str, Cell]]


def cells(rows: Iterable[tuple[Job, Mapping[str, Any]]]) -> Table:
    """The runs by scenario and manager."""
    runs: dict[tuple[str, Manager], list[Mapping[str, Any]]] = {}
    for job, row in rows:
        runs.setdefault((job.scenario, job.manager), []).append(row)
    found: dict[str, dict[str, Cell]] = {}
    for (scenario, manager), rows_of in runs.items():
        statuses = tuple(row["status"] for row in rows_of)
        figures = tuple(row["figures"] for row in rows_of if row["status"] == "finished")
        found.setdefault(scenario, {})[manager] = Cell(scenario, manager, statuses, figures)
    return found


def _shown(value: Any) -> str:
    return "unknown" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value).lower()


def behind(own: Cell, other: Cell) -> tuple[list[str], bool]:
    """In what `own` is behind `other`, and whether it is ahead in anything.

    Compared are the foreground's life, the worst gap (those within the bound are alike: nobody sees them), the share
    kept in the worst run, and the worst run's kernel OOM kills. A gap counts only beside one that lived, too.
    """
    if other.trouble:
        return [], True
    pairs = [("life", float(not own.alive), float(not other.alive))]
    for bound in find(own.scenario).bounds:
        if bound.field in GAPS and own.alive and other.alive:
            mine, theirs = (max(each.worst(bound.field) or 0.0, float(bound.value)) for each in (own, other))
            pairs.append(("gap", mine, theirs))
    pairs.append(("kept", -float((own.kept or (0, 0))[0]), -float((other.kept or (0, 0))[0])))
    pairs.append(("kernel kills", own.worst("oom_kill_delta") or 0, other.worst("oom_kill_delta") or 0))
    return [name for name, ours, others in pairs if ours > others], any(ours < others for _, ours, others in pairs)


def ahead(own: Cell, others: Iterable[Cell]) -> str:
    """Whether `own` is ahead of each of the others, in words."""
    if own.trouble:
        return own.trouble
    worse, level = [], []
    for other in others:
        lost, won = behind(own, other)
        worse += [f"{name} of {LABELS[other.manager]}" for name in lost]
        level += [LABELS[other.manager]] if not lost and not won else []
    if worse:
        return "no: " + ", ".join(worse)
    return f"level with {', '.join(level)}" if level else "yes"
