"""The helper's loop: commands of the guard, process events, clients; everything else waits for one of these."""

from __future__ import annotations

import os
import select
import time

from lmkd.guard.act import RealPort
from lmkd.guard.commands import (
    CLEAN,
    COMPACT,
    EXPLAIN,
    GROUP,
    GROUP_KILL,
    KILLED,
    MAINTAIN,
    NOTIFY,
    REAP,
    REFRESH,
    REFRESH_URGENT,
    RELOAD,
    STOP,
    TEND,
    TRIM,
)
from lmkd.helper.brake import COMMANDS as BRAKE_COMMANDS
from lmkd.helper.brake import Brake
from lmkd.helper.care import Care
from lmkd.helper.clerk import Clerk
from lmkd.helper.desk import Desk
from lmkd.helper.groups import end_group, members
from lmkd.helper.hooks import Hooks
from lmkd.helper.logbook import STDERR
from lmkd.helper.own_share import NICE_CALM, NICE_NOW, NICE_URGENT, OwnShare
from lmkd.helper.reap import reap
from lmkd.helper.rehearse import settle_in
from lmkd.helper.sample import sample_ratio
from lmkd.helper.scout import Scout
from lmkd.helper.ways import Ways
from lmkd.kernel.clock import now_ms
from lmkd.kernel.proc_events import open_proc_events
from lmkd.kernel.syscalls import Libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.guard.exchange import Exchange
    from lmkd.helper.tmpfs import Tmpfs
    from lmkd.model import Candidate
    from lmkd.plan import Plan

NOW = {EXPLAIN, CLEAN, REAP, *BRAKE_COMMANDS}
"""What the guard waits for; a refresh is urgent when memory is short, and shares the processor with the foreground."""
FILES = {EXPLAIN, TEND, CLEAN}
BATCH_MS = 100
"""Births and deaths are taken in batches: what lives shorter than this is never looked at."""
ALERT_LOOKS = 5
"""What came back after its kill must be stopped before it has grown, so each batch is looked at so often meanwhile."""
SCAN_EVERY_MS = 10_000


