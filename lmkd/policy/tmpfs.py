"""Memory that goes into tmpfs files: no death returns it, so at most the writer dies, to stop the growth."""

from __future__ import annotations

from lmkd.model import PRIORITY_FOREGROUND, Sample, Settings, Victim
from lmkd.policy.growth import ShmemWatch
from lmkd.policy.victim import Choice, Grower
from lmkd.values import replace, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from lmkd.model import CandidateTable

SHARE_MIN = 0.5
GROWS_MIN_KIB_S = 1024.0
STILL_HELD = 0.8
ASK_EVERY_MS = 2500.0
REST_RAM_PCT_S = 1
"""Below this consumption (percent of RAM a second) nothing else is at work: the board stands as the files left it."""


@value
class Tmpfs:
    """When the holders were asked for, and how much the files held when one death was tried (0: none was)."""

    asked_ms: float = -1.0
    tried_kib: int = 0


def drains(
    tmpfs: Tmpfs, shmem: ShmemWatch, steady_kib_s: float, grower: Grower | None, sample: Sample, settings: Settings
) -> bool:
    """Is it files in memory that the headroom went into? Then other deaths would only feed the writer."""
    rate = max(steady_kib_s, 1.0)
    if grower is not None and grower.rate_kib_s >= SHARE_MIN * rate:
        return False
    if shmem.rate_kib_s >= max(GROWS_MIN_KIB_S, SHARE_MIN * rate):
        return True
    at_rest = steady_kib_s * 100 < settings.ram_kib * REST_RAM_PCT_S
    return at_rest and sample.shmem_kib > 0 and sample.shmem_kib >= STILL_HELD * tmpfs.tried_kib > 0


def must_ask(tmpfs: Tmpfs, sample: Sample) -> bool:
    """Is it time to have the holders looked for (again)? Not once a death was tried."""
    return tmpfs.tried_kib == 0 and (tmpfs.asked_ms < 0 or sample.t_ms - tmpfs.asked_ms > ASK_EVERY_MS)


def choose_writer(
    tmpfs: Tmpfs,
    shmem: ShmemWatch,
    sample: Sample,
    table: CandidateTable,
    excluded: Container[tuple[int, int]],
) -> Choice | str:
    """The writer as the one victim, or why nobody dies. ``excluded``: (pid, start) of those that were tried already."""
    index = table.index_of(sample.tmpfs_writer) if sample.tmpfs_writer is not None and not tmpfs.tried_kib else None
    if index is None:
        return "memory went into tmpfs files: no death returns it"
    row = table.row(index)
    if row.priority <= PRIORITY_FOREGROUND:
        return "memory goes into tmpfs files of a foreground or protected application"
    if (row.pid, row.start_ticks) in excluded:
        return "memory went into tmpfs files of an application that was ended already"
    victim = Victim(row.pid, row.start_ticks, row.name, row.priority, row.rule, row.gain_kib)
    numbers = (("shmem_kib", sample.shmem_kib), ("shmem_kib_s", round(shmem.rate_kib_s)))
    return Choice((victim,), "tmpfs: it fills memory that no other death returns", numbers)


def after_try(tmpfs: Tmpfs, sample: Sample) -> Tmpfs:
    """Remember that one death was tried; it counts until the files have shrunk."""
    return replace(tmpfs, tried_kib=max(1, sample.shmem_kib))


def forget_when_shrunk(tmpfs: Tmpfs, sample: Sample) -> Tmpfs:
    """A new drain may be tried again once the old files are gone."""
    shrunk = tmpfs.tried_kib > 0 and sample.shmem_kib < STILL_HELD * tmpfs.tried_kib
    return Tmpfs() if shrunk else tmpfs
