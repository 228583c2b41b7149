"""Android's wire protocol as bytes and values: golden messages of every command, and whatever else may come."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.control import android
from lmkd.control.android import Level, Refusal, Registration, Request, Statistics

INTEGERS = st.integers(-(2**31), 2**31 - 1)
MESSAGES = st.binary(max_size=300) | st.lists(INTEGERS, max_size=20).map(lambda row: struct.pack(f"!{len(row)}i", *row))
STATISTICS = st.builds(
    Statistics,
    *(INTEGERS, st.text(max_size=300), INTEGERS, INTEGERS, INTEGERS),
    *[st.none() | st.integers(-(2**70), 2**70)] * 10,
)

GOLDEN = [
    ("00000000 00004800 00000000", Request(0, levels=(Level(18432, 0),))),
    (
        "00000000 00004800 00000000 00005a00 00000064 00006c00 000000c8 00007e00 000000fa 00009000 00000384 "
        "0000b400 000003b6",
        Request(0, levels=tuple(map(Level, (18432, 23040, 27648, 32256, 36864, 46080), (0, 100, 200, 250, 900, 950)))),
    ),
    ("00000001 000004d2 00002775 fffffc7c", Request(1, processes=(Registration(1234, 10101, -900),))),
    ("00000001 000004d2 00002775 00000384 00000001", Request(1, processes=(Registration(1234, 10101, 900, 1),))),
    (
        "00000001 000004d2 ffffffff 00000384 00000000 00000001",
        Request(1, processes=(Registration(1234, 2**32 - 1, 900, 0, kernel=False, recent=True),)),
    ),
    ("00000002 000004d2", Request(2, pid=1234)),
    ("00000003", Request(3)),
    ("00000004 fffffc18 000003e8", Request(4, lowest=-1000, highest=1000)),
    ("00000005 00000000", Request(5, event=0)),
    ("00000005 00000001", Request(5, event=1)),
    ("00000007", Request(7)),
    ("00000009", Request(9)),
    ("0000000a", Request(10)),
    (
        "0000000b 00000001 00000002 00000003 00000000 00000004 00000005 00000006 00000001",
        Request(11, processes=(Registration(1, 2, 3, 0), Registration(4, 5, 6, 1))),
    ),
    (
        "0000000b 00000001 00000002 00000003 00000000 00000000",
        Request(11, processes=(Registration(1, 2, 3, 0, kernel=True, recent=True),)),
    ),
]


@pytest.mark.parametrize(("message", "meant"), GOLDEN)
def test_a_message_is_understood(message: str, meant: Request) -> None:
    assert android.decode_request(bytes.fromhex(message)) == meant


@pytest.mark.parametrize("message", [message for message, _ in GOLDEN])
def test_a_message_that_was_cut_is_refused_or_is_a_shorter_one(message: str) -> None:
    whole = bytes.fromhex(message)
    for length in range(len(whole)):
        found = android.decode_request(whole[:length])
        if length % 4 or length < 4:
            assert isinstance(found, Refusal)
        elif isinstance(found, Request):
            assert found.command in (android.TARGET, android.PROCPRIO, android.PROCS_PRIO)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ((), "0 bytes"),
        ((0,), "command 0 with 0 fields"),
        ((0, 1), "command 0 with 1 fields"),
        ((0, *range(14)), "command 0 with 14 fields"),
        ((1, 1, 1), "command 1 with 2 fields"),
        ((1, 1, 1, 1, 1, 1, 1), "command 1 with 6 fields"),
        ((2,), "command 2 with 0 fields"),
        ((2, 1, 1), "command 2 with 2 fields"),
        ((3, 1), "command 3 with 1 fields"),
        ((4, 1), "command 4 with 1 fields"),
        ((5,), "command 5 with 0 fields"),
        ((5, 2), "event 2 is not known"),
        ((5, -1), "event -1 is not known"),
        ((6, 1, 1), "command 6 is not one that clients send"),
        ((7, 1), "command 7 with 1 fields"),
        ((8,), "command 8 is not one that clients send"),
        ((9, 1), "command 9 with 1 fields"),
        ((10, 1), "command 10 with 1 fields"),
        ((11,), "command 11 with 0 fields"),
        ((11, 1, 1, 1), "command 11 with 3 fields"),
        ((11, *range(13)), "command 11 with 13 fields"),
        ((12,), "command 12 is not"),
        ((-1,), "command -1 is not"),
        ((1, *range(16)), "68 bytes"),
    ],
)
def test_what_no_client_sends_is_refused(fields: tuple[int, ...], complaint: str) -> None:
    found = android.decode_request(struct.pack(f"!{len(fields)}i", *fields))
    assert isinstance(found, Refusal)
    assert complaint in found.reason


@given(MESSAGES)
def test_no_bytes_raise_anything(message: bytes) -> None:
    found = android.decode_request(message)
    if isinstance(found, Refusal):
        assert 0 < len(found.reason) < 200
    else:
        assert len(found.levels) <= android.TARGETS_MAX
        assert len(found.processes) <= android.BATCH_MAX
        for process in found.processes:
            android.fault_of(process)


@pytest.mark.parametrize(
    ("process", "fault"),
    [
        (Registration(1, 0, -1000), ""),
        (Registration(1, 0, 1000, android.SERVICE), ""),
        (Registration(1, 0, -1001), "adj -1001 of process 1"),
        (Registration(1, 0, 1001), "adj 1001 of process 1"),
        (Registration(1, 0, 0, 2), "type 2 of process 1"),
        (Registration(1, 0, 0, -1), "type -1 of process 1"),
        (Registration(0, 0, 0), "process 0"),
        (Registration(-5, 0, 0), "process -5"),
    ],
)
def test_ranges_are_androids(process: Registration, fault: str) -> None:
    assert android.fault_of(process) == fault


def test_replies_as_bytes() -> None:
    assert android.encode_reply(android.GETKILLCNT, 7) == bytes.fromhex("00000004 00000007")
    assert android.encode_reply(android.UPDATE_PROPS, android.DONE) == bytes.fromhex("00000007 00000000")
    assert android.encode_reply(android.UPDATE_PROPS, android.FAILED) == bytes.fromhex("00000007 ffffffff")
    assert android.encode_reply(android.BOOT_COMPLETED, android.DONE_BEFORE) == bytes.fromhex("0000000a 00000001")


def test_a_kill_as_bytes() -> None:
    short, long = "00000006 000004d2 00002775", "00000006 000004d2 00002775 00003039"
    assert android.encode_kill(1234, 10101, 12345, with_rss=False) == bytes.fromhex(short)
    assert android.encode_kill(1234, 10101, 12345, with_rss=True) == bytes.fromhex(long)
    assert android.encode_kill(1234, -1, None, with_rss=True) == bytes.fromhex("00000006 000004d2 ffffffff ffffffff")


def test_statistics_as_bytes() -> None:
    seen = Statistics(
        uid=10101, name="app", adj=900, lowest_adj=200, cause=8, faults=1, major_faults=2, resident_bytes=3 << 32,
        cache_bytes=4, swapped_bytes=5, started_ns=6, free_kib=7, swap_free_kib=8, thrashing_pct=9,
        thrashing_max_pct=10,
    )  # fmt: skip
    assert android.encode_statistics(seen) == bytes.fromhex(
        "00000008"
        "0000000000000001 0000000000000002 0000000300000000 0000000000000004 0000000000000005 0000000000000006"
        "00002775 00000384 000000c8 00000007 00000008 00000008 00000009 0000000a"
        "0003 617070 00"
    )


def test_what_is_not_known_is_minus_one() -> None:
    message = android.encode_statistics(Statistics(uid=-1, name="", adj=0, lowest_adj=0, cause=-1))
    assert struct.unpack("!i6q8iHB", message) == (8, *[-1] * 6, -1, 0, 0, -1, -1, -1, -1, -1, 0, 0)


@given(STATISTICS)
def test_statistics_are_within_androids_packet_and_the_name_is_one_that_java_reads(seen: Statistics) -> None:
    message = android.encode_statistics(seen)
    assert len(message) <= 222
    (length,) = struct.unpack_from("!H", message, 84)
    name = message[86:]
    assert len(name) == length + 1 <= 128
    assert name.index(0) == length
    assert all(byte < 128 for byte in name)
