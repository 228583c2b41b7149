"""A pager over a fake /proc whose processes are real children of the test, with a clock and a kernel of the test's."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmkd.helper.pager import Pager
from lmkd.helper.sample import PRESENT
from lmkd.kernel.syscalls import Libc
from lmkd.model import FLAG_TRIM, Candidate
from lmkd.values import replace
from tests.unit.plans import FakeProc, make_candidate

PAGE = 4096
MIB = 1 << 20
IDLE_MS = 1000.0
PIECE_MS = 3.0


class FakeKernel(Libc):
    """Takes advice: keeps (pid, start, bytes, advice), and lets ``PIECE_MS`` pass for each."""

    def __init__(self) -> None:
        self.now_ms = 100_000.0
        self.advised: list[tuple[int, int, int, int]] = []
        self.refused: dict[int, int] = {}
        """errno by the start of a piece; -1: of all."""
        self.after: Callable[[], object] = bool

    def syscall(self, number: int, *arguments: Any) -> int:
        pidfd, vector, count, advice, flags = arguments
        assert (number, count, flags) == (440, 1, 0)
        start, size = struct.unpack("@NN", vector)
        self.now_ms += PIECE_MS
        refused = self.refused.get(start) or self.refused.get(-1)
        if refused:
            raise OSError(refused, os.strerror(refused))
        self.advised.append((pid_of(pidfd), start, size, advice))
        self.after()
        return int(size)

    def clock(self) -> float:
        return self.now_ms


def pid_of(pidfd: int) -> int:
    """The process behind a pidfd; an error when it is no open pidfd."""
    lines = Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines()
    return int(dict(line.split(":\t", 1) for line in lines)["Pid"])


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


class Bench:
    """The pager, its kernel and its /proc, and what it reported."""

    def __init__(self, base: Path, mount: str = "") -> None:
        self.proc = FakeProc(base)
        self.kernel = FakeKernel()
        self.reports: list[tuple[str, dict[str, Any], str]] = []
        self.pager = Pager(str(self.proc.root), PAGE, self.kernel, self._report, self.kernel.clock, mount)

    def _report(self, event: str, fields: tuple[tuple[str, object], ...], level: str) -> None:
        self.reports.append((event, dict(fields), level))

    def add(self, pid: int, mib: int = 1, compresses: bool = True, start: int = 1000, **changes: Any) -> Candidate:
        """An application whose memory is one mapping of ``mib`` from address 0 on, all resident; its row."""
        folder = self.proc.add(pid, start=start, anon_kib=mib << 10)
        self.map(pid, (0, mib * MIB))
        (folder / "pagemap").write_bytes(struct.pack("=Q", PRESENT) * (mib * MIB // PAGE))
        with (folder / "mem").open("wb") as memory:
            if not compresses:
                memory.write(os.urandom(mib * MIB))
            memory.truncate(mib * MIB)
        row = make_candidate(pid, start_ticks=start, gain_kib=mib << 10, resident_kib=mib << 10, flags=FLAG_TRIM)
        return replace(row, **changes)

    def map(self, pid: int, *ranges: tuple[int, int]) -> None:
        """Let these (start, bytes) be the process's memory."""
        lines = (f"{start:08x}-{start + size:08x} rw-p 00000000 00:00 0\n" for start, size in ranges)
        (self.proc.root / str(pid) / "maps").write_text("".join(lines))

    def trim(self, wanted_kib: int, *rows: Candidate) -> None:
        """Ask for it; all have been idle for long."""
        self.pager.trim(wanted_kib, rows, {row.pid: 0.0 for row in rows}, IDLE_MS)

    def drain(self, turns: int = 1000) -> None:
        """Turn, each time when it is time, until nothing is left."""
        while self.pager.busy:
            turns -= 1
            assert turns > 0, "there is no end of it"
            self.kernel.now_ms += self.pager.timeout_ms() or 0.0
            self.pager.turn()

    def pieces(self, pid: int) -> list[tuple[int, int]]:
        """(start, bytes) of all advice about a process."""
        return [(start, size) for of, start, size, _advice in self.kernel.advised if of == pid]

    def refuse(self, number: int = errno.ESRCH, start: int = -1) -> None:
        """From now on the kernel refuses the piece that starts there, or all."""
        self.kernel.refused[start] = number
