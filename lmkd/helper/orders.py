"""The talker's orders, carried out by the helper: one fixed-size message each, answered by its number."""

from __future__ import annotations

import _signal
import os
import struct

from lmkd.guard.commands import KILL_ASKED
from lmkd.guard.notices import RING, VICTIM, VICTIMS_AT
from lmkd.helper.entry import FREEZE, FREEZE_SAID, HAS_PRIORITY, PRIVILEGED, RECORD, TRIM, TRIM_SAID
from lmkd.helper.registry import Registry, Slot
from lmkd.kernel.clock import now_ms
from lmkd.model import PRIORITY_NEVER
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lmkd.guard.exchange import Exchange
    from lmkd.helper.care import Care
    from lmkd.helper.scout import Scout

ORDER = struct.Struct("=IBBhiQIiQIi32s")
"""Number, operation, flags, priority, pid, start, uid, owner, the owner's start, group, kib, name."""
ANSWER = struct.Struct("=IBhhi")
"""Number, code, priority now and before, the rule that refuses or -1."""
REGISTER, REMOVE, PURGE, PAGE_OUT, END, RELOAD, LOOK, REGISTER_RECORD = range(1, 9)
PREFERENCES = HAS_PRIORITY | TRIM | TRIM_SAID | FREEZE | FREEZE_SAID
NAME_SAID, GROUP_SAID = 64, 128
"""Flags of an order beside those of a slot (of which it has no ``RECORD``)."""
DONE, GONE, FULL, RULED, RAISES, HELD, PROTECTED, UNKNOWN, IDLE, NEW_PLAN, LATER = range(11)
"""NEW_PLAN, with the number 0, answers nothing: what is the rule elsewhere is the guard's descriptor of a plan."""
FRESH_MS = 200.0
SAY_EVERY_MS = PAGE_OUT_EVERY_MS = 1000.0
"""For all without rights together: what they cause in the records."""


