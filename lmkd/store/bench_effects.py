"""Owns what a measurement of the store reads and does: the store's fill, memory, its processes, zram's compaction."""

from __future__ import annotations

import os
import time

from lmkd.errors import StoreError
from lmkd.kernel import swap, zram
from lmkd.kernel.files import read_int, write_text
from lmkd.store import stores
from lmkd.store.bench_pages import Level
from lmkd.store.bench_process import BenchProcess
from lmkd.store.fit import read_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import Roots
    from lmkd.store.bench_process import Task
    from lmkd.store.fit import Memory
    from lmkd.store.state import StoreState

NICE, ADJ = 19, 1000
_LOOKS, _PAUSE_S = 20, 0.1
"""The kernel frees slots in batches, and empty zspages in a work item of its own."""


class BenchEffects:
    """The port, and the kernel's side of it."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots

    def be_least(self) -> None:
        """Give way to everything, and be the first to go when memory is short. What is forked later inherits both."""
        write_text(self._roots.proc / "self" / "oom_score_adj", str(ADJ))
        os.nice(NICE)

    def state(self) -> StoreState:
        """The store now."""
        return stores.status(self._roots)

    def swaps(self) -> tuple[swap.SwapEntry, ...]:
        """Everything that is swap."""
        return swap.swaps(self._roots)

    def memory(self) -> Memory:
        """MemTotal and MemAvailable."""
        return read_memory(self._roots)

    def page_bytes(self) -> int:
        """The kernel's page size."""
        return swap.page_bytes()

    def page_cluster(self) -> int:
        """vm.page-cluster: 2 to the power of it are read at once, where the store is not read page by page."""
        return read_int(self._roots.proc / "sys" / "vm" / "page-cluster")

    def processors(self) -> list[int]:
        """Those that we may use."""
        return sorted(os.sched_getaffinity(0))

    def now_ns(self) -> int:
        """The monotonic clock."""
        return time.monotonic_ns()

    def start(self, task: Task) -> BenchProcess:
        """A process that holds ``task``."""
        return BenchProcess(task)

    def compact(self, state: StoreState) -> bool:
        """Have the kernel compact a zram; False for a store that cannot be told to."""
        number = zram.device_number(state.device or "") if state.kind == "zram" else None
        if number is None:
            return False
        write_text(zram.attribute(self._roots, number, "compact"), "1")
        return True

    def settled(self) -> Level:
        """The store's fill once two readings in a row are the same, or after two seconds."""
        found = self._level()
        for _ in range(_LOOKS):
            time.sleep(_PAUSE_S)
            last, found = found, self._level()
            if last == found:
                break
        return found

    def _level(self) -> Level:
        state = self.state()
        if state.orig_kib is None or state.used_kib is None:
            raise StoreError("store: this kernel does not tell how much the store holds")
        return Level(state.orig_kib, state.used_kib)
