"""The helper's loop: commands of the guard, process events, clients; everything else waits for one of these."""

from __future__ import annotations

import os
import select
import time

from lmkd.guard.exchange import DRAIN_LOG, EXPLAIN, HOOK, REAP, REFRESH, REFRESH_URGENT, STOP
from lmkd.helper.desk import Desk
from lmkd.helper.holders import find_holders
from lmkd.helper.hooks import Hooks
from lmkd.helper.reap import reap
from lmkd.helper.scout import Scout
from lmkd.kernel.pinned import PinnedFile
from lmkd.kernel.proc_events import open_proc_events
from lmkd.kernel.syscalls import Libc
from lmkd.kernel.zram_stat import parse_mm_stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.guard.exchange import Exchange
    from lmkd.plan import Plan

NICE_CALM = 10
BATCH_MS = 100
"""Births and deaths are taken in batches: what lives shorter than this is never looked at."""
SCAN_EVERY_MS = 10_000
STORE_SHARE_DEFAULT = 0.4
LOG = 2


class Helper:
    """Owns the scout, the desk, the hooks, and the log's position in the ring of records."""

    def __init__(self, plan: Plan, exchange: Exchange, guard_pid: int) -> None:
        self._plan = plan
        self._exchange = exchange
        self._libc = Libc()
        self._scout = Scout(plan, (guard_pid, os.getpid()), exchange.post)
        self._zram = PinnedFile(plan.zram_stat) if plan.zram_stat else None
        self._position = exchange.log_position
        self._poll = select.poll()
        self._poll.register(exchange.reader, select.POLLIN)
        self._events = self._open_events()
        self._desk = Desk(plan, exchange, self._refresh)
        if self._desk.descriptor >= 0:
            self._poll.register(self._desk.descriptor, select.POLLIN)
        else:
            exchange.post("degraded", (("feature", "control socket"), ("cost", self._desk.error)), "warning")
        self._hooks = Hooks(exchange.post)
        self._running = True
        self._urgent = False

    def run(self) -> None:
        """Until the guard says stop or is gone."""
        self._scout.scan()
        self._refresh()
        self._exchange.post("helper_started", (("pid", os.getpid()), ("processes", len(self._scout.pids()))))
        while self._running:
            self._turn()
        self._drain_log()
        self._desk.close()

    def _turn(self) -> None:
        timeout = self._hooks.timeout_ms()
        if self._events < 0:
            timeout = SCAN_EVERY_MS if timeout is None else min(timeout, SCAN_EVERY_MS)
        ready = dict(self._poll.poll(timeout))
        self._hooks.collect()
        if self._exchange.reader in ready:
            if ready[self._exchange.reader] & select.POLLIN:
                self._obey()
            else:
                self._running = False  # the guard's end of the pipe is closed: it has died
        if self._desk.descriptor in ready:
            self._desk.accept()
        if self._events >= 0 and self._events in ready:
            self._take_births()
        elif not ready and self._events < 0:
            self._scout.scan()
            self._refresh()
        self._desk.collect()

    def _take_births(self) -> None:
        """Wait a little for more of them, unless the guard wants something meanwhile; then look at all at once."""
        watch = select.poll()
        watch.register(self._exchange.reader, select.POLLIN)
        watch.poll(BATCH_MS)
        self._scout.take_events(self._events)
        self._refresh()

    def _obey(self) -> None:
        """Do what the guard asked for; several refreshes at once are one."""
        commands = self._exchange.commands()
        asked = {operation for operation, _, _ in commands}
        self._set_urgent(bool(asked & {REFRESH_URGENT, REAP, EXPLAIN}))
        for operation, pid, argument in commands:
            if operation == REAP:
                self._exchange.post("reap", (("pid", pid), ("outcome", reap(self._libc, pid))))
            elif operation == HOOK:
                rule = self._plan.rules[argument]
                self._hooks.start(rule.on_kill, pid, rule.name)
            elif operation == STOP:
                self._running = False
        if EXPLAIN in asked:
            self._explain()
        if asked & {REFRESH, REFRESH_URGENT}:
            self._refresh()
        if DRAIN_LOG in asked:
            self._drain_log()

    def _refresh(self) -> None:
        if self._events >= 0:
            self._scout.take_events(self._events)
        else:
            self._scout.scan()
        self._scout.measure(private=not self._urgent)
        self._exchange.publish(self._scout.candidates(self._store_share()), time.monotonic_ns() / 1e6)

    def _store_share(self) -> float:
        """What a swapped page occupies: used over stored, by the store's own count."""
        data = self._zram.read() if self._zram is not None else None
        store = parse_mm_stat(data) if data else None
        if store is None or store.orig_kib < 1024:
            return STORE_SHARE_DEFAULT
        return min(1.0, store.used_kib / store.orig_kib)

    def _explain(self) -> None:
        holders = find_holders(self._plan.proc, self._scout.pids())
        self._exchange.set_tmpfs_writer(holders.writer)
        self._exchange.post(
            "futile",
            (
                ("reason", "memory is held by files on tmpfs: no death returns it"),
                ("mount", holders.mount.path if holders.mount else None),
                ("used_kib", holders.mount.used_kib if holders.mount else None),
                ("holders", holders.names),
                ("writer_pid", holders.writer or None),
            ),
            "warning",
        )

    def _set_urgent(self, urgent: bool) -> None:
        """Low priority as a rule; ordinary while the guard waits, else spinning tasks starve it."""
        if urgent == self._urgent:
            return
        self._urgent = urgent
        try:
            os.setpriority(os.PRIO_PROCESS, 0, 0 if urgent else NICE_CALM)
        except OSError:
            self._urgent = False

    def _drain_log(self) -> None:
        lines, self._position = self._exchange.records_since(self._position)
        self._exchange.log_position = self._position
        for line in lines:
            try:
                os.write(LOG, b"lmkd: " + line + b"\n")
            except OSError:
                return  # nobody reads the log: the records stay in the ring

    def _open_events(self) -> int:
        try:
            descriptor = open_proc_events()
        except OSError as error:
            fields = (
                ("feature", "proc connector"),
                ("cost", f"processes are found by a slow scan ({error.strerror})"),
            )
            self._exchange.post("degraded", fields, "warning")
            return -1
        self._poll.register(descriptor, select.POLLIN)
        return descriptor


def helper_main(plan: Plan, exchange: Exchange, guard_pid: int) -> None:
    """The forked child's whole life."""
    exchange.become_helper()
    os.setpriority(os.PRIO_PROCESS, 0, NICE_CALM)
    Helper(plan, exchange, guard_pid).run()
