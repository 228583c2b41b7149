"""The page about the records (docs/events.md), written from their definition."""

from __future__ import annotations

import textwrap

from lmkd.control.records import ENVELOPE, TRUNCATED, RecordField, RecordKind
from lmkd.control.records_work import SECTIONS

COLUMNS = 120
_INTRODUCTION = """\
# Reading the events

Generated from the definition of the records (`lmkd.control.records`).

Whatever lmkd decides, does, refuses or fails at becomes one record: an event with its reason and the numbers that it
was decided by.

    lmkd events                     # what there is, oldest first
    lmkd events --follow            # and what comes
    lmkd events --json --since 120  # as JSON, one object a line, from number 120 on

A running lmkd keeps about the last 64 KiB of them. For people, a field's unit goes into its value (`headroom_kib`
becomes `headroom 8.1 MB`), and null reads `unknown`: a kernel that does not tell something is never shown as 0.

## One kill, followed

"""
_STORY = """\

1. `pressure` says when others were told, and how much there was left: what grows takes the headroom, `rate_kib_s` a
   second.
2. `kill` is the decision. `trigger` is why somebody had to die, `reason` why this one. Where it begins with `runaway`,
   the arithmetic is beside it: all below it in the kill order would have returned `others_return_kib`, which lasts
   `others_last_ms` at `grows_kib_s`; that is less than `horizon_ms`, so their deaths would have bought nothing.
   `predicted_kib` is what the death is to return.
3. With SIGTERM an `escalate` may follow, when the grace is over or the forecast leaves no time for it. `reap` is there
   when the victim did not get to free its memory by itself, `group` when more belonged to it, `hook` when its program
   (`on_kill`) did not do well.
4. `receipt` ends it: `returned_kib` beside `predicted_kib`, and how long it took. Until then nobody else dies. The two
   last fields are what was learned: later predictions and horizons go by them.
5. `compact` may follow: deaths leave holes in the store.
6. `pressure` again, on the way down: less than moderate is told when it has lasted for 2 s.

`refusal` in the place of `kill` says why nobody died: nothing that may be ended would return memory, the process was
gone, what was asked to be ended is protected. What stands where in the kill order now, and why: `lmkd ps`,
`lmkd explain NAME`. How a decision is made: [how it decides](how-it-decides.md).

## Where they go

- **The log**, from `log.level` on (`log.to`, [configuration](configuration.md#log-log)). `stderr`: JSON lines after
  `lmkd: `. `journald`: each field as one of the journal's, in capitals with `LMKD_` before it, so

      journalctl LMKD_EVENT=kill -o verbose

  finds all kills with their numbers. `syslog`: one line of text, `key=value`. `kmsg`: `kill`, `escalate` and errors
  alone, for a board with nothing else. A log that takes nothing just now is never waited for: the records stay in the
  64 KiB until it does, or until newer ones take their place.
- **The control socket**: `events` asks, `subscribe` is told ([protocol](protocol.md)); `lmkd events` is such a client.
- **Programs**: those of `on_kill` have the fields of `kill` in their environment, as `LMKD_PID` and so on.
- **Numbers**: `lmkd metrics` counts records by name and kills by class ([metrics](metrics.md)).
- What the planner says before there is a guard, such as `planned` (how many rules, which files, which store), is a line
  of the log, and no record. That the guard has died is told to the kernel's log by the helper.

With `--dry-run` the same decisions are made and recorded, `dry_run` is true in `kill` and `deleted`, and nothing is
done.

## What each record has

"""
_FIELDS = """\

Units end a name: `_kib` is KiB, `_kib_s` KiB a second, `_ms` and `_us` milliseconds and microseconds, `_s` a number a
second, `_pct` percent. A `?` after the type: may be null. A field with a condition is only in those records.
"""

KILL_SHOWN = """\
"""


def events_page() -> str:
    """The whole page: how to read records, and every one with its fields."""
    parts = [_INTRODUCTION + KILL_SHOWN + _STORY, _table((*ENVELOPE, TRUNCATED)) + _FIELDS]
    for title, kinds in SECTIONS:
        parts += [f"## {title}\n", *map(_kind, kinds)]
    return "\n".join(parts)


def _kind(kind: RecordKind) -> str:
    level = f"Level: {kind.level}{'; ' + kind.raised if kind.raised else ''}."
    said = textwrap.fill(f"{kind.doc} {level}", COLUMNS, break_on_hyphens=False)
    return "\n".join([f"### `{kind.name}`\n", f"{said}\n", _table(kind.fields)])


def _table(fields: tuple[RecordField, ...]) -> str:
    rows = [f"| `{one.name}` | {one.kind} | {_when(one)}{one.doc} |" for one in fields]
    return "\n".join(["| field | type | meaning |", "|---|---|---|", *rows, ""])


def _when(one: RecordField) -> str:
    return f"*({one.when})* " if one.when else ""
