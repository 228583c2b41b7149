"""Notices for applications that link nothing: a signal or a program at a rise of the pressure."""

from __future__ import annotations

import _signal
import os
import time

from lmkd.guard.act import RealPort
from lmkd.guard.commands import NOTIFY
from lmkd.helper.level_file import read_level
from lmkd.kernel.pinned import read_once
from lmkd.kernel.process import catches
from lmkd.model import Victim, class_of
from lmkd.policy.pressure import LEVELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmkd.guard.exchange import Exchange
    from lmkd.helper.entry import Entry
    from lmkd.helper.hooks import Hooks
    from lmkd.helper.scout import Scout
    from lmkd.plan import Notice, Plan

AGAIN_MS = 1000.0
SHOWN_MAX = 16


class Pace:
    """When a notice is due: at each rise to its level or above, the same level again not within ``AGAIN_MS``."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._told_ms, self._told = -AGAIN_MS, 0

    def due(self, before: int, level: int, t_ms: float) -> bool:
        """The level has gone from ``before`` to ``level`` (numbers of ``LEVELS``): is this to be told?"""
        if level <= before or level < self._level:
            return False
        if level <= self._told and t_ms - self._told_ms < AGAIN_MS:
            return False
        self._told_ms, self._told = t_ms, level
        return True


class Notices:
    """Owns the pace of each notice."""

    def __init__(self, plan: Plan, exchange: Exchange, scout: Scout, hooks: Hooks) -> None:
        ways = plan.ways
        self._plan = plan
        self._exchange = exchange
        self._scout = scout
        self._hooks = hooks
        self._port = RealPort(plan.proc)
        self._rows = [(notice, Pace(notice.level)) for notice in ways.notices if notice.signal or notice.argv]
        self._of_their_own = {notice.rule for notice in ways.notices if notice.rule >= 0}
        self._running: dict[Notice, int] = {}
        self._turn, self._before, *_ = read_level(exchange.notices.view)

    def take(self, commands: Iterable[tuple[int, int, int]]) -> None:
        """Of all that the guard asked for, the changes of the level; several at once are one, to the highest."""
        levels = [argument for operation, _, argument in commands if operation == NOTIFY]
        turn, now, *_ = read_level(self._exchange.notices.view)
        if turn == self._turn and not levels:
            return
        self._turn = turn  # a command that found its pipe full is made up for by the next one of any kind
        peak = min(max(now, *levels), len(LEVELS) - 1) if levels else now
        t_ms = time.monotonic_ns() / 1e6
        for notice, pace in self._rows:
            if pace.due(self._before, peak, t_ms):
                self._tell(notice, peak)
        self._before = now

    def _tell(self, notice: Notice, level: int) -> None:
        found = [(pid, entry) for pid in self._scout.pids() if (entry := self._means(notice, pid)) is not None]
        told: list[int] = []
        deaf: list[int] = []
        for pid, entry in found if notice.signal else ():
            (told if self._signal(pid, entry, notice.signal) else deaf).append(pid)
        ran = bool(notice.argv) and self._run(notice, level, [pid for pid, _ in found])
        rule = self._rule_name(notice)
        fields = (
            ("pressure", LEVELS[level]), ("to", rule or notice.class_name), ("signal", notice.signal or None),
            ("signalled", tuple(told[:SHOWN_MAX])), ("count", len(told)), ("deaf", tuple(deaf[:SHOWN_MAX])),
            ("program", notice.argv[0] if notice.argv else None), ("ran", ran),
        )  # fmt: skip
        self._exchange.post("notified", fields)

    def _means(self, notice: Notice, pid: int) -> Entry | None:
        """The entry of a process that this notice is for. Process 1 is nobody's: init halts at some signals."""
        entry = self._scout.entry(pid)
        if entry is None or pid == 1 or entry.rule < 0:
            return None
        if notice.rule >= 0:
            return entry if entry.rule == notice.rule else None
        mine = entry.rule not in self._of_their_own and class_of(entry.priority) == notice.class_name
        return entry if mine else None

    def _signal(self, pid: int, entry: Entry, number: int) -> bool:
        """Signal a process that is still who it was and that catches the signal: it would end any other."""
        handle = self._port.open(Victim(pid, entry.start, "", 0, -1, 0))
        if handle is None:
            return False
        try:
            if not catches(read_once(f"{self._plan.proc}/{pid}/status") or b"", number):
                return False
            if handle.descriptor >= 0:
                _signal.pidfd_send_signal(handle.descriptor, number)
            else:
                os.kill(pid, number)
        except OSError:
            return False
        finally:
            self._port.close(handle)
        return True

    def _run(self, notice: Notice, level: int, pids: list[int]) -> bool:
        if self._hooks.runs(self._running.get(notice, 0)):
            return False
        _, _, _, t_ms, lasts_ms, headroom_kib = read_level(self._exchange.notices.view)
        told = {
            "LMKD_EVENT": "level", "LMKD_LEVEL": LEVELS[level], "LMKD_PREVIOUS": LEVELS[self._before],
            "LMKD_HEADROOM_KIB": str(headroom_kib), "LMKD_T_MS": f"{t_ms:.0f}",
            "LMKD_EXHAUSTION_MS": "" if lasts_ms is None else f"{lasts_ms:.0f}",
            "LMKD_CLASS": notice.class_name, "LMKD_RULE": self._rule_name(notice),
            "LMKD_PIDS": " ".join([str(pid) for pid in pids]),
        }  # fmt: skip
        program, *arguments = notice.argv
        child = self._hooks.run(program, 0, told, tuple(arguments), notice.timeout_ms)
        self._running[notice] = child
        return bool(child)

    def _rule_name(self, notice: Notice) -> str:
        return self._plan.rules[notice.rule].name if 0 <= notice.rule < len(self._plan.rules) else ""
