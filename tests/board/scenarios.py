"""Owns the table of scenarios; one more is a few lines of data."""

from __future__ import annotations

from .scenario import Bound, Scenario

HEARTBEAT = "--heartbeat period_ms=20,anon=24M,file=7M,path=/lmkd/fg.dat,adj=0"
BACKGROUND = "--background n=8,size=12M,adj=900,compress=3"
APPS = (HEARTBEAT, BACKGROUND)

TWO_FRAMES_MS = 33
CROWDED_MS = 50
ALIVE = Bound("foreground_alive", "==", True)
SMOOTH = (ALIVE, Bound("gap_worst_ms", "<=", TWO_FRAMES_MS))
NO_KERNEL_KILL = Bound("oom_kill_delta", "==", 0)
LEAN = Bound("manager_pss_kib", "<=", 8.5 * 1024)
LEAN_64 = Bound("manager_pss_kib", "<=", 12 * 1024)
"""Where a pointer has 8 bytes: an interpreter's objects are made of little else."""
CROWDED = (ALIVE, Bound("gap_worst_ms", "<=", CROWDED_MS), NO_KERNEL_KILL, LEAN)
PROMISE = (*SMOOTH, NO_KERNEL_KILL, LEAN)

MOUNT_BIG = ("mkdir /tmp/big", "mount -t tmpfs -o size=400m big /tmp/big")
DELETE_LOGS = 'tmpfs:\n  - {mount: /tmp/big, delete: ["log/*.log"]}\n'


def _grow(rate_mb: int, compress: int) -> Scenario:
    kind = "comp" if compress > 1 else "incomp"
    return Scenario(
        name=f"grow-{rate_mb}-{kind}",
        about=f"one application grows at {rate_mb} MB/s without end, {kind}ressible",
        load=(*APPS, f"--grow rate={rate_mb}M,limit=0,compress={compress},adj=200,delay=3"),
        seconds=60 if rate_mb < 10 else 30,
        bounds=(*PROMISE, Bound("grow_died", "==", True), Bound("background_kept", ">=", 6)),
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
    *(
        Scenario(
            f"small-{count}", f"{count} processes of {size} beside one that grows",
            load=(HEARTBEAT, f"--small n={count},size={size},adj=900", "--grow rate=30M,limit=0,adj=200,delay=3"),
            bounds=(*CROWDED, Bound("grow_died", "==", True), Bound("small_kept", ">=", count * 3 // 4)),
        )
        for count, size in ((150, "1M"), (400, "512K"))
    ),
    Scenario(
        "tmpfs-280", "a writer fills a tmpfs up to 280 MB",
        load=(*APPS, "--tmpfs rate=30M,limit=280M,dir=/tmp/big,adj=200,delay=3,compress=3"),
        extra=MOUNT_BIG,
        bounds=PROMISE,
    ),
    *(
        Scenario(
            f"tmpfs-{kind}", f"the same into {what}",
            load=(*APPS, f"--tmpfs rate=30M,limit=280M,dir=/tmp/big,adj=200,delay=3,compress=3,{option}"),
            extra=MOUNT_BIG,
            bounds=(*CROWDED, Bound("background_kept", "==", 8)),
        )
        for kind, what, option in (
            ("deleted", "a file that is deleted at once and kept open", "unlink=1"),
            ("memfd", "a memfd", "memfd=1"),
            ("sysv", "System V shared memory", "sysv=1"),
        )
    ),
    Scenario(
        "tmpfs-logs", "logs of 4 MB each fill a tmpfs without end, and the configuration lets the old ones be deleted",
        load=(*APPS, "--tmpfs rate=30M,limit=900M,rotate=4M,dir=/tmp/big/log,adj=200,delay=3,compress=3"),
        extra=MOUNT_BIG, config=DELETE_LOGS, seconds=20,
        bounds=(*CROWDED, Bound("background_kept", "==", 8), Bound("tmpfs_died", "==", False)),
    ),
    Scenario(
        "respawn", "a hog of 100 MB/s that starts again after each death",
        load=(*APPS, "--respawn rate=100M,adj=600,delay=3"),
        seconds=60,  # without being held down it would die some twenty times
        bounds=(*PROMISE, Bound("background_kept", ">=", 7), Bound("respawn_deaths", "<=", 8)),
    ),
    Scenario(
        "switch", "an idle application whose pages were stored becomes a second foreground",
        load=(
            *APPS, "--switch at=14,size=24M,adj=900,at_adj=0",
            "--grow rate=30M,limit=110M,compress=3,adj=200,delay=3",
        ),
        bounds=(
            *PROMISE, Bound("switch_alive", "==", True), Bound("switch_gap_worst_ms", "<=", CROWDED_MS),
            Bound("background_kept", "==", 8),
        ),
    ),
    Scenario(
        "flood", "2 GB of files are read through the page cache",
        load=(*APPS, "--cache path=/dev/vda,rate=40M,total=2G,adj=200,delay=3"),
        seconds=60, flash_bytes_per_s=0,
        bounds=(
            *PROMISE, Bound("background_kept", "==", 8), Bound("cache_died", "==", False),
            Bound("cache_read_mb", ">=", 2048),
        ),
    ),
    Scenario(
        "waves", "three growing applications, one after the other: after the first, all that is idle lies in the store",
        load=(
            *APPS, "--grow rate=100M,adj=200,delay=3", "--grow name=second,rate=100M,adj=200,delay=10",
            "--grow name=third,rate=30M,compress=1,adj=200,delay=17",
        ),
        seconds=28,
        bounds=(*PROMISE, Bound("grow_died", "==", True), Bound("background_kept", ">=", 6)),
    ),
    *(
        Scenario(
            f"frames-{rate_mb}", f"a foreground that takes 256 KB a beat, beside one that grows at {rate_mb} MB/s",
            load=(f"{HEARTBEAT},churn=256K", BACKGROUND, f"--grow rate={rate_mb}M,limit=0,compress=3,adj=200,delay=3"),
            seconds=20,
            bounds=(*PROMISE, Bound("grow_died", "==", True), Bound("background_kept", ">=", 6)),
        )
        for rate_mb in (30, 100)
    ),
    Scenario(
        "calm", "the applications alone: the board's own noise",
        load=APPS, bounds=(*PROMISE, Bound("background_kept", "==", 8)),
    ),
)  # fmt: skip


def by_name(name: str) -> Scenario | None:
    """The scenario of that name."""
    return next((scenario for scenario in SCENARIOS if scenario.name == name), None)
