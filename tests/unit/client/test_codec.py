"""The client's codec: what it sends, and that no bytes raise anything but OddAnswer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.client import Registration, calls, codec, results
from lmkd.client.codec import AboutToKill, Event, Level, Reply
from lmkd.client.errors import OddAnswer
from lmkd.client.retry import WAITING_MAX, Retry, Standing, Waiting

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(("ok", "id", "error", "level", "event", "about_to_kill", "dropped", "previous", "pid"))
CRITICAL = {"level": "critical", "previous": "low", "t_ms": 5, "headroom_kib": 9, "exhaustion_ms": None, "reason": "r"}


def message(**fields: Any) -> bytes:
    return json.dumps({"v": 1, **fields}).encode()


@pytest.mark.parametrize(
    ("came", "meant"),
    [
        (message(level=CRITICAL), Level("critical", "low", 9, None, 5, "r")),
        (message(ok=True, level=CRITICAL, dropped=4), Level("critical", "low", 9, None, 5, "r", 4)),
        (message(level={"level": "low", "previous": "calm", "new": 1}), Level("low", "calm")),
        (
            message(about_to_kill={"pid": 3, "name": "a b", "signal": "SIGTERM", "grace_ms": 200}),
            AboutToKill(3, "a b", "SIGTERM", 200),
        ),
        (message(event={"event": "kill", "pid": 3}), Event("kill", {"event": "kill", "pid": 3})),
        (message(id=7, event={"event": "kill"}), Reply(7, {"v": 1, "id": 7, "event": {"event": "kill"}})),
        (message(ok=False, id="x", error="no"), Reply("x", {}, "no")),
        (message(ok=False, error="no"), Reply(None, {}, "no")),
        (message(ok=False, id=[]), Reply(None, {}, "no reason given")),
        (message(weather={"rain": True}), None),
    ],
)
def test_what_comes_is_understood(came: bytes, meant: object) -> None:
    assert codec.decode(came) == meant


@pytest.mark.parametrize(
    ("came", "complaint"),
    [
        (b"level=calm", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "version null"),
        (b'{"v":2}', "version 2: this client speaks version 1"),
        (b'{"v":true}', "version true"),
        (b'{"v":1,"level":{"level":NaN}}', "NaN"),
        (message(level="low"), "level is \"low\": an object"),
        (message(level={"level": "wet", "previous": "low"}), '"wet" is no level: calm, low'),
        (message(level={"level": [], "previous": "low"}), "a list is no level"),
        (message(level={"level": "low"}), "null is no level"),
        (message(level={**CRITICAL, "headroom_kib": 1.5}), "headroom_kib is 1.5"),
        (message(level={**CRITICAL, "t_ms": True}), "t_ms is true"),
        (message(level=CRITICAL, dropped="many"), "dropped"),
        (message(about_to_kill={"pid": "3", "name": "", "signal": "", "grace_ms": 1}), 'pid is "3"'),
        (message(event={"seq": 3}), "event is null: a text"),
        (b" " * 65537, "more than 65536 bytes"),
    ],
)
def test_what_is_not_the_protocol_is_odd(came: bytes, complaint: str) -> None:
    with pytest.raises(OddAnswer) as odd:
        codec.decode(came)
    assert complaint in str(odd.value)


@given(st.binary(max_size=3000) | st.dictionaries(KEYS | st.text(), JSON).map(lambda some: message(**{**some, "v": 1})))
def test_no_bytes_raise_anything_but_odd_answer(came: bytes) -> None:
    try:
        codec.decode(came)
    except OddAnswer as odd:
        assert len(str(odd)) < 300


@given(st.dictionaries(st.sampled_from(("registered", "subscribed", "set", "pid", "priority", "level")), JSON))
def test_no_answer_raises_anything_but_odd_answer(fields: dict[str, Any]) -> None:
    for read in (results.registration, results.subscribed, lambda replies: results.change(replies, "set")):
        try:
            read([fields])
        except OddAnswer as odd:
            assert str(odd)


def test_a_request_is_one_object_with_version_and_number() -> None:
    assert json.loads(codec.encode("kill", 4, {"pid": 3})) == {"v": 1, "op": "kill", "id": 4, "pid": 3}


def test_a_request_that_lmkd_would_not_take_is_not_sent() -> None:
    with pytest.raises(ValueError, match="at most 4096 bytes"):
        codec.encode("register", 1, {"name": "x" * 5000})


def test_a_level_knows_how_severe_it_is() -> None:
    assert [Level(name, "calm").severity for name in codec.LEVELS] == [0, 1, 2, 3]


def test_delays_double_up_to_the_most_and_start_anew_after_a_stable_connection() -> None:
    retry = Retry(100, 1000)
    assert [retry.next_ms() for _ in range(6)] == [100, 200, 400, 800, 1000, 1000]
    retry.lasted(4_000)
    assert retry.next_ms() == 1000
    retry.lasted(5_000)
    assert retry.next_ms() == 100


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.floats(0, 1), st.integers(0, 200))
def test_a_delay_is_within_its_bounds(first: int, more: int, spread: float, failures: int) -> None:
    retry = Retry(first, first + more, spread)
    for _ in range(failures):
        retry.next_ms()
    assert first * 0.75 <= retry.next_ms() <= first + more


def test_delays_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="first_ms"):
        Retry(0, 100)


def test_notices_that_wait_are_bounded_and_the_loss_is_told() -> None:
    waiting = Waiting()
    for number in range(WAITING_MAX + 10):
        waiting.put(Event(str(number), {}, dropped=1 if number == 3 else 0))
    assert len(waiting) == WAITING_MAX
    assert waiting.take() == Event("10", {}, dropped=11)
    assert waiting.take() == Event("11", {}, dropped=0)


def test_what_stands_is_the_sum_of_each_and_the_subscription_comes_last() -> None:
    def registration(pid: int | None, priority: int | None, name: str | None = None) -> calls.Call[Registration]:
        return calls.register(pid, name, priority, None, None, None)

    standing = Standing()
    standing.subscribe(True, ("kill",))
    for call in (registration(None, 1, "player"), registration(5, 2), registration(None, 3), registration(6, 4)):
        standing.register(call)
    standing.unregister(6)
    assert [(call.op, call.fields) for call in standing.again()] == [
        ("register", {"name": "player", "priority": 3}),
        ("register", {"pid": 5, "priority": 2}),
        ("subscribe", {"levels": True, "events": ["kill"]}),
    ]
    for made in standing.again():
        standing.refuse(made, "no")
    assert [call.fields.get("pid") for call in standing.again()] == [None, None], "the other process has ended"
    assert standing.refusal == "no"
