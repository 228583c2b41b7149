"""Renice: one that grows faster than memory can be made ready yields the processor to the kernel's reclaim.

Where the grower and kswapd share a processor evenly, free memory sinks below the min watermark, and then whoever takes
a page has to reclaim for itself first, the foreground as well (measured: 90 to 180 ms for a foreground that takes
256 KB in each frame, on one core). Behind kswapd the grower gets each page as soon as one is ready, and takes its time.
Nice values count among tasks of one scheduling group (sched(7)): where the kernel makes a group of each session
(kernel.sched_autogroup_enabled) or the cpu controller one of each cgroup, this helps less.
"""

from __future__ import annotations

from lmkd.model import FLAG_DECLARED_FOREGROUND, PRIORITY_FOREGROUND, Renice, Sample, Settings
from lmkd.policy.forecast import exhaustion_ms
from lmkd.policy.trim import ARM_FACTOR
from lmkd.values import replace, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.model import Candidate, CandidateTable
    from lmkd.policy.headroom import Headroom
    from lmkd.policy.victim import Grower

HORIZON_MS = 1000
"""What is ready lasts so long at least while nobody is reniced: kswapd needs time to come to speed."""
ASK_EVERY_MS = 500.0
ANOTHER_MS = 100.0
"""After this another one may be asked for: who grows most is not always the same of several that do."""
LEASE_MS = 1500
"""The helper gives the processor back after this, unless it is asked again."""


@value
class Lowered:
    """Who was reniced last (0: nobody), when that was asked for, and how fast it grew before."""

    pid: int = 0
    start_ticks: int = 0
    asked_ms: float = -1e9
    rate_kib_s: float = 0.0


def decide(
    lowered: Lowered, sample: Sample, settings: Settings, table: CandidateTable, grower: Grower | None, room: Headroom
) -> tuple[Lowered, tuple[Renice, ...]]:
    """Whom the helper is to renice, or to leave so; for 0 ms: one that came to the front, and never any such."""
    held = sample.t_ms - lowered.asked_ms < LEASE_MS and lowered.pid not in sample.gone
    kept = lowered if held else Lowered()
    row = _row(table, kept.pid)
    if row is not None and row.start_ticks == kept.start_ticks and _in_front(row):
        return Lowered(), (Renice(row.pid, row.start_ticks, 0),)
    if not settings.renice or grower is None:
        return kept, ()
    mine = held and lowered.pid == grower.pid
    if sample.t_ms - lowered.asked_ms < (ASK_EVERY_MS if mine else ANOTHER_MS):
        return kept, ()
    ready_kib = max(0, room.free_kib) + room.cache_kib
    # Once it yields it grows only as fast as memory is made ready: then what is ready tells, not how fast it grows.
    short = mine and ready_kib < ARM_FACTOR * settings.trim_free_kib
    if not short and exhaustion_ms(grower.rate_kib_s, ready_kib) > HORIZON_MS:
        return kept, ()
    row = _row(table, grower.pid)
    if row is None or _in_front(row):
        return kept, ()
    rate = max(grower.rate_kib_s, lowered.rate_kib_s) if mine else grower.rate_kib_s
    return Lowered(row.pid, row.start_ticks, sample.t_ms, rate), (Renice(row.pid, row.start_ticks, LEASE_MS),)


def unhindered(lowered: Lowered, grower: Grower | None) -> Grower | None:
    """The grower as it would grow: that it yields now is our doing, and makes nobody else's death worth more."""
    if grower is None or grower.pid != lowered.pid or grower.rate_kib_s >= lowered.rate_kib_s:
        return grower
    return replace(grower, rate_kib_s=lowered.rate_kib_s)


def _row(table: CandidateTable, pid: int) -> Candidate | None:
    index = table.index_of(pid) if pid else None
    return table.row(index) if index is not None else None


def _in_front(row: Candidate) -> bool:
    return row.priority <= PRIORITY_FOREGROUND or bool(row.flags & FLAG_DECLARED_FOREGROUND)
