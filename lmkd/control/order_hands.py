"""``Hands`` as they are: answers from the shared memory, and orders to the helper over the channel."""

from __future__ import annotations

import _socket
import binascii
import os

from lmkd.control.authority import read_process, require_all, require_own, uid_of
from lmkd.control.hands import Answer, LevelNotice, Peer, Process, Registered, VictimNotice, Wish
from lmkd.control.notices import NoticesReader
from lmkd.errors import ControlError
from lmkd.guard.exchange import Exchange
from lmkd.helper import orders
from lmkd.helper.entry import FREEZE, FREEZE_SAID, HAS_PRIORITY, PRIVILEGED, RECORD, TRIM, TRIM_SAID
from lmkd.helper.given import read_given
from lmkd.helper.registry import NAME_BYTES, SLOTS, SLOTS_OF_USER, SLOTS_OF_USERS, Registry, Slot
from lmkd.helper.source import ExchangeSource
from lmkd.kernel.pinned import read_once
from lmkd.plan import Plan
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

NO_UID = 0xFFFFFFFF
ORDERS_MAX = 512
"""Orders whose answers are not here yet, of all clients together."""


class OrderHands:
    """See ``lmkd.control.hands.Hands``."""

    def __init__(self, plan: Plan, exchange: Exchange, channel: _socket.socket) -> None:
        self._plan = plan
        self._exchange = exchange
        self._channel = channel
        self._notices = NoticesReader(exchange.notices.view)
        self._source = ExchangeSource(plan, exchange)
        self._follower = ExchangeSource(plan, exchange)
        self._number = 0
        self._fresh: list[int] = []
        self._given: int | None = None
        self.status_of: dict[str, Callable[[], Mapping[str, Any]]] = {}
        """What else is in the status, by its key."""

    def go_by(self, plan: Plan) -> None:
        """Answer and authorise by this plan from now on."""
        self._plan = plan
        self._source = ExchangeSource(plan, self._exchange)

    # What is told.

    def process(self, pid: int) -> Process:
        """See ``Hands.process``."""
        return read_process(self._plan.proc, pid)

    def registered(self, pid: int) -> Registered | None:
        """See ``Hands.registered``."""
        slot = Registry(self._exchange.slots).find(pid)
        return _registered(slot) if slot is not None else None

    def records(self) -> Iterable[Registered]:
        """See ``Hands.records``."""
        registry = Registry(self._exchange.slots)
        slots = (registry.find(pid) for pid in registry.pids())
        return [_registered(slot) for slot in slots if slot is not None and slot.flags & RECORD]

    def registered_count(self) -> int:
        """How many processes have something set or registered."""
        return len(Registry(self._exchange.slots))

    def status(self) -> Mapping[str, Any]:
        """See ``Hands.status``."""
        return {**self._source.status(), **{key: tell() for key, tell in self.status_of.items()}}

    def policy(self) -> Iterable[Mapping[str, Any]]:
        """See ``Hands.policy``."""
        return self._source.policy()

    def tmpfs(self) -> Mapping[str, Any]:
        """See ``Hands.tmpfs``."""
        return self._source.tmpfs()

    def events_since(self, sequence: int) -> tuple[list[dict[str, Any]], int]:
        """See ``Hands.events_since``."""
        return self._source.events_since(sequence)

    def follow(self, sequence: int) -> tuple[list[dict[str, Any]], int]:
        """The same for the talker itself, which asks on from where it was."""
        return self._follower.events_since(sequence)

    def next_event(self) -> int:
        """The number that the next record will have."""
        return self._follower.next_sequence()

    def candidates(self) -> Iterable[Mapping[str, Any]]:
        """See ``Hands.candidates``."""
        return self._source.candidates()

    def level(self) -> LevelNotice:
        """See ``Hands.level``."""
        return self._notices.level()

    def metrics(self) -> str:
        """See ``Hands.metrics``."""
        from lmkd.control.metrics import openmetrics

        return openmetrics(self.status(), self.events_since(0)[0])

    def kill_count(self, low: int, high: int) -> int:
        """See ``Hands.kill_count``."""
        return self._notices.kill_count(low, high)

    def with_user(self, victim: VictimNotice) -> VictimNotice:
        """The same with its user, as long as that can be read."""
        slot = Registry(self._exchange.slots).find(victim.pid, victim.start_ticks)
        if slot is not None and slot.uid != NO_UID:
            return replace(victim, uid=slot.uid)
        return replace(victim, uid=uid_of(read_once(f"{self._plan.proc}/{victim.pid}/status") or b""))

    # Orders.

    def register(self, peer: Peer, wish: Wish) -> int:
        """See ``Hands.register``."""
        process = self._meant(peer, wish.pid)
        name = (wish.name or "").encode("utf-8", "replace")
        if len(name) > NAME_BYTES:
            raise ControlError(f"the name is over {NAME_BYTES} bytes")
        flags = orders.NAME_SAID if wish.name is not None else 0
        flags |= orders.GROUP_SAID if wish.group is not None else 0
        flags |= HAS_PRIORITY if wish.priority is not None else 0
        for told, said, bit in ((wish.trim, TRIM_SAID, TRIM), (wish.freeze, FREEZE_SAID, FREEZE)):
            flags |= 0 if told is None else said | (bit if told else 0)
        group = binascii.crc32(wish.group.encode("utf-8", "replace")) or 1 if wish.group else 0
        operation = orders.REGISTER_RECORD if wish.record else orders.REGISTER
        return self._order(operation, peer, process, flags, wish.priority or 0, group=group, name=name)

    def remove(self, peer: Peer, pid: int) -> int:
        """See ``Hands.remove``."""
        return self._order(orders.REMOVE, peer, self._meant(peer, pid))

    def purge(self, peer: Peer) -> int:
        """See ``Hands.purge``."""
        return self._order(orders.PURGE, peer)

    def trim(self, peer: Peer, pid: int, kib: int) -> int:
        """See ``Hands.trim``."""
        if not pid:
            require_all(peer, self._plan.control_group)
            return self._order(orders.PAGE_OUT, peer, kib=kib)
        return self._order(orders.PAGE_OUT, peer, self._meant(peer, pid), kib=kib)

    def kill(self, peer: Peer, pid: int) -> int:
        """See ``Hands.kill``."""
        require_all(peer, self._plan.control_group)
        return self._order(orders.END, peer, self._meant(peer, pid))

    def reload(self, peer: Peer) -> int:
        """See ``Hands.reload``."""
        require_all(peer, self._plan.control_group)
        return self._order(orders.RELOAD, peer)

    def refresh(self) -> int:
        """See ``Hands.refresh``."""
        return self._order(orders.LOOK, Peer(0, 0, 0, False))

    def take_numbers(self) -> list[int]:
        """The orders given since this was asked last."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def answers(self) -> list[tuple[int, Answer]] | None:
        """What the helper has answered; None when it has gone."""
        found: list[tuple[int, Answer]] = []
        while len(found) < ORDERS_MAX:
            try:
                data = self._channel.recv(orders.ANSWER.size + 1)
            except BlockingIOError:
                break
            except OSError:
                return None
            if not data:
                return None
            if len(data) == orders.ANSWER.size:
                number, code, now, before, rule = orders.ANSWER.unpack(data)
                if code == orders.NEW_PLAN:
                    self._given = rule
                else:
                    found.append((number, Answer(self._error(code, rule), now, before)))
        return found

    def take_plan(self) -> Plan | None:
        """The plan to go on by, when the helper has told of another one. OSError, LmkdError: see ``read_given``."""
        given, self._given = self._given, None
        return None if given is None else read_given(self._plan.proc, self._lmkds()[-1], given)

    def _meant(self, peer: Peer, pid: int) -> Process:
        """Whom an order is about; ControlError when that is not the peer's to say."""
        if peer.foreign and pid != peer.pid:
            raise ControlError("lmkd does not know the process ids of your pid namespace: leave pid out")
        process = self.process(pid)
        if pid == peer.pid and process.start_ticks != peer.start_ticks:
            raise ControlError(f"process {pid}, which has connected, is gone")
        require_own(peer, process, self._plan.control_group)
        return process

    def _order(
        self, operation: int, peer: Peer, process: Process | None = None, flags: int = 0, priority: int = 0,
        group: int = 0, kib: int = 0, name: bytes = b"",
    ) -> int:  # fmt: skip
        self._number = self._number % 0xFFFFFFFF + 1
        target = process or Process(0, 0, 0, "")
        if target.pid and target.pid in self._lmkds():
            raise ControlError(f"process {target.pid} is lmkd's own")
        data = orders.ORDER.pack(
            self._number, operation, flags | (PRIVILEGED if peer.privileged else 0), priority, target.pid,
            target.start_ticks, target.uid & NO_UID, peer.pid, peer.start_ticks, group, min(kib, 0x7FFFFFFF), name,
        )  # fmt: skip
        try:
            self._channel.send(data, _socket.MSG_NOSIGNAL)
        except BlockingIOError:
            raise ControlError("lmkd's helper is behind with its orders: try again") from None
        except OSError as error:
            raise ControlError(f"lmkd's helper has gone: {error.strerror}") from error
        self._fresh.append(self._number)
        return self._number

    def _lmkds(self) -> tuple[int, ...]:
        from lmkd.kernel.counters import find_number

        helper = os.getppid()
        guard = find_number(read_once(f"{self._plan.proc}/{helper}/status") or b"", b"PPid:") or 0
        return (os.getpid(), helper, guard)

    def _error(self, code: int, rule: int) -> str:
        may = f"only root{f' and the group {self._plan.control_group}' if self._plan.control_group else ''} may"
        where = self._plan.rules[rule].where if 0 <= rule < len(self._plan.rules) else "a rule"
        return {
            orders.DONE: "",
            orders.GONE: "there is no such process any more, or none that can be registered",
            orders.FULL: f"there is no room: {SLOTS} processes can be registered, {SLOTS_OF_USERS} by users without "
            f"rights, {SLOTS_OF_USER} by one of them",
            orders.RULED: f"{where} gives its priority: {may} change it",
            orders.RAISES: f"it would become more important than it is: {may} do that",
            orders.HELD: f"it was set by root or its like: {may} change it",
            orders.PROTECTED: "it is protected: what is protected is never ended",
            orders.LATER: "something was paged out just now: once a second is enough",
            orders.IDLE: "there is nothing of it that can be paged out",
        }.get(code, "lmkd's helper does not know this order")


def _registered(slot: Slot) -> Registered:
    flags = slot.flags
    return Registered(
        slot.pid,
        slot.start_ticks,
        -1 if slot.uid == NO_UID else slot.uid,
        slot.priority if flags & HAS_PRIORITY else None,
        bool(flags & TRIM) if flags & TRIM_SAID else None,
        bool(flags & FREEZE) if flags & FREEZE_SAID else None,
        slot.group,
        slot.owner,
        bool(flags & PRIVILEGED),
        slot.name.rstrip(b"\0").decode("utf-8", "ignore"),
        slot.owner_start,
        bool(flags & RECORD),
    )
