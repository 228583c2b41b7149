"""Owns the runs that only tests make: its life, a configuration's order, a dry run, costs, shorter scenarios."""

from __future__ import annotations

from dataclasses import replace

from .scenario import Scenario
from .scenarios import APPS, HEARTBEAT, by_name

IDLE_WINDOW_S, IDLE_WINDOWS = 20, 3
ENERGY_WINDOW_S, ENERGY_WINDOWS = 60, 1
WAKE_COUNTS = (50, 500, 2000)
WAKE_WINDOW_S = 15
PICTURES = 3
"""Of the live view, on the serial console."""

# Rules by comm and by command line. The camera is declared foreground, so what it needs comes from the others; a
# priority of its own for each class shows in the records.
PRIORITIES = """\
stall_budget: 33ms
apps:
  - name: camera
    match: {comm: camera}
    priority: foreground
  - name: ui
    match: {comm: heartbeat}
    priority: foreground
  - name: alarm
    match: {comm: "alarm-*"}
    protect: true
  - name: player
    match: {cmdline: "re:^load-app player-[0-9]+$"}
    priority: service
  - name: gallery
    match: {cmdline: "load-app gallery*"}
    priority: cached
  - name: stubborn
    match: {comm: "stubborn-*"}
    priority: cached
    grace: 300ms
"""

# The heartbeat runs in a cgroup of its own.
CARE = """\
apps:
  - name: ui
    match: {comm: heartbeat}
    priority: foreground
"""

# The budget is a part of what there is to write, so that a second round shows that the first one counts.
STORES = """\
store:
  backing_dev: /dev/ram0
  writeback: {idle: true, huge: true, idle_age: 1s, daily_limit: 4M}
"""

# What lies in the store changes by deaths alone, and lmkd ends others first, not the one that grows.
RETURNS = """\
store: {{{store}, algorithm: lz4, mem_limit: 60%, trial: false}}
trim: {{background: false, cached: false}}
policy: {{runaway: false}}
"""

_APPS = "size=12M,compress=1,adj=0"
IN_ORDER = (
    HEARTBEAT,
    f"--background name=player,n=3,{_APPS}",
    f"--background name=gallery,n=4,{_APPS}",
    f"--background name=alarm,n=1,{_APPS}",
    "--grow name=camera,rate=20M,limit=130M,compress=1,adj=0,delay=2",
)
# Slow enough that the forecast leaves time for a grace.
DEAF = (
    HEARTBEAT,
    f"--background name=stubborn,n=6,ignore_term=1,{_APPS}",
    "--grow name=camera,rate=4M,limit=150M,compress=1,adj=0,delay=1",
)

# A pool that the growing application fills within seconds: what stops it is the limit, and lmkd before that.
ZSWAP = "store: {kind: zswap, mem_limit: 14%, on_exit: keep}\n"
NO_DEVICE_MAPPER = (
    "mount -t tmpfs -o size=64k none /etc/modprobe.d",
    "echo 'install dm_mod /bin/false' > /etc/modprobe.d/none.conf",
)
CHECKED = (
    HEARTBEAT,
    "--background n=6,size=12M,adj=900,compress=3,check_ms=4500",
    "--grow rate=30M,limit=0,compress=2,adj=200,delay=3",
)

SHORT_S = 25


def _short(name: str, *load: str) -> Scenario:
    """The scenario for SHORT_S, so that the whole suite takes minutes."""
    whole = by_name(name)
    assert whole is not None, name
    about = f"{whole.about}, {SHORT_S} s"
    return replace(whole, name=f"{name}-{SHORT_S}", about=about, load=load or whole.load, seconds=SHORT_S, bounds=())


WAVES = _short("waves")


def _zswap(name: str, behind: str, extra: tuple[str, ...] = ()) -> Scenario:
    return Scenario(
        name, f"zswap in front of {behind}: every byte is read back, past the limit, a crash and a teardown",
        load=CHECKED, seconds=18, config=ZSWAP, extra=(*extra, ". /lmkd/guest/zswap.sh", "zswap_is before"),
        after=("zswap_life",),
        after_s=50,
        kinds=("zswap", "lmkd_event"),
    )  # fmt: skip


# Idle pages that do not compress get into the store before those that do: while they do, it gains nothing, and somebody
# has to die. Who has given 40 MB of such back in time saves a life: all the rest has room, two to one and three to one.
WANTED = (
    HEARTBEAT,
    "--background n=8,size=12M,adj=900,compress=3",
    "--grow rate=20M,limit=110M,compress=2,adj=200,delay=3",
)
# Many changes of the level: growth at 300, 30 and 5 MB/s, one after the other.
RATES = (
    *APPS,
    *(f"--grow name=fast-{number},rate=300M,adj=200,delay={3 + 4 * number}" for number in range(4)),
    *(f"--grow name=mid-{number},rate=30M,compress=1,adj=200,delay={19 + 6 * number}" for number in range(2)),
    "--grow name=slow,rate=5M,compress=1,adj=200,delay=31",
)
TALK = ". /lmkd/guest/talk.sh"
FUZZED = "control: {android_socket: /run/lmkd/android}\n"
MESSAGES = 10_000
# The configuration changes while it runs: a copy that can be written lies in its place.
ANDROID = "control: {android_socket: /dev/socket/lmkd, android_release: 15}\npolicy: {runaway: false}\n"
OWN_ETC = "mkdir /run/lmkd-etc && cp /etc/lmkd/* /run/lmkd-etc && mount -o bind /run/lmkd-etc /etc/lmkd"
NO_RUNAWAY = "policy: {runaway: false}\n"
BY_OTHER_WAYS = f"""\
{NO_RUNAWAY}
apps:
  - name: cache
    match: {{comm: cache}}
    priority: 950
    notify: {{signal: SIGUSR1, exec: /lmkd/guest/hook.sh}}
"""