class Helper:
    """Owns the scout, the desk, and all that others are told by."""

    def __init__(self, plan: Plan, exchange: Exchange, guard_pid: int, log: int = STDERR) -> None:
        self._scan_due_ms = 0.0
        self._exchange = exchange
        self._guard_pid = guard_pid
        self._stderr = log
        self._libc = Libc()
        self._scout = Scout(plan, (guard_pid, os.getpid()), exchange.post)
        self._poll = select.poll()
        self._poll.register(exchange.reader, select.POLLIN)
        self._events = self._open_events()
        self._desk = Desk(plan, exchange, self._poll, self._scout.exclude)
        self._hooks = Hooks(exchange.post)
        self._rows: list[Candidate] = []
        self._running = True
        self._share = OwnShare()
        self._go_by(plan)

    def run(self) -> None:
        """Until the guard says stop or is gone."""
        self._brake.take_over()
        self._scout.scan()
        self._orders.tidy()
        self._refresh()
        self._exchange.post("helper_started", (("pid", os.getpid()), ("processes", len(self._scout.pids()))))
        self._lock()
        try:
            while self._running:
                self._turn()
        finally:
            self._brake.release_all("lmkd ends")
            self._care.close()
        self._hooks.close()
        self._ways.close()
        self._desk.close()

    def _go_by(self, plan: Plan) -> None:
        """Make all that a plan says how to do; scout and desk have it already."""
        self._plan, exchange = plan, self._exchange
        self._ways = Ways(plan, exchange, self._scout, self._stderr, self._hooks)
        self._care = Care(plan, self._libc, exchange.post, exchange)
        self._care.store.watch(self._poll)
        self._tmpfs: Tmpfs | None = self._files() if plan.tmpfs else None
        self._brake = Brake(plan, self._scout, self._libc, (self._guard_pid, os.getpid()), exchange.post)
        self._brake.front.obey((), self._level())  # a reload, and another helper, come without a change of it
        self._share.brake = self._brake
        self._orders = Clerk(exchange, self._scout, self._care, self._guard_pid, self._refresh)

    def _reload(self, descriptor: int) -> None:
        """Go on by a new plan; what was measured stays, and so do the clients."""
        from lmkd.errors import LmkdError
        from lmkd.helper.given import read_given

        try:
            plan = read_given(self._plan.proc, self._guard_pid, descriptor)
        except (OSError, LmkdError):
            self._running = False  # the guard starts another helper, which gets the plan from it
            return
        self._brake.release_all("the configuration was read anew")
        self._hooks.take(self._care.close())
        self._ways.close(plan.ways.level_file)
        self._scout.go_by(plan)
        self._go_by(plan)
        self._desk.go_by(plan, descriptor)
        self._refresh()

    def _settle(self) -> None:  # have the guard see what clients have changed
        if self._orders.take_changed():
            self._publish()

    def _level(self) -> int:
        from lmkd.helper.level_file import read_level

        return read_level(self._exchange.notices.view)[1]

    def _files(self) -> Tmpfs:
        """What looks after memory in files; most boards never need it, so it is loaded when it is asked for."""
        from lmkd.helper.tmpfs import Tmpfs

        return Tmpfs(self._plan, self._exchange, self._scout, self._hooks, self._care.store.share)

    def _lock(self) -> None:
        """Keep what has been touched: a reaper that waits for pages of its own cannot free anybody else's."""
        page_bytes = self._plan.page_kib * 1024
        try:
            settle_in(self._libc, self._plan.proc, page_bytes, self._scout.pids(), self._refresh)
        except OSError as error:
            cost = f"reaping may come late when memory is out ({error.strerror})"
            self._exchange.post("degraded", (("feature", "helper mlockall"), ("cost", cost)), "warning")

    def _turn(self) -> None:
        timeout = self._ways.timeout_ms()
        if self._events < 0:
            left_ms = max(0.0, self._scan_due_ms - now_ms())
            timeout = left_ms if timeout is None else min(timeout, left_ms)
        paces = (timeout, self._care.timeout_ms(), self._brake.timeout_ms(), self._desk.timeout_ms())
        timeout = min((one for one in paces if one is not None), default=None)
        ready = dict(self._poll.poll(timeout))
        self._ways.turn()
        if self._exchange.reader in ready:
            if ready[self._exchange.reader] & select.POLLIN:
                self._obey()
            else:
                self._running = False  # the guard's end of the pipe is closed: it has died
                from lmkd.helper.last_word import tell

                tell(self._plan.proc)
        if self._events >= 0 and self._events in ready:
            self._take_births()
        elif self._events < 0 and now_ms() >= self._scan_due_ms:
            self._refresh()
        self._desk.turn(ready, self._orders.carry_out, self._settle)
        self._care.store.notice(ready)
        self._care.turn()
        self._brake.turn()
        self._share.take(NICE_CALM)  # until it is asked for something

    def _take_births(self) -> None:
        """Wait a little for more of them, unless the guard wants something meanwhile; then look at all at once."""
        watch = select.poll()
        watch.register(self._exchange.reader, select.POLLIN)
        alert, nice = self._brake.alert, self._share.wanted
        if alert:
            self._share.take(NICE_NOW)
        fresh: set[int] = set()
        for _ in range(ALERT_LOOKS if alert else 1):
            watch.poll(0 if self._care.busy else BATCH_MS / ALERT_LOOKS if alert else BATCH_MS)
            born = self._scout.take_events(self._events)
            self._brake.look(born)
            fresh.update(born)
        self._scout.measure(private=False, only=fresh)
        self._publish()
        self._share.take(nice)

    def _obey(self) -> None:
        """Do what the guard asked for; several refreshes at once are one."""
        commands = self._exchange.commands()
        asked = {operation for operation, _, _ in commands}
        if NOTIFY in asked:
            self._share.hurry()  # only for that: what follows would take the processor from those who are told
        self._ways.tell(commands)
        self._brake.front.obey(commands, self._level())
        self._share.take(NICE_NOW if asked & NOW else NICE_URGENT if REFRESH_URGENT in asked else NICE_CALM)
        for operation, pid, argument in commands:
            if operation == REAP:
                self._exchange.post("reap", (("pid", pid), ("outcome", reap(self._libc, pid))))
            elif operation == GROUP:
                self._end_group(pid, argument)
            elif operation in BRAKE_COMMANDS:
                self._brake.obey(operation, pid, argument)
                if operation == KILLED:
                    self._end_together(pid, *self._orders.group_of(pid), "registered", "")
            elif operation == MAINTAIN:
                self._care.store.tend(bool(argument))
            elif operation == STOP:
                self._running = False
        if asked & FILES:
            self._tmpfs = self._tmpfs or self._files()
            self._tmpfs.take(commands)
        if asked & {REFRESH, REFRESH_URGENT, TRIM} and self._share.may_look(REFRESH_URGENT in asked):
            self._refresh()
        if TRIM in asked:
            wanted_kib = max(argument for operation, _, argument in commands if operation == TRIM)
            self._care.trim(wanted_kib, self._scout.idle_since_ms())
        if COMPACT in asked:
            self._care.compact()
        self._ways.take(commands)
        for operation, _, argument in commands:  # last: all else was asked for by the plan before
            if operation == RELOAD:
                self._reload(argument)

    def _end_group(self, pid: int, argument: int) -> None:
        """The guard has signalled one of a group; the others get the same, and the record names them."""
        index, signal = argument & ~GROUP_KILL, "SIGKILL" if argument & GROUP_KILL else "SIGTERM"
        if index >= len(self._plan.rules):
            return
        rule = self._plan.rules[index]
        others = members(self._scout, self._plan.proc, pid, rule.group, self._scout.cgroup_of(pid))
        self._end_together(pid, others, signal, rule.group, rule.name)

    def _end_together(self, pid: int, others: list[int], signal: str, group: str, name: str) -> None:
        if not others and group == "registered":
            return
        ended = end_group(self._scout, RealPort(self._plan.proc, self._libc), others, signal)
        for member in ended:
            self._brake.ended(member, now_ms())
        fields = (("pid", pid), ("name", name), ("group", group), ("signal", signal), ("pids", tuple(ended)))
        self._exchange.post("group", fields)

    def _refresh(self) -> None:
        began_ns = time.process_time_ns()
        if self._events >= 0:
            self._scout.take_events(self._events)
        else:
            self._scout.scan()
            self._scan_due_ms = now_ms() + SCAN_EVERY_MS
        calm = self._share.wanted == NICE_CALM and not self._brake.front.raised
        self._scout.measure(private=calm)
        if calm and self._care.store.packs:
            self._scout.weigh(self._plan.page_kib * 1024)
        self._brake.look(self._scout.pids())
        self._publish()
        self._sample_grower()
        self._share.looked(began_ns)

    def _publish(self) -> None:
        self._rows = self._scout.candidates(self._care.store.share())
        self._exchange.publish(self._rows, now_ms())
        self._brake.front.renew(self._rows)

    def _sample_grower(self) -> None:
        """Look into the pages of the process that has grown most, before the store has to take them."""
        pid, rate_kib_s = self._scout.take_grower()
        self._exchange.set_grower(pid, rate_kib_s, now_ms())
        self._care.renew(self._rows, pid)
        self._brake.front.looked(pid)
        if pid:
            ratio = sample_ratio(self._plan.proc, pid, self._plan.page_kib * 1024)
            if ratio is not None:
                self._exchange.set_grower_ratio(pid, ratio)

    def _open_events(self) -> int:
        try:
            descriptor = open_proc_events()
        except OSError as error:
            cost = f"processes are found by a slow scan ({error.strerror})"
            self._exchange.post("degraded", (("feature", "proc connector"), ("cost", cost)), "warning")
            return -1
        self._poll.register(descriptor, select.POLLIN)
        return descriptor


def helper_main(plan: Plan, exchange: Exchange, guard_pid: int) -> None:
    exchange.become_helper()
    os.setpriority(os.PRIO_PROCESS, 0, NICE_CALM)
    Helper(plan, exchange, guard_pid).run()
