"""Owns the table of scenarios; one more is a few lines of data."""

from __future__ import annotations

from .scenario import Bound, Scenario

HEARTBEAT = "--heartbeat period_ms=20,anon=24M,file=7M,path=/lmkd/fg.dat,adj=0"
BACKGROUND = "--background n=8,size=12M,adj=900,compress=3"
APPS = (HEARTBEAT, BACKGROUND)

TWO_FRAMES_MS = 33
SMOOTH = (Bound("foreground_alive", "==", True), Bound("gap_worst_ms", "<=", TWO_FRAMES_MS))
NO_KERNEL_KILL = Bound("oom_kill_delta", "==", 0)
LEAN = Bound("manager_pss_kib", "<=", 9 * 1024)
PROMISE = (*SMOOTH, NO_KERNEL_KILL, LEAN)


def _grow(rate_mb: int, compress: int) -> Scenario:
    kind = "comp" if compress > 1 else "incomp"
    return Scenario(
        name=f"grow-{rate_mb}-{kind}",
        about=f"one application grows at {rate_mb} MB/s without end, {kind}ressible",
        load=(*APPS, f"--grow rate={rate_mb}M,limit=0,compress={compress},adj=200,delay=3"),
        seconds=60 if rate_mb < 10 else 30,
        bounds=(*PROMISE, Bound("grow_died", "==", True)),
    )


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "idle", "nothing but the manager",
        bounds=(LEAN, NO_KERNEL_KILL, Bound("manager_cpu_pct", "<=", 0.5)),
    ),
    *(_grow(rate_mb, compress) for rate_mb in (5, 30, 300) for compress in (3, 1)),
    Scenario(
        "fits-150", "one application grows to 150 MB and stays: all fit if compressed",
        load=(*APPS, "--grow rate=30M,limit=150M,compress=3,adj=200,delay=3"),
        bounds=(*PROMISE, Bound("grow_died", "==", False), Bound("background_kept", "==", 8)),
    ),
    Scenario(
        "small-150", "150 processes of 1 MB beside one that grows",
        load=(HEARTBEAT, "--small n=150,size=1M,adj=900", "--grow rate=30M,limit=0,adj=200,delay=3"),
        bounds=(*PROMISE, Bound("grow_died", "==", True)),
    ),
    Scenario(
        "tmpfs-280", "a writer fills a tmpfs up to 280 MB",
        load=(*APPS, "--tmpfs rate=30M,limit=280M,dir=/tmp/big,adj=200,delay=3,compress=3"),
        extra=("mkdir /tmp/big", "mount -t tmpfs -o size=400m big /tmp/big"),
        bounds=PROMISE,
    ),
    Scenario(
        "respawn", "a hog that starts again after each death",
        load=(*APPS, "--respawn rate=100M,adj=600,delay=3"),
        bounds=PROMISE,
    ),
    Scenario(
        "calm", "the applications alone: the board's own noise",
        load=APPS, bounds=(*PROMISE, Bound("background_kept", "==", 8)),
    ),
)  # fmt: skip


def by_name(name: str) -> Scenario | None:
    """The scenario of that name."""
    return next((scenario for scenario in SCENARIOS if scenario.name == name), None)
