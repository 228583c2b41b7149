"""One connection of the native protocol: requests in, replies and notices out; no socket, no clock."""

from __future__ import annotations

from lmkd.control import protocol
from lmkd.control.hands import (
    ABOUT_TO_KILL,
    EVENT,
    LEVEL,
    Answer,
    Hands,
    LevelNotice,
    Peer,
    VictimNotice,
    Wish,
)
from lmkd.control.lines import line_of
from lmkd.control.protocol import Request
from lmkd.control.schema import ALL
from lmkd.errors import ControlError, LmkdError
from lmkd.model import class_of
from lmkd.values import as_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

TROUBLE = (LmkdError, OSError, ValueError, KeyError, IndexError, TypeError, UnicodeError)
"""What an absent or odd record can cause; the peer is told."""
REGISTERED_MAX = 256
_SAID: list[Any] = [None, False, b""]
"""The last notice, as text or not, and its message: a hundred subscribers cost a hundred sends, and one encoding."""


class NativeSession:
    """See ``lmkd.control.hands.Session``."""

    def __init__(self, peer: Peer, hands: Hands) -> None:
        self._peer = peer
        self._hands = hands
        self._order = 0
        self._request: Request | None = None
        self._name = ""
        self._levels = False
        self._text = False
        self._events: frozenset[str] = frozenset()
        self._following: Request | None = None
        self._next = 0
        self._registered: dict[int, int] = {}
        self.processes = {peer.pid}
        """See ``Session.processes``."""
        self._now: dict[str, Callable[[Request], Iterable[bytes]]] = {
            "status": lambda request: [protocol.encode_reply(request.id, status=dict(hands.status()))],
            "policy": lambda request: [protocol.encode_reply(request.id, policy=list(hands.policy()))],
            "metrics": self._metrics,
            "events": self._answer_events,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
        }
        self._later: dict[str, Callable[[dict[str, Any]], int]] = {
            "candidates": lambda fields: hands.refresh(),
            "tmpfs": lambda fields: hands.refresh(),
            "register": self._register,
            "unregister": lambda fields: hands.remove(peer, self._target(fields)),
            "set": lambda fields: hands.register(peer, Wish(self._target(fields), priority=fields["priority"])),
            "clear": lambda fields: hands.remove(peer, self._target(fields)),
            "trim": lambda fields: hands.trim(peer, fields["pid"] or 0, fields["kib"]),
            "kill": lambda fields: hands.kill(peer, self._target(fields)),
            "reload": lambda fields: hands.reload(peer),
        }

    @property
    def interests(self) -> frozenset[str]:
        """See ``Session.interests``."""
        wanted = {LEVEL} if self._levels else set()
        wanted |= {EVENT} if self._events or self._following is not None else set()
        wanted |= {ABOUT_TO_KILL} if wanted or self._registered else set()
        return frozenset(wanted)

    @property
    def waiting(self) -> bool:
        """See ``Session.waiting``."""
        return self._request is not None

    @property
    def keeps(self) -> bool:
        """See ``Session.keeps``."""
        return bool(self._levels or self._events or self._following or self._registered)

    def feed(self, message: bytes | None) -> list[bytes]:
        """See ``Session.feed``."""
        ended = self._end_following()
        try:
            if message is None:
                raise ControlError(f"a request has at most {protocol.REQUEST_LIMIT_BYTES} bytes")
            request = protocol.decode_request(message)
        except ControlError as error:
            return [*ended, protocol.encode_error(str(error), protocol.id_in(message or b""))]
        try:
            if request.op in self._later:
                self._order = self._later[request.op](dict(request.fields))
                self._request = request
                return ended
            return [*ended, *self._now[request.op](request)]
        except TROUBLE as error:
            return [*ended, _error(error, request)]

    def answered(self, number: int, answer: Answer) -> list[bytes]:
        """See ``Session.answered``."""
        request, self._request = self._request, None
        if request is None or number != self._order:
            return []
        try:
            if answer.error:
                raise ControlError(answer.error)
            return list(self._replies(request, answer))
        except TROUBLE as error:
            return [_error(error, request)]

    def notify(self, kind: str, payload: object, dropped: int) -> bytes | None:
        """See ``Session.notify``."""
        if isinstance(payload, LevelNotice):
            return self._as_others(payload, dropped) or self._notice("level", as_dict(payload), dropped, payload)
        if isinstance(payload, VictimNotice):
            if not self._is_mine(payload):
                return None
            fields = {name: getattr(payload, name) for name in ("pid", "name", "signal", "grace_ms", "reason")}
            return self._notice("about_to_kill", fields, dropped)
        return self._event(payload, dropped) if isinstance(payload, dict) else None

    def closed(self) -> None:
        """What was registered stays so: it ends with its process."""

    # Requests that are answered at once.

    def _metrics(self, request: Request) -> Iterable[bytes]:
        text = self._hands.metrics()
        return [*protocol.encode_metrics(text, request.id), protocol.encode_end(request.id)]

    def _answer_events(self, request: Request) -> Iterable[bytes]:
        names = frozenset(request.fields["names"])
        events, following = self._hands.events_since(request.fields["since"])
        replies = [protocol.encode_event(event, request.id) for event in events if _is_among(event, names)]
        if not request.fields["follow"]:
            return [*replies, protocol.encode_end(request.id)]
        self._following, self._next = request, following
        return replies

    def _end_following(self) -> list[bytes]:
        request, self._following = self._following, None
        return [protocol.encode_end(request.id)] if request is not None else []

    def _subscribe(self, request: Request) -> Iterable[bytes]:
        level = self._hands.level().level
        fields = request.fields
        self._levels, self._text, self._events = fields["levels"], fields["text"], frozenset(fields["events"])
        return [protocol.encode_reply(request.id, subscribed={"level": level})]

    def _unsubscribe(self, request: Request) -> Iterable[bytes]:
        self._levels, self._text, self._events = False, False, frozenset()
        return [protocol.encode_reply(request.id, unsubscribed=True)]

    # Requests that are orders.

    def _target(self, fields: dict[str, Any]) -> int:
        """The process that is meant; its name is asked for now, when it is there for sure."""
        pid: int = fields["pid"] or self._peer.pid
        self._name = self._hands.process(pid).name
        return pid

    def _register(self, fields: dict[str, Any]) -> int:
        pid = self._target(fields)
        if len(self._registered) >= REGISTERED_MAX and pid not in self._registered:
            self._registered = {known: start for known, start in self._registered.items() if self._lives(known, start)}
            self.processes = {self._peer.pid, *self._registered}
        if len(self._registered) >= REGISTERED_MAX and pid not in self._registered:
            raise ControlError(f"one connection registers at most {REGISTERED_MAX} processes")
        wish = Wish(pid, fields["priority"], fields["name"], fields["group"], fields["trim"], fields["freeze"])
        return self._hands.register(self._peer, wish)

    def _lives(self, pid: int, start: int) -> bool:
        try:
            return self._hands.process(pid).start_ticks == start
        except ControlError:
            return False

    def _replies(self, request: Request, answer: Answer) -> Iterable[bytes]:
        op, ident = request.op, request.id
        if op == "candidates":
            return [*protocol.encode_candidates(self._hands.candidates(), ident), protocol.encode_end(ident)]
        if op == "tmpfs":
            return [protocol.encode_reply(ident, tmpfs=dict(self._hands.tmpfs()))]
        if op in ("trim", "reload"):
            return [protocol.encode_reply(ident, **{op: {"asked": True}})]
        pid = request.fields["pid"] or self._peer.pid
        if op == "kill":
            return [protocol.encode_reply(ident, kill={"pid": pid, "name": self._name, "accepted": True})]
        return [protocol.encode_reply(ident, **self._changed(op, pid, answer))]

    def _changed(self, op: str, pid: int, answer: Answer) -> dict[str, Any]:
        fields: dict[str, Any] = {"pid": pid, "name": self._name, "priority": answer.priority}
        fields |= {"class": class_of(answer.priority), "previous": answer.previous}
        known = self._hands.registered(pid)
        if op == "register":
            if known is not None:
                self._registered[pid] = known.start_ticks
                self.processes.add(pid)
                fields |= {"name": known.name or self._name, "trim": known.trim, "freeze": known.freeze}
            return {"registered": fields}
        if op in ("clear", "unregister"):
            self._registered.pop(pid, None)
            self.processes = {self._peer.pid, *self._registered}
        return {{"set": "set", "clear": "cleared"}.get(op, "unregistered"): fields}

    # Notices.

    def _is_mine(self, victim: VictimNotice) -> bool:
        who = (victim.pid, victim.start_ticks)
        return who == (self._peer.pid, self._peer.start_ticks) or self._registered.get(victim.pid) == victim.start_ticks

    def _event(self, event: dict[str, Any], dropped: int) -> bytes | None:
        if self._following is not None:
            sequence = event.get("seq", 0)
            if sequence < self._next:
                return None
            if _is_among(event, frozenset(self._following.fields["names"])):
                return protocol.encode_event(event, self._following.id, dropped)
            return None
        if not _is_among(event, self._events):
            return None
        return self._as_others(event, dropped) or self._notice("event", event, dropped, event)

    def _as_others(self, payload: object, dropped: int) -> bytes:
        """What another subscriber was just told of the same, in the same words; empty where there is none."""
        return _SAID[2] if not dropped and _SAID[0] is payload and _SAID[1] is self._text else b""

    def _notice(self, kind: str, fields: dict[str, Any], dropped: int, payload: object = None) -> bytes | None:
        lost = {"dropped": dropped} if dropped else {}
        if self._text:
            message = line_of(kind, fields, dropped)
        elif kind == "event":
            message = protocol.encode_event(fields, None, dropped)
        else:
            message = protocol.encode_reply(None, **{kind: fields}, **lost)
        if payload is not None and not dropped:
            _SAID[:] = [payload, self._text, message]
        return message


def _is_among(event: dict[str, Any], names: frozenset[str]) -> bool:
    return ALL in names or event.get("event") in names


def _error(error: Exception, request: Request) -> bytes:
    return protocol.encode_error(str(error) or type(error).__name__, request.id)
