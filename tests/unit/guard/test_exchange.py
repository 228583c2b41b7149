"""The memory that guard and helper share: whole records, tables, posts, commands, under any sizes."""

from __future__ import annotations

import json
import marshal
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkd.guard import exchange as exchanges
from lmkd.guard.commands import DRAIN_LOG, REAP, STOP
from lmkd.guard.exchange import NOTICES_BYTES, RECORD_BYTES_MAX, RING_BYTES, STATUS_BYTES, Exchange
from lmkd.held import TmpfsAnswer
from lmkd.policy.table import TABLE_BYTES
from lmkd.values import replace
from tests.unit.plans import make_candidate

LINES = st.lists(st.integers(0, RECORD_BYTES_MAX - 1), max_size=120)


def close(exchange: Exchange) -> None:
    ends = (exchange.reader, exchange.writer, exchange.post_reader, exchange.post_writer)
    for descriptor in (*ends, exchange.wake):
        os.close(descriptor)


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    made = Exchange()
    yield made
    close(made)


def line_of(number: int, length: int) -> bytes:
    return (b"%d:" % number).ljust(length, b"x")[: max(length, len(b"%d:" % number))]


@given(LINES)
@settings(max_examples=30)
def test_records_are_read_whole_and_in_order_under_any_sizes(lengths: list[int]) -> None:
    exchange = Exchange()
    try:
        written = [line_of(number, length) for number, length in enumerate(lengths)]
        for line in written:
            exchange.write_record(line)
        lines, position = exchange.records_since(0)
        assert position == sum(len(line) + 1 for line in written)
        assert lines == (written[-len(lines) :] if lines else [])
        if position <= RING_BYTES:
            assert lines == written
        else:
            assert sum(len(line) + 1 for line in lines) > RING_BYTES - 2 * RECORD_BYTES_MAX
        assert exchange.records_since(position) == ([], position)
    finally:
        close(exchange)