class Orders:
    """Owns what is registered. ``refresh`` measures and publishes all processes."""

    def __init__(
        self, exchange: Exchange, scout: Scout, care: Care, guard_pid: int, refresh: Callable[[], None]
    ) -> None:
        self._exchange = exchange
        self._scout = scout
        self._care = care
        self._guard_pid = guard_pid
        self._refresh = refresh
        self._refreshed_ms = 0.0
        self._said_ms = self._paged_ms = -SAY_EVERY_MS
        self.registry = scout.registry = Registry(exchange.slots)
        self.changed = False
        """Something that the candidates' table shows was changed."""

    def carry_out(self, data: bytes) -> bytes:
        """The answer to one order."""
        if len(data) != ORDER.size:
            return ANSWER.pack(0, UNKNOWN, 0, 0, -1)
        number, operation, flags, priority, pid, start, uid, owner, owner_start, group, kib, name = ORDER.unpack(data)
        code, now, before, rule = UNKNOWN, 0, 0, -1
        if operation in (REGISTER, REGISTER_RECORD):
            wish = Slot(pid, start, uid, priority, flags, group, owner, owner_start, name.rstrip(b"\0"))
            code, now, before, rule = self._register(wish, RECORD if operation == REGISTER_RECORD else 0)
        elif operation == REMOVE:
            code, now, before = self._remove(pid, start, bool(flags & PRIVILEGED))
        elif operation == PURGE:
            code = self._purge(owner, owner_start)
        elif operation == PAGE_OUT:
            code = self._page_out(pid, start, kib, bool(flags & PRIVILEGED))
        elif operation == END:
            code = self._end(pid, start, owner)
        elif operation == RELOAD:
            os.kill(self._guard_pid, _signal.SIGHUP)
            code = DONE
        elif operation == LOOK:
            code = self._look()
        return ANSWER.pack(number, code, now, before, rule)

    def tidy(self) -> None:
        """Forget those that are no more."""
        for pid in self.registry.pids():
            known = self._scout.identity(pid)
            if known is None or self.registry.find(pid, known[0]) is None:
                self.registry.drop(pid)

    def group_of(self, pid: int) -> tuple[list[int], str]:
        """Who was registered to end together with one that the guard has signalled, and by which signal."""
        view = self._exchange.notices.view
        rows = (VICTIM.unpack_from(view, VICTIMS_AT + place * VICTIM.size) for place in range(RING))
        last = max((row for row in rows if row[1] == pid), default=None)
        others = [slot.pid for slot in self.registry.members(pid)]
        return others, "SIGTERM" if last is not None and not last[5] else "SIGKILL"

    def _known(self, pid: int, start: int) -> bool:
        """Is it there, and the one that is meant? One that was born just now is looked at first."""
        known = self._scout.identity(pid)
        if known is None or known[0] != start:
            self._scout.renew(pid)
            known = self._scout.identity(pid)
        return known is not None and known[0] == start

    def _is_of(self, pid: int, uid: int) -> bool:
        """Is it still this user's? The talker looked some time ago, and a setuid program changes that."""
        for again in (False, True):
            if again:
                self._scout.renew(pid)
            entry = self._scout.entry(pid)
            if entry is not None and entry.sizes is not None and entry.sizes.user == uid:
                return True
        return False

    def _register(self, wish: Slot, record: int) -> tuple[int, int, int, int]:
        if wish.pid == 1 or not self._known(wish.pid, wish.start_ticks):
            return GONE, 0, 0, -1
        if not wish.flags & PRIVILEGED and not self._is_of(wish.pid, wish.uid):
            return GONE, 0, 0, -1
        entry = self._scout.entry(wish.pid)
        assert entry is not None
        before = entry.priority
        old = self.registry.find(wish.pid, wish.start_ticks)
        if not wish.flags & PRIVILEGED:
            if old is not None and old.flags & PRIVILEGED and wish.flags & (PREFERENCES | GROUP_SAID):
                return HELD, before, before, -1
            if wish.flags & HAS_PRIORITY and entry.rule >= 0:
                return RULED, before, before, entry.rule
            if wish.flags & HAS_PRIORITY and wish.priority < entry.base_adj:
                return RAISES, before, before, -1
        elif old is not None and not old.flags & PRIVILEGED and entry.rule >= 0:
            old = replace(old, flags=old.flags & ~PREFERENCES)  # what the rule kept from being in force stays so
        slot = merged(old, wish, record)
        if not self.registry.put(slot):
            self.tidy()
            if not self.registry.put(slot):
                return FULL, before, before, -1
        now = self._renew(wish.pid, before, wish.owner, bool(wish.flags & PRIVILEGED))
        return DONE if self.registry.find(wish.pid) is not None else GONE, now, before, -1

    def _remove(self, pid: int, start: int, privileged: bool) -> tuple[int, int, int]:
        slot = self.registry.find(pid, start)
        entry = self._scout.entry(pid)
        before = entry.priority if entry is not None else 0
        if slot is None:
            return DONE if self._known(pid, start) else GONE, before, before
        if slot.flags & PRIVILEGED and not privileged:
            return HELD, before, before
        self.registry.drop(pid)
        return DONE, self._renew(pid, before, slot.owner, privileged), before

    def _purge(self, owner: int, owner_start: int) -> int:
        for pid in self.registry.owned(owner, owner_start):
            known = self._scout.identity(pid)
            self.registry.drop(pid)
            if known is not None:
                self._renew(pid, known[1], owner, False)
        return DONE

    def _renew(self, pid: int, before: int, owner: int, privileged: bool) -> int:
        """Have the scout take what is set now; the priority in force. Users without rights cannot flood the records."""
        self._scout.renew(pid)
        entry = self._scout.entry(pid)
        now = entry.priority if entry is not None else before
        self.changed = True
        t_ms = now_ms()
        if entry is not None and now != before and (privileged or t_ms - self._said_ms >= SAY_EVERY_MS):
            self._said_ms = t_ms
            fields = (("pid", pid), ("name", entry.name), ("priority", now), ("previous", before), ("by", owner))
            self._exchange.post("set", fields)
        return now

    def _page_out(self, pid: int, start: int, kib: int, privileged: bool) -> int:
        if not pid:
            self._refresh()
            self._care.trim(kib, self._scout.idle_since_ms())
            return DONE
        if not self._known(pid, start):
            return GONE
        if not privileged:
            if now_ms() - self._paged_ms < PAGE_OUT_EVERY_MS:
                return LATER
            self._paged_ms = now_ms()
        self._look()
        return DONE if self._care.page_out(pid, kib) else IDLE

    def _end(self, pid: int, start: int, by: int) -> int:
        """The guard does it, in its next step; the records tell what came of it."""
        if pid == 1 or not self._known(pid, start):
            return GONE
        known = self._scout.identity(pid)
        if known is not None and known[1] <= PRIORITY_NEVER:
            return PROTECTED
        self._publish_first(pid)
        self._exchange.post(KILL_ASKED, (("pid", pid), ("start", start), ("by", by)))
        return DONE

    def _publish_first(self, pid: int) -> None:
        """The guard looks it up in the table."""
        if self._exchange.table().index_of(pid) is None:
            self._refresh()

    def _look(self) -> int:
        """Not more often than it would tell anything new."""
        if now_ms() - self._refreshed_ms >= FRESH_MS:
            self._refresh()
            self._refreshed_ms = now_ms()
        return DONE


def merged(old: Slot | None, wish: Slot, record: int) -> Slot:
    """What is set after a wish: what it does not say stays as it was, and whose it was. ``record`` is a slot's flag."""
    if old is None:
        return Slot(
            wish.pid, wish.start_ticks, wish.uid, wish.priority, wish.flags & ~(NAME_SAID | GROUP_SAID) | record,
            wish.group, wish.owner, wish.owner_start, wish.name,
        )  # fmt: skip
    takes = wish.flags & PRIVILEGED or not old.flags & PRIVILEGED
    flags = old.flags & ~RECORD | (wish.flags & PRIVILEGED) | (record if takes else old.flags & RECORD)
    for said, bit in ((TRIM_SAID, TRIM), (FREEZE_SAID, FREEZE)):
        if wish.flags & said:
            flags = flags & ~bit | (wish.flags & (said | bit))
    priority = wish.priority if wish.flags & HAS_PRIORITY else old.priority
    flags |= wish.flags & HAS_PRIORITY
    return Slot(
        old.pid, old.start_ticks, old.uid, priority, flags,
        wish.group if wish.flags & GROUP_SAID else old.group,
        wish.owner if takes else old.owner,
        wish.owner_start if takes else old.owner_start,
        wish.name if wish.flags & NAME_SAID else old.name,
    )  # fmt: skip
