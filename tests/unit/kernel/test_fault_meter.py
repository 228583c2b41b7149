"""The ring of page-fault samples, crafted and real."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.kernel.fault_meter import FaultMeter, sampled_pids
from lmkd.kernel.syscalls import Libc

RING = 256
SAMPLE, LOST, THROTTLE = 9, 2, 5


def sample(pid: int) -> bytes:
    return struct.pack("=IHHII", SAMPLE, 2, 16, pid, pid + 1)


def lost(count: int) -> bytes:
    return struct.pack("=IHHQQ", LOST, 0, 24, 1, count)


def throttle() -> bytes:
    return struct.pack("=IHHQQQ", THROTTLE, 0, 32, 1, 2, 3)


def ring_of(records: bytes, tail: int, size: int = RING) -> bytes:
    """A ring of ``size`` bytes in which the records begin at byte count ``tail``."""
    ring = bytearray(b"\xee" * size)
    for number, byte in enumerate(records):
        ring[(tail + number) % size] = byte
    return bytes(ring)


def test_an_empty_ring_has_no_samples() -> None:
    assert sampled_pids(ring_of(b"", 0), 0, 0) == []
    assert sampled_pids(ring_of(b"", 48), 48, 48) == []


def test_samples_are_told_from_notices_of_the_kernel() -> None:
    records = sample(7) + lost(5) + sample(8) + throttle() + sample(7)
    assert sampled_pids(ring_of(records, 0), 0, len(records)) == [7, 8, 7]


@given(
    st.lists(st.one_of(st.integers(0, 2**22), st.just(None)), max_size=10),
    st.integers(0, 2**40).map(lambda units: units * 8),
)
def test_records_are_whole_wherever_the_ring_ends(pids: list[int | None], tail: int) -> None:
    records = b"".join(lost(1) if pid is None else sample(pid) for pid in pids)
    expected = [pid for pid in pids if pid is not None]
    assert sampled_pids(ring_of(records, tail), tail, tail + len(records)) == expected


def test_a_full_ring_is_read_whole() -> None:
    records = b"".join(sample(pid) for pid in range(16))
    assert sampled_pids(ring_of(records, 40), 40, 40 + RING) == list(range(16))


@given(st.binary(min_size=64, max_size=64), st.integers(0, 1000), st.integers(0, 1000))
def test_no_ring_makes_reading_fail_or_hang(data: bytes, tail: int, head: int) -> None:
    assert len(sampled_pids(data, tail, head)) <= 8


def test_a_head_that_cannot_be_is_no_samples() -> None:
    data = ring_of(sample(7), 0)
    assert sampled_pids(data, 16, 0) == []
    assert sampled_pids(data, 0, RING + 16) == []


class FailingLibc(Libc):
    """The kernel's refusal of every call."""

    def __init__(self, number: int) -> None:
        self.number = number

    def syscall(self, number: int, *arguments: Any) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSYS, errno.ENODEV])
def test_a_refusal_is_an_error_of_the_system(number: int) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        FaultMeter(FailingLibc(number), 2, 64)
    assert caught.value.errno == number


def test_the_kernel_counts_the_faults_of_this_process() -> None:
    try:
        meter = FaultMeter(Libc(), os.sysconf("SC_NPROCESSORS_CONF"), 16)
    except OSError as error:
        pytest.skip(f"no page-fault counter here: {error.strerror}")
    try:
        meter.drain()
        with mmap.mmap(-1, 256 * mmap.PAGESIZE) as pages:
            for page in range(256):
                pages[page * mmap.PAGESIZE] = 1
        assert meter.drain().get(os.getpid(), 0) >= 128
        meter.set_period(1 << 20)
        assert meter.period == 1 << 20
    finally:
        meter.close()
    assert (meter.descriptors, meter.drain()) == ([], {})
