"""What travels through lmkd: samples, candidates, the plan, actions. Values only; no behaviour that needs a kernel."""

from __future__ import annotations

from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from lmkd.held import Clean, Explain, Tend, TmpfsAnswer

    class CandidateTable(Protocol):
        """The processes that may be ended, in kill order: highest number first, smallest gain first within one."""

        def __len__(self) -> int: ...

        def row(self, index: int) -> Candidate:
            """The candidate at this place of the kill order."""

        def index_of(self, pid: int) -> int | None:
            """The place of a process, None when it is not in the table."""

        def levels(self) -> tuple[tuple[int, int, int], ...]:
            """(priority, first index, index after the last) of each priority, in kill order."""

        def gain_before(self, index: int) -> int:
            """Sum of the predicted gains, in KiB, of all rows before this one."""

        def first_with_gain(self, start: int, stop: int, gain_kib: int) -> int:
            """First index in a level whose gain is at least ``gain_kib``; ``stop`` when there is none."""


PRIORITY_NEVER = -1000
PRIORITY_FOREGROUND = 0
CLASSES = (
    ("protected", PRIORITY_NEVER),
    ("foreground", PRIORITY_FOREGROUND),
    ("visible", 100),
    ("service", 500),
    ("background", 700),
    ("cached", 900),
)

FLAG_DECLARED_FOREGROUND = 1
"""A rule of the configuration gave the foreground's or a more important priority."""
FLAG_GROUP = 2
"""The rule asks for the whole group (tree or cgroup) to be ended, not the one process."""
FLAG_TRIM = 4
"""It may be paged out when idle."""
FLAG_FREEZE = 8
"""It may be stopped for a while when it thrashes."""
FLAG_RESPAWNED = 16
"""It came back after lmkd had ended it: what it did before it is likely to do again."""


def class_of(priority: int) -> str:
    """The class whose range holds this number (oom_score_adj scale, -1000..1000): the nearest at or below it."""
    name = "protected"
    for candidate, number in CLASSES:
        if priority < number:
            break
        name = candidate
    return "foreground" if PRIORITY_NEVER < priority < PRIORITY_FOREGROUND else name


@value
class StoreSample:
    """The compressed store at one moment, in KiB (zram mm_stat, Documentation/admin-guide/blockdev/zram.rst; zswap's
    lines of /proc/meminfo).

    Of several devices the sum; ``limit_kib`` is then what they can get to (0: no limit). ``slots_free_kib`` is what
    still fits in before compression (None: all of SwapFree); ``closes``: it reaches its limit before that, and then no
    later swap is used either. ``own_*`` is lmkd's own device, whose limit it may move; 0: none. ``full_kib``: the size,
    above the limit, from which on the kernel reclaims in vain however much cache there is (zswap's pool limit).
    """

    orig_kib: int
    compressed_kib: int
    used_kib: int
    limit_kib: int
    huge_kib: int | None = None
    slots_free_kib: int | None = None
    closes: bool = False
    own_used_kib: int = 0
    own_limit_kib: int = 0
    full_kib: int = 0


@value
class Sample:
    """What the guard observed at one moment. None: this kernel does not tell; never a made-up zero."""

    t_ms: float
    cause: str
    free_kib: int
    file_kib: int
    dirty_kib: int
    anon_kib: int
    shmem_kib: int
    swap_total_kib: int
    swap_free_kib: int
    store: StoreSample | None = None
    some_us: int | None = None
    full_us: int | None = None
    refault_anon: int | None = None
    refault_file: int | None = None
    swapped_in: int | None = None
    """Pages that came back from the store or a swap disk so far."""
    swapped_out: int | None = None
    """Pages that went there so far."""
    grower_pid: int | None = None
    """The process that took most page faults since the last sample, by the kernel's sampling."""
    grower_share: float = 0.0
    grower_kib_s: float = 0.0
    """All page faults since the last sample as memory, in KiB/s: what growth cannot exceed."""
    grower_resident_kib: int | None = None
    grower_swapped_kib: int | None = None
    grower_ratio: float | None = None
    """At which ratio the store would take its pages, as the helper sampled them."""
    tmpfs: TmpfsAnswer | None = None  # what the helper found of memory in files, when asked
    refused: int | None = None
    """Pages that zswap refused so far: the kernel wrote them, in vain, to a device that takes nothing."""
    gone: tuple[int, ...] = ()
    """Victims whose death the kernel has reported (pidfd readable) since the last sample."""
    asked: tuple[tuple[int, int], ...] = ()  # (pid, start) of kills that were asked for since then


