"""Owns a process whose memory goes to the store and back: forked, of least importance, gone when its parent is.

The parent asks over a socket, one word a packet, and gets one JSON object. Only one of them works at a time, but for
passes that begin at a given time.
"""

from __future__ import annotations

import contextlib
import gc
import json
import operator
import os
import resource
import signal
import socket
import time
from array import array

from lmkd.errors import LmkdError, StoreError
from lmkd.kernel.own_memory import OwnMemory
from lmkd.kernel.syscalls import Libc
from lmkd.store import bench_pages
from lmkd.values import as_dict, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from lmkd.kernel.own_memory import Touched

ANSWER_S = 120.0
_PACKET_BYTES = 4096
_PR_SET_PDEATHSIG = 1
"""include/uapi/linux/prctl.h"""
_FOR_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProcessEndedError(StoreError):
    """Memory is short, or somebody wants the measurement to end: it does."""

    def __init__(self) -> None:
        super().__init__(
            "store: a process that was measured has been ended: memory is short, or somebody ended it; "
            "it takes less with --size 2M"
        )


@value
class Task:
    """What a process holds: contents and seed, so many pages, and the processor that it stays on (None: any)."""

    kind: str
    seed: int
    pages: int
    page_bytes: int
    cpu: int | None


class Worker:
    """The process's own side: fills the memory at once, then does what it is asked."""

    def __init__(self, task: Task, memory: OwnMemory) -> None:
        self._task, self._memory = task, memory
        self._away: list[int] = []
        bench_pages.fill(memory.write, self._made())

    def answer(self, word: str, *numbers: int) -> dict[str, Any]:
        """Do one thing and return its figures."""
        asked: dict[str, Callable[..., dict[str, Any]]] = {
            "out": self.out, "back": self.back, "timed": self.timed, "compare": self.compare,
        }  # fmt: skip
        return asked[word](*numbers)

    def out(self, first: int = 0, count: int = 0) -> dict[str, Any]:
        """Send ``count`` pages (0: all) out. ``out`` counts of all pages those that are away afterwards."""
        count = count or self._task.pages
        cpu_ns, begun_ns = time.thread_time_ns(), time.monotonic_ns()
        self._memory.page_out(first, count)
        ns, cpu_ns = time.monotonic_ns() - begun_ns, time.thread_time_ns() - cpu_ns
        self._away = self._memory.away()
        return as_dict(bench_pages.Out(count, len(self._away), ns, cpu_ns))

    def back(self, at_ns: int = 0) -> dict[str, Any]:
        """Touch all that is away, from ``at_ns`` of the monotonic clock on, in random order and in a loop of C."""
        offsets = self._offsets()
        touch = operator.itemgetter(*offsets)
        time.sleep(max(0, at_ns - time.monotonic_ns()) / 1e9)
        major = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
        cpu_ns, begun_ns = time.thread_time_ns(), time.monotonic_ns()
        touch(self._memory.bytes_by_offset)
        ended_ns, cpu_ns = time.monotonic_ns(), time.thread_time_ns() - cpu_ns
        major = resource.getrusage(resource.RUSAGE_SELF).ru_majflt - major
        loop_ns = time.thread_time_ns()
        touch(self._memory.bytes_by_offset)
        loop_ns = time.thread_time_ns() - loop_ns
        return as_dict(bench_pages.Back(len(offsets), begun_ns, ended_ns, cpu_ns, loop_ns, major))

    def timed(self) -> dict[str, Any]:
        """Touch all that is away in random order, each page timed by itself."""
        offsets = self._offsets()
        found = _times(self._memory.bytes_by_offset, offsets)
        return as_dict(bench_pages.spread(found, _times(self._memory.bytes_by_offset, offsets)))

    def compare(self) -> dict[str, Any]:
        """Every byte of every page, whether it was away or not."""
        task = self._task
        corrupt = bench_pages.different(self._memory.read, self._made(), task.page_bytes)
        return {"compared": task.pages, "corrupt": corrupt}

    def _made(self) -> Any:
        return bench_pages.contents(self._task.kind, self._task.seed, self._task.pages, self._task.page_bytes)

    def _offsets(self) -> list[int]:
        found = bench_pages.order(self._away, self._task.seed)
        if not found:
            raise StoreError("store: no page is away")
        return [number * self._task.page_bytes for number in found]


def _times(memory: Touched, offsets: Sequence[int]) -> array[int]:
    """Nanoseconds of each access; the results' memory is there before, so that writing one is no fault."""
    times = array("Q", bytes(8 * len(offsets)))
    now = time.monotonic_ns
    last = now()
    for index, offset in enumerate(offsets):
        memory[offset]
        ended = now()
        times[index] = ended - last
        last = now()
    return times


class BenchProcess:
    """The parent's side. StoreError when the process was ended, answers too late or reports an error."""

    def __init__(self, task: Task) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            _live(task, its, parent)
        its.close()
        self._socket = ours
        ours.settimeout(ANSWER_S)

    def ask(self, word: str, *numbers: int) -> dict[str, Any]:
        """Have it do one thing; its figures."""
        self.tell(word, *numbers)
        return self.hear()

    def tell(self, word: str, *numbers: int) -> None:
        """Ask without waiting for the answer."""
        try:
            self._socket.send(" ".join((word, *map(str, numbers))).encode())
        except OSError as error:
            raise ProcessEndedError from error

    def hear(self) -> dict[str, Any]:
        """The next answer."""
        try:
            data = self._socket.recv(_PACKET_BYTES)
        except TimeoutError as error:
            raise StoreError(f"store: no answer from the process that is measured in {ANSWER_S:.0f} s") from error
        except OSError as error:
            raise ProcessEndedError from error
        if not data:
            raise ProcessEndedError
        found: dict[str, Any] = json.loads(data)
        if "error" in found:
            raise StoreError(str(found["error"]))
        return found

    def end(self) -> None:
        """End it as a killer does, and wait until it is gone; its memory is gone then, too. Once more does nothing."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self.pid = 0
            self._socket.close()


def _live(task: Task, channel: socket.socket, parent: int) -> NoReturn:
    """The whole life of the forked process."""
    try:
        for number in _FOR_THE_PARENT:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        Libc().call("prctl", _PR_SET_PDEATHSIG, int(signal.SIGKILL))
        gc.disable()
        if os.getppid() == parent:
            _serve(task, channel)
    finally:
        os._exit(0)


def _serve(task: Task, channel: socket.socket) -> None:
    if task.cpu is not None:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, (task.cpu,))
    worker = None
    while data := channel.recv(_PACKET_BYTES):
        word, *numbers = data.decode().split()
        try:
            worker = worker or Worker(task, OwnMemory(task.pages, task.page_bytes))
            found = worker.answer(word, *map(int, numbers))
        except LmkdError as error:
            found = {"error": str(error)}
        except Exception as error:  # the parent tells of it: nobody else could
            found = {"error": f"{type(error).__name__}: {error}"}
        channel.send(json.dumps(found).encode())
