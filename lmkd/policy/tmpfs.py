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
LINGERS_MS = 1500.0
"""A writer that waits in reclaim for a while, as everybody does then, has not stopped."""
HELD_RAM_PCT = 15
REST_RAM_PCT_S = 1
"""Below this consumption (percent of RAM a second) nothing else is at work: the board stands as the files left it."""


@value
class Tmpfs:
    """What is known of a drain into files: when it last grew, when its holders were asked for, what it held then.

    ``tried``: one death was tried against it, which counts until the files have shrunk.
    """

    growing_ms: float = -1.0
    asked_ms: float = -1.0
    held_kib: int = 0
    tried: bool = False


def notice(tmpfs: Tmpfs, shmem: ShmemWatch, steady_kib_s: float, sample: Sample) -> Tmpfs:
    """The drain after this sample; forgotten once the files are gone, so that a new one may be tried again."""
    if tmpfs.held_kib > 0 and sample.shmem_kib < STILL_HELD * tmpfs.held_kib:
        tmpfs = Tmpfs()
    if shmem.rate_kib_s < max(GROWS_MIN_KIB_S, SHARE_MIN * steady_kib_s):
        return tmpfs
    return replace(tmpfs, growing_ms=sample.t_ms, held_kib=max(tmpfs.held_kib, sample.shmem_kib))


def drains(tmpfs: Tmpfs, steady_kib_s: float, grower: Grower | None, sample: Sample, settings: Settings) -> bool:
    """Is it files in memory that the headroom went into? Then other deaths would only feed the writer."""
    if grower is not None and grower.rate_kib_s >= SHARE_MIN * max(steady_kib_s, 1.0):
        return False
    if tmpfs.growing_ms >= 0 and sample.t_ms - tmpfs.growing_ms <= LINGERS_MS:
        return True
    at_rest = steady_kib_s * 100 < settings.ram_kib * REST_RAM_PCT_S
    return at_rest and tmpfs.held_kib * 100 >= settings.ram_kib * HELD_RAM_PCT


def must_ask(tmpfs: Tmpfs, sample: Sample) -> bool:
    """Is it time to have the holders looked for (again)? Not once a death was tried."""
    return not tmpfs.tried and (tmpfs.asked_ms < 0 or sample.t_ms - tmpfs.asked_ms > ASK_EVERY_MS)


def choose_writer(
    tmpfs: Tmpfs,
    shmem: ShmemWatch,
    sample: Sample,
    table: CandidateTable,
    excluded: Container[tuple[int, int]],
) -> Choice | str:
    """The writer as the one victim, or why nobody dies. ``excluded``: (pid, start) of those that were tried already."""
    index = table.index_of(sample.tmpfs_writer) if sample.tmpfs_writer is not None and not tmpfs.tried else None
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
