"""The guard's process: wires the loop, and owns the signals, the helper's life, the reload and the end."""

from __future__ import annotations

import _signal
import gc
import os
import select
import sys

from lmkd.guard.act import DryPort, RealPort
from lmkd.guard.commands import KILL_ASKED, RELOAD, STOP
from lmkd.guard.exchange import Exchange
from lmkd.guard.loop import Guard
from lmkd.guard.observe import Observer
from lmkd.guard.record import Recorder
from lmkd.guard.rehearse import rehearse
from lmkd.guard.reload import Reload
from lmkd.guard.stores import Stores
from lmkd.kernel.clock import now_ms
from lmkd.kernel.fault_meter import FaultMeter
from lmkd.kernel.memlock import forget_clean_pages, join_pages, lock_memory, own_pages, trim_heap
from lmkd.kernel.psi import MEMORY, open_trigger
from lmkd.kernel.syscalls import Libc
from lmkd.model import Note
from lmkd.plan import Plan
from lmkd.resident.fork import await_child, fork_helper, write_file
from lmkd.resident.unmanaged import manager_of
from lmkd.values import replace

REAL_TIME_PRIORITY = 20
HIGH_NICE = -15
FIRST_PERIOD_KIB = 32 << 10
HELPER_AGAIN_MS, HELPER_AGAIN_MAX_MS = 1000.0, 60_000.0
"""A helper that died is started again after so long; each death soon after a start doubles it."""
HELPER_SETTLED_MS = 30_000.0
HELPER_STOP_MS = 2000.0
SETTLED_MS = 3000.0
"""So long after the start the guard has done its everyday work once."""


