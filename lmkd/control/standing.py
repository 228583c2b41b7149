"""The talker's own standing among processes: who may end it, its memory, and how soon it runs.

While nobody relies on being told it is like any program. While somebody does, it is not to be ended; what it touches
stays in memory (measured: up to a hundred of its pages came back from the store while a level was told, 20 to 90 ms);
and it waits at real-time priority, so that a level reaches the first of them before anybody else runs, those told
included. The rest of them it tells behind what is in front while memory is short (helper/front.py), and all that
clients ask for it sees to as any program: that takes nothing from the foreground, nor more than its share from others.
"""

from __future__ import annotations

import os

from lmkd.kernel.memlock import forget_clean_pages, lock_memory
from lmkd.kernel.pinned import read_once
from lmkd.kernel.syscalls import Libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Scheduler = Callable[[int, int, os.sched_param], None]
ADJ_ALONE = b"900"
PRIORITY = 1
"""The lowest of the real-time ones: below the guard's, and all of the kernel's."""


class Standing:
    """``set`` says whether anybody relies on it; ``wait`` and ``work`` go around the poll."""

    def __init__(
        self,
        proc: str,
        page_kib: int,
        libc: Libc | None = None,
        schedule: Scheduler = os.sched_setscheduler,
        tells_at: int = 0,
    ) -> None:
        """``tells_at`` is the nice value at which the rest are told."""
        self._proc = proc
        self._page_bytes = page_kib * 1024
        self._path = f"{proc}/self/oom_score_adj"
        self._helpers = (read_once(self._path) or b"").strip()
        self._libc = libc or Libc()
        self._set_scheduler = schedule
        self._relied: bool | None = None
        self._tells_at = tells_at
        self._nice = 0
        self._ahead = False
        self._may = True

    def set(self, relied: bool) -> None:
        """Somebody relies on us, or nobody does."""
        if relied is self._relied:
            return
        self._relied = relied
        self._adjust(self._helpers if relied else ADJ_ALONE)
        try:
            if relied:
                forget_clean_pages(self._libc, self._proc, self._page_bytes)  # what the start needed
                lock_memory(self._libc)
            else:
                self._libc.call("munlockall")
        except OSError:
            return  # not permitted: then it comes back from the store

    def wait(self) -> None:
        """From here on, what wakes us comes before everybody else."""
        if self._relied and self._may:
            self._schedule(os.SCHED_RR, PRIORITY)

    def tell(self) -> None:
        """From here on others may run, but those that are told wait for us."""
        self._fall_back(self._tells_at)

    def work(self) -> None:
        """From here on we are like everybody else."""
        self._fall_back(0)

    def _fall_back(self, nice: int) -> None:
        self._share(nice)
        if self._ahead:
            self._schedule(os.SCHED_OTHER, 0)

    def _share(self, nice: int) -> None:
        if nice == self._nice:
            return
        try:
            os.setpriority(os.PRIO_PROCESS, 0, nice)
            self._nice = nice
        except OSError:
            self._tells_at = self._nice  # not permitted

    def _schedule(self, policy: int, priority: int) -> None:
        try:
            self._set_scheduler(0, policy, os.sched_param(priority))
            self._ahead = priority > 0
        except OSError:
            self._may = False

    def _adjust(self, adj: bytes) -> None:
        if not self._helpers:
            return
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, adj)
            finally:
                os.close(descriptor)
        except OSError:
            return  # lowering it again takes CAP_SYS_RESOURCE
