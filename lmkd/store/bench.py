"""Owns the measurement of the store that is in use: a page's way there and back, and what deaths give back.

The store is made by nobody here and none of its settings is changed; all memory that goes there is our own.
"""

from __future__ import annotations

import contextlib

from lmkd.errors import StoreError
from lmkd.store import bench_pages, bench_room
from lmkd.store.bench_pages import THREE, VARIED, WHOLE, Back, Deaths, Level, Out, Spread
from lmkd.store.bench_process import Task
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from lmkd.store.bench_effects import BenchEffects
    from lmkd.store.bench_process import BenchProcess
    from lmkd.store.state import StoreState

PIECE_KIB = 128
"""What each application gives in turn: their pages are neighbours in the store, as on a board in use."""
_LEAD_NS = 100_000_000
"""From being told to the common begin of two passes."""


@value
class Way:
    """The way of one kind of page. ``back`` and ``spread`` are None when none of them went out.

    Mean and throughput are of a pass that only touches; the single faults are of a second one, of other pages.
    """

    kind: str
    out: Out
    back: Back | None
    spread: Spread | None
    compared: int
    corrupt: int


@value
class Pair:
    """Two processes at once, on so many processors."""

    processors: int
    backs: tuple[Back, Back]
    compared: int
    corrupt: int