@value
class Candidate:
    """One process that may be ended. A process is (pid, start time in clock ticks since boot)."""

    pid: int
    start_ticks: int
    priority: int
    gain_kib: int
    resident_kib: int
    swapped_kib: int
    grace_ms: int
    flags: int
    rule: int
    name: str


@value
class Settings:
    """The numbers by which the policy decides; derived from the board and from ``stall_budget``, each overridable."""

    ram_kib: int
    page_kib: int
    stall_budget_ms: int
    watermark_min_kib: int
    watermark_low_kib: int
    headroom_floor_kib: int
    file_floor_kib: int
    kill_horizon_ms: int
    runaway: bool
    runaway_horizon_ms: int
    idle_interval_ms: int
    stall_window_ms: int
    stall_free_kib: int
    set_limit: int
    fault_meter: bool
    trim: bool
    trim_free_kib: int
    trim_piece_kib: int
    trim_idle_ms: int
    respawn_hold: bool
    hold_base_ms: int
    hold_max_ms: int
    freeze_max_ms: int
    renice: bool
    protect_foreground: bool
    tmpfs_rungs: bool
    tmpfs_limit_kib: int
    store_limit_kib: int
    store_limit_max_kib: int
    tend_ms: int


@value
class Victim:
    """A process chosen to die, with what its death is predicted to return."""

    pid: int
    start_ticks: int
    name: str
    priority: int
    rule: int
    predicted_kib: int


@value
class Kill:
    """End these processes with this signal; the first step of one decision."""

    victims: tuple[Victim, ...]
    signal: str
    reason: str
    numbers: tuple[tuple[str, object], ...]


@value
class Escalate:
    """A victim did not die in its time: SIGKILL it now, and have it reaped."""

    victims: tuple[Victim, ...]
    reason: str


@value
class Reap:
    """Free the memory of a dying process that does not get to do it itself: the helper, or as a last resort we."""

    pid: int
    here: bool = False


@value
class Refresh:
    """Have the helper measure the candidates again, now."""

    urgent: bool


@value
class Trim:
    """Have the helper page out idle applications until ``kib`` have gone; 0: only see who is idle."""

    kib: int


@value
class Freeze:
    """Have the helper stop a process that thrashes, for ``ms`` at most: it lets it go by itself."""

    pid: int
    start_ticks: int
    ms: int


@value
class Thaw:
    """Have the helper let a stopped process go before its time."""

    pid: int


@value
class Renice:
    """Have the helper lower a process to the least share of the processor for ``ms``; asked again, for longer."""

    pid: int
    start_ticks: int
    ms: int


@value
class Compact:
    """Have the helper compact the store: deaths leave holes in it, now ``slack_kib`` more than the bytes it holds."""

    slack_kib: int


@value
class Limit:
    """Set the mem_limit of lmkd's own zram to ``kib``; ``numbers`` are what the record says of it."""

    kib: int
    numbers: tuple[tuple[str, object], ...]


@value
class Maintain:
    """Have the helper write back and recompress what the configuration allows, or stop with it."""

    on: bool


@value
class Note:
    """Write one record: the event's name and its fields."""

    event: str
    fields: tuple[tuple[str, object], ...]
    level: str = "info"


@value
class Wake:
    """When to look again at the latest, and after how many page faults at the latest (0: not by faults)."""

    after_ms: float
    faults: int


if TYPE_CHECKING:
    Change = Refresh | Trim | Compact | Freeze | Thaw | Renice | Limit | Maintain | Tend | Clean
    Action = Kill | Escalate | Reap | Change | Explain | Note
