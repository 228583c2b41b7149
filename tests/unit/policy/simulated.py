"""A small simulated board that ``step`` drives: RAM, a zram store, processes that grow and die in awkward ways.

It stands in for the kernel and the guard's loop. What it does not model: CPU time, which page is cold, fragmentation.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lmkd.held import TmpfsAnswer
from lmkd.model import (
    FLAG_DECLARED_FOREGROUND,
    PRIORITY_FOREGROUND,
    PRIORITY_NEVER,
    Candidate,
    Escalate,
    Kill,
    Reap,
    Refresh,
    Sample,
    Settings,
    StoreSample,
    Victim,
    Wake,
)
from lmkd.policy.step import State, step
from lmkd.policy.table import PackedTable, table_of
from tests.unit.policy.builders import RAM_KIB, WATERMARK_LOW_KIB, AnyAction, make_settings

KERNEL_KIB = 20_000
SLICE_MS = 10.0
FILE_HELD_KIB = 6000
"""The kernel does not get below so much file cache: it is mapped and in use."""


@dataclass(frozen=True)
class AppSpec:
    """One application. ``late_ms``: its memory comes back so long after its death, before it when negative."""

    size_kib: int
    priority: int = 900
    growth_kib_s: int = 0
    grows_from_ms: int = 0
    ratio: float = 2.5
    grace_ms: int = 0
    ignores_term: bool = False
    stuck: bool = False
    exit_ms: float = 10.0
    late_ms: float = 0.0
    is_declared: bool = False


@dataclass(frozen=True)
class BoardSpec:
    """One board and its trace of extra wake-ups: ``wakes`` are the gaps in ms after which PSI wakes the guard."""

    apps: tuple[AppSpec, ...]
    cache_kib: int = 30_000
    dirty_kib: int = 0
    limit_pct: int = 30
    swap_pct: int = 60
    fault_meter: bool = True
    psi: bool = True
    vmstat: bool = True
    runaway: bool = True
    tmpfs_kib_s: int = 0
    tmpfs_writer: int | None = None
    wakes: tuple[float, ...] = ()
    table_delay_ms: float = 50.0


@dataclass
class App:
    """An application's present: what it holds, and when it dies and gives its memory back, once that is known."""

    spec: AppSpec
    pid: int
    resident: float
    swapped: float = 0.0
    grew: float = 0.0
    dies_ms: float | None = None
    is_dead: bool = False
    is_free: bool = False

    @property
    def start_ticks(self) -> int:
        """As the kernel gives it: never the same for two processes of one pid."""
        return 7000 + self.pid


@dataclass(frozen=True)
class Turn:
    """One step: what went in, what came out, and what was true on the board (``freed``: pids whose memory is back)."""

    sample: Sample
    table: PackedTable
    before: State
    after: State
    actions: tuple[AnyAction, ...]
    wake: Wake
    dead: frozenset[int]
    freed: frozenset[int]