class Bench:
    """Measures the store that is there when it is made. StoreError when there is none, or others are before it."""

    def __init__(self, port: BenchEffects, size_kib: int) -> None:
        self._port, self._wanted_kib = port, size_kib
        self.state: StoreState = port.state()
        bench_room.require_store(self.state, port.swaps())

    def ways(self) -> tuple[tuple[Way, ...], tuple[str, ...]]:
        """Compressible and incompressible pages, and why there is no room for these."""
        compressible = self._way(THREE, self._fitting_kib(THREE, 1))
        try:
            size_kib = self._fitting_kib(WHOLE, 1)
        except StoreError as error:
            return (compressible,), (f"{WHOLE}: {error}",)
        return (compressible, self._way(WHOLE, size_kib)), ()

    def pairs(self) -> tuple[Pair, ...]:
        """Two at once on one processor, and on two where there are two."""
        cpus = self._port.processors()
        placed = [(cpus[0], cpus[0])] + ([(cpus[0], cpus[1])] if len(cpus) > 1 else [])
        return tuple(self._pair(places) for places in placed)

    def _task(self, kind: str, seed: int, size_kib: int, cpu: int | None) -> Task:
        page_bytes = self._port.page_bytes()
        return Task(kind, seed, max(1, size_kib * 1024 // page_bytes), page_bytes, cpu)

    def _fitting_kib(self, kind: str, processes: int) -> int:
        room = bench_room.room_of(self._port.state(), self._port.memory())
        refuses = kind == WHOLE and self.state.kind == "zswap"
        return bench_room.fitting_kib(self._wanted_kib, room, kind, processes, refuses)

    def _way(self, kind: str, size_kib: int) -> Way:
        cpu = self._port.processors()[0]
        back = spread = None
        with self._processes([self._task(kind, 1, size_kib, cpu)]) as (first,):
            out = Out(**first.ask("out"))
            if out.out:
                back = Back(**first.ask("back"))
            checked = [first.ask("compare")]
        if out.out:
            with self._processes([self._task(kind, 2, size_kib, cpu)]) as (second,):
                second.ask("out")
                spread = Spread(**second.ask("timed"))
                checked.append(second.ask("compare"))
        return Way(kind, out, back, spread, *_sums(checked))

    def _pair(self, places: tuple[int, int]) -> Pair:
        size_kib = self._fitting_kib(THREE, 2) // 2
        tasks = [self._task(THREE, 3 + index, size_kib, cpu) for index, cpu in enumerate(places)]
        with self._processes(tasks) as both:
            for one in both:
                if not one.ask("out")["out"]:
                    raise StoreError("store: it takes no pages")
            at_ns = self._port.now_ns() + _LEAD_NS
            for one in both:
                one.tell("back", at_ns)
            backs = [Back(**one.hear()) for one in both]
            checked = [one.ask("compare") for one in both]
        return Pair(len(set(places)), (backs[0], backs[1]), *_sums(checked))

    def deaths(self, apps: int) -> tuple[Deaths, dict[str, int]]:
        """What the store gives back when every second one of ``apps`` processes is ended, and how much was compared."""
        room = bench_room.room_of(self._port.state(), self._port.memory())
        apps, all_kib = bench_room.fitting_apps(apps, self._wanted_kib, room, VARIED)
        size_kib = all_kib // apps
        tasks = [self._task(VARIED, 10 + index, size_kib, None) for index in range(apps)]
        with self._processes(tasks) as all_of_them:
            self._send_in_turn(all_of_them, tasks[0])
            before = self._port.settled()
            for one in all_of_them[::2]:
                one.end()
            at_once = self._port.settled()
            compacted = self._port.settled() if self._port.compact(self.state) else None
            compared, corrupt = _sums([one.ask("compare") for one in all_of_them[1::2]])
        ended = len(all_of_them[::2])
        counted = {"apps": apps, "ended": ended, "app_kib": size_kib, "compared": compared, "corrupt": corrupt}
        return Deaths(before, at_once, compacted), counted

    def _send_in_turn(self, processes: Sequence[BenchProcess], task: Task) -> None:
        piece = max(1, PIECE_KIB * 1024 // task.page_bytes)
        gone: dict[int, int] = {}
        for first in range(0, task.pages, piece):
            for one in processes:
                gone[one.pid] = one.ask("out", first, min(piece, task.pages - first))["out"]
        if not all(gone.values()):
            raise StoreError("store: it takes no pages")

    @contextlib.contextmanager
    def _processes(self, tasks: Sequence[Task]) -> Iterator[list[BenchProcess]]:
        found: list[BenchProcess] = []
        try:
            for task in tasks:
                found.append(self._port.start(task))
            yield found
        finally:
            for one in found:
                one.end()


def _sums(checked: Sequence[dict[str, Any]]) -> tuple[int, int]:
    return sum(one["compared"] for one in checked), sum(one["corrupt"] for one in checked)


def ways_shown(ways: Sequence[Way], pairs: Sequence[Pair], page_bytes: int) -> dict[str, Any]:
    """The figures as plain values: microseconds a page, MB (2**20 bytes) a second."""
    checked: list[Way | Pair] = [*ways, *pairs]
    return {
        "ways": [_way_shown(way, page_bytes) for way in ways],
        "two_at_once": [_pair_shown(pair, page_bytes) for pair in pairs],
        "compared": sum(each.compared for each in checked),
        "corrupt": sum(each.corrupt for each in checked),
    }


def _way_shown(way: Way, page_bytes: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "kind": way.kind, "tried": way.out.tried, "out": way.out.out,
        "out_us": round(bench_pages.out_us(way.out), 2),
        "out_cpu_us": round(way.out.cpu_ns / way.out.tried / 1000, 2),
    }  # fmt: skip
    back, spread = way.back, way.spread
    if back is None or spread is None:
        return found
    return found | {
        "back_us": round(bench_pages.back_us(back), 2),
        "back_cpu_us": round(bench_pages.back_cpu_us(back), 2),
        "median_us": spread.median_us, "p99_us": spread.p99_us, "worst_us": spread.worst_us,
        "mb_s": round(bench_pages.mb_s(back.pages, page_bytes, back.own_ns), 1),
        "major_faults": back.major,
    }  # fmt: skip


def _pair_shown(pair: Pair, page_bytes: int) -> dict[str, Any]:
    shared = pair.processors == 1
    loops_ns = sum(back.loop_ns for back in pair.backs) if shared else 0
    # On a shared processor the other's loop is in one's time as well as one's own.
    own = [back.ended_ns - back.begun_ns - (loops_ns if shared else back.loop_ns) for back in pair.backs]
    return {
        "processors": pair.processors,
        "each_mb_s": [
            round(bench_pages.mb_s(back.pages, page_bytes, ns), 1) for back, ns in zip(pair.backs, own, strict=True)
        ],
        "together_mb_s": round(bench_pages.together_mb_s(pair.backs, page_bytes, shared), 1),
    }


def deaths_shown(deaths: Deaths, counted: dict[str, int]) -> dict[str, Any]:
    """The figures as plain values, in KiB; ``error_pct``: by how much the prediction is off what came back last."""
    last = deaths.compacted or deaths.at_once
    returned = {name: deaths.returned_kib(level) for name, level in _stages(deaths)}
    came = deaths.returned_kib(last)
    return counted | {
        "before": _level(deaths.before), "at_once": _level(deaths.at_once),
        "compacted": _level(deaths.compacted) if deaths.compacted is not None else None,
        "gone_kib": deaths.gone_kib, "predicted_kib": deaths.predicted_kib, "returned_kib": returned,
        "error_pct": round(100 * (deaths.predicted_kib - came) / came, 1) if came > 0 else None,
    }  # fmt: skip


def _stages(deaths: Deaths) -> list[tuple[str, Level]]:
    found = [("at_once", deaths.at_once)]
    return found if deaths.compacted is None else [*found, ("compacted", deaths.compacted)]


def _level(level: Level) -> dict[str, int]:
    return {"orig_kib": level.orig_kib, "used_kib": level.used_kib}