@given(LINES, st.integers(1, 30))
@settings(max_examples=30)
def test_a_reader_that_keeps_up_misses_nothing(lengths: list[int], every: int) -> None:
    exchange = Exchange()
    every = min(every, RING_BYTES // RECORD_BYTES_MAX)
    try:
        seen: list[bytes] = []
        position = 0
        written = [line_of(number, length) for number, length in enumerate(lengths)]
        for number, line in enumerate(written):
            exchange.write_record(line)
            if number % every == 0:
                lines, position = exchange.records_since(position)
                seen += lines
        seen += exchange.records_since(position)[0]
        assert seen == written
    finally:
        close(exchange)


def test_a_position_of_the_future_gives_nothing(exchange: Exchange) -> None:
    exchange.write_record(b"a")
    assert exchange.records_since(10**9) == ([], 2)


def test_lines_that_are_written_over_while_they_are_copied_are_left_out(exchange: Exchange) -> None:
    for number in range(100):
        exchange.write_record(line_of(number, 1000))
    view = exchange._view
    head = int.from_bytes(view[24:32], "little")
    view[32:40] = (head + 5000).to_bytes(8, "little")  # the guard is about to write 5000 bytes
    lines, _ = exchange.records_since(0)
    assert all(len(line) == 1000 for line in lines)
    assert len(lines) == (RING_BYTES - 5000) // 1001


@pytest.mark.parametrize("line", [b"x" * RECORD_BYTES_MAX, b"two\nlines"])
def test_what_is_not_one_line_of_a_records_size_is_refused(exchange: Exchange, line: bytes) -> None:
    with pytest.raises(ValueError, match="one line"):
        exchange.write_record(line)
    assert exchange.records_since(0) == ([], 0)


def test_the_position_of_the_log_outlives_its_writer(exchange: Exchange) -> None:
    assert exchange.log_position == 0
    exchange.log_position = 2**40
    assert exchange.log_position == 2**40


def test_a_table_is_read_as_last_published(exchange: Exchange) -> None:
    assert len(exchange.table()) == 0
    for pid in range(1, 6):
        exchange.publish([make_candidate(pid)], float(pid))
        assert (exchange.table().row(0).pid, exchange.table().measured_ms) == (pid, float(pid))
        assert exchange.table_copy().row(0) == exchange.table().row(0)


def test_a_table_in_use_is_not_written_by_the_next_publication(exchange: Exchange) -> None:
    exchange.publish([make_candidate(1)], 1.0)
    table, copy = exchange.table(), exchange.table_copy()
    exchange.publish([make_candidate(2)], 2.0)
    assert table.row(0).pid == 1
    exchange.publish([make_candidate(3)], 3.0)
    assert copy.row(0).pid == 1


def test_a_publication_that_was_cut_short_is_not_seen(exchange: Exchange) -> None:
    exchange.publish([make_candidate(1)], 1.0)

    def failing() -> Iterator[Any]:
        yield make_candidate(2)
        raise MemoryError

    with pytest.raises(MemoryError):
        exchange.publish(failing(), 2.0)
    assert exchange.table().row(0).pid == 1


def test_commands_arrive_whole_and_in_order(exchange: Exchange) -> None:
    assert exchange.commands() == []
    sent = [(DRAIN_LOG, 0, 0), (REAP, 2**31 - 1, 0), (STOP, 5, 2**64 - 1)]
    for command in sent:
        assert exchange.ask(*command)
    assert exchange.commands() == sent


def test_a_helper_that_is_behind_holds_nobody_up(exchange: Exchange) -> None:
    count = 0
    while exchange.ask(REAP, count):
        count += 1
    seen: list[tuple[int, int, int]] = []
    while commands := exchange.commands():
        seen += commands
    assert [pid for _, pid, _ in seen] == list(range(count))
    assert exchange.ask(STOP)


def test_the_end_of_the_guard_is_no_command(exchange: Exchange) -> None:
    exchange.become_helper()
    assert exchange.commands() == []
    exchange.writer, exchange.post_reader = os.pipe()


def test_posts_arrive_as_they_were_sent(exchange: Exchange) -> None:
    assert exchange.posts() == []
    exchange.post("reap", (("pid", 7), ("outcome", "caf\u00e9 \ud800"), ("holders", ("a", None, 1.5))))
    exchange.post("degraded", (), "warning")
    assert exchange.posts() == [
        ("reap", (("pid", 7), ("outcome", "caf\u00e9 \ud800"), ("holders", ("a", None, 1.5))), "info"),
        ("degraded", (), "warning"),
    ]


def test_more_posts_than_are_read_at_once_all_arrive(exchange: Exchange) -> None:
    for number in range(30):
        exchange.post("hook", (("number", number), ("text", "x" * 1500)))
    seen = []
    while posts := exchange.posts():
        seen += posts
    assert [dict(fields)["number"] for _, fields, _ in seen] == list(range(30))


def test_a_post_that_is_too_large_is_shortened(exchange: Exchange) -> None:
    exchange.post("hook", (("command", "x" * 10_000), ("pid", 7)))
    [(event, fields, _)] = exchange.posts()
    assert (event, dict(fields)["truncated"], len(str(dict(fields)["command"]))) == ("hook", True, 160)


def test_a_full_pipe_drops_posts_and_waits_for_nobody(exchange: Exchange) -> None:
    for _ in range(100):
        exchange.post("hook", (("text", "x" * 3000),))
    assert 0 < len(exchange.posts()) < 100


@given(st.lists(st.integers(0, 200), min_size=1, max_size=6), st.data())
@settings(max_examples=50)
def test_posts_survive_any_division_into_reads(sizes: list[int], data: st.DataObject) -> None:
    exchange = Exchange()
    try:
        source = Exchange()
        for size in sizes:
            source.post("hook", (("text", "x" * size),))
        stream = os.read(source.post_reader, 65536)
        close(source)
        seen = []
        while stream:
            length = data.draw(st.integers(1, len(stream)))
            os.write(exchange.post_writer, stream[:length])
            stream = stream[length:]
            seen += exchange.posts()
        assert [len(str(dict(fields)["text"])) for _, fields, _ in seen] == sizes
    finally:
        close(exchange)


@given(st.binary(min_size=1, max_size=200).filter(lambda junk: exchanges._FRAME.pack(0x4C6D, 0)[:2] not in junk))
@settings(max_examples=50)
def test_junk_on_the_pipe_is_thrown_away_and_never_an_error(junk: bytes) -> None:
    exchange = Exchange()
    try:
        os.write(exchange.post_writer, junk)
        assert exchange.posts() == []
        os.write(exchange.post_writer, b"\0" * 4)
        assert exchange.posts() == []
        exchange.post("hook", ())
        assert exchange.posts() == [("hook", (), "info")]
    finally:
        close(exchange)


@pytest.mark.parametrize("odd", [marshal.dumps(7), marshal.dumps((1, 2)), b"", b"?"])
def test_a_message_that_is_none_does_not_take_the_next_one_with_it(exchange: Exchange, odd: bytes) -> None:
    os.write(exchange.post_writer, exchanges._FRAME.pack(0x4C6D, len(odd)) + odd)
    exchange.post("hook", ())
    assert exchange.posts() == [("hook", (), "info")]


def test_the_status_is_read_as_last_written(exchange: Exchange) -> None:
    assert exchange.read_status() == b""
    for status in (b'{"a":1}', b'{"b":' + b"1" * 5000 + b"}", b"{}"):
        exchange.write_status(status)
        assert exchange.read_status() == status


def test_a_status_that_is_too_large_is_still_json(exchange: Exchange) -> None:
    exchange.write_status(json.dumps({"text": "x" * STATUS_BYTES}).encode())
    assert json.loads(exchange.read_status()) == {"truncated": True}
    exchange.write_status(b"x" * STATUS_BYTES)
    assert len(exchange.read_status()) == STATUS_BYTES


def test_a_status_that_is_being_written_is_not_read(exchange: Exchange) -> None:
    exchange.write_status(b'{"a":1}')
    exchange._view[40:44] = (3).to_bytes(4, "little")
    assert exchange.read_status() == b""
    exchange.write_status(b'{"a":2}')
    assert exchange.read_status() == b'{"a":2}'


def test_the_parts_of_the_memory_do_not_overlap(exchange: Exchange) -> None:
    exchange.write_status(b"s" * STATUS_BYTES)
    for _ in range(2 * RING_BYTES // 1000):
        exchange.write_record(b"r" * 999)
    many = [make_candidate(pid, pid % 1000) for pid in range(1, 4097)]
    exchange.publish(many, 1.0)
    exchange.publish(many, 2.0)
    exchange.set_tmpfs_answer(FULL_ANSWER)
    exchange.log_position = 99
    assert exchange.read_status() == b"s" * STATUS_BYTES
    assert set(exchange.records_since(0)[0]) == {b"r" * 999}
    assert (len(exchange.table()), exchange.tmpfs_answer(), exchange.log_position) == (4096, FULL_ANSWER, 99)
    parts = exchanges._TABLES + 2 * TABLE_BYTES + NOTICES_BYTES + exchanges.SLOTS_BYTES
    assert exchanges.EXCHANGE_BYTES == parts == len(exchange._view)
    assert (len(exchange.notices.view), len(exchange.slots)) == (NOTICES_BYTES, exchanges.SLOTS_BYTES)


GAINS = tuple((pid, 1 << 40, pid) for pid in range(1, exchanges.GAINS_MAX + 1))
FULL_ANSWER = TmpfsAnswer(7.5, 7, GAINS, 9, 6.5, 8, 0.5)


def test_there_is_no_answer_before_the_first_and_while_one_is_written(exchange: Exchange) -> None:
    assert exchange.tmpfs_answer() is None
    exchange.set_tmpfs_answer(FULL_ANSWER)
    assert exchange.tmpfs_answer() == FULL_ANSWER
    exchange.set_tmpfs_answer(TmpfsAnswer(8.0))
    assert exchange.tmpfs_answer() == TmpfsAnswer(8.0)
    turn = exchanges._WORDS.unpack_from(exchange._view, exchanges._ANSWER_TURN)[0]
    exchanges._WORDS.pack_into(exchange._view, exchanges._ANSWER_TURN, turn + 1)
    assert exchange.tmpfs_answer() is None


def test_of_too_many_gains_the_first_are_kept(exchange: Exchange) -> None:
    exchange.set_tmpfs_answer(replace(FULL_ANSWER, gains=(*FULL_ANSWER.gains, (1, 1, 1))))
    assert exchange.tmpfs_answer() == FULL_ANSWER
    assert exchanges._ANSWER + exchanges._ANSWER_HEAD.size + 32 * exchanges._ANSWER_ROW.size <= exchanges._STATUS
