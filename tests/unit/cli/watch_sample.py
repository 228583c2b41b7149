"""A board of 256 MB under load as the live view sees it: what tests and the picture in docs show."""

from __future__ import annotations

from typing import Any

from lmkd.cli.ps import numbered
from lmkd.cli.watch_parts import Seen
from lmkd.kernel.meminfo import Meminfo

NOON_S = 1_795_435_200.0
"""2026-11-23 12:00:00 UTC."""
RAM_KIB = 249_856
MEMORY = Meminfo(RAM_KIB, 14_336, 38_912, 512, 118_784, 9_216, 749_568, 655_360)
STATUS: dict[str, Any] = {
    "t_ms": 11_519_400.0,
    "started_ms": 1_000.0,
    "level": "low",
    "headroom": {"free_kib": 12_288, "cache_kib": 18_432, "store_kib": 41_984, "total_kib": 72_704},
    "forecast": {"rate_kib_s": 4_301, "exhaustion_ms": 15_700, "grower_pid": 812, "grower_kib_s": 3_994},
    "stall": {"some_pct": 2.4, "full_pct": 0.3, "refaults_s": 41},
    "learned": {"kill_ms": 38.2, "gain_factor": 0.94, "store_ratio": 2.9},
    "kills": 3,
    "in_flight": [],
    "wakeups": 18_211,
    "dry_run": False,
    "settings": {"ram_kib": RAM_KIB, "headroom_floor_kib": 4_997, "stall_budget_ms": 33},
    "store": {
        "kind": "zram", "orig_kib": 94_208, "compressed_kib": 30_100, "used_kib": 32_563, "limit_kib": 74_956,
        "huge_kib": 812, "own_used_kib": 32_563, "own_limit_kib": 74_956,
    },
    "cost": {"guard": {"pid": 201, "pss_kib": 5_310, "locked_kib": 7_120, "wakeups": 18_230},
             "helper": {"pid": 203, "pss_kib": 3_012, "locked_kib": 0, "wakeups": 9_104}},
}  # fmt: skip


def row(pid: int, name: str, priority: int, gain_kib: int, rule: str | None = None, **more: Any) -> dict[str, Any]:
    """A candidate as the control socket tells it."""
    where = "own oom_score_adj" if rule is None else "/etc/lmkd/lmkd.yaml:12"
    return {
        "pid": pid, "name": name, "priority": priority, "class": "", "rule": where, "rule_name": rule,
        "resident_kib": gain_kib, "swapped_kib": gain_kib // 3, "gain_kib": gain_kib, "never": priority <= -1000,
        "declared": False, "trim": True, "freeze": False, "grace_ms": 0, "group": "process", **more,
    }  # fmt: skip


ROWS = [
    row(911, "thumbnailer", 900, 2_150, "thumbnails"),
    row(812, "indexer", 900, 24_678, "indexer"),
    row(744, "podcast-sync", 850, 11_060, "sync"),
    row(702, "weather", 700, 5_940, "widgets"),
    row(705, "calendar", 700, 8_806, "widgets"),
    row(650, "mail", 500, 14_950, "mail"),
    row(420, "networkd", 200, 3_480),
    row(388, "compositor", 0, 19_200, "ui", declared=True),
    row(512, "player", 0, 31_700, "ui", declared=True),
    row(1, "init", -1000, 900),
    row(118, "udevd", -1000, 2_100),
]


def event(seq: int, ago_s: float, event: str, level: str = "info", **fields: Any) -> dict[str, Any]:
    """A record as the control socket tells it."""
    return {"event": event, "level": level, "timestamp": NOON_S - ago_s, "seq": seq, "t_ms": 1.0, **fields}


EVENTS = [
    event(1, 11_500, "ready", ms=412, pid=201, helper=203, dry_run=False),
    event(2, 95, "trim", pid=705, name="calendar", priority=700, advised_kib=6_100, ms=48.0, how="process_madvise",
          stored_kib=5_888, left_kib=400, ratio=2.9),
    event(3, 41, "pressure", pressure="low", headroom_kib=71_000, free_kib=9_000, cache_kib=20_000, store_kib=42_000,
          rate_kib_s=5_100, cause="faults"),
    event(4, 19, "kill", "warning", pid=877, name="browser", priority=900, rule="/etc/lmkd/lmkd.yaml:20",
          signal="SIGKILL", reason="forecast: exhausted before a kill could help", predicted_kib=61_440, dry_run=False),
    event(5, 18.9, "receipt", pid=877, name="browser", predicted_kib=61_440, returned_kib=60_211, ms=44.1, half_ms=20.0,
          outcome="dead"),
    event(6, 18, "compact", slack_kib=3_000, returned_kib=2_650, ms=12.0),
    event(7, 12, "hold", pid=933, name="browser", ms=2_000, how="cgroup.freeze", round=2,
          reason="it came back after it was ended"),
    event(8, 10, "release", pid=933, name="browser", ms=2_000, how="cgroup.freeze", reason="its time is over"),
]  # fmt: skip

SEEN = Seen(STATUS, MEMORY, tuple(numbered(ROWS)), tuple(EVENTS), 11_520_000.0, NOON_S)