@dataclass
class Board:
    """The board at one moment; ``run`` drives the policy with it."""

    spec: BoardSpec
    now_ms: float = 1000.0
    apps: list[App] = field(default_factory=list)
    file_kib: float = 0.0
    shmem_kib: float = 0.0
    full_us: float = 0.0
    refaults: float = 0.0
    faults_kib: float = 0.0
    gone: list[int] = field(default_factory=list)
    out_of_memory: bool = False
    sampled_ms: float = 0.0

    def __post_init__(self) -> None:
        self.apps = [App(spec, 100 + number, float(spec.size_kib)) for number, spec in enumerate(self.spec.apps)]
        self.file_kib = float(self.spec.cache_kib)
        self.swap_kib = RAM_KIB * self.spec.swap_pct // 100
        self.limit_kib = RAM_KIB * self.spec.limit_pct // 100
        self._room_for(0.0)

    @property
    def settings(self) -> Settings:
        """The policy's numbers for this board."""
        return make_settings(runaway=self.spec.runaway, fault_meter=self.spec.fault_meter)

    @property
    def stored_kib(self) -> float:
        """Uncompressed size of what the store holds."""
        return sum(app.swapped for app in self.apps)

    @property
    def used_kib(self) -> float:
        """RAM that the store takes."""
        return sum(app.swapped / app.spec.ratio for app in self.apps)

    @property
    def free_kib(self) -> float:
        """Free RAM: what nothing else holds."""
        held = self.shmem_kib + self.file_kib
        for app in self.apps:
            held += app.resident + app.swapped / app.spec.ratio
        return RAM_KIB - KERNEL_KIB - held

    @property
    def tmpfs_kib_s(self) -> int:
        """How fast the file in the tmpfs grows: until its writer, when there is one, dies. The file stays."""
        writer = self.spec.tmpfs_writer
        return 0 if writer is not None and self.app(writer).is_dead else self.spec.tmpfs_kib_s

    def app(self, pid: int) -> App:
        """By process id."""
        return self.apps[pid - 100]

    def table(self) -> PackedTable:
        """What the helper would measure now."""
        return table_of([_candidate(app) for app in self.apps if not app.is_dead])

    def sample(self, cause: str) -> Sample:
        """What the guard would observe now."""
        grower = max(self.apps, key=lambda app: app.grew, default=None)
        total = sum(app.grew for app in self.apps)
        named = grower if self.spec.fault_meter and grower is not None and grower.grew > 0 else None
        elapsed = max(1.0, self.now_ms - self.sampled_ms)
        gone, self.gone = tuple(self.gone), []
        sample = Sample(
            t_ms=self.now_ms,
            cause=cause,
            free_kib=max(0, int(self.free_kib)),
            file_kib=int(self.file_kib),
            dirty_kib=min(int(self.file_kib), self.spec.dirty_kib),
            anon_kib=int(sum(app.resident for app in self.apps)),
            shmem_kib=int(self.shmem_kib),
            swap_total_kib=self.swap_kib,
            swap_free_kib=int(self.swap_kib - self.stored_kib),
            store=StoreSample(int(self.stored_kib), int(self.used_kib), int(self.used_kib), self.limit_kib)
            if self.limit_kib and self.swap_kib
            else None,
            some_us=int(self.full_us) if self.spec.psi else None,
            full_us=int(self.full_us) if self.spec.psi else None,
            refault_anon=int(self.refaults) if self.spec.vmstat else None,
            refault_file=0 if self.spec.vmstat else None,
            grower_pid=named.pid if named else None,
            grower_share=named.grew / total if named else 0.0,
            grower_kib_s=total / elapsed * 1000 if named else 0.0,
            grower_resident_kib=int(named.resident) if named else None,
            grower_swapped_kib=int(named.swapped) if named else None,
            tmpfs=TmpfsAnswer(self.now_ms, self.spec.tmpfs_writer or 0),
            gone=gone,
        )
        for app in self.apps:
            app.grew = 0.0
        self.sampled_ms, self.faults_kib = self.now_ms, 0.0
        return sample

    def signal(self, victim: Victim, signal: str) -> None:
        """As the guard does it: a victim that is not there any more is reported gone at once."""
        app = self.app(victim.pid)
        if app.is_dead:
            self.gone.append(app.pid)
        elif not app.spec.stuck and not (signal == "SIGTERM" and app.spec.ignores_term) and app.dies_ms is None:
            app.dies_ms = self.now_ms + app.spec.exit_ms

    def advance(self, until_ms: float, faults_kib: float) -> str:
        """Let time pass until then, until so much was faulted in, or until a death; returns which it was."""
        while True:
            if self.gone:
                return "death"
            if faults_kib and self.faults_kib >= faults_kib:
                return "faults"
            if self.now_ms >= until_ms:
                return "timer"
            span = min(SLICE_MS, until_ms - self.now_ms)
            rate = self._growth()
            if faults_kib and rate > 0:
                span = min(span, max(0.1, (faults_kib - self.faults_kib) / rate * 1000))
            self._pass(span)

    def _growth(self) -> float:
        return sum(app.spec.growth_kib_s for app in self.apps if self._grows(app)) + self.tmpfs_kib_s

    def _grows(self, app: App) -> bool:
        return app.dies_ms is None and not app.is_dead and self.now_ms >= app.spec.grows_from_ms

    def _pass(self, span_ms: float) -> None:
        self.now_ms += span_ms
        for app in self.apps:
            if app.dies_ms is None:
                continue
            if not app.is_free and self.now_ms >= app.dies_ms + app.spec.late_ms:
                app.resident = app.swapped = 0.0
                app.is_free = True
            if not app.is_dead and self.now_ms >= app.dies_ms:
                app.is_dead = True
                self.gone.append(app.pid)
        for app in self.apps:
            if app.spec.growth_kib_s and self._grows(app):
                got = self._take(app.spec.growth_kib_s * span_ms / 1000, span_ms)
                app.resident += got
                app.grew += got
        if self.tmpfs_kib_s:
            self.shmem_kib += self._take(self.tmpfs_kib_s * span_ms / 1000, span_ms)

    def _take(self, wanted: float, span_ms: float) -> float:
        self._room_for(wanted)
        got = max(0.0, min(wanted, self.free_kib - WATERMARK_LOW_KIB / 4))
        self.faults_kib += got
        if got < wanted:
            self.full_us += span_ms * 1000
            self.out_of_memory = True
        return got

    def _room_for(self, wanted: float) -> None:
        """Reclaim as the kernel does: clean cache first, then whoever holds most goes to the store."""
        short = WATERMARK_LOW_KIB + wanted - self.free_kib
        if short <= 0:
            return
        dropped = min(short, max(0.0, self.file_kib - self.spec.dirty_kib - FILE_HELD_KIB))
        self.file_kib -= dropped
        short -= dropped
        swap_left, store_left = self.swap_kib - self.stored_kib, self.limit_kib - self.used_kib
        for app in sorted(self.apps, key=lambda one: -one.resident):
            if short <= 0 or swap_left <= 0 or store_left <= 0:
                return
            if app.spec.ratio <= 1.0:
                continue
            gained = 1 - 1 / app.spec.ratio
            moved = max(0.0, min(short / gained, app.resident * 0.75, swap_left, store_left * app.spec.ratio))
            app.resident -= moved
            app.swapped += moved
            swap_left -= moved
            store_left -= moved / app.spec.ratio
            short -= moved * gained
            self.refaults += moved / 8


