"""Owns /proc/sysvipc/shm (ipc/shm.c, sysvipc_shm_proc_show): System V shared memory of this IPC namespace."""

from __future__ import annotations

from lmkd.kernel.pinned import read_whole
from lmkd.values import value

BYTES_MAX = 1 << 20
MARKED = 0o1000
"""SHM_DEST in the mode (include/linux/shm.h): marked for removal, gone when the last process that has it detaches."""
_ID, _MODE, _ATTACHED, _RESIDENT, _SWAPPED = 1, 2, 6, 14, 15


@value
class Segment:
    """One segment: its id (the inode of its mappings), what it takes in KiB, and whether its last user takes it along.

    ``attached`` is the number of mappings, also those of processes in other PID namespaces.
    """

    number: int
    resident_kib: int
    swapped_kib: int
    attached: int
    marked: bool


def parse_sysv_shm(data: bytes) -> tuple[Segment, ...]:
    """Every line that is one; ``rss`` and ``swap`` (bytes) stand there since Linux 2.6.37."""
    found = []
    for line in data.split(b"\n"):
        fields = line.split()
        if len(fields) <= _SWAPPED or not all(field.isdigit() for field in fields[_ID : _SWAPPED + 1]):
            continue
        try:
            marked = bool(int(fields[_MODE], 8) & MARKED)
        except ValueError:
            continue
        resident, swapped = int(fields[_RESIDENT]) // 1024, int(fields[_SWAPPED]) // 1024
        found.append(Segment(int(fields[_ID]), resident, swapped, int(fields[_ATTACHED]), marked))
    return tuple(found)


def read_sysv_shm(proc: str) -> tuple[Segment, ...]:
    """All segments; none where the kernel has no System V IPC."""
    return parse_sysv_shm(read_whole(f"{proc}/sysvipc/shm", BYTES_MAX) or b"")
