"""Memory that goes into files (tmpfs, memfd, System V): tell, delete, end who fills it or whose death returns it."""

from __future__ import annotations

from lmkd.held import Clean, Explain, Tend, TmpfsAnswer
from lmkd.model import FLAG_DECLARED_FOREGROUND, PRIORITY_FOREGROUND, Candidate, Note, Sample, Settings, Victim
from lmkd.policy.flight import free_for_receipt_kib
from lmkd.policy.growth import ShmemWatch
from lmkd.policy.pressure import LOW_PCT
from lmkd.policy.victim import GAIN_MIN_KIB, Choice, Grower
from lmkd.values import replace, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from lmkd.model import Action, CandidateTable

SHARE_MIN = 0.5
GROWS_MIN_KIB_S = 1024.0
STILL_HELD = 0.8
ASK_EVERY_MS = 2500.0
ASK_DOUBLINGS = 5
"""While nothing new comes of it, asking becomes rarer: up to 80 s apart."""
FRESH_MS = 2500.0
LINGERS_MS = 1500.0
"""A writer that waits in reclaim for a while, as everybody does then, has not stopped."""
HELD_RAM_PCT = 15
REST_RAM_PCT_S = 1
"""Below this consumption (percent of RAM a second) nothing else is at work: the board stands as the files left it."""
FILL_FASTER = 3.0
SHORT = ("moderate", "critical")
CLEAN_HOLDS_MS = 300.0
"""So long a deletion holds up a kill at most; a forecast that leaves no time for it holds up nothing."""
CLEAN_LATE_MS = 1000.0
CLEAN_SETTLE_MS = 100.0
RETURNED_ENOUGH = 0.9
SPENT_MS = 2000.0
LIMIT_STEPS = 16
LIMIT_EVERY_MS = 10_000.0


@value
class Cleaning:
    """A deletion in flight: since when, what was free then, and how much of that others have consumed meanwhile."""

    started_ms: float
    wanted_kib: int
    before_kib: int
    seen_ms: float
    drained_kib: float = 0.0
    returned_kib: int = 0


@value
class Tmpfs:
    """What is known of a drain into files: when it last grew, when its holders were asked for, what it held then.

    ``asks``: how often since something came of it; ``explained``: the last time because a kill waits for it.
    ``spent_ms`` is when a deletion last found nothing; ``tended_*`` when, and at how much, limits were looked at.
    """

    growing_ms: float = -1.0
    asked_ms: float = -1.0
    held_kib: int = 0
    asks: int = 0
    explained: bool = False
    cleaning: Cleaning | None = None
    spent_ms: float = -1e9
    tended_ms: float = -1e9
    tended_kib: int = 0


def notice(tmpfs: Tmpfs, shmem: ShmemWatch, steady_kib_s: float, sample: Sample) -> Tmpfs:
    """The drain after this sample; forgotten once the files are gone."""
    if tmpfs.held_kib > 0 and sample.shmem_kib < STILL_HELD * tmpfs.held_kib:
        tmpfs = replace(tmpfs, growing_ms=-1.0, held_kib=0, asks=0)
    if fill_rate(tmpfs, shmem, sample) < max(GROWS_MIN_KIB_S, SHARE_MIN * steady_kib_s):
        return tmpfs
    return replace(tmpfs, growing_ms=sample.t_ms, held_kib=max(tmpfs.held_kib, sample.shmem_kib), asks=0)


def fill_rate(tmpfs: Tmpfs, shmem: ShmemWatch, sample: Sample) -> float:
    """How fast files grow (KiB/s): by what is resident of them; once the helper saw one grow, by all there is.

    The helper saw it for a moment only, in which the writer may have waited: it may be faster, but not by much.
    """
    answer = answer_to(tmpfs, sample)
    seen = FILL_FASTER * answer.fill_kib_s if answer is not None and answer.writer else 0.0
    return max(shmem.rate_kib_s, min(shmem.all_rate_kib_s, seen))


def grows(tmpfs: Tmpfs, sample: Sample) -> bool:
    """Do files take most of what is consumed?"""
    return tmpfs.growing_ms >= 0 and sample.t_ms - tmpfs.growing_ms <= LINGERS_MS


def drains(tmpfs: Tmpfs, steady_kib_s: float, grower: Grower | None, sample: Sample, settings: Settings) -> bool:
    """Is it files in memory that the headroom went into? Then other deaths would only feed the writer."""
    if grower is not None and grower.rate_kib_s >= SHARE_MIN * max(steady_kib_s, 1.0):
        return False
    if grows(tmpfs, sample):
        return True
    at_rest = steady_kib_s * 100 < settings.ram_kib * REST_RAM_PCT_S
    return at_rest and tmpfs.held_kib * 100 >= settings.ram_kib * HELD_RAM_PCT


