"""Every number of the policy, derived from the board and the one knob (``stall_budget``); each can be overridden."""

from __future__ import annotations

from lmkd.model import Settings
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FLOOR_PCT, FLOOR_MIN_KIB = 2, 3072
FILE_FLOOR_PCT, FILE_FLOOR_MIN_KIB = 5, 3072
HORIZON_BUDGETS = 3
"""A kill is decided so many stall budgets before exhaustion: time to notice, to die, and to free."""
RUNAWAY_HORIZON_MS = 30_000
IDLE_INTERVAL_MS = 10_000
"""Six wake-ups a minute when nothing happens: what happens wakes the guard by the fault meter and PSI."""
STALL_WINDOW_MS = 500
STALL_FREE_PCT = 15
SET_LIMIT = 8
TRIM_FREE_PCT, TRIM_FREE_MIN_KIB = 8, 4096
TRIM_IDLE_MS = 5000
HOLD_BASE_MS, HOLD_MAX_MS = 1000, 60_000
FREEZE_MAX_MS = 5000


def derive(
    ram_kib: int,
    watermark_min_kib: int,
    watermark_low_kib: int,
    stall_budget_ms: int,
    fault_meter: bool,
    overrides: Mapping[str, Any],
) -> Settings:
    """The settings of this board. ``overrides`` are the configuration's ``policy`` keys (see the reference)."""
    settings = Settings(
        ram_kib=ram_kib,
        stall_budget_ms=stall_budget_ms,
        watermark_min_kib=watermark_min_kib,
        watermark_low_kib=watermark_low_kib,
        headroom_floor_kib=max(FLOOR_MIN_KIB, ram_kib * FLOOR_PCT // 100),
        file_floor_kib=max(FILE_FLOOR_MIN_KIB, ram_kib * FILE_FLOOR_PCT // 100),
        kill_horizon_ms=HORIZON_BUDGETS * stall_budget_ms,
        runaway=True,
        runaway_horizon_ms=RUNAWAY_HORIZON_MS,
        idle_interval_ms=IDLE_INTERVAL_MS,
        stall_window_ms=STALL_WINDOW_MS,
        stall_free_kib=ram_kib * STALL_FREE_PCT // 100,
        set_limit=SET_LIMIT,
        fault_meter=fault_meter,
        trim=True,
        trim_free_kib=max(TRIM_FREE_MIN_KIB, ram_kib * TRIM_FREE_PCT // 100),
        trim_idle_ms=TRIM_IDLE_MS,
        respawn_hold=True,
        hold_base_ms=HOLD_BASE_MS,
        hold_max_ms=HOLD_MAX_MS,
        freeze_max_ms=FREEZE_MAX_MS,
        protect_foreground=True,
    )
    return replace(settings, **overrides)
