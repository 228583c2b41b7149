"""Freezing: a background application that thrashes is stopped for a while, so that the foreground gets its pages."""

from __future__ import annotations

from lmkd.model import FLAG_FREEZE, PRIORITY_FOREGROUND, Candidate, Freeze, Note, Sample, Settings, Thaw
from lmkd.values import replace, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.model import Action, CandidateTable
    from lmkd.policy.pressure import Stall

LEVELS = ("moderate", "critical")
SHARE_MIN = 0.5
"""It must take most page faults in so many of the samples that name anybody: who waits for it faults as well."""
FAULTS_MIN_KIB_S = 1024.0
HITS_MIN = 3
GROWN_MIN_KIB, GROWN_SHARE = 1024, 0.05
"""More than this is growth, of which a stop only puts off the end."""
GROWTH_OF_FAULTS = 0.2
"""Who grows faults for what it grows by; who thrashes faults for what it had."""
THRASHES_MS = 300.0
"""Less than the window after which a stall calls for a kill: a stop comes before it."""
UNSEEN_MS = 2500.0
"""Looks may lie so far apart while nothing else happens."""
HELPS_MS = 1000.0
REST_MIN_MS, REST_MAX_MS = 1000.0, 60_000.0
RESTS_MAX = 16


@value
class Rest:
    """One that was stopped is left alone until ``until_ms``; the next rest is twice as long."""

    pid: int
    start_ticks: int
    ms: float
    until_ms: float


@value
class Frost:
    """Who is suspected since when (``seen_*``), who is stopped now (pid 0: nobody), and who rests from it.

    ``hits`` of ``looks`` samples with page faults named the suspect. Refaults are not asked for: with MGLRU the kernel
    does not count those of what was stored a moment ago. Who faults much and does not grow does nothing else.
    """

    seen_pid: int = 0
    seen_ms: float = 0.0
    seen_kib: int = 0
    named_ms: float = 0.0
    hits: int = 0
    looks: int = 0
    pid: int = 0
    start_ticks: int = 0
    since_ms: float = 0.0
    until_ms: float = 0.0
    rests: tuple[Rest, ...] = ()


def decide(
    frost: Frost, sample: Sample, settings: Settings, table: CandidateTable, level: str, stall: Stall
) -> tuple[Frost, tuple[Action, ...]]:
    """The frost after this sample, and whom to stop or to let go. The helper ends a stop by itself when it is time."""
    if frost.pid:
        return _wait(frost, sample, level)
    frost = _suspect(frost, sample, level)
    if not _thrashes(frost, sample) or stall.some_pct <= settings.stall_budget_ms * 100 / settings.stall_window_ms:
        return frost, ()
    index = table.index_of(frost.seen_pid)
    row = table.row(index) if index is not None else None
    if row is None or not row.flags & FLAG_FREEZE or row.priority <= PRIORITY_FOREGROUND or _rests(frost, row, sample):
        return frost, ()
    ms = settings.freeze_max_ms
    fields = (
        ("pid", row.pid),
        ("name", row.name),
        ("share_pct", round(100 * frost.hits / frost.looks)),
        ("faults_kib_s", round(sample.grower_kib_s * sample.grower_share)),
        ("some_pct", round(stall.some_pct, 1)),
        ("for_ms", round(frost.named_ms - frost.seen_ms)),
    )
    stopped = Frost(
        pid=row.pid, start_ticks=row.start_ticks, since_ms=sample.t_ms, until_ms=sample.t_ms + ms, rests=frost.rests
    )
    return stopped, (Note("thrash", fields), Freeze(row.pid, row.start_ticks, ms))


def may_help(frost: Frost, sample: Sample) -> bool:
    """Was somebody stopped just now? Then a stall alone is no reason to end anybody, until it is seen what that did."""
    return frost.pid > 0 and sample.t_ms - frost.since_ms < HELPS_MS


def _wait(frost: Frost, sample: Sample, level: str) -> tuple[Frost, tuple[Action, ...]]:
    """Until the time is over, the board is calm, or the stopped one is dead."""
    if frost.pid in sample.gone:
        return Frost(rests=frost.rests), ()
    over = sample.t_ms >= frost.until_ms
    if not over and level != "calm":
        return frost, ()
    stopped_ms = min(sample.t_ms, frost.until_ms) - frost.since_ms
    mine = (frost.pid, frost.start_ticks)
    before = next((rest.ms for rest in frost.rests if (rest.pid, rest.start_ticks) == mine), 0.0)
    ms = max(stopped_ms, REST_MIN_MS, min(REST_MAX_MS, 2 * before))
    others = tuple(
        rest
        for rest in frost.rests
        if (rest.pid, rest.start_ticks) != mine and sample.t_ms - rest.until_ms <= REST_MAX_MS
    )
    rests = (*others[-(RESTS_MAX - 1) :], Rest(*mine, ms, sample.t_ms + ms))
    return Frost(rests=rests), () if over else (Thaw(frost.pid),)


def _suspect(frost: Frost, sample: Sample, level: str) -> Frost:
    """Follow who takes most page faults and does not grow; samples that name nobody tell nothing for a while."""
    resident, swapped = sample.grower_resident_kib, sample.grower_swapped_kib
    if level not in LEVELS or sample.t_ms - frost.named_ms > UNSEEN_MS:
        frost = Frost(rests=frost.rests)
    if level not in LEVELS or not sample.grower_pid or sample.grower_share <= 0 or resident is None or swapped is None:
        return frost
    named = sample.grower_share >= SHARE_MIN
    size = resident + swapped
    if not named or sample.grower_pid != frost.seen_pid:
        frost = replace(frost, looks=frost.looks + 1)
        if frost.hits >= SHARE_MIN * frost.looks:
            return frost
        return Frost(sample.grower_pid, sample.t_ms, size, sample.t_ms, int(named), 1, rests=frost.rests)
    if size - frost.seen_kib > max(GROWN_MIN_KIB, GROWN_SHARE * frost.seen_kib):
        return Frost(sample.grower_pid, sample.t_ms, size, sample.t_ms, 1, 1, rests=frost.rests)
    return replace(frost, named_ms=sample.t_ms, hits=frost.hits + 1, looks=frost.looks + 1)


def _thrashes(frost: Frost, sample: Sample) -> bool:
    lasts_ms = frost.named_ms - frost.seen_ms
    if sample.grower_pid != frost.seen_pid or frost.hits < HITS_MIN or lasts_ms < THRASHES_MS:
        return False
    faults_kib_s = sample.grower_kib_s * sample.grower_share
    grown_kib = (sample.grower_resident_kib or 0) + (sample.grower_swapped_kib or 0) - frost.seen_kib
    return faults_kib_s >= FAULTS_MIN_KIB_S and grown_kib * 1000 <= GROWTH_OF_FAULTS * faults_kib_s * lasts_ms


def _rests(frost: Frost, row: Candidate, sample: Sample) -> bool:
    mine = (row.pid, row.start_ticks)
    return any((rest.pid, rest.start_ticks) == mine and sample.t_ms < rest.until_ms for rest in frost.rests)
