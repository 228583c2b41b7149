"""One session of the native protocol: which order a request becomes, what is replied, who is told before its end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.control.hands import ABOUT_TO_KILL, EVENT, LEVEL, VICTIM, Answer, LevelNotice, VictimNotice, Wish
from lmkd.control.lines import LINE_BYTES_MAX, line_of
from lmkd.control.native import REGISTERED_MAX, NativeSession
from lmkd.values import replace
from tests.unit.control.fakes import ROOT, USER, FakeSource

LOW = LevelNotice("low", "calm", 5.0, 4096, 850.4, "because")


def victim(pid: int, start: int | None = None) -> VictimNotice:
    started = 1000 + pid if start is None else start
    return VictimNotice(1, 5.0, pid, started, f"app{pid}", 900, "SIGTERM", 200, "smallest", 4096, 1000)


class Talk:
    """A session and its hands; ``ask`` gives the first reply, orders are answered by ``answer``."""

    def __init__(self, peer: Any = USER, answer: Answer | None = None) -> None:
        self.source = FakeSource()
        self.session = NativeSession(peer, self.source)
        self.answer = answer or Answer("", 900, 300)

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        replies = self.session.feed(json.dumps({"v": 1, "op": op, **fields}).encode())
        if self.session.waiting:
            assert replies == []
            replies = self.session.answered(len(self.source.orders), self.answer)
        loaded: dict[str, Any] = json.loads(replies[0])
        return loaded

    def told(self, kind: str, payload: object, dropped: int = 0) -> Any:
        message = self.session.notify(kind, payload, dropped)
        return None if message is None else json.loads(message)


@pytest.mark.parametrize(
    ("op", "fields", "order", "key"),
    [
        ("set", {"pid": 10, "priority": "cached"}, ("register", Wish(10, 900)), "set"),
        ("clear", {"pid": 10}, ("remove", 10), "cleared"),
        ("unregister", {"pid": 10}, ("remove", 10), "unregistered"),
        ("unregister", {}, ("remove", USER.pid), "unregistered"),
    ],
)
def test_what_changes_a_priority_is_an_order_and_its_answer_the_reply(
    op: str, fields: dict[str, Any], order: tuple[Any, ...], key: str
) -> None:
    talk = Talk()
    reply = talk.ask(op, id="a", **fields)
    name, peer, *rest = talk.source.orders[0]
    assert (name, peer, *rest) == (order[0], USER, *order[1:])
    pid = fields.get("pid", USER.pid)
    changed = {"pid": pid, "name": f"app{pid}", "priority": 900, "class": "cached", "previous": 300}
    assert reply == {"v": 1, "ok": True, key: changed, "id": "a"}


def test_registering_is_of_oneself_if_nothing_else_is_said() -> None:
    talk = Talk(answer=Answer("", 500, 0))
    reply = talk.ask("register", name="player", priority=500, group="media", trim=False)
    assert talk.source.orders == [("register", USER, Wish(USER.pid, 500, "player", "media", False, None))]
    assert reply["registered"] == {
        "pid": 88, "name": "player", "priority": 500, "class": "service", "previous": 0, "trim": False, "freeze": None,
    }  # fmt: skip
    assert talk.session.keeps and talk.session.interests == {ABOUT_TO_KILL}


def test_trims_kills_and_reloads_are_passed_on() -> None:
    talk = Talk(ROOT)
    assert talk.ask("trim", pid=10, kib=64)["trim"] == {"asked": True}
    assert talk.ask("trim")["trim"] == {"asked": True}
    assert talk.ask("kill", pid=10)["kill"] == {"pid": 10, "name": "app10", "accepted": True}
    assert talk.ask("reload")["reload"] == {"asked": True}
    orders = [("trim", ROOT, 10, 64), ("trim", ROOT, 0, 0), ("kill", ROOT, 10), ("reload", ROOT)]
    assert talk.source.orders == orders


def test_a_refusal_of_the_helper_or_of_the_hands_is_told() -> None:
    talk = Talk(answer=Answer("it is protected"))
    assert talk.ask("kill", pid=10, id=4) == {"v": 1, "ok": False, "error": "it is protected", "id": 4}
    assert talk.ask("kill", pid=10_000)["error"] == "there is no process 10000"
    assert not talk.session.waiting and not talk.session.keeps


def test_an_answer_that_nobody_waits_for_is_nothing() -> None:
    assert Talk().session.answered(7, Answer()) == []


def test_metrics_are_text_in_pieces() -> None:
    talk = Talk()
    talk.source.text = "lmkd_kills_total 3\n" * 6000 + "# EOF\n"
    pieces = [json.loads(one) for one in talk.session.feed(b'{"v":1,"op":"metrics","id":1}')]
    assert "".join(piece["metrics"] for piece in pieces[:-1]) == talk.source.text
    assert (len(pieces), pieces[-1]) == (4, {"v": 1, "ok": True, "end": True, "id": 1})


def test_the_victim_is_told_with_its_grace_on_the_connection_that_registered_it() -> None:
    talk = Talk()
    talk.ask("register", pid=10)
    assert talk.told(ABOUT_TO_KILL, victim(10))["about_to_kill"] == {
        "pid": 10, "name": "app10", "signal": "SIGTERM", "grace_ms": 200, "reason": "smallest",
    }  # fmt: skip
    assert talk.told(ABOUT_TO_KILL, victim(11)) is None
    assert talk.told(ABOUT_TO_KILL, victim(10, start=5)) is None, "another process of the same number"
    talk.ask("unregister", pid=10)
    assert talk.told(ABOUT_TO_KILL, victim(10)) is None


def test_the_end_of_one_that_has_the_peers_process_id_is_nothing_to_it() -> None:
    talk = Talk(replace(USER, start_ticks=0))
    talk.ask("subscribe")
    assert talk.told(ABOUT_TO_KILL, victim(88, USER.start_ticks)) is None


def test_a_launcher_goes_on_registering_when_what_it_registered_has_ended() -> None:
    talk = Talk()
    for pid in range(1, REGISTERED_MAX + 1):
        assert "registered" in talk.ask("register", pid=pid)
    assert "at most 256" in talk.ask("register", pid=1000)["error"]
    assert "registered" in talk.ask("register", pid=5), "one that it has already"
    talk.source.ended = {1, 2, 3}
    assert "registered" in talk.ask("register", pid=1000)
    assert talk.told(ABOUT_TO_KILL, victim(1000, 2000)) and talk.told(ABOUT_TO_KILL, victim(4, 1004))
    assert talk.told(ABOUT_TO_KILL, victim(1, 1001)) is None


def test_a_subscriber_is_told_of_its_own_end() -> None:
    talk = Talk()
    assert talk.session.interests == frozenset()
    talk.ask("subscribe")
    assert talk.told(ABOUT_TO_KILL, victim(88, USER.start_ticks))["about_to_kill"]["pid"] == 88
    assert talk.told(ABOUT_TO_KILL, victim(88, 5)) is None


def test_a_subscription_is_for_what_it_names() -> None:
    talk = Talk()
    talk.ask("subscribe", events=["kill"])
    assert talk.session.interests == {LEVEL, EVENT, ABOUT_TO_KILL}
    level = talk.told(LEVEL, LOW, 3)
    assert (level["level"]["exhaustion_ms"], level["dropped"]) == (850.4, 3)
    assert talk.told(EVENT, {"event": "kill", "seq": 1})["event"]["seq"] == 1
    assert talk.told(EVENT, {"event": "ready", "seq": 2}) is None
    talk.ask("subscribe", levels=False, events=["*"])
    assert talk.session.interests == {EVENT, ABOUT_TO_KILL}
    assert talk.told(EVENT, {"event": "ready", "seq": 3})
    talk.ask("unsubscribe")
    assert talk.session.interests == frozenset() and not talk.session.keeps
    assert VICTIM not in talk.session.interests


def test_lines_are_as_documented() -> None:
    talk = Talk()
    talk.ask("subscribe", text=True, events=["*"])
    line = talk.session.notify(LEVEL, LOW, 0)
    assert line == b"level=low previous=calm headroom_kib=4096 exhaustion_ms=850 dropped=0"
    line = talk.session.notify(ABOUT_TO_KILL, victim(88, USER.start_ticks), 2)
    assert line == b"about_to_kill pid=88 name=app88 signal=SIGTERM grace_ms=200 dropped=2"


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=2000) | st.none() | st.floats() | st.lists(st.text())))
def test_a_line_is_one_line_whatever_is_in_it(fields: dict[str, Any]) -> None:
    line = line_of("event", {**fields, "event": "x"}, 1)
    assert b"\n" not in line and 0 < len(line) <= LINE_BYTES_MAX
