"""process_madvise(2), Linux 5.10: advice about another process's memory. Needs CAP_SYS_NICE and ptrace read access."""

from __future__ import annotations

import struct

from lmkd.kernel.syscalls import Libc, number_of

COLD, PAGEOUT = 20, 21
"""include/uapi/asm-generic/mman-common.h. COLD: reclaim these first; PAGEOUT: reclaim them now (mm/madvise.c)."""
_IOVEC = struct.Struct("@NN")


class Adviser:
    """Gives advice about the process behind a pidfd."""

    def __init__(self, libc: Libc) -> None:
        self._libc = libc
        self._number = number_of("process_madvise")

    def advise(self, pidfd: int, start: int, size: int, advice: int) -> int:
        """Bytes that were advised, fewer than ``size`` when a part of the range is gone by now.

        OSError: ESRCH it is gone, EPERM not allowed, EINVAL not known here, ENOMEM nothing is mapped there.
        """
        return self._libc.syscall(self._number, pidfd, _IOVEC.pack(start, size), 1, advice, 0)


def anonymous_ranges(maps: bytes, least: int) -> list[tuple[int, int]]:
    """(start, bytes) of the private writable mappings without a file, of ``least`` bytes and more, largest first.

    ``maps`` are bytes of /proc/PID/maps. The heap counts, the stack does not: it is in use whenever the process is.
    """
    found: list[tuple[int, int]] = []
    for line in maps.split(b"\n")[:-1]:  # what follows the last newline was cut off, perhaps in its name
        fields = line.split()
        if len(fields) >= 5 and fields[1] == b"rw-p" and fields[4] == b"0" and fields[-1] != b"[stack]":
            first, _, end = fields[0].partition(b"-")
            try:
                start, size = int(first, 16), int(end, 16) - int(first, 16)
            except ValueError:
                continue
            if size >= least:
                found.append((start, size))
    found.sort(key=lambda one: -one[1])
    return found
