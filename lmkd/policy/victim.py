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
    # A few pages more are no growth: such a process goes by its size like any other.
    growing = grower if grower is not None and grower.rate_kib_s >= GROWTH_SHARE_MIN * rate_kib_s > 0 else None
    for priority, start, stop in table.levels():
        if priority <= PRIORITY_NEVER:
            break
        picked = _in_level(table, start, stop, deficit_kib, growing, excluded, gain_factor)
        if picked is None:
            continue
        first = _victim(picked, grower)
        if first.predicted_kib * gain_factor >= deficit_kib or settings.set_limit <= 1:
            return Choice((first,), "priority", grace_ms=picked.grace_ms)
        missing_kib = deficit_kib - first.predicted_kib * gain_factor
        rest = _rest_of_set(table, settings, picked, missing_kib, excluded, gain_factor)
        reason = "priority, a set: one at a time comes too late" if rest else "priority"
        # All get the same signal: one that has no grace makes it SIGKILL for the whole set.
        grace_ms = min(row.grace_ms for row in (picked, *rest))
        return Choice((first, *(_victim(row, None) for row in rest)), reason, grace_ms=grace_ms)
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
    if row.priority <= PRIORITY_FOREGROUND or _is_declared(row):
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
    """Inside one priority: the one that grows, else the smallest whose gain suffices, else the largest.

    A declared foreground comes after all others of its number: what nobody declared has that number by default.
    """
    index = table.index_of(grower.pid) if grower is not None else None
    wanted = int(deficit_kib / gain_factor)
    sufficient = table.first_with_gain(start, stop, max(wanted, GAIN_MIN_KIB))
    for declared in (False, True):
        if index is not None and start <= index < stop and _eligible(table.row(index), excluded, declared):
            return table.row(index)
        for place in (*range(sufficient, stop), *range(sufficient - 1, start - 1, -1)):
            row = table.row(place)
            if row.gain_kib < GAIN_MIN_KIB:
                break
            if _eligible(row, excluded, declared):
                return row
    return None


def _rest_of_set(
    table: CandidateTable,
    settings: Settings,
    first: Candidate,
    missing_kib: float,
    excluded: Container[tuple[int, int]],
    gain_factor: float,
) -> list[Candidate]:
    """More victims beside the first until they cover what is missing; never across into another priority."""
    chosen: list[Candidate] = []
    for priority, start, stop in table.levels():
        if priority != first.priority:
            continue
        for index in range(stop - 1, start - 1, -1):
            row = table.row(index)
            if missing_kib <= 0 or len(chosen) + 1 >= settings.set_limit or row.gain_kib < GAIN_MIN_KIB:
                break
            if row.pid != first.pid and _eligible(row, excluded, _is_declared(first)):
                chosen.append(row)
                missing_kib -= row.gain_kib * gain_factor
    return chosen


def _is_declared(row: Candidate) -> bool:
    return bool(row.flags & FLAG_DECLARED_FOREGROUND)


def _eligible(row: Candidate, excluded: Container[tuple[int, int]], declared: bool) -> bool:
    return _is_declared(row) == declared and _identity(row) not in excluded


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