def answer_to(tmpfs: Tmpfs, sample: Sample) -> TmpfsAnswer | None:
    """The helper's answer to what was asked last, as long as it is fresh."""
    answer = sample.tmpfs
    if answer is None or tmpfs.asked_ms < 0 or answer.t_ms < tmpfs.asked_ms or sample.t_ms - answer.t_ms > FRESH_MS:
        return None
    return answer


def may_ask(tmpfs: Tmpfs, sample: Sample) -> bool:
    """Is it time to have the holders looked for (again)?"""
    apart_ms = ASK_EVERY_MS * (1 << min(tmpfs.asks, ASK_DOUBLINGS))
    return tmpfs.asked_ms < 0 or sample.t_ms - tmpfs.asked_ms > apart_ms


def asked(tmpfs: Tmpfs, sample: Sample, explained: bool = False) -> Tmpfs:
    """The drain after its holders were asked for."""
    return replace(tmpfs, asked_ms=sample.t_ms, asks=tmpfs.asks + 1, explained=explained)


def anew(tmpfs: Tmpfs) -> Tmpfs:
    """The drain after something was done about it: what the helper found before is history."""
    return replace(tmpfs, asked_ms=-1.0, asks=0, explained=False)


def tend(
    tmpfs: Tmpfs, sample: Sample, settings: Settings, level: str, total_kib: int, rate_kib_s: float
) -> tuple[Tmpfs, tuple[Action, ...]]:
    """The rungs below a kill: who fills memory is looked for, told and deleted while there still is time for it."""
    if tmpfs.cleaning is not None:
        return _follow(tmpfs, tmpfs.cleaning, sample, rate_kib_s)
    answer = answer_to(tmpfs, sample)
    if settings.tmpfs_rungs and level in SHORT:
        if answer is not None and answer.deletable_kib >= GAIN_MIN_KIB and sample.t_ms - tmpfs.spent_ms > SPENT_MS:
            wanted = settings.ram_kib * LOW_PCT // 100 + settings.headroom_floor_kib - total_kib
            cleaning = Cleaning(sample.t_ms, max(GAIN_MIN_KIB, wanted), free_for_receipt_kib(sample), sample.t_ms)
            return replace(tmpfs, cleaning=cleaning), (Clean(cleaning.wanted_kib),)
        if answer is None and may_ask(tmpfs, sample):
            return asked(tmpfs, sample), (Tend(True),)
    elif level != "calm" and grows(tmpfs, sample) and answer is None and may_ask(tmpfs, sample):
        return asked(tmpfs, sample), (Tend(False),)
    if settings.tmpfs_limit_kib and _limit_is_due(tmpfs, sample, settings):
        held_kib = _in_files_at_most_kib(sample)
        return replace(tmpfs, tended_ms=sample.t_ms, tended_kib=held_kib), (Tend(False, look=False),)
    return tmpfs, ()


def _limit_is_due(tmpfs: Tmpfs, sample: Sample, settings: Settings) -> bool:
    held_kib, limit_kib = _in_files_at_most_kib(sample), settings.tmpfs_limit_kib
    if held_kib < limit_kib:
        return False
    grown = held_kib - tmpfs.tended_kib >= limit_kib // LIMIT_STEPS
    apart_ms = sample.t_ms - tmpfs.tended_ms
    return apart_ms >= LIMIT_EVERY_MS or (grown and apart_ms >= LIMIT_EVERY_MS / LIMIT_STEPS)


def _in_files_at_most_kib(sample: Sample) -> int:
    """Shmem is what of the files is resident; the rest is somewhere in the store."""
    return sample.shmem_kib + sample.swap_total_kib - sample.swap_free_kib


def _follow(
    tmpfs: Tmpfs, cleaning: Cleaning, sample: Sample, rate_kib_s: float
) -> tuple[Tmpfs, tuple[Action, ...]]:
    """Wait until it is seen what a deletion returned, and make its receipt."""
    drained = cleaning.drained_kib + rate_kib_s * (sample.t_ms - cleaning.seen_ms) / 1000
    returned = max(cleaning.returned_kib, int(free_for_receipt_kib(sample) - cleaning.before_kib + drained))
    cleaning = replace(cleaning, seen_ms=sample.t_ms, drained_kib=drained, returned_kib=returned)
    answer, elapsed_ms = sample.tmpfs, sample.t_ms - cleaning.started_ms
    done = answer is not None and answer.cleaned_ms >= cleaning.started_ms
    deleted = answer.deleted_kib if answer is not None and done else 0
    settled = answer is not None and sample.t_ms - answer.cleaned_ms >= CLEAN_SETTLE_MS
    if not (done and (settled or returned >= RETURNED_ENOUGH * deleted)) and elapsed_ms < CLEAN_LATE_MS:
        return replace(tmpfs, cleaning=cleaning), ()
    outcome = "late" if not done else "returned" if deleted else "nothing was left"
    spent_ms = tmpfs.spent_ms if deleted >= GAIN_MIN_KIB else sample.t_ms
    fields: tuple[tuple[str, object], ...] = (
        ("wanted_kib", cleaning.wanted_kib),
        ("deleted_kib", deleted),
        ("returned_kib", max(0, returned)),
        ("ms", round(elapsed_ms, 1)),
        ("outcome", outcome),
    )
    return replace(anew(tmpfs), cleaning=None, spent_ms=spent_ms), (Note("clean_receipt", fields),)


