"""Records: JSON as json makes it, with the keys that structlog's JSON renderer gives."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from lmkd.guard.exchange import RECORD_BYTES_MAX, Exchange
from lmkd.guard.record import Recorder, encode
from lmkd.log import planner_log
from lmkd.model import Note
from tests.unit.guard.test_exchange import close

FLOATS = st.integers(-(10**12), 10**12).map(lambda thousandths: thousandths / 1000)
TEXT = st.text(max_size=30)
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), FLOATS, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    made = Exchange()
    yield made
    close(made)


def written(exchange: Exchange) -> dict[str, Any]:
    """The last record."""
    record: dict[str, Any] = json.loads(exchange.records_since(0)[0][-1])
    return record


@given(PLAIN)
def test_plain_values_come_back_from_their_text(item: Any) -> None:
    text = encode(item)
    assert json.loads(text) == item
    assert "\n" not in text


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (True, "true"),
        (1, "1"),
        ((1, "a"), '[1,"a"]'),
        (1.23456, "1.235"),
        (1e22, "1e+22"),
        (math.nan, "null"),
        (math.inf, "null"),
        (-math.inf, "null"),
        ('quo"te\\', r'"quo\"te\\"'),
        ("\x00\x1f\x7f\n", r'"\u0000\u001f\u007f\u000a"'),
        ("\ud800", '"?"'),
        ({1: 2}, '{"1":2}'),
        (b"bytes", '"b\'bytes\'"'),
    ],
)
def test_what_json_has_no_form_for_gets_one(item: object, text: str) -> None:
    assert encode(item) == text
    json.loads(text)


@given(st.floats())
def test_every_float_has_a_text(item: float) -> None:
    shown = json.loads(encode(item))
    assert shown is None if not abs(item) < 1e300 else shown == round(item, 3)


def test_a_record_has_the_keys_of_structlogs_json_renderer(exchange: Exchange) -> None:
    """The issue's demand: whoever reads the planner's log reads the guard's as well."""
    fields = {"pid": 7, "name": 'quo"te', "reason": "priority", "grows_kib_s": 1.5, "victims": ["a"], "rule": None}
    Recorder(exchange).write(Note("kill", tuple(fields.items()), "warning"), 12.5)
    ours = written(exchange)
    stream = io.StringIO()
    chain: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt=None, utc=True),
        structlog.processors.JSONRenderer(),
    ]
    logger = structlog.wrap_logger(structlog.PrintLogger(stream), processors=chain)
    logger.warning("kill", **fields, seq=1, t_ms=12.5)
    theirs = json.loads(stream.getvalue())
    assert set(ours) == set(theirs)
    assert {key: type(item) for key, item in ours.items()} == {key: type(item) for key, item in theirs.items()}
    assert abs(ours.pop("timestamp") - theirs.pop("timestamp")) < 60
    assert ours == theirs


def test_a_record_has_the_keys_of_the_planners_log(exchange: Exchange) -> None:
    Recorder(exchange).write(Note("store_up", (("device", "/dev/zram0"),)), 1.0)
    stream = io.StringIO()
    planner_log(stream, as_json=True).info("store_up", device="/dev/zram0")
    assert set(written(exchange)) - {"seq", "t_ms"} == set(json.loads(stream.getvalue()))


def test_records_are_numbered_without_a_gap(exchange: Exchange) -> None:
    recorder = Recorder(exchange)
    for _ in range(3):
        recorder.write(Note("ready", ()), 1.0)
    assert [json.loads(line)["seq"] for line in exchange.records_since(0)[0]] == [1, 2, 3]


@given(st.lists(st.tuples(st.text(min_size=1, max_size=8), st.text(max_size=3000)), max_size=12))
def test_a_record_of_any_size_is_one_line_of_json(fields: list[tuple[str, str]]) -> None:
    exchange = Exchange()
    try:
        Recorder(exchange).write(Note("reload_failed", tuple(fields), "error"), 1.0)
        [line] = exchange.records_since(0)[0]
        record = json.loads(line)
        assert len(line) < RECORD_BYTES_MAX
        assert (record["event"], record["seq"]) == ("reload_failed", 1) or {"event", "seq"} & dict(fields).keys()
    finally:
        close(exchange)


def test_a_record_that_is_too_large_says_so_and_keeps_what_fits(exchange: Exchange) -> None:
    Recorder(exchange).write(Note("reload_failed", (("reason", "x" * 9000), ("pid", 7))), 1.0)
    record = written(exchange)
    assert (record["truncated"], record["pid"], record["reason"]) == (True, 7, "x" * 160)
    Recorder(exchange).write(Note("odd", tuple((f"k{number}", number) for number in range(2000))), 1.0)
    assert set(written(exchange)) == {"event", "level", "timestamp", "seq", "t_ms", "truncated"}


def test_records_and_the_classes_of_the_killed_are_counted(exchange: Exchange) -> None:
    recorder = Recorder(exchange)
    assert json.loads(f"{{{recorder.counts}}}") == {"records": {}, "killed": {}}
    for priority in (900, 1000, 0):
        recorder.write(Note("kill", (("pid", 1), ("priority", priority))), 1.0)
    recorder.write(Note("trim", ()), 1.0)
    counted = json.loads(f"{{{recorder.counts}}}")
    assert counted == {"records": {"kill": 3, "trim": 1}, "killed": {"cached": 2, "foreground": 1}}
