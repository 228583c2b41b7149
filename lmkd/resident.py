"""The resident processes: what the planner execs. Takes the plan, forks the helper, becomes the guard."""

from __future__ import annotations

import _signal
import gc
import os
import select
import sys

from lmkd.errors import LmkdError
from lmkd.guard.act import DryPort, RealPort
from lmkd.guard.exchange import STOP, Exchange
from lmkd.guard.loop import Guard
from lmkd.guard.observe import Observer, now_ms
from lmkd.guard.record import Recorder
from lmkd.guard.rehearse import rehearse
from lmkd.helper.main import helper_main
from lmkd.kernel.fault_meter import FaultMeter
from lmkd.kernel.memlock import lock_memory
from lmkd.kernel.notify import notify
from lmkd.kernel.psi import MEMORY, open_trigger
from lmkd.kernel.syscalls import Libc
from lmkd.plan import Plan, load_plan

REAL_TIME_PRIORITY = 20
HIGH_NICE = -15
FIRST_PERIOD_FAULTS = 8192
PLAN_BYTES_MAX = 1 << 20
HELPER_AGAIN_MS = 1000.0


class Resident:
    """Wires the guard, and owns the signals, the helper's life and the reload."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._libc = Libc()
        self._exchange = Exchange()
        self._recorder = Recorder(self._exchange)
        self._signals, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGCHLD):
            _signal.signal(number, _ignore)
        _write(f"{plan.proc}/self/oom_score_adj", b"-1000")
        self._helper = 0
        self._helper_due_ms = 0.0
        self._reload = Reload()
        meter = self._meter(plan)
        self._guard = Guard(
            plan,
            Observer(plan, meter),
            DryPort(plan.proc) if plan.dry_run else RealPort(plan.proc),
            self._recorder,
            self._exchange,
            meter,
        )
        self._guard.add_source(self._signals, "signal", select.EPOLLIN)
        self._guard.add_source(self._exchange.post_reader, "helper", select.EPOLLIN)

    def run(self) -> int:
        """Prepare, announce, and turn until told to stop. The exit code."""
        for event, fields, level in self._plan.notes:
            self._guard.note(event, fields, level)
        self._start_helper()
        self._open_triggers()
        self._settle_in()
        ready = False
        while True:
            causes = self._guard.turn()
            if "helper" in causes:
                for event, fields, level in self._exchange.posts():
                    self._guard.note(event, fields, level)
                    if event == "helper_started" and not ready:
                        ready = True
                        self._announce()
            if "signal" in causes and self._take_signals():
                return self._stop()
            if not self._helper and now_ms() >= self._helper_due_ms and self._guard.state.level != "critical":
                self._start_helper()

    def _meter(self, plan: Plan) -> FaultMeter | None:
        if not plan.settings.fault_meter:
            return None
        try:
            return FaultMeter(self._libc, plan.cpus, FIRST_PERIOD_FAULTS)
        except OSError as error:
            cost = f"sudden growth is seen later, by PSI and a shorter timer ({error.strerror})"
            self._recorder.write(_degraded("fault meter", cost), now_ms())
            return None

    def _open_triggers(self) -> None:
        path = f"{self._plan.proc}/{MEMORY}"
        for kind, stall_us in (("some", self._plan.some_us), ("full", self._plan.full_us)):
            try:
                descriptor = open_trigger(path, kind, stall_us, self._plan.window_us)
            except OSError as error:
                cost = f"stalls are seen by the timer only ({path}: {error.strerror})"
                self._recorder.write(_degraded(f"psi {kind}", cost), now_ms())
                continue
            self._guard.add_source(descriptor, f"psi_{kind}", select.EPOLLPRI)

    def _settle_in(self) -> None:
        """Touch what a kill will touch, then lock it, and take the priority that a rescue needs."""
        rehearse(self._plan, self._exchange)
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            lock_memory(self._libc)
        except OSError as error:
            self._recorder.write(
                _degraded("mlockall", f"the guard may wait for its own pages ({error.strerror})"), now_ms()
            )
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

    def _announce(self) -> None:
        ms = round(now_ms() - self._plan.started_ms)
        fields = (("ms", ms), ("pid", os.getpid()), ("helper", self._helper), ("dry_run", self._plan.dry_run))
        self._guard.note("ready", fields)
        self._guard.show()
        try:
            notify(self._plan.notify_socket, f"READY=1\nMAINPID={os.getpid()}")
        except OSError as error:
            self._guard.note("degraded", (("feature", "NOTIFY_SOCKET"), ("cost", str(error))), "warning")

    def _start_helper(self) -> None:
        guard_pid = os.getpid()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                _signal.set_wakeup_fd(-1)
                for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP):
                    _signal.signal(number, _signal.SIG_IGN)
                _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
                helper_main(self._plan, self._exchange, guard_pid)
                code = 0
            except Exception:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(code)
        self._helper = child

    def _take_signals(self) -> bool:
        """Look at the signals that came; True when told to stop."""
        numbers = set(os.read(self._signals, 64))
        if int(_signal.SIGCHLD) in numbers:
            self._collect()
        if int(_signal.SIGHUP) in numbers:
            self._reload.start(self._plan, self._guard)
        return bool(numbers & {int(_signal.SIGTERM), int(_signal.SIGINT)})

    def _collect(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self._helper:
                self._helper = 0
                self._helper_due_ms = now_ms() + HELPER_AGAIN_MS
                code = os.waitstatus_to_exitcode(status)
                if not self._reload.restarts_helper:
                    self._guard.note("helper_died", (("pid", pid), ("code", code)), "warning")
                else:
                    self._helper_due_ms = 0.0
                    self._reload.restarts_helper = False
            elif pid == self._reload.child:
                plan = self._reload.finish(status, self._guard)
                if plan is not None:
                    self._plan = plan
                    self._guard.adopt(plan)
                    self._exchange.ask(STOP)

    def _stop(self) -> int:
        self._guard.note("stop", (("store", self._plan.store_on_exit),))
        self._exchange.ask(STOP)
        if self._helper:
            os.waitpid(self._helper, 0)
        if self._plan.store_on_exit == "down" and not self._plan.dry_run:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            _write(f"{self._plan.proc}/self/oom_score_adj", b"0")
            program, *rest = self._plan.reload_argv
            os.execv(program, [program, *rest, "store", "down"])
        return 0


class Reload:
    """A planner run as a child: a bad file changes nothing, a good one gives the plan to go on by."""

    def __init__(self) -> None:
        self.child = 0
        self.restarts_helper = False
        self._output = -1

    def start(self, plan: Plan, guard: Guard) -> None:
        """Start the planner, unless one is at work."""
        if self.child:
            return
        self._output = os.memfd_create("lmkd-plan", 0)
        program, *rest = plan.reload_argv
        arguments = [program, *rest, "run", "--plan-to", str(self._output)]
        for path in plan.config_paths:
            arguments += ["--config", path]
        if plan.dry_run:
            arguments.append("--dry-run")
        try:
            self.child = os.posix_spawn(program, arguments, os.environ)
        except OSError as error:
            guard.note("reload_failed", (("reason", f"{program}: {error.strerror}"),), "error")
            os.close(self._output)

    def finish(self, status: int, guard: Guard) -> Plan | None:
        """The new plan, or None after recording why there is none."""
        self.child = 0
        data = os.pread(self._output, PLAN_BYTES_MAX, 0)
        os.close(self._output)
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            reason = data.decode("utf-8", "replace").strip() or f"the planner ended with {code}"
            guard.note("reload_failed", (("reason", reason[:1500]),), "error")
            return None
        try:
            plan = load_plan(data)
        except LmkdError as error:
            guard.note("reload_failed", (("reason", str(error)),), "error")
            return None
        self.restarts_helper = True
        guard.note("reload", (("rules", len(plan.rules)), ("files", plan.config_paths)))
        return plan


def main(plan_descriptor: int) -> None:
    """Become the guard by the plan in this descriptor; leaves through SystemExit."""
    data = os.pread(plan_descriptor, PLAN_BYTES_MAX, 0)
    os.close(plan_descriptor)
    sys.exit(Resident(load_plan(data)).run())


def _degraded(feature: str, cost: str):  # type: ignore[no-untyped-def]
    from lmkd.model import Note

    return Note("degraded", (("feature", feature), ("cost", cost)), "warning")


def _write(path: str, data: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(descriptor, data)
    except OSError:
        return
    finally:
        os.close(descriptor)


def _ignore(number: int, frame: object) -> None:
    """The wake-up descriptor carries the number; the handler only keeps the default action away."""
