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

1. `pressure` says when others were told, why, and how much there was left: what grows takes the headroom, `rate` a
   second. Here 86 MB were left, nearly all of it in the store; the store was given more (`store_limit`).
2. `kill` is the decision. `trigger` is why somebody had to die: here a stall, with 65 MB still left by the arithmetic.
   `reason` is why this one: a runaway, with its numbers. All below it in the kill order would have returned
   `others return`, which lasts `others last` at the speed at which it `grows`; that is less than `horizon`, so their
   deaths would have bought nothing. `predicted` is what this death is to return, `rule` what made its priority.
3. With SIGTERM an `escalate` may follow, when the grace is over or the forecast leaves no time for it. `reap` is there
   when the victim did not get to free its memory by itself, as here; `group` when more belonged to it, `hook` when its
   program (`on_kill`) did not do well.
4. `receipt` ends it: `returned` beside `predicted`, and how long it took. Until then nobody else dies. The two last
   fields are what was learned: later predictions and horizons go by them.
5. `compact` may follow, where the death left holes in the store.
6. `pressure` on the way down: moderate at once, less than that when it has lasted for 2 s.

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
A board of 256 MB without a configuration, on which one application grows at 30 MB/s (`python -m tests.board run
grow-30-comp --seed 1 --json`), as `lmkd events` shows it; long lines are broken here, and the start, what was trimmed
and who was reniced is left out:

    23:09:54.311  info      pressure        forecast: memory is used up in less than 20.1 s
        pressure moderate, headroom 85.6 MB, free 2.6 MB, cache 1.4 MB, store 81.5 MB, rate 19.1 MB/s, cause psi_full
    23:09:58.823  info      store_limit     from 70.6 MB, to 90.2 MB, used 52.5 MB, ratio 2.74, fills 26.1 MB/s, refused
    23:09:59.296  warning   pressure        stall: the foreground waits for memory that others hold
        pressure critical, headroom 64.8 MB, free -388 KB, cache 0 KB, store 65.2 MB, rate 22.5 MB/s, cause faults
    23:09:59.296  warning   kill            grow[230]  runaway: the deaths of all below it would feed its growth
        priority 200 visible, rule own oom_score_adj, signal SIGKILL, predicted 130.5 MB,
        trigger stall: the foreground waits for memory that others hold, cause faults,
        headroom 64.8 MB, free -388 KB, cache 0 KB, store 65.2 MB, deficit 4.7 MB, rate 22.5 MB/s, exhaustion 2.7 s,
        stall full 78.3%, refaults 2/s, grows 143.6 MB/s, others return 39.5 MB, others last 275 ms, horizon 30.0 s,
        decide 3 ms, dry run no
    23:09:59.338  info      pressure        forecast: memory is used up in less than 40.1 s
        pressure moderate, headroom 65.2 MB, free 1.0 MB, cache 0 KB, store 64.2 MB, rate 7.8 MB/s, cause timer
    23:09:59.509  warning   reap            pid 230, by guard, outcome released, ms 172.40
    23:09:59.513  info      receipt         grow[230]
        predicted 130.5 MB, returned 120.0 MB, ms 217.00, half 217 ms, outcome dead, kill 93 ms, gain factor 0.98
    23:10:01.513  info      pressure        headroom is enough
        pressure calm, headroom 131.0 MB, free 119.6 MB, cache 0 KB, store 11.5 MB, rate 0 KB/s, cause timer
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
