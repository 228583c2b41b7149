"""One connection of a client that speaks Android's lmkd protocol.

As in Android's daemon (system/memory/lmkd/lmkd.cpp):

- Only the privileged are served (root, and the group of the socket), and only they can connect (see the desk). Others
  would get no answer.
- A record belongs to the process that registered it (its registrant). No other may change or remove it while the
  registrant has a connection; when the last one has ended the record stays in force, and whoever comes may claim it.
  PROCPURGE removes the peer's records and the unclaimed ones.
- What is wrong is not answered, and the connection stays usable. A record that is refused does not spoil a batch.
- Each kill is told once, to every subscriber, whoever registered the victim, or nobody.

As lmkd has it:

- TARGET's levels are kept and shown in the status, no more: lmkd derives its thresholds. Android itself goes by them
  only with ro.lmk.use_minfree_levels.
- UPDATE_PROPS reads the configuration anew and is answered when that has worked (0) or failed (-1): then the old one
  stays in force, where Android's daemon would end. What the client sends meanwhile waits.
- adj below 0 is Android's "never"; here only -1000 is, and the others die after everything else. Whether priorities
  are written to oom_score_adj is said by ``mirror_oom_score_adj``, not by the client.
- ``CONNECTIONS_MAX`` are served; Android drops all of them when a fourth one comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmkd.control import android as wire
from lmkd.control.android_kill import statistics_of
from lmkd.control.android_shared import Record, Shared
from lmkd.control.hands import EVENT, VICTIM, Answer, Hands, Peer, VictimNotice, Wish
from lmkd.errors import ControlError

ORDERS_AT_ONCE = 16
_RELOAD_ENDS = {"reload": wire.DONE, "reload_failed": wire.FAILED}


def android_sessions(shared: Shared) -> Callable[[Peer, Hands], AndroidSession]:
    """What makes the sessions of one talker."""
    return lambda peer, hands: AndroidSession(peer, hands, shared)


class AndroidSession:
    """A ``lmkd.control.hands.Session``."""

    def __init__(self, peer: Peer, hands: Hands, shared: Shared) -> None:
        self._peer = peer
        self._hands = hands
        self._shared = shared
        self._served = peer.privileged and shared.connect(peer)
        self._events: set[int] = set()
        self._with_rss = shared.with_rss
        self._orders: dict[int, Callable[[Answer], None]] = {}
        """What follows from each order's answer that is awaited."""
        self._unclaimed: list[int] = []
        """What a purge has still to remove."""
        self._reloading = False
        self._reloaded: int | None = None

    @property
    def interests(self) -> frozenset[str]:
        """See ``Session.interests``."""
        wanted = {VICTIM} if self._events else set()
        if wire.EVENT_STATISTICS in self._events or self._reloading:
            wanted.add(EVENT)
        return frozenset(wanted)

    @property
    def processes(self) -> tuple[int, ...]:
        """See ``Session.processes``. The protocol has no such notice."""
        return ()

    @property
    def waiting(self) -> bool:
        """See ``Session.waiting``."""
        return bool(self._orders) or self._reloading

    @property
    def keeps(self) -> bool:
        """Android's clients keep one connection and say nothing for hours."""
        return self._served

    def feed(self, message: bytes | None) -> list[bytes]:
        """See ``Session.feed``."""
        if not self._served or self.waiting:
            return []
        request = wire.decode_request(message or b"")
        if isinstance(request, wire.Refusal):
            self._shared.refuse(request.reason)
            return []
        self._with_rss = self._with_rss or any(process.recent for process in request.processes)
        try:
            return _HANDLERS[request.command](self, request)
        except ControlError as error:
            self._shared.refuse(str(error))
            return []

    def answered(self, number: int, answer: Answer) -> list[bytes]:
        """See ``Session.answered``."""
        follows = self._orders.pop(number, None)
        if follows is None:
            return []
        if answer.error:
            self._shared.refuse(answer.error)
        follows(answer)
        self._remove_unclaimed()
        return self._reload_ended()

    def notify(self, kind: str, payload: object, dropped: int) -> bytes | None:
        """See ``Session.notify``. The protocol has no place for what was dropped."""
        try:
            if kind == VICTIM and isinstance(payload, VictimNotice):
                return self._tell_kill(payload)
            if kind == EVENT and isinstance(payload, dict):
                return self._take_record(payload)
        except ControlError as error:
            self._shared.refuse(str(error))
        return None

    def closed(self) -> None:
        """See ``Session.closed``. No orders: the records stay."""
        self._orders.clear()
        self._unclaimed.clear()
        self._reloading = False
        if self._served:
            self._served = False
            self._shared.disconnect(self._peer)

    def _set_levels(self, request: wire.Request) -> list[bytes]:
        self._shared.set_levels(request.levels)
        return []

    def _register(self, request: wire.Request) -> list[bytes]:
        for process in request.processes:
            try:
                refused = wire.fault_of(process) or self._register_one(process)
            except ControlError as error:
                refused = str(error)
            if refused:
                self._shared.refuse(refused)
        return []

    def _register_one(self, process: wire.Registration) -> str:
        """Returns why it is refused."""
        found = self._hands.process(process.pid)
        old = self._hands.registered(process.pid)
        if old is not None and old.start_ticks == found.start_ticks and not self._shared.may_claim(self._peer, old):
            return f"process {process.pid} was registered by another client"
        number = self._hands.register(self._peer, Wish(process.pid, priority=process.adj, record=True))
        record = Record(found.start_ticks, process.uid, process.kind)
        self._orders[number] = lambda answer: None if answer.error else self._shared.remember(process.pid, record)
        return ""

    def _remove(self, request: wire.Request) -> list[bytes]:
        self._remove_one(request.pid)
        return []

    def _remove_one(self, pid: int) -> None:
        found = self._hands.registered(pid)
        if not self._shared.may_claim(self._peer, found):
            self._shared.refuse(f"process {pid} was registered by another client")
            return
        self._shared.forget(pid)
        try:
            if found is not None:
                self._orders[self._hands.remove(self._peer, pid)] = _nothing
        except ControlError as error:  # such as: it has just ended
            self._shared.refuse(str(error))

    def _purge(self, request: wire.Request) -> list[bytes]:
        self._orders[self._hands.purge(self._peer)] = _nothing
        for found in self._hands.records():
            if self._shared.owns(self._peer, found):
                self._shared.forget(found.pid)
            elif self._shared.may_claim(self._peer, found):
                self._unclaimed.append(found.pid)
        self._remove_unclaimed()
        return []

    def _remove_unclaimed(self) -> None:
        """Some at a time: what waits for the helper has an end."""
        while self._unclaimed and len(self._orders) < ORDERS_AT_ONCE:
            self._remove_one(self._unclaimed.pop(0))

    def _count_kills(self, request: wire.Request) -> list[bytes]:
        empty = request.lowest > request.highest
        low, high = max(request.lowest, wire.ADJ_MIN), min(request.highest, wire.ADJ_MAX)
        if low > wire.ADJ_MAX:  # Android's way of asking for all
            low = wire.ADJ_MIN
        try:
            count = 0 if empty or low > high else self._hands.kill_count(low, high)
        except ControlError as error:
            self._shared.refuse(str(error))
            count = wire.FAILED
        return [wire.encode_reply(wire.GETKILLCNT, count)]

    def _subscribe(self, request: wire.Request) -> list[bytes]:
        self._events.add(request.event)
        return []

    def _reload(self, request: wire.Request) -> list[bytes]:
        """Answered when a record says how it ended; that may come before the order's answer."""
        try:
            number = self._hands.reload(self._peer)
        except ControlError as error:
            self._shared.refuse(str(error))
            return [wire.encode_reply(wire.UPDATE_PROPS, wire.FAILED)]
        self._reloading, self._reloaded = True, None
        self._orders[number] = self._reload_begun
        return []

    def _reload_begun(self, answer: Answer) -> None:
        if answer.error:
            self._reloaded = wire.FAILED

    def _reload_ended(self) -> list[bytes]:
        """The reply, when it is known how a reload ended and its order was answered."""
        if not self._reloading or self._reloaded is None or self._orders:
            return []
        self._reloading = False
        return [wire.encode_reply(wire.UPDATE_PROPS, self._reloaded)]

    def _start_monitoring(self, request: wire.Request) -> list[bytes]:
        """It never waits for that, and Android does not answer either."""
        return []

    def _boot_completed(self, request: wire.Request) -> list[bytes]:
        """Nothing waits for it here."""
        result = wire.DONE_BEFORE if self._shared.booted else wire.DONE
        self._shared.boot()
        return [wire.encode_reply(wire.BOOT_COMPLETED, result)]

    # What comes unasked.

    def _tell_kill(self, notice: VictimNotice) -> bytes | None:
        """A kill, once; the statistics follow with its record, which has the numbers."""
        if not self._shared.is_first(notice):
            return None
        told = wire.EVENT_KILL in self._events
        resident_kib = None
        if wire.EVENT_STATISTICS in self._events or (told and self._with_rss):
            resident_kib = self._shared.facts(notice.pid, self._hands, notice).resident_kib
        uid = self._shared.uid_of(notice.pid, notice)
        return wire.encode_kill(notice.pid, uid, resident_kib, self._with_rss) if told else None

    def _take_record(self, record: dict[str, Any]) -> bytes | None:
        event, pid = record.get("event"), record.get("pid")
        if self._reloading and event in _RELOAD_ENDS:
            self._reloaded = _RELOAD_ENDS[event]
            return next(iter(self._reload_ended()), None)
        wanted = event == "kill" and wire.EVENT_STATISTICS in self._events and not record.get("dry_run")
        if not wanted or not isinstance(pid, int):
            return None
        return wire.encode_statistics(statistics_of(record, self._shared.facts(pid, self._hands)))


def _nothing(answer: Answer) -> None:
    """Nothing follows from how this order ended."""


_HANDLERS: dict[int, Callable[[AndroidSession, wire.Request], list[bytes]]] = {
    wire.TARGET: AndroidSession._set_levels,
    wire.PROCPRIO: AndroidSession._register,
    wire.PROCREMOVE: AndroidSession._remove,
    wire.PROCPURGE: AndroidSession._purge,
    wire.GETKILLCNT: AndroidSession._count_kills,
    wire.SUBSCRIBE: AndroidSession._subscribe,
    wire.UPDATE_PROPS: AndroidSession._reload,
    wire.START_MONITORING: AndroidSession._start_monitoring,
    wire.BOOT_COMPLETED: AndroidSession._boot_completed,
    wire.PROCS_PRIO: AndroidSession._register,
}