class Resident:
    """See the module. ``helper`` is the process id of the helper that is forked already, 0 if that failed."""

    def __init__(self, plan: Plan, exchange: Exchange, helper: int) -> None:
        self._libc = Libc()
        self._exchange = exchange
        self._recorder = Recorder(self._exchange)
        self._signals, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGCHLD):
            _signal.signal(number, _ignore)
        self._ready = False
        self._helper_due_ms = 0.0
        self._helper_again_ms = HELPER_AGAIN_MS
        self._helper_started_ms = now_ms()
        self._reload = Reload()
        self._manager = manager_of(plan)
        self._triggers: list[int] = []
        self._apart: list[tuple[int, int]] = []
        self._meter = meter = self._open_meter(plan)
        self._plan = plan = _without_meter(plan) if meter is None else plan
        self._observer = Observer(
            plan, meter, exchange.grower_ratio, exchange.grower, Stores(plan, exchange.stores, exchange.store_busy)
        )
        self._guard = Guard(
            plan,
            self._observer,
            DryPort(plan.proc) if plan.dry_run else RealPort(plan.proc, self._libc),
            self._recorder,
            self._exchange,
            meter,
        )
        self._guard.helper = helper
        self._guard.add_source(self._signals, "signal", select.EPOLLIN)
        self._guard.add_source(self._exchange.post_reader, "helper", select.EPOLLIN)

    def run(self) -> int:
        """Prepare, announce, and turn until told to stop. The exit code."""
        for event, fields, level in self._plan.notes:
            self._guard.note(event, fields, level)
        self._open_triggers()
        self._settle_in()
        while True:
            causes = self._guard.turn()
            self._guard.look_by(self._manager.alive(now_ms(), self._guard.state))
            self._join_pages()
            if "helper" in causes:
                self._take_posts()
            if "signal" in causes and self._take_signals():
                return self._stop()
            if not self._guard.helper and now_ms() >= self._helper_due_ms and self._guard.state.level != "critical":
                self._start_helper()
                self._keep_memory()

    def _take_posts(self) -> None:
        """Record what the helper says, and act on what of it is for us."""
        for event, fields, level in self._exchange.posts():
            self._guard.note(event, fields, level)
            if event == KILL_ASKED:
                self._ask_kill(dict(fields))
            elif event == "helper_started" and not self._ready:
                self._ready = True
                self._announce()

    def _open_meter(self, plan: Plan) -> FaultMeter | None:
        if not plan.settings.fault_meter:
            return None
        try:
            return FaultMeter(self._libc, plan.cpus, FIRST_PERIOD_KIB // plan.page_kib)
        except OSError as error:
            cost = f"sudden growth is seen later, by PSI and a shorter timer ({error.strerror})"
            self._recorder.write(_degraded("fault meter", cost), now_ms())
            return None

    def _open_triggers(self) -> None:
        """Arm both PSI triggers as the plan says, in place of those that were armed before."""
        for descriptor in self._triggers:
            self._guard.drop_source(descriptor)
            os.close(descriptor)
        self._triggers = []
        path = f"{self._plan.proc}/{MEMORY}"
        for kind, stall_us in (("some", self._plan.some_us), ("full", self._plan.full_us)):
            try:
                descriptor = open_trigger(path, kind, stall_us, self._plan.window_us)
            except OSError as error:
                cost = f"stalls are seen by the timer only ({path}: {error.strerror})"
                self._recorder.write(_degraded(f"psi {kind}", cost), now_ms())
                continue
            self._triggers.append(descriptor)
            self._guard.add_source(descriptor, f"psi_{kind}", select.EPOLLPRI)

    def _settle_in(self) -> None:
        """Touch what a kill will touch, then lock it, and take the priority that a rescue needs."""
        sys.path_importer_cache.clear()  # all file names of the import path; the next import lists them anew
        gc.collect()
        trim_heap(self._libc)
        self._apart = forget_clean_pages(self._libc, self._plan.proc, self._plan.page_kib * 1024)
        rehearse(self._plan, self._exchange, self._observer, self._meter)
        gc.collect()
        gc.freeze()
        gc.disable()
        self._keep_memory()
        flag = getattr(os, "SCHED_RESET_ON_FORK", 0)
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO | flag, os.sched_param(REAL_TIME_PRIORITY))
        except OSError as error:
            self._recorder.write(
                _degraded("real-time priority", f"late under load ({error.strerror})"), now_ms()
            )
            try:
                os.setpriority(os.PRIO_PROCESS, 0, HIGH_NICE)
            except OSError:
                return

    def _keep_memory(self) -> None:
        """Own and lock every page that there is; after each fork again, which made them all shared."""
        try:
            own_pages(self._libc, self._plan.proc, self._plan.page_kib * 1024)
            lock_memory(self._libc)
        except OSError as error:
            self._recorder.write(
                _degraded("mlockall", f"the guard may wait for its own pages ({error.strerror})"), now_ms()
            )

    def _join_pages(self) -> None:
        """Once the first everyday turns are done, with samples and page faults: nothing more is to come by pages."""
        if not self._apart:
            return
        if now_ms() < self._helper_started_ms + SETTLED_MS:
            self._guard.look_by(self._helper_started_ms + SETTLED_MS)
            return
        join_pages(self._libc, self._apart)
        self._apart = []

    def _ask_kill(self, fields: dict[str, object]) -> None:
        """An input of the next step, which is taken at once."""
        pid, start = fields.get("pid"), fields.get("start")
        if isinstance(pid, int) and isinstance(start, int):
            self._observer.ask_kill(pid, start)
            self._guard.show()

    def _announce(self) -> None:
        ms = round(now_ms() - self._plan.started_ms)
        fields = (("ms", ms), ("pid", os.getpid()), ("helper", self._guard.helper), ("dry_run", self._plan.dry_run))
        self._guard.note("ready", fields)
        self._guard.show()
        self._manager.ready("guarding")

    def _start_helper(self) -> None:
        try:
            self._guard.helper = fork_helper(self._plan, self._exchange)
        except OSError as error:
            self._helper_due_ms = now_ms() + HELPER_AGAIN_MS
            cost = f"no helper for now: the candidates are not kept up to date ({error.strerror})"
            self._guard.note("degraded", (("feature", "fork"), ("cost", cost)), "warning")
            return
        self._helper_started_ms = now_ms()

    def _take_signals(self) -> bool:
        """Look at the signals that came; True when told to stop."""
        numbers = set(os.read(self._signals, 64))
        if int(_signal.SIGCHLD) in numbers:
            self._collect()
        if int(_signal.SIGHUP) in numbers:
            self._start_reload()
        return bool(numbers & {int(_signal.SIGTERM), int(_signal.SIGINT)})

    def _collect(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self._guard.helper:
                self._guard.helper = 0
                self._exchange.set_store_busy(False)
                self._helper_ended(pid, os.waitstatus_to_exitcode(status))
            elif pid == self._reload.child:
                plan = self._reload.finish(status, self._guard)
                if plan is not None:
                    self._plan = plan if self._plan.settings.fault_meter else _without_meter(plan)
                    self._guard.adopt(self._plan)
                    self._open_triggers()
                    self._tell_helper(RELOAD, self._reload.given)
                if self._reload.asked_again:
                    self._start_reload()
                else:
                    self._manager.ready(f"guarding by the {'new' if plan else 'old'} configuration")

    def _start_reload(self) -> None:
        self._manager.reloading(now_ms())
        self._reload.start(self._plan, self._guard)
        if not self._reload.child:
            self._manager.ready("guarding by the old configuration")

    def _helper_ended(self, pid: int, code: int) -> None:
        """Say when it may start again: later and later."""
        t_ms = now_ms()
        if t_ms - self._helper_started_ms >= HELPER_SETTLED_MS:
            self._helper_again_ms = HELPER_AGAIN_MS
        self._helper_due_ms = t_ms + self._helper_again_ms
        self._helper_again_ms = min(HELPER_AGAIN_MAX_MS, 2 * self._helper_again_ms)
        self._guard.look_by(self._helper_due_ms)
        self._guard.note("helper_died", (("pid", pid), ("code", code)), "warning")

    def _tell_helper(self, operation: int, argument: int = 0) -> None:
        """What must not be lost; one that takes no more commands has hung."""
        if self._guard.helper and not self._exchange.ask(operation, 0, argument):
            os.kill(self._guard.helper, _signal.SIGKILL)

    def _stop(self) -> int:
        self._manager.stopping()
        self._guard.note("stop", (("store", self._plan.store_on_exit),))
        self._tell_helper(STOP)
        if self._guard.helper:
            await_child(self._guard.helper, HELPER_STOP_MS)
        if not self._plan.dry_run:
            self._thaw()
        if self._plan.store_on_exit == "down" and not self._plan.dry_run:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            write_file(f"{self._plan.proc}/self/oom_score_adj", b"0")
            program, *rest = self._plan.reload_argv
            os.execv(program, [program, *rest, "store", "down"])
        return 0

    def _thaw(self) -> None:
        """A helper that did not end by itself has left lists of those that it stopped, slowed and raised."""
        from lmkd.helper.front import Front
        from lmkd.helper.reniced import Reniced
        from lmkd.helper.stopped import Stopped

        proc, folder, report = self._plan.proc, self._plan.run_dir, self._guard.note
        Stopped(proc, folder, RealPort(proc, self._libc), report).thaw_left()
        Front(proc, folder, report).restore_left()
        Reniced(proc, folder, lambda: (), report).restore_left()


def _degraded(feature: str, cost: str) -> Note:
    return Note("degraded", (("feature", feature), ("cost", cost)), "warning")


def _without_meter(plan: Plan) -> Plan:
    return replace(plan, settings=replace(plan.settings, fault_meter=False))


def _ignore(number: int, frame: object) -> None:
    """The wake-up descriptor carries the number; the handler only keeps the default action away."""
