"""The control protocol as bytes and values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.control import protocol
from lmkd.control.protocol import Request
from lmkd.control.schema import OPS, Op
from lmkd.errors import ControlError

JSON_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON_VALUES = st.recursive(
    JSON_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)
IDS = st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=64)
TEXTS = st.text("abc äß", max_size=8)
OF_KIND: dict[str, Any] = {"bool": st.booleans(), "priority": st.integers(-1000, 1000)} | {
    "names": st.lists(st.sampled_from(("kill", "*")), max_size=3)
}
KNOWN_FIELDS = ("v", "op", "since", "follow", "ok", "error", "id", "pid", "priority", "names", "events", "kib", "name")
ROWS = st.lists(st.dictionaries(st.text(), st.integers() | st.text()), max_size=200)


@pytest.mark.parametrize(
    ("message", "meant"),
    [
        (b'{"v":1,"op":"status"}', Request("status", {})),
        (b' {"op" : "candidates", "v": 1, "id": "x"}\n', Request("candidates", {}, "x")),
        (b'{"v":1,"op":"events"}', Request("events", {"since": 0, "follow": False, "names": ("*",)})),
        (
            b'{"v":1,"op":"events","since":7,"follow":true,"names":["kill"],"id":-3}',
            Request("events", {"since": 7, "follow": True, "names": ("kill",)}, -3),
        ),
        (b'{"v":1,"op":"set","pid":9,"priority":"cached"}', Request("set", {"pid": 9, "priority": 900})),
        (b'{"v":1,"op":"set","pid":9,"priority":-17}', Request("set", {"pid": 9, "priority": -17})),
    ],
)
def test_a_request_is_understood(message: bytes, meant: Request) -> None:
    assert protocol.decode_request(message) == meant


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"", "not JSON"),
        (b"status", "not JSON"),
        (b"\xff\xfe{", "not JSON"),
        (b'{"v":1,"op":"status"', "not JSON"),
        (b'{"v":1,"op":"status"}{}', "not JSON"),
        (b'{"v":1,"op":"events","since":NaN}', "NaN"),
        (b'{"v":1,"v":1,"op":"status"}', "twice"),
        (b"[" * 4000, "not JSON"),
        (b'{"v":1,"op":' + b"[" * 900 + b"]" * 900 + b"}", "op"),
        (b"[1]", "not a JSON object"),
        (b'"status"', "not a JSON object"),
        (b"{}", "version null"),
        (b'{"op":"status"}', "version null"),
        (b'{"v":2,"op":"status"}', "version 2: this lmkd speaks version 1"),
        (b'{"v":true,"op":"status"}', "version true"),
        (b'{"v":1.0,"op":"status"}', "version 1.0"),
        (b'{"v":"1","op":"status"}', 'version "1"'),
        (b'{"v":1}', "unknown op null: status, candidates, policy, tmpfs, metrics, events,"),
        (b'{"v":1,"op":"drink"}', 'unknown op "drink"'),
        (b'{"v":1,"op":"kill"}', "a request for kill needs the field pid"),
        (b'{"v":1,"op":"kill","pid":0}', "pid is 0: a number from 1 to"),
        (b'{"v":1,"op":"set","pid":9,"priority":1001}', "priority is 1001"),
        (b'{"v":1,"op":"set","pid":9,"priority":"best"}', 'priority is "best": protected, foreground,'),
        (b'{"v":1,"op":"set","pid":9,"priority":true}', "priority is true"),
        (b'{"v":1,"op":"register","name":"' + b"x" * 33 + b'"}', "text of at most 32 bytes is meant"),
        (b'{"v":1,"op":"register","name":"a\\nb"}', "text of at most"),
        (b'{"v":1,"op":"register","trim":null}', "trim is null"),
        (b'{"v":1,"op":"subscribe","events":"kill"}', "events is"),
        (b'{"v":1,"op":"subscribe","events":[1]}', "events is a list"),
        (b'{"v":1,"op":"status","id":1.5}', "id is 1.5"),
        (b'{"v":1,"op":"status","id":"' + b"x" * 65 + b'"}', "id is"),
        (b'{"v":1,"op":"status","id":true}', "id is true"),
        (b'{"v":1,"op":["status"]}', "unknown op a list"),
        (b'{"v":1,"op":"status","since":1}', 'unknown field "since" in a request for status'),
        (b'{"v":1,"op":"events","pid":1}', 'unknown field "pid"'),
        (b'{"v":1,"op":"events","since":-1}', "since is -1"),
        (b'{"v":1,"op":"events","since":true}', "since is true"),
        (b'{"v":1,"op":"events","since":1.5}', "since is 1.5"),
        (b'{"v":1,"op":"events","since":9223372036854775808}', "since is 9223372036854775808"),
        (b'{"v":1,"op":"events","since":"0"}', 'since is "0"'),
        (b'{"v":1,"op":"events","follow":1}', "follow is 1"),
        (b'{"v":1,"op":"events","follow":null}', "follow is null"),
        (b'{"v":1,"op":"status"}' + b" " * 4096, "at most 4096 bytes"),
    ],
)
def test_a_wrong_request_is_refused_and_the_refusal_says_why(message: bytes, complaint: str) -> None:
    with pytest.raises(ControlError) as refusal:
        protocol.decode_request(message)
    assert complaint in str(refusal.value)


@given(st.binary(max_size=5000))
def test_no_bytes_raise_anything_but_a_control_error(message: bytes) -> None:
    for decode in (protocol.decode_request, protocol.decode_reply):
        try:
            decode(message)
        except ControlError as refusal:
            assert str(refusal)


@given(st.dictionaries(st.sampled_from(KNOWN_FIELDS) | st.text(), JSON_VALUES))
def test_no_object_raises_anything_but_a_control_error(fields: dict[str, Any]) -> None:
    message = json.dumps({"v": 1, "op": "events", **fields}).encode()
    for decode in (protocol.decode_request, protocol.decode_reply):
        try:
            decode(message)
        except ControlError as refusal:
            assert len(protocol.encode_error(str(refusal))) < 4096


@given(st.sampled_from(OPS), IDS, st.data())
def test_a_request_survives_its_way(op: Op, ident: Any, data: st.DataObject) -> None:
    wanted = {}
    for field in op.fields:
        if field.required or data.draw(st.booleans()):
            ints = st.integers(field.low, field.high)
            wanted[field.name] = data.draw({**OF_KIND, "int": ints, "text": TEXTS}[field.kind])
    message = protocol.encode_request(op.name, wanted, ident)
    found = protocol.decode_request(message)
    assert len(message) <= protocol.REQUEST_LIMIT_BYTES
    assert (found.op, found.id, set(found.fields)) == (op.name, ident, {field.name for field in op.fields})
    for name, given_value in wanted.items():
        assert found.fields[name] == (tuple(given_value) if isinstance(given_value, list) else given_value)


def test_the_id_of_a_wrong_request_is_found() -> None:
    assert protocol.id_in(b'{"v":1,"op":"drink","id":"x"}') == "x"
    for message in (b"", b"x", b"[1]", b'{"id":[1]}', b'{"id":true}', b'{"v":1}'):
        assert protocol.id_in(message) is None
    assert protocol.decode_reply(protocol.encode_reply("x", end=True)) == {"end": True, "id": "x"}
    assert json.loads(protocol.encode_error("no", 5))["id"] == 5


@given(st.text(max_size=300).map(lambda line: f"{line}\n" * 400))
def test_metrics_arrive_whole_in_pieces_within_the_limits(text: str) -> None:
    pieces = list(protocol.encode_metrics(text, "x" * 64))
    assert all(len(piece) <= protocol.REPLY_LIMIT_BYTES for piece in pieces)
    assert "".join(protocol.decode_reply(piece)["metrics"] for piece in pieces) == text


@given(ROWS)
def test_candidates_arrive_all_and_in_order_in_chunks_within_the_limits(rows: list[dict[str, Any]]) -> None:
    arrived = []
    for message in protocol.encode_candidates(rows):
        assert len(message) <= protocol.REPLY_LIMIT_BYTES
        chunk = protocol.decode_reply(message)["candidates"]
        assert 1 <= len(chunk) <= protocol.CANDIDATES_IN_REPLY
        arrived += chunk
    assert arrived == rows


def test_candidates_with_long_rules_are_split_by_size_as_well() -> None:
    rows = [{"pid": pid, "rule": "r" * 4096} for pid in range(64)]
    messages = list(protocol.encode_candidates(rows))
    assert len(messages) == 5
    assert [row for message in messages for row in protocol.decode_reply(message)["candidates"]] == rows


def test_a_candidate_that_fits_no_message_is_an_error() -> None:
    with pytest.raises(ControlError, match="65536"):
        list(protocol.encode_candidates([{"name": "x" * 70_000}]))


def test_an_event_that_is_too_large_keeps_what_identifies_it() -> None:
    event = {"event": "futile", "level": "warning", "seq": 3, "holders": ["h" * 70_000]}
    assert protocol.decode_reply(protocol.encode_event(event)) == {
        "event": {"event": "futile", "level": "warning", "seq": 3, "truncated": True}
    }


def test_names_that_are_not_utf8_survive() -> None:
    name = b"bad\xff".decode("utf-8", "surrogateescape")
    assert protocol.decode_reply(protocol.encode_event({"name": name}))["event"] == {"name": name}


def test_what_is_not_json_is_not_sent() -> None:
    with pytest.raises(ControlError, match="cannot be sent"):
        protocol.encode_reply(policy=[{"value": object()}])
    for status in ({"ratio": float("nan")}, {"level": object()}):
        with pytest.raises(ControlError, match="cannot be sent"):
            protocol.encode_reply(status=status)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (protocol.encode_error("unknown op"), "lmkd refused: unknown op"),
        (b'{"v":1,"ok":1}', "not a reply"),
        (b'{"v":1,"ok":false}', "not a reply"),
        (b'{"v":1}', "not a reply"),
        (b'{"v":3,"ok":true}', "version 3"),
    ],
)
def test_a_refusal_or_an_odd_reply_is_an_error(message: bytes, complaint: str) -> None:
    with pytest.raises(ControlError, match=complaint):
        protocol.decode_reply(message)
