"""Whom to end: by priority first, the smallest sufficient inside a priority, and the runaway's arithmetic."""

from __future__ import annotations

from lmkd.model import (
    FLAG_DECLARED_FOREGROUND,
    PRIORITY_FOREGROUND,
    PRIORITY_NEVER,
    Candidate,
    Settings,
    Victim,
)
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from lmkd.model import CandidateTable

GAIN_MIN_KIB = 256
"""A death that returns less than this is not worth an application."""
GROWTH_SHARE_MIN = 0.5
"""The grower must account for this share of the consumption, else ending it would not stop the drain."""


@value
class Grower:
    """A process whose memory (resident and swapped, ``size_kib``) was seen to grow, how fast, and its gain now."""

    pid: int
    size_kib: int
    gain_kib: int
    rate_kib_s: float


@value
class Choice:
    """The victims of one decision, why these, and the arithmetic for the record."""

    victims: tuple[Victim, ...]
    reason: str
    numbers: tuple[tuple[str, object], ...] = ()
    grace_ms: int = 0


def choose(
    table: CandidateTable,
    settings: Settings,
    deficit_kib: int,
    rate_kib_s: float,
    grower: Grower | None,
    excluded: Container[tuple[int, int]],
    gain_factor: float,
) -> Choice | None:
    """The victims to end so that ``deficit_kib`` comes back, or None when no death would return anything.

    ``rate_kib_s`` is the consumption, ``excluded`` (pid, start) of those that were tried already, ``gain_factor`` what
    earlier receipts say of predictions (1.0: they came true).
    """
    runaway = _runaway(table, settings, rate_kib_s, grower, excluded)
    if runaway is not None:
        return runaway
    for priority, start, stop in table.levels():
        if priority <= PRIORITY_NEVER:
            break
        picked = _in_level(table, start, stop, deficit_kib, grower, excluded, gain_factor)
        if picked is None:
            continue
        first = _victim(picked, grower)
        if first.predicted_kib * gain_factor >= deficit_kib or settings.set_limit <= 1:
            return Choice((first,), "priority", grace_ms=picked.grace_ms)
        rest = _complete_set(table, settings, first, deficit_kib, excluded, gain_factor)
        reason = "priority" if len(rest) == 1 else "priority, a set: one at a time comes too late"
        return Choice(rest, reason, grace_ms=picked.grace_ms)
    return None


def _runaway(
    table: CandidateTable,
    settings: Settings,
    rate_kib_s: float,
    grower: Grower | None,
    excluded: Container[tuple[int, int]],
) -> Choice | None:
    """The grower itself, when the deaths of everything less important would only feed its growth for seconds."""
    if not settings.runaway or grower is None or grower.rate_kib_s <= 0:
        return None
    index = table.index_of(grower.pid)
    if index is None:
        return None
    row = table.row(index)
    if _identity(row) in excluded:
        return None
    if row.priority <= PRIORITY_FOREGROUND or row.flags & FLAG_DECLARED_FOREGROUND:
        return None
    if grower.rate_kib_s < GROWTH_SHARE_MIN * rate_kib_s:
        return None
    below_kib = table.gain_before(_level_start(table, index))
    lasts_ms = below_kib / grower.rate_kib_s * 1000
    if lasts_ms > settings.runaway_horizon_ms:
        return None
    numbers = (
        ("grows_kib_s", round(grower.rate_kib_s)),
        ("others_return_kib", below_kib),
        ("others_last_ms", round(lasts_ms)),
        ("horizon_ms", settings.runaway_horizon_ms),
    )
    return Choice((_victim(row, grower),), "runaway: the deaths of all below it would feed its growth", numbers)


def _in_level(
    table: CandidateTable,
    start: int,
    stop: int,
    deficit_kib: int,
    grower: Grower | None,
    excluded: Container[tuple[int, int]],
    gain_factor: float,
) -> Candidate | None:
    """Inside one priority: the one that grows, else the smallest whose gain suffices, else the largest."""
    index = table.index_of(grower.pid) if grower is not None else None
    if index is not None and start <= index < stop and _identity(table.row(index)) not in excluded:
        return table.row(index)
    wanted = int(deficit_kib / gain_factor)
    for index in range(table.first_with_gain(start, stop, max(wanted, GAIN_MIN_KIB)), stop):
        row = table.row(index)
        if _identity(row) not in excluded:
            return row
    for index in range(stop - 1, start - 1, -1):
        row = table.row(index)
        if row.gain_kib < GAIN_MIN_KIB:
            return None
        if _identity(row) not in excluded:
            return row
    return None


def _complete_set(
    table: CandidateTable,
    settings: Settings,
    first: Victim,
    deficit_kib: int,
    excluded: Container[tuple[int, int]],
    gain_factor: float,
) -> tuple[Victim, ...]:
    """More victims in kill order until their sum covers the deficit; never across into another class's priority."""
    chosen = [first]
    total = first.predicted_kib * gain_factor
    for priority, start, stop in table.levels():
        if priority < first.priority or total >= deficit_kib:
            break
        if priority > first.priority:
            continue
        for index in range(stop - 1, start - 1, -1):
            row = table.row(index)
            if total >= deficit_kib or len(chosen) >= settings.set_limit or row.gain_kib < GAIN_MIN_KIB:
                break
            if row.pid != first.pid and _identity(row) not in excluded:
                chosen.append(_victim(row, None))
                total += row.gain_kib * gain_factor
    return tuple(chosen)


def _identity(row: Candidate) -> tuple[int, int]:
    return row.pid, row.start_ticks


def _level_start(table: CandidateTable, index: int) -> int:
    for _priority, start, stop in table.levels():
        if start <= index < stop:
            return start
    return index


def _victim(row: Candidate, grower: Grower | None) -> Victim:
    """A row as a victim; a grower has grown since the table was made, so its fresh size counts."""
    predicted = row.gain_kib
    if grower is not None and grower.pid == row.pid:
        predicted = max(predicted, grower.gain_kib)
    return Victim(row.pid, row.start_ticks, row.name, row.priority, row.rule, predicted)
