"""Page faults as an alarm: the kernel counts them and wakes us after N, with the process that took the last one.

A perf software event (PERF_COUNT_SW_PAGE_FAULTS, one a CPU, all processes; perf_event_open(2)) costs nothing while
nothing happens, needs no performance counter in hardware, and tells of anonymous growth before any reclaim starts,
which PSI cannot: it begins when tasks already wait.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.syscalls import Libc, number_of

PERF_TYPE_SOFTWARE = 1
PERF_TYPE_TRACEPOINT = 2
PERF_COUNT_SW_PAGE_FAULTS = 2
PERF_SAMPLE_TID = 1 << 1
PERF_RECORD_SAMPLE = 9
PERF_FLAG_FD_CLOEXEC = 8
ATTR_SIZE = 64
"""PERF_ATTR_SIZE_VER0: all that is needed here, and every kernel takes it."""
DATA_HEAD_OFFSET = 1024
IOC_ENABLE, IOC_DISABLE = 0x2400, 0x2401
IOC_PERIOD = 0x40082404
_ATTR = struct.Struct("=IIQQQQQIIQ")
_RECORD_HEAD = struct.Struct("=IHH")
_IDS = struct.Struct("=II")
_HEAD = struct.Struct("=QQ")
PID_FOR_ALL = -1


class FaultMeter:
    """The meters of all CPUs as one. ``descriptors`` poll readable after each period."""

    def __init__(self, libc: Libc, cpus: int, period: int) -> None:
        """One meter a CPU that is online, of ``cpus`` that there are.

        OSError: CONFIG_PERF_EVENTS missing or the call's number not known (ENOSYS), not permitted (EACCES,
        CAP_PERFMON).
        """
        self.period = period
        self.descriptors: list[int] = []
        self._rings: list[mmap.mmap] = []
        try:
            for cpu in range(cpus):
                self._add(libc, cpu)
            if not self.descriptors:
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        except OSError:
            self.close()
            raise

    def set_period(self, period: int) -> None:
        """Wake after so many faults from now on (on each CPU).

        The kernel leaves nothing of the running period (kernel/events/core.c, __perf_event_period): the very next
        fault is sampled, once. Change it rarely.
        """
        if period == self.period:
            return
        self.period = period
        packed = struct.pack("=Q", period)
        for descriptor in self.descriptors:
            fcntl.ioctl(descriptor, IOC_PERIOD, packed)

    def drain(self) -> dict[int, int]:
        """Faults since the last drain by process, as sampled: each sample stands for one period."""
        faults: dict[int, int] = {}
        for ring in self._rings:
            for pid in _drain_ring(ring):
                faults[pid] = faults.get(pid, 0) + self.period
        return faults

    def close(self) -> None:
        """Stop counting."""
        for ring in self._rings:
            ring.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self._rings, self.descriptors = [], []

    def _add(self, libc: Libc, cpu: int) -> None:
        attribute = _ATTR.pack(
            PERF_TYPE_SOFTWARE,
            ATTR_SIZE,
            PERF_COUNT_SW_PAGE_FAULTS,
            self.period,
            PERF_SAMPLE_TID,
            0,
            0,
            1,
            0,
            0,
        )
        try:
            descriptor = libc.syscall(
                number_of("perf_event_open"), attribute, PID_FOR_ALL, cpu, -1, PERF_FLAG_FD_CLOEXEC
            )
        except OSError as error:
            if error.errno == errno.ENODEV:
                return  # this CPU is offline
            raise
        except KernelInterfaceError as error:
            raise OSError(errno.ENOSYS, str(error)) from error
        self.descriptors.append(descriptor)
        self._rings.append(mmap.mmap(descriptor, 2 * mmap.PAGESIZE))


def _drain_ring(ring: mmap.mmap) -> list[int]:
    """Process ids of the samples in the ring, which is then empty."""
    head, tail = _HEAD.unpack_from(ring, DATA_HEAD_OFFSET)
    if head == tail:
        return []
    pids = sampled_pids(ring[mmap.PAGESIZE : 2 * mmap.PAGESIZE], tail, head)
    struct.pack_into("=Q", ring, DATA_HEAD_OFFSET + 8, head)
    return pids


def sampled_pids(data: bytes, tail: int, head: int) -> list[int]:
    """Process ids of the samples between the byte counts ``tail`` and ``head`` of a ring's data pages.

    A record may lie across the end of the ring: a notice of lost samples has 24 bytes, not 16, and so shifts all
    that follow it.
    """
    count = head - tail
    if not 0 < count <= len(data):
        return []  # the kernel never writes over what was not read: this is no ring
    start = tail % len(data)
    records = (data + data)[start : start + count]
    pids = []
    at = 0
    while at + _RECORD_HEAD.size <= count:
        kind, _misc, length = _RECORD_HEAD.unpack_from(records, at)
        if length < _RECORD_HEAD.size or at + length > count:
            break
        if kind == PERF_RECORD_SAMPLE and length >= _RECORD_HEAD.size + _IDS.size:
            pids.append(_IDS.unpack_from(records, at + _RECORD_HEAD.size)[0])
        at += length
    return pids