def run(spec: BoardSpec, duration_ms: float = 4000.0, turns_max: int = 1500) -> tuple[list[Turn], Board]:
    """Drive the policy over the board: each step when it asked for it, or when PSI, a fault or a death wakes it."""
    board = Board(spec)
    state, table, end_ms = State(), board.table(), board.now_ms + duration_ms
    psi = [board.now_ms + sum(spec.wakes[: number + 1]) for number in range(len(spec.wakes))]
    fresh_ms: float | None = None
    cause, turns = "timer", list[Turn]()
    while board.now_ms <= end_ms and len(turns) < turns_max:
        if fresh_ms is not None and board.now_ms >= fresh_ms:
            table, fresh_ms = board.table(), None
        sample, before = board.sample(cause), state
        state, actions, wake = step(before, sample, board.settings, table)
        dead = frozenset(app.pid for app in board.apps if app.is_dead)
        freed = frozenset(app.pid for app in board.apps if app.is_free)
        turns.append(Turn(sample, table, before, state, actions, wake, dead, freed))
        if _act(board, actions) and fresh_ms is None:
            fresh_ms = board.now_ms + spec.table_delay_ms
        until = board.now_ms + wake.after_ms
        woken = psi.pop(0) if psi and psi[0] <= until else None
        cause = board.advance(until if woken is None else woken, wake.faults * 4.0)
        if woken is not None and board.now_ms < woken:
            psi.insert(0, woken)
        elif woken is not None and cause == "timer":
            cause = "psi some"
    return turns, board


def _act(board: Board, actions: tuple[AnyAction, ...]) -> bool:
    """Do what the policy asked for; was it for a fresh table?"""
    refresh = False
    for action in actions:
        if isinstance(action, Kill | Escalate):
            for victim in action.victims:
                board.signal(victim, action.signal if isinstance(action, Kill) else "SIGKILL")
        elif isinstance(action, Refresh):
            refresh = True
        elif isinstance(action, Reap):
            app = board.app(action.pid)
            if app.dies_ms is not None and not app.is_free and app.spec.late_ms > 0:
                app.resident = app.swapped = 0.0
                app.is_free = True
    return refresh


def _candidate(app: App) -> Candidate:
    spec = app.spec
    flags = FLAG_DECLARED_FOREGROUND if spec.is_declared and spec.priority <= PRIORITY_FOREGROUND else 0
    gain = int(app.resident + app.swapped / spec.ratio)
    grace = 0 if spec.priority == PRIORITY_NEVER else spec.grace_ms
    return Candidate(
        app.pid,
        app.start_ticks,
        spec.priority,
        gain,
        int(app.resident),
        int(app.swapped),
        grace,
        flags,
        -1,
        f"app{app.pid}",
    )