# It grows slowly enough that the forecast leaves time for the grace, and ends what is least important first. Without a
# store the forecast is sure: with one, pages that do not compress end it at once, and there is no time for any grace.
GRACE = """\
store: {kind: none}
apps:
  - {name: ui, match: {comm: heartbeat}, priority: foreground}
  - {name: saver, match: {comm: saver}, priority: cached, grace: 500ms}
grace: {cached: 0ms}
policy: {runaway: false}
"""
GRACIOUS = (HEARTBEAT, "--background name=player,n=3,size=12M,compress=1,adj=0",
            "--grow name=camera,rate=5M,limit=100M,compress=1,adj=0,delay=1")  # fmt: skip

TRIALS: tuple[Scenario, ...] = (
    Scenario(
        "grace", "an application saves its work in the grace that it has, on a connection older than a reload",
        load=(HEARTBEAT,), seconds=4, config=GRACE, extra=(TALK, "saver 64"),
        after=("reload_under_it", "run_load --seconds 20 --seed 1 " + " ".join(GRACIOUS), "saver_told", "lmkd_events"),
        after_s=45, kinds=("talk", "lmkd_event"),
    ),
    *(
        Scenario(
            f"cache-{kind}", f"an application with 40 MB of cache that {does}",
            load=WANTED, config=NO_RUNAWAY, seconds=11, extra=(TALK, f"cache {options}"), after=("cache_told",),
            after_s=5, kinds=("talk", "lmkd_event"),
        )
        for kind, does, options in (
            ("told", "is told when memory gets short, and gives it back", "--priority 950"),
            ("deaf", "does not listen", "--deaf"),
        )
    ),
    Scenario(
        "cache-ways", "the same by a signal; a program, a shell script and a Python application that are told as well",
        load=WANTED, config=BY_OTHER_WAYS, seconds=11,
        extra=(TALK, "cache --signal", "in_python --mib 8", "thumbnails 4"),
        after=("cache_told", "others_told", "requests_told"),
        after_s=10, kinds=("talk", "lmkd_event"),
    ),
    *(
        Scenario(
            name, f"memory gets short over and over beside {count} applications {about}",
            load=load, seconds=seconds, extra=(TALK, f"listeners {count} {count // 2} '{asks}'"),
            after=("listeners_told",), kinds=("talk",), after_s=5,
        )
        for name, count, asks, about, load, seconds in (
            ("listeners", 100, "rs", "of which 50 never read", WAVES.load, WAVES.seconds),
            ("listeners-1", 1, "rs", "that is told", RATES, 62),
            ("listeners-10", 10, "rs", "of which 5 never read", RATES, 62),
            ("listeners-100", 100, "rs", "of which 50 never read", RATES, 62),
            ("listeners-deaf", 100, "", "that nobody tells", WAVES.load, WAVES.seconds),
        )
    ),
    Scenario(
        "fuzz", f"{MESSAGES:,} messages of chance to each control socket, from several users, while memory runs out",
        load=(*APPS, "--grow rate=30M,limit=0,compress=1,adj=200,delay=5"), seconds=45, config=FUZZED,
        extra=(". /lmkd/guest/fuzz.sh", f"fuzz_begin 1 {MESSAGES} 1"), after=("fuzz_end",), after_s=90,
        kinds=("fuzz", "lmkd_event"),
    ),
    Scenario(
        "android", "a client of Android's protocol registers, is ranked, sees a kill; then one of a later release",
        seconds=9, config=ANDROID, extra=(OWN_ETC,),
        after=(". /lmkd/guest/android.sh", "lmkd_events"), after_s=30, kinds=("android", "lmkd_event"),
    ),
    Scenario(
        "thrash", "applications that all run need more than there is, beside one that takes 90 MB and works on it",
        load=(
            HEARTBEAT, "--background n=12,size=14M,touch_ms=700,compress=3,adj=800..950",
            "--grow rate=20M,limit=90M,compress=3,touch_ms=500,adj=200,delay=4",
        ),
    ),
    _short("respawn"),
    _short("flood", *APPS, "--cache path=/dev/vda,rate=40M,total=800M,adj=200,delay=3"),
    Scenario(
        "life", "idle for a minute, then killed, started again, reloaded, stopped",
        seconds=15,
        extra=("board_settings before",),
        after=(
            "sleep 3",
            f"idle_costs {IDLE_WINDOW_S} {IDLE_WINDOWS}",
            ". /lmkd/guest/life.sh",
        ),
        after_s=IDLE_WINDOW_S * IDLE_WINDOWS + 60,
        kinds=("idle", "life", "settings", "lmkd_event"),
    ),
    Scenario(
        "unit", "systemd is process 1 and starts lmkd: a load, then killed, reloaded, stopped with SIGSTOP",
        load=(HEARTBEAT, "--background n=6,size=12M,adj=900,compress=3",
              "--grow rate=60M,limit=0,compress=1,adj=200,delay=2"),
        seconds=15, init="systemd", config="log: {to: stderr}\n",
        after=("unit_life",),
        after_s=80,
        kinds=("unit", "lmkd_event"),
    ),
    Scenario(
        "supervised", "the script for BusyBox and SysV init, OpenRC, s6: started, killed, reloaded, stopped",
        manager="none", seconds=8, init="supervisors",
        after=("swapoff /dev/zram0 && echo 1 > /sys/block/zram0/reset", ". /lmkd/guest/supervised.sh",
               "for way in sysv openrc s6; do life_below $way; done", "wrong_below sysv", "wrong_below s6"),
        after_s=60,
        kinds=("supervised",),
    ),
    Scenario(
        "care", "what is done before a kill: idle applications trimmed, the foreground shielded",
        seconds=10, config=CARE,
        after=(". /lmkd/guest/care.sh",),
        after_s=30,
        kinds=("care", "lmkd_event"),
    ),
    *(
        replace(_short(name), name=f"{name}-zswap", config="store: {kind: zswap}\n")
        for name in ("grow-30-comp", "grow-30-incomp")
    ),
    _zswap("zswap", "device-mapper's error target"),
    _zswap("zswap-closed", "a zram that takes nothing", NO_DEVICE_MAPPER),
    Scenario(
        "trial", "the algorithms tried by hand; one that is ended, one that is killed; the store moves by itself",
        seconds=10,
        after=(". /lmkd/guest/trial.sh",),
        after_s=110,
        kinds=("trial", "lmkd_event"),
    ),
    Scenario(
        "stores", "swap of others, the store's limit, writing back within a budget, moving to another device",
        seconds=10, config=STORES,
        extra=("modprobe brd rd_nr=1 rd_size=16384",),
        after=(". /lmkd/guest/stores.sh",),
        after_s=70,
        kinds=("stores", "lmkd_event"),
    ),
    Scenario(
        "deaths", "eight applications of unlike memory end one by one: what was predicted, and what came back",
        seconds=10, config=RETURNS.format(store="kind: zram"),
        after=(". /lmkd/guest/returns.sh", "returns_of differ 0 8"),
        after_s=60,
        kinds=("death",),
    ),
    Scenario(
        "crash", "the store's commands killed at each of their effects, on zram and zswap, and what the next one does",
        manager="none", seconds=8,
        after=(". /lmkd/guest/crash.sh",),
        after_s=120,
        kinds=("crash",),
    ),
    Scenario(
        "returns", "what deaths return of the store's memory, at once and after compaction, and what was predicted",
        seconds=10,
        after=(
            ". /lmkd/guest/returns.sh",
            "returns_of whole 10 2",
            "returns_of pieces 10 2",
            "returns_of pages 10 2",
            "returns_of differ 0 20",
            "returns_by_lmkd",
            "lmkd_events",
        ),
        after_s=400,
        kinds=("death", "half", "lmkd_event"),
    ),
    Scenario(
        "priorities", "rules by comm and command line; then applications that ignore SIGTERM",
        load=IN_ORDER, seconds=15, config=PRIORITIES,
        after=(
            "run_load --seconds 50 --seed 1 " + " ".join(DEAF), ". /lmkd/guest/view.sh", f"serial_view {PICTURES}",
            "lmkd_events",
        ),
        after_s=75,
        kinds=("view", "lmkd_event"),
    ),
    Scenario(
        "dry-run", "decides everything, touches nothing",
        load=(HEARTBEAT, "--background n=8,size=12M,adj=900,compress=1",
              "--grow rate=10M,limit=76M,compress=1,adj=200,delay=2"),
        seconds=20, options=("--dry-run",),
        extra=("board_settings before",), after=("board_settings after",),
        kinds=("lmkd_event", "settings"),
    ),
    Scenario(
        "energy", "an idle board for a minute: how often the manager wakes, and for how long",
        seconds=10,
        after=("sleep 3", f"idle_costs {ENERGY_WINDOW_S} {ENERGY_WINDOWS}"),
        after_s=ENERGY_WINDOW_S * ENERGY_WINDOWS + 10,
        kinds=("idle",),
    ),
    Scenario(
        "wakecost", "a wake-up that decides nothing, beside more and more processes",
        seconds=10, mem_mb=512,
        after=(*(f"wake_cost {count} {WAKE_WINDOW_S}" for count in WAKE_COUNTS), "lmkd_events"),
        after_s=240,
        kinds=("wakecost", "lmkd_event"),
    ),
)  # fmt: skip


def trial(name: str) -> Scenario | None:
    """The trial of that name."""
    return next((scenario for scenario in TRIALS if scenario.name == name), None)
