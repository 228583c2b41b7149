"""A store in memory for measurements: processes that are only figures, a store that fills and gives back."""

from __future__ import annotations

from typing import Any

from lmkd.errors import StoreError
from lmkd.kernel.swap import SwapEntry
from lmkd.store.bench_effects import BenchEffects
from lmkd.store.bench_pages import VARIED, WHOLE, Level
from lmkd.store.bench_process import BenchProcess, Task
from lmkd.store.fit import Memory
from lmkd.store.state import StoreState

PAGE = 4096
ZRAM = StoreState(
    kind="zram", device="zram0", algorithm="lz4", size_kib=300_000, mem_limit_kib=70_000, orig_kib=3000, used_kib=1000,
    swap_used_kib=3000, swap_priority=100,
)  # fmt: skip
ZSWAP = StoreState(
    kind="zswap", device="dm-0", algorithm="lz4", size_kib=300_000, mem_limit_kib=70_000, orig_kib=3000, used_kib=1000,
    swap_used_kib=3000, pool="zbud", backing="device-mapper",
)  # fmt: skip


class FakeProcess(BenchProcess):
    """Answers with figures that are easy to reckon with: 50 us a page out, 25 back, 2 of it the loop's."""

    def __init__(self, port: FakeBench, task: Task) -> None:
        self._port, self.task = port, task
        self.pid = 100 + len(port.started)
        self._answers: list[dict[str, Any]] = []
        self._gone = 0

    def tell(self, word: str, *numbers: int) -> None:
        self._port.asked.append((self.pid, word, numbers))
        if self._port.dies_at == word:
            raise StoreError("ended")
        self._answers.append(getattr(self, f"_{word}")(*numbers))

    def hear(self) -> dict[str, Any]:
        return self._answers.pop(0)

    def end(self) -> None:
        if self.pid:
            self._port.ended.append(self.pid)
            self._port.stored.pop(self.pid, None)
            self.pid = 0

    def _out(self, first: int = 0, count: int = 0) -> dict[str, Any]:
        count = count or self.task.pages
        if not (self._port.now.kind == "zswap" and self.task.kind == WHOLE) and not self._port.refuses:
            self._gone = min(self.task.pages, max(self._gone, first + count))
        self._port.stored[self.pid] = self._gone
        return {"tried": count, "out": self._gone, "ns": count * 50_000, "cpu_ns": count * 49_000}

    def _back(self, at_ns: int = 0) -> dict[str, Any]:
        ns = self._gone * 25_000
        return {
            "pages": self._gone, "begun_ns": at_ns, "ended_ns": at_ns + ns, "cpu_ns": ns,
            "loop_ns": self._gone * 2000, "major": self._gone,
        }  # fmt: skip

    def _timed(self) -> dict[str, Any]:
        return {"median_us": 21.0, "p99_us": 200.0, "worst_us": 400.0}

    def _compare(self) -> dict[str, Any]:
        return {"compared": self.task.pages, "corrupt": self._port.corrupt}


class FakeBench(BenchEffects):
    """The port; ``holes`` is the part of what is given back that stays until compaction."""

    def __init__(self, state: StoreState = ZRAM, available_kib: int = 150_000) -> None:
        self.now = state
        self.available_kib = available_kib
        self.others: tuple[SwapEntry, ...] = ()
        self.cpus = [0]
        self.started: list[FakeProcess] = []
        self.ended: list[int] = []
        self.asked: list[tuple[int, str, tuple[int, ...]]] = []
        self.stored: dict[int, int] = {}
        self.holes = 0.25
        self.compacted = False
        self.corrupt = 0
        self.refuses = False
        self.dies_at = ""
        self.least = False

    def be_least(self) -> None:
        self.least = True

    def state(self) -> StoreState:
        return self.now

    def swaps(self) -> tuple[SwapEntry, ...]:
        own = SwapEntry(f"/dev/{self.now.device}", "partition", 300_000, 3000, 100)
        return (own, *self.others) if self.now.device else self.others

    def memory(self) -> Memory:
        return Memory(241_012, self.available_kib)

    def page_bytes(self) -> int:
        return PAGE

    def page_cluster(self) -> int:
        return 0

    def processors(self) -> list[int]:
        return self.cpus

    def now_ns(self) -> int:
        return 5_000_000

    def start(self, task: Task) -> BenchProcess:
        self.started.append(FakeProcess(self, task))
        return self.started[-1]

    def compact(self, state: StoreState) -> bool:
        self.compacted = state.kind == "zram"
        return self.compacted

    def settled(self) -> Level:
        orig_kib = 3000 + sum(self.stored.values()) * PAGE // 1024
        others = [one for one in self.started if not one.pid and one.task.kind == VARIED]
        ended_kib = sum(one.task.pages for one in others) * PAGE // 1024
        holes = 0 if self.compacted else self.holes
        return Level(orig_kib, round(orig_kib / 3 + ended_kib / 3 * holes))
