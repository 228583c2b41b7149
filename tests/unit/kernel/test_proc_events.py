"""Datagrams of the proc connector, whole and broken."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.kernel.proc_events import ProcEvent, open_proc_events, parse_answer, parse_events, subscription

FORK, EXEC, ID, SID, COMM, EXIT = 0x1, 0x2, 0x4, 0x80, 0x200, 0x80000000


def message(what: int, body: bytes) -> bytes:
    """nlmsghdr, cn_msg, proc_event: what, cpu, timestamp, then what differs."""
    event = struct.pack("=IIQ", what, 0, 12345) + body.ljust(24, b"\0")
    connector = struct.pack("=IIIIHH", 1, 1, 7, 0, len(event), 0) + event
    return struct.pack("=IHHII", 16 + len(connector), 3, 0, 0, 0) + connector


def two(pid: int, group: int) -> bytes:
    return struct.pack("=ii", pid, group)


@pytest.mark.parametrize(
    ("what", "body", "event"),
    [
        (FORK, two(1, 1) + two(70, 70), ProcEvent("fork", 70)),
        (EXEC, two(70, 70), ProcEvent("exec", 70)),
        (ID, two(70, 70) + two(5, 5), ProcEvent("id", 70)),
        (COMM, two(70, 70) + b"new name", ProcEvent("comm", 70)),
        (EXIT, two(70, 70) + two(9, 17), ProcEvent("exit", 70)),
    ],
)
def test_what_happens_to_a_process_is_an_event(what: int, body: bytes, event: ProcEvent) -> None:
    assert parse_events(message(what, body)) == [event]


@pytest.mark.parametrize(
    "data",
    [
        message(FORK, two(1, 1) + two(71, 70)),
        message(EXIT, two(71, 70)),
        message(SID, two(70, 70)),
        message(0, struct.pack("=I", 0)),
        b"",
    ],
)
def test_threads_and_what_does_not_matter_are_passed_over(data: bytes) -> None:
    assert parse_events(data) == []


def test_several_events_in_one_datagram_are_all_taken() -> None:
    data = message(FORK, two(1, 1) + two(70, 70)) + message(SID, two(1, 1)) + message(EXIT, two(70, 70))
    assert parse_events(data) == [ProcEvent("fork", 70), ProcEvent("exit", 70)]


def test_a_truncated_datagram_gives_its_whole_events() -> None:
    first = message(EXEC, two(70, 70))
    data = first + message(EXIT, two(70, 70))
    for length in range(len(data)):
        assert parse_events(data[:length]) == ([ProcEvent("exec", 70)] if length >= len(first) else [])


@given(st.binary())
def test_no_bytes_make_parsing_fail(data: bytes) -> None:
    parse_events(data)
    parse_answer(data)


@pytest.mark.parametrize("length", [0, 1, 15, 2**32 - 1])
def test_a_length_that_cannot_be_ends_the_datagram(length: int) -> None:
    data = struct.pack("=I", length) + message(EXEC, two(70, 70))[4:]
    assert parse_events(data) == []


@pytest.mark.parametrize("number", [0, errno.EPERM])
def test_the_answer_to_a_subscription_has_its_errno(number: int) -> None:
    assert parse_answer(message(0, struct.pack("=I", number))) == number


def test_an_event_is_no_answer() -> None:
    assert parse_answer(message(EXEC, two(70, 70))) is None
    assert parse_answer(message(0, b"")[:52]) is None


def test_a_subscription_says_its_own_length() -> None:
    data = subscription(4711)
    assert struct.unpack_from("=IHHII", data) == (len(data), 3, 0, 0, 4711)
    assert data[16:] == struct.pack("=IIIIHHI", 1, 1, 0, 0, 4, 0, 1)


def test_the_birth_and_death_of_a_child_are_told() -> None:
    try:
        descriptor = open_proc_events()
    except OSError as error:
        pytest.skip(f"no proc connector here: {error.strerror}")
    try:
        child = subprocess.Popen(["/bin/true"])
        child.wait(10)
        seen: list[ProcEvent] = []
        deadline = time.monotonic() + 10
        while ProcEvent("exit", child.pid) not in seen and time.monotonic() < deadline:
            try:
                seen += parse_events(os.read(descriptor, 65536))
            except BlockingIOError:
                time.sleep(0.01)
        assert {event.what for event in seen if event.pid == child.pid} >= {"fork", "exec", "exit"}
    finally:
        os.close(descriptor)


def test_what_cannot_be_opened_leaves_no_descriptor_behind() -> None:
    before = os.listdir("/proc/self/fd")
    with contextlib.suppress(OSError):
        os.close(open_proc_events())
    assert os.listdir("/proc/self/fd") == before