def holds_up(tmpfs: Tmpfs, sample: Sample, urgent: bool) -> bool:
    """Does a deletion in flight deserve that a kill waits for what it returns?"""
    cleaning = tmpfs.cleaning
    return cleaning is not None and not urgent and sample.t_ms - cleaning.started_ms < CLEAN_HOLDS_MS


def decide(
    tmpfs: Tmpfs,
    shmem: ShmemWatch,
    sample: Sample,
    settings: Settings,
    table: CandidateTable,
    excluded: Container[tuple[int, int]],
    deficit_kib: int,
) -> tuple[Tmpfs, Choice | Explain | str]:
    """What must be done now: ask, end somebody, or nothing, and why. ``excluded``: (pid, start) that were ended."""
    answer = answer_to(tmpfs, sample)
    if answer is None and (may_ask(tmpfs, sample) or not tmpfs.explained):
        return asked(tmpfs, sample, explained=True), Explain(sample.shmem_kib)
    if answer is None:
        return tmpfs, "memory went into files: who holds them is not known"
    holders = _holders(answer, table, excluded)
    writer = _writer(answer, table, excluded) if grows(tmpfs, sample) else None
    if isinstance(writer, Candidate):
        below = sum(gain for row, gain in holders if row.priority > writer.priority)
        lasts_ms = below / max(fill_rate(tmpfs, shmem, sample), GROWS_MIN_KIB_S) * 1000
        if not below or (settings.runaway and lasts_ms <= settings.runaway_horizon_ms):
            own = next((gain for row, gain in holders if row.pid == writer.pid), 0)
            numbers = (*_numbers(shmem, sample, own), ("others_return_kib", below), ("others_last_ms", round(lasts_ms)))
            return tmpfs, Choice((_victim(writer, own),), "tmpfs: it fills memory that no other death returns", numbers)
    if holders:
        row, gain = _first(holders, deficit_kib)
        reason = "tmpfs: its death returns memory in files that only it holds"
        return tmpfs, Choice((_victim(row, gain),), reason, _numbers(shmem, sample, gain), row.grace_ms)
    if isinstance(writer, str):
        return tmpfs, writer
    return tmpfs, "memory went into tmpfs files: no death returns it"


def _writer(
    answer: TmpfsAnswer, table: CandidateTable, excluded: Container[tuple[int, int]]
) -> Candidate | str | None:
    """Who fills the files, when its death may stop that; else why not. None: nobody was seen to."""
    index = table.index_of(answer.writer) if answer.writer else None
    row = table.row(index) if index is not None else None
    if row is None:
        return None
    if not _may_die(row):
        return "memory goes into tmpfs files of a foreground or protected application"
    if (row.pid, row.start_ticks) in excluded:
        return "memory went into tmpfs files of an application that was ended already"
    return row


def _holders(
    answer: TmpfsAnswer, table: CandidateTable, excluded: Container[tuple[int, int]]
) -> list[tuple[Candidate, int]]:
    """Those that may die and whose death returns files, with how much; each is still who it was."""
    found = []
    for pid, start, gain_kib in answer.gains:
        index = table.index_of(pid) if gain_kib >= GAIN_MIN_KIB else None
        row = table.row(index) if index is not None else None
        if row is not None and row.start_ticks == start and (pid, start) not in excluded and _may_die(row):
            found.append((row, gain_kib))
    return found


def _first(holders: list[tuple[Candidate, int]], deficit_kib: int) -> tuple[Candidate, int]:
    """By priority; inside one the smallest that suffices, else the largest."""
    least = max(row.priority for row, _ in holders)
    level = sorted(((gain, row.pid, row) for row, gain in holders if row.priority == least), key=_by_gain)
    gain, _, row = next((one for one in level if one[0] >= deficit_kib), level[-1])
    return row, gain


def _by_gain(one: tuple[int, int, Candidate]) -> tuple[int, int]:
    return one[0], one[1]


def _may_die(row: Candidate) -> bool:
    return row.priority > PRIORITY_FOREGROUND and not row.flags & FLAG_DECLARED_FOREGROUND


def _victim(row: Candidate, files_kib: int) -> Victim:
    """The table may have the files in it already, when it is newer than the look at them."""
    return Victim(row.pid, row.start_ticks, row.name, row.priority, row.rule, max(row.gain_kib, files_kib))


def _numbers(shmem: ShmemWatch, sample: Sample, files_kib: int) -> tuple[tuple[str, object], ...]:
    return (
        ("shmem_kib", sample.shmem_kib), ("shmem_kib_s", round(shmem.rate_kib_s)), ("files_return_kib", files_kib)
    )  # fmt: skip
