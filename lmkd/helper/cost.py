"""What lmkd itself costs: memory of its processes, and how often they woke."""

from __future__ import annotations

import os

from lmkd.kernel.counters import find_number
from lmkd.kernel.pinned import read_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def service_cost(proc: str) -> dict[str, Any]:
    """PSS in KiB (smaps_rollup) and voluntary switches of the talker (we), the helper (our parent), the guard (its)."""
    helper = os.getppid()
    stat = read_once(f"{proc}/{helper}/status") or b""
    guard = find_number(stat, b"PPid:") or 0
    cost: dict[str, Any] = {}
    for name, pid in (("guard", guard), ("helper", helper), ("talker", os.getpid())):
        rollup = read_once(f"{proc}/{pid}/smaps_rollup") or b""
        status = read_once(f"{proc}/{pid}/status") or b""
        cost[name] = {
            "pid": pid,
            "pss_kib": find_number(rollup, b"Pss:"),
            "locked_kib": find_number(status, b"VmLck:"),
            "wakeups": find_number(status, b"voluntary_ctxt_switches:"),
        }
    return cost
