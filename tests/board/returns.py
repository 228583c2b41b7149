"""Owns the table of what deaths return of the store's memory: ``python -m tests.board.returns``, a few minutes."""

from __future__ import annotations

import json
import statistics
import sys
from typing import Any

from .boards import find
from .image import ensure_base
from .scenario import run_scenario

RETURNED = ("at_once_kib", "compacted_kib")
ARRANGEMENTS = {"whole": "each application stored as one", "mixed": "128 KB of each in turn"}


def say(text: str) -> None:
    """Progress, apart from the table."""
    print(f"board: {text}", file=sys.stderr, flush=True)


def error_pct(death: dict[str, Any], returned: str) -> float:
    """By how much the prediction was off, in percent of what returned."""
    came = float(max(1, death[returned]))
    return abs(float(death["predicted_kib"]) - came) * 100 / came


def table(records: list[dict[str, Any]]) -> str:
    """Half of the applications ended together, then the others one by one."""
    lines = [
        "| arrangement | half ended: free at once | after compaction | store before, after, compacted (KiB) "
        "| deaths one by one | predicted (median KiB) | returned at once | after compaction "
        "| error at once (median) | error after compaction (median) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, words in ARRANGEMENTS.items():
        half = next(record for record in records if record["kind"] == "half" and record["arrangement"] == name)
        deaths = [record for record in records if record["kind"] == "death" and record["arrangement"] == name]
        stages = ", ".join(str(half[when]["used_kib"]) for when in ("before", "after", "last"))
        medians = [statistics.median(death[key] for death in deaths) for key in ("predicted_kib", *RETURNED)]
        errors = [statistics.median(error_pct(death, key) for death in deaths) for key in RETURNED]
        lines.append(
            f"| {words} | {half['at_once_kib']} KiB | {half['compacted_kib']} KiB | {stages} | {len(deaths)} | "
            + " | ".join(f"{median:.0f}" for median in medians)
            + " | " + " | ".join(f"{error:.1f} %" for error in errors) + " |"
        )
    return "\n".join(lines)


def main() -> int:
    """Run it once; the table, and with --json the records."""
    result = run_scenario(find("returns"), ensure_base(say), say)
    records = [dict(record) for record in result.outcome.records if record.get("kind") in ("death", "half")]
    if "--json" in sys.argv:
        for record in records:
            print(json.dumps(record))
    if result.outcome.status != "finished":
        say(f"{result.outcome.status}: {result.outcome.console_tail()}")
        return 2
    print(table(records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
