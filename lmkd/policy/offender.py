"""Who came back after its kill, and takes memory again: nobody has to wait for what is known to happen."""

from __future__ import annotations

from lmkd.model import FLAG_RESPAWNED
from lmkd.policy.forecast import exhaustion_ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.model import CandidateTable, Settings
    from lmkd.policy.headroom import Headroom
    from lmkd.policy.victim import Grower

OFFENDER_PCT = 15
"""One that came back and has less of the RAM than this has not gone wrong again yet."""


def came_back(grower: Grower | None, room: Headroom, settings: Settings, table: CandidateTable) -> bool:
    """Does one that was ended before eat the free memory again? Then nobody has to wait until the store is full."""
    if not settings.runaway or grower is None or grower.size_kib * 100 < settings.ram_kib * OFFENDER_PCT:
        return False
    ready_kib = max(0, room.free_kib) + room.cache_kib
    if exhaustion_ms(grower.rate_kib_s, ready_kib - settings.trim_free_kib) > settings.kill_horizon_ms:
        return False
    index = table.index_of(grower.pid)
    return index is not None and bool(table.row(index).flags & FLAG_RESPAWNED)
