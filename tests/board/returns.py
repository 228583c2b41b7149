"""Owns the tables of what deaths return of the store's memory: ``python -m tests.board.returns``, minutes a store."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .boards import find
from .image import ensure_base
from .scenario import Scenario, run_scenario
from .trials import RETURNS
from .vm import Watch

STORES: Mapping[str, str] = {
    "zram": "kind: zram",
    "zswap-zsmalloc": "kind: zswap, pool: zsmalloc",
    "zswap-zbud": "kind: zswap, pool: zbud",
    "zswap-z3fold": "kind: zswap, pool: z3fold",
}
BY_LMKD = ("zram", "zswap-zsmalloc")
"""Where lmkd itself ends applications as well: with a compaction of its own, and without."""
ARRANGEMENTS = {
    "whole": "one after the other",
    "pieces": "128 KB of each in turn",
    "pages": "a page of each in turn",
    "differ": "128 KB of each, compress to 1.5, 2, 3, 6",
}
WHEN = ("at_once", "after")
Record = Mapping[str, Any]


def say(text: str) -> None:
    """Progress, apart from the tables."""
    print(f"board: {text}", file=sys.stderr, flush=True)


def scenario_of(store: str, only: str | None = None) -> Scenario:
    """The scenario with this store, or the part of it named ``only``."""
    scenario = find("returns")
    parts = {line: line.split()[1] if " " in line else "lmkd" for line in scenario.after if line.startswith("returns_")}
    wanted = [part for part in parts.values() if (part == only if only else part != "lmkd" or store in BY_LMKD)]
    after = tuple(line for line in scenario.after if line not in parts or parts[line] in wanted)
    kinds = () if only else scenario.kinds
    return replace(scenario, after=after, kinds=kinds, config=RETURNS.format(store=STORES[store]))


def returned_kib(death: Record, when: str) -> int:
    """Free memory that this death brought."""
    return int(death[when]["free_kib"]) - int(death["before"]["free_kib"])


def error_pct(death: Record, when: str) -> float:
    """By how much the prediction was off, in percent of what returned."""
    came = max(1, returned_kib(death, when))
    return abs(float(death["predicted_kib"]) - came) * 100 / came


def guarantee_table(found: Mapping[str, list[Record]]) -> str:
    """Half of the applications ended together: free memory against what their pages occupied.

    Not by what zswap says that its pool takes: that is out of date until the next page comes or goes (mm/zswap.c, 6.1).
    """
    lines = [
        "| store | stored | holds (KiB) | in (KiB) | the dead's part | free at once | after compaction | predicted |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for store, records in found.items():
        for half in (record for record in records if record["kind"] == "half"):
            before = half["before"]
            part = before["used_kib"] * (1 - half["at_once"]["orig_kib"] / before["orig_kib"])
            came = [returned_kib(half, when) for when in WHEN]
            lines.append(
                f"| {store} | {ARRANGEMENTS[half['arrangement']]} | {before['orig_kib']} | {before['used_kib']} "
                f"| {part:.0f} | " + " | ".join(f"{kib} ({kib * 100 / part:.0f} %)" for kib in came)
                + f" | {half['predicted_kib']} |"
            )
    return "\n".join(lines)


def prediction_table(found: Mapping[str, list[Record]]) -> str:
    """Deaths one by one: predicted against returned."""
    lines = [
        "| store | stored | deaths | predicted (median KiB) | returned at once | after compaction "
        "| error at once (median) | error after compaction (median) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for store, records in found.items():
        deaths = [record for record in records if record["kind"] == "death"]
        named = {name: [one for one in deaths if one["arrangement"] == name] for name in ARRANGEMENTS}
        for words, group in (*((ARRANGEMENTS[name], group) for name, group in named.items()), ("all", deaths)):
            if group:
                lines.append(f"| {store} | {words} | {len(group)} | " + " | ".join(_medians(group)) + " |")
        receipts = [record for record in records if record["kind"] == "receipt"]
        if receipts:
            lines.append(f"| {store} | ended by lmkd | {len(receipts)} | " + " | ".join(_by_lmkd(receipts)) + " |")
    return "\n".join(lines)


def _medians(group: list[Record]) -> list[str]:
    return [
        f"{_median(one['predicted_kib'] for one in group):.0f}",
        *(f"{_median(returned_kib(one, when) for one in group):.0f}" for when in WHEN),
        *(f"{_median(error_pct(one, when) for one in group):.1f} %" for when in WHEN),
    ]


def _by_lmkd(receipts: list[Record]) -> list[str]:
    predicted = [float(one["predicted_kib"]) for one in receipts]
    at_once = [float(one["returned_kib"]) for one in receipts]
    after = [float(one["returned_kib"] + one["compacted_kib"]) for one in receipts]
    medians = [f"{_median(column):.0f}" for column in (predicted, at_once, after)]
    for column in (at_once, after):
        errors = (abs(said - came) * 100 / max(1.0, came) for said, came in zip(predicted, column, strict=True))
        medians.append(f"{_median(errors):.1f} %")
    return medians


def _median(numbers: Iterable[float]) -> float:
    return statistics.median(numbers)


def records_of(records: Iterable[Record]) -> list[Record]:
    """The deaths, and the receipts of those that lmkd ended, with what its compaction returned after each."""
    found: list[Record] = [dict(record) for record in records if record.get("kind") in ("death", "half")]
    events = {record["event"]["seq"]: record["event"] for record in records if record.get("kind") == "lmkd_event"}
    receipts: list[dict[str, Any]] = []
    for _, event in sorted(events.items()):
        if event["event"] == "receipt" and event["name"].startswith("woven"):
            receipts.append({"kind": "receipt", "compacted_kib": 0, **event})
        elif event["event"] == "compact" and receipts:
            receipts[-1]["compacted_kib"] += event["returned_kib"]
    return [*found, *receipts]


def _tell(record: Record) -> None:
    if record.get("kind") in ("death", "half"):
        came = ", ".join(str(returned_kib(record, when)) for when in WHEN)
        say(f"{record['kind']}, {record['arrangement']}: predicted {record['predicted_kib']}, returned {came} KiB")


def run(store: str, only: str | None) -> list[Record]:
    """One board. Raises RuntimeError with its last words when it did not end by itself."""
    say(f"{store}: a board")
    outcome = run_scenario(scenario_of(store, only), ensure_base(say), say, Watch(on_record=_tell)).outcome
    if outcome.status != "finished":
        raise RuntimeError(f"{store}: {outcome.status}: {outcome.console_tail()}")
    return records_of(outcome.records)


def main() -> int:
    """All stores or the one named; the tables, and with --json the records."""
    parser = argparse.ArgumentParser(prog="python -m tests.board.returns", description=__doc__)
    parser.add_argument("--store", choices=STORES, action="append", help="only this one; may be given again")
    parser.add_argument("--only", choices=(*ARRANGEMENTS, "lmkd"), help="only this part")
    parser.add_argument("--json", action="store_true", help="print every record as well")
    options = parser.parse_args()
    found: dict[str, list[Record]] = {}
    for store in options.store or STORES:
        try:
            found[store] = run(store, options.only)
        except RuntimeError as error:
            say(str(error))
            return 2
        for record in found[store] if options.json else ():
            print(json.dumps({"store": store, **record}))
    print(guarantee_table(found), prediction_table(found), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
