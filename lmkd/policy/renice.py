"""Renice: one that grows faster than memory can be made ready yields the processor to the kernel's reclaim.

Where the grower and kswapd share a processor evenly, free memory sinks below the min watermark, and then whoever takes
a page has to reclaim for itself first, the foreground as well (measured: 90 to 180 ms for a foreground that takes
256 KB in each frame, on one core). Behind kswapd the grower gets each page as soon as one is ready, and takes its time.
"""

from __future__ import annotations

from lmkd.model import FLAG_DECLARED_FOREGROUND, PRIORITY_FOREGROUND, Renice, Sample, Settings
from lmkd.policy.forecast import exhaustion_ms
from lmkd.policy.trim import ARM_FACTOR
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.model import CandidateTable
    from lmkd.policy.headroom import Headroom
    from lmkd.policy.victim import Grower

HORIZON_MS = 1000
"""What is ready lasts so long at least while nobody is reniced: kswapd needs time to come to speed."""
ASK_EVERY_MS = 500.0
LEASE_MS = 1500
"""The helper gives the processor back after this, unless it is asked again."""


@value
class Lowered:
    """Who was reniced last (0: nobody), and when that was asked for."""

    pid: int = 0
    start_ticks: int = 0
    asked_ms: float = -1e9


def decide(
    lowered: Lowered, sample: Sample, settings: Settings, table: CandidateTable, grower: Grower | None, room: Headroom
) -> tuple[Lowered, tuple[Renice, ...]]:
    """Whom the helper is to renice, or to leave so. Never the foreground, nor what is more important than that."""
    held = sample.t_ms - lowered.asked_ms < LEASE_MS and lowered.pid not in sample.gone
    kept = lowered if held else Lowered()
    if not settings.renice or grower is None:
        return kept, ()
    mine = held and lowered.pid == grower.pid
    if mine and sample.t_ms - lowered.asked_ms < ASK_EVERY_MS:
        return lowered, ()
    ready_kib = max(0, room.free_kib) + room.cache_kib
    # Once it yields it grows only as fast as memory is made ready: then what is ready tells, not how fast it grows.
    short = mine and ready_kib < ARM_FACTOR * settings.trim_free_kib
    if not short and exhaustion_ms(grower.rate_kib_s, ready_kib) > HORIZON_MS:
        return kept, ()
    index = table.index_of(grower.pid)
    row = table.row(index) if index is not None else None
    if row is None or row.priority <= PRIORITY_FOREGROUND or row.flags & FLAG_DECLARED_FOREGROUND:
        return kept, ()
    return Lowered(row.pid, row.start_ticks, sample.t_ms), (Renice(row.pid, row.start_ticks, LEASE_MS),)
