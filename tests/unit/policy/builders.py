"""Hand-built samples, candidates, settings and tables for the policy's tests: no files, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lmkd.held import Clean, Explain, Tend
from lmkd.model import (
    FLAG_DECLARED_FOREGROUND,
    Candidate,
    Compact,
    Escalate,
    Freeze,
    Kill,
    Limit,
    Maintain,
    Note,
    Reap,
    Refresh,
    Renice,
    Sample,
    Settings,
    StoreSample,
    Thaw,
    Trim,
    Victim,
    Wake,
)
from lmkd.policy.derive import derive
from lmkd.policy.step import State, step
from lmkd.policy.table import PackedTable, table_of
from lmkd.values import replace

AnyAction = (
    Kill | Escalate | Reap | Refresh | Trim | Compact | Freeze | Thaw | Renice | Limit | Maintain | Explain | Tend
    | Clean | Note
)

RAM_KIB = 249856
WATERMARK_LOW_KIB = 2048
SWAP_KIB = RAM_KIB * 60 // 100
LIMIT_KIB = RAM_KIB * 30 // 100


def make_settings(**changes: Any) -> Settings:
    """A 256 MB board with the fault meter: floor 4997 KiB, file floor 12492 KiB, kill horizon 99 ms."""
    return replace(derive(RAM_KIB, 1024, WATERMARK_LOW_KIB, 33, True, {}), **changes)


SETTINGS = make_settings()
FLOOR_KIB = SETTINGS.headroom_floor_kib


def make_store(**changes: Any) -> StoreSample:
    """An empty store with a limit of 30 percent of the memory."""
    return replace(StoreSample(0, 0, 0, LIMIT_KIB), **changes)


def make_sample(t_ms: float = 0.0, **changes: Any) -> Sample:
    """A board with much free memory, an empty store, and PSI that tells of no stall."""
    roomy = Sample(
        t_ms=t_ms,
        cause="timer",
        free_kib=120_000,
        file_kib=40_000,
        dirty_kib=0,
        anon_kib=60_000,
        shmem_kib=0,
        swap_total_kib=SWAP_KIB,
        swap_free_kib=SWAP_KIB,
        store=make_store(),
        some_us=0,
        full_us=0,
        refault_anon=0,
        refault_file=0,
    )
    return replace(roomy, **changes)


def storeless(t_ms: float = 0.0, **changes: Any) -> Sample:
    """A board with neither store nor swap and no cache above its floor: the headroom is the free memory alone."""
    return make_sample(t_ms, **{"swap_total_kib": 0, "swap_free_kib": 0, "store": None, "file_kib": 0} | changes)


def with_headroom(t_ms: float, headroom_kib: int, **changes: Any) -> Sample:
    """A storeless board with exactly this headroom, by its free memory."""
    return storeless(t_ms, **{"free_kib": headroom_kib + WATERMARK_LOW_KIB} | changes)


def growing(t_ms: float, headroom_kib: int, pid: int, size_kib: int, **changes: Any) -> Sample:
    """A storeless board with this headroom whose fault meter names a process that is all resident."""
    named = {
        "cause": "faults",
        "grower_pid": pid,
        "grower_share": 0.9,
        "grower_resident_kib": size_kib,
        "grower_swapped_kib": 0,
    }
    return with_headroom(t_ms, headroom_kib, **named | changes)


def make_app(pid: int, priority: int = 900, gain_kib: int = 8192, **changes: Any) -> Candidate:
    """A candidate that is all resident and has no grace."""
    row = Candidate(pid, 1000 + pid, priority, gain_kib, gain_kib, 0, 0, 0, -1, f"app{pid}")
    return replace(row, **changes)


def declared(pid: int, gain_kib: int = 8192, **changes: Any) -> Candidate:
    """An application that a rule declares to be the foreground."""
    return make_app(pid, 0, gain_kib, **{"flags": FLAG_DECLARED_FOREGROUND, "rule": 0} | changes)


def victim_of(app: Candidate) -> Victim:
    """The application as a victim with the table's prediction."""
    return Victim(app.pid, app.start_ticks, app.name, app.priority, app.rule, app.gain_kib)


class Run:
    """Feeds samples to ``step`` one after another and keeps all that came out."""

    def __init__(
        self, apps: Sequence[Candidate] = (), settings: Settings = SETTINGS, state: State | None = None
    ) -> None:
        self.table: PackedTable = table_of(apps)
        self.settings = settings
        self.state = State() if state is None else state
        self.actions: list[AnyAction] = []
        self.wake = Wake(0.0, 0)

    def feed(self, *samples: Sample) -> tuple[AnyAction, ...]:
        """Step through these; returns what the last one led to."""
        last: tuple[AnyAction, ...] = ()
        for sample in samples:
            self.state, last, self.wake = step(self.state, sample, self.settings, self.table)
            self.actions += last
        return last

    @property
    def kills(self) -> list[Kill]:
        """All decisions so far."""
        return kills_in(self.actions)

    def notes(self, event: str) -> list[dict[str, object]]:
        """The fields of all records of this event so far."""
        return [dict(one.fields) for one in self.actions if isinstance(one, Note) and one.event == event]


def kills_in(actions: Iterable[AnyAction]) -> list[Kill]:
    """The decisions among these actions."""
    return [one for one in actions if isinstance(one, Kill)]


def pids(kill: Kill) -> tuple[int, ...]:
    """The victims of a decision."""
    return tuple(victim.pid for victim in kill.victims)
