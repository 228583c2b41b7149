"""A kill as Android's statistics have it: from lmkd's record of it, and what was known of the victim. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from lmkd.control.android import ADJ_MIN, Statistics
from lmkd.values import value

NONE, LOW_MEM_AND_SWAP, LOW_MEM_AND_THRASHING, LOW_MEM = -1, 3, 4, 8
"""Of Android's kill_reasons (statslog.h) those that say what lmkd's triggers do."""
_CAUSES = (
    ("stall", LOW_MEM_AND_THRASHING),
    ("the store", LOW_MEM_AND_SWAP),
    ("headroom", LOW_MEM),
    ("forecast", LOW_MEM),
    ("it came back", LOW_MEM),
)
"""How the texts of lmkd.policy.pressure and .step begin; a kill that somebody asked for has none of them."""
_TICKS_S = os.sysconf("SC_CLK_TCK")
LOWEST_ADJ = ADJ_MIN + 1
"""What lmkd could have gone down to: it ends whatever is not protected before the kernel has to."""


@value
class Facts:
    """What was known of a victim before it died, by the last look at it; None: nothing. ``uid`` -1: not known."""

    uid: int = -1
    start_ticks: int | None = None
    resident_kib: int | None = None
    swapped_kib: int | None = None


def cause_of(trigger: object) -> int:
    """Android's number for what made lmkd kill."""
    text = trigger if isinstance(trigger, str) else ""
    return next((cause for start, cause in _CAUSES if text.startswith(start)), NONE)


def statistics_of(record: Mapping[str, Any], facts: Facts) -> Statistics:
    """The statistics of the kill that this record is of (event ``kill``).

    Free memory is what the kernel has above its watermarks, 0 below them. Page faults, file cache, free swap and
    Android's measure of thrashing (refaults in % of the file cache) are not known.
    """
    priority, free_kib = record.get("priority"), record.get("free_kib")
    return Statistics(
        uid=facts.uid,
        name=str(record.get("name", "")),
        adj=priority if isinstance(priority, int) else 0,
        lowest_adj=LOWEST_ADJ,
        cause=cause_of(record.get("trigger")),
        resident_bytes=_bytes(facts.resident_kib),
        swapped_bytes=_bytes(facts.swapped_kib),
        started_ns=None if facts.start_ticks is None else facts.start_ticks * (10**9 // _TICKS_S),
        free_kib=max(0, free_kib) if isinstance(free_kib, int) else None,
    )


def _bytes(kib: int | None) -> int | None:
    return None if kib is None else kib * 1024
