"""Owns the measurement of a wake-up that decides nothing, beside more and more processes, and its table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .boards import find
from .image import ensure_base
from .packages import Progress
from .page import PAGE, replace_section, table
from .records import MissingFigure, events
from .scenario import Result, run_scenario
from .trials import WAKE_COUNTS

LIMIT_MS = 2.0
HEADS = ("processes", "wake-ups", "CPU of the guard", "CPU a wake-up")
BODY = """\
## What a wake-up of the guard costs

The guard's own run time (`/proc/PID/schedstat`) over {seconds} s, divided by the times it was woken, on the board with
512 MB and so many processes present. Page faults that take no memory wake it through its fault meter; nothing is to be
decided. Made with `python -m tests.board wakecost`.

{table}
"""


def costs(result: Result) -> list[dict[str, float]]:
    """A row a number of processes: processes, wakeups, cpu_ms, each_ms."""
    found = []
    for record in result.outcome.of_kind("wakecost"):
        guard: dict[str, Any] = record["windows"][0][0]
        if not guard["switches"] or guard["run_ns"] is None:
            raise MissingFigure(f"the guard did not wake beside {record['processes']} processes: {record}")
        cpu_ms = guard["run_ns"] / 1e6
        found.append({"processes": record["processes"], "wakeups": guard["switches"], "cpu_ms": cpu_ms,
                      "each_ms": cpu_ms / guard["switches"], "seconds": record["seconds"]})  # fmt: skip
    if len(found) != len(WAKE_COUNTS):
        raise MissingFigure(f"{len(found)} measurements came, {len(WAKE_COUNTS)} were promised")
    return found


def measure(out: Path | None, say: Progress) -> int:
    """Run the board, print the table, put it into the page below `out`; 1 when a wake-up costs too much."""
    base = ensure_base(say)
    say("some minutes: the board starts up to 2000 processes")
    result = run_scenario(find("wakecost"), base, say)
    if result.outcome.status != "finished":
        say(f"{result.outcome.status}; the console ends with\n{result.outcome.console_tail()}")
        return 2
    found = costs(result)
    rows = [
        (f"{row['processes']:.0f}", f"{row['wakeups']:.0f}", f"{row['cpu_ms']:.0f} ms", f"{row['each_ms']:.2f} ms")
        for row in found
    ]
    shown = table(HEADS, rows)
    print(shown)
    if out is not None:
        replace_section(out / PAGE, "wakecost", BODY.format(seconds=f"{found[0]['seconds']:.0f}", table=shown))
        say(f"wrote {out / PAGE}")
    decided = events(result.outcome, "kill", "pressure")
    if decided:
        say(f"something was to be decided after all: {[event['event'] for event in decided]}")
    return 1 if decided or max(row["each_ms"] for row in found) > LIMIT_MS else 0
