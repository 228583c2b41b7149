"""The guard's loop: wait for the kernel, observe, decide, act, record; one epoll, every wait a deadline."""

from __future__ import annotations

import select

from lmkd.errors import KernelInterfaceError
from lmkd.guard.act import NICE_FRONT
from lmkd.guard.commands import DRAIN_LOG, GROUP, GROUP_KILL, HOOK, KILLED, NOTIFY, REAP, command_of
from lmkd.guard.notes import kill_note, reason_of
from lmkd.guard.status import status_line
from lmkd.kernel.clock import now_ms
from lmkd.model import Escalate, Kill, Limit, Note, Reap, Victim
from lmkd.policy.pressure import LEVELS
from lmkd.policy.step import State, step
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.guard.act import Handle, Port
    from lmkd.guard.exchange import Exchange
    from lmkd.guard.observe import Observer
    from lmkd.guard.record import Recorder
    from lmkd.kernel.fault_meter import FaultMeter
    from lmkd.model import Action, Sample
    from lmkd.plan import Plan

LOSABLE = ("psi_some", "psi_full", "faults")
DRY_DEATH_MS = 1000.0
READ_ERROR_EVERY_MS = 10_000.0
EASY = ("calm", "low")
AGAIN_MS = 4.0
SHOW_EVERY_MS = 500.0
"""The status is made at most so often: it costs as much as a decision."""
SHOW_AFTER_MS = 20.0
"""So long after a change for the better it shows that."""


class Guard:
    """Owns the loop's state. ``sources`` maps a descriptor to the name of the cause that it stands for."""

    def __init__(
        self,
        plan: Plan,
        observer: Observer,
        port: Port,
        recorder: Recorder,
        exchange: Exchange,
        meter: FaultMeter | None,
        again_ms: float = AGAIN_MS,
    ) -> None:
        self.plan = plan
        self._observer = observer
        self._port = port
        self._recorder = recorder
        self._exchange = exchange
        self._notices = exchange.notices
        self._meter = meter
        self._again_ms = again_ms
        self._epoll = select.epoll()
        self._sources: dict[int, str] = {}
        self._handles: dict[int, Handle] = {}
        self._held: dict[int, Handle] = {}
        self._gone: list[int] = []
        self._pretended: list[tuple[float, Handle]] = []
        self._due_ms = 0.0
        self._stepped_ms = 0.0
        self._shown_ms = -SHOW_EVERY_MS
        self._complained_ms = -READ_ERROR_EVERY_MS
        self.state = State()
        self.helper = 0
        """Process id of the helper, 0 when there is none."""
        self.wakeups = 0
        if meter is not None:
            for descriptor in meter.descriptors:
                self.add_source(descriptor, "faults", select.EPOLLIN)

    def add_source(self, descriptor: int, cause: str, events: int) -> None:
        """Let this descriptor wake the loop, and name the cause."""
        self._sources[descriptor] = cause
        self._epoll.register(descriptor, events)

    def drop_source(self, descriptor: int) -> None:
        """Let a descriptor no longer wake the loop."""
        if self._sources.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def _lose(self, descriptor: int, cause: str) -> None:
        """A trigger that the kernel took away would wake us without end: go on without it."""
        self.drop_source(descriptor)
        cost = "sudden growth is seen later" if cause == "faults" else "stalls are seen by the timer only"
        if cause == "faults":
            self.plan = replace(self.plan, settings=replace(self.plan.settings, fault_meter=False))
        self.note("degraded", (("feature", cause), ("cost", f"the kernel took it away: {cost}")), "warning")

    def look_by(self, t_ms: float) -> None:
        """Turn at this time at the latest."""
        self._due_ms = min(self._due_ms, t_ms)

    def note(self, event: str, fields: tuple[tuple[str, object], ...], level: str = "info") -> None:
        """Record something that is not a decision, and have the helper write it out."""
        self._recorder.write(Note(event, fields, level), now_ms())
        self._exchange.ask(DRAIN_LOG)

    def show(self) -> None:
        """Take a step at the next turn, so that there is a status to show."""
        self._due_ms = 0.0

    def turn(self) -> list[str]:
        """One turn: wait until something happens or the time is up, then one step. Returns what woke it."""
        causes = self._wait()
        woke_ms = now_ms()
        self.wakeups += 1
        if woke_ms < self._due_ms and not any(cause not in ("signal", "helper") for cause in causes):
            return causes
        if woke_ms < min(self._due_ms, self._stepped_ms + self._again_ms) and causes == ["faults"]:
            # A period that was changed expires at the next fault: what it would tell was just seen.
            self._observer.pass_over()
            return causes
        self._step(causes, woke_ms)
        return causes

    def _wait(self) -> list[str]:
        timeout = max(0.0, self._due_ms - now_ms()) / 1000
        if any(handle.descriptor < 0 for handle in self._held.values()):
            timeout = min(timeout, 0.01)
        causes = []
        for descriptor, events in self._epoll.poll(timeout):
            handle = self._handles.get(descriptor)
            if handle is not None:
                self._gone.append(handle.pid)
                self._forget(handle)
                causes.append("death")
                continue
            causes.append(self._sources.get(descriptor, "unknown"))
            if events & (select.EPOLLERR | select.EPOLLHUP) and causes[-1] in LOSABLE:
                self._lose(descriptor, causes[-1])
        self._pretend()
        for handle in [one for one in self._held.values() if one.descriptor < 0 and not self._port.alive(one)]:
            self._gone.append(handle.pid)
            self._forget(handle)
        return causes or ["timer"]

    def _step(self, causes: list[str], woke_ms: float) -> None:
        cause = causes[0]
        calm = self.state.level == "calm" and cause in ("timer", "faults") and not self._gone
        gone, self._gone = tuple(self._gone), []
        held = self._exchange.tmpfs_answer() if self.state.tmpfs.asked_ms >= 0 else None
        try:
            sample = self._observer.sample(cause, calm, gone, held)
        except KernelInterfaceError as error:
            self._gone[:0] = gone
            self._due_ms = woke_ms + 100.0
            if woke_ms - self._complained_ms >= READ_ERROR_EVERY_MS:
                self._complained_ms = woke_ms
                self.note("degraded", (("feature", "meminfo"), ("cost", str(error))), "error")
            return
        before = self.state.level
        self.state, actions, wake = step(self.state, sample, self.plan.settings, self._exchange.table())
        self._due_ms = sample.t_ms + wake.after_ms
        self._stepped_ms = now_ms()
        short = self.plan.settings.renice and (self.state.level != "calm" or self.state.trimming)
        self._port.nice = NICE_FRONT if short else 0
        for action in actions:
            self._perform(action, woke_ms)
        changed = before != self.state.level
        if changed:
            self._notices.tell_level(before, self.state, sample.t_ms, reason_of(actions))
            if self.helper and self.state.room.free_kib < 0:  # a crowd reclaims, and what is in front is to go first
                self._port.hasten(self.helper)
            self._exchange.ask(NOTIFY, 0, LEVELS.index(self.state.level))
        if self._meter is not None and wake.faults:
            try:
                self._meter.set_period(wake.faults)
            except OSError as error:
                self.note("degraded", (("feature", "fault meter"), ("cost", str(error))), "warning")
                self._meter = None
        self._show(sample, changed)
        if any(isinstance(action, (Note, Kill, Escalate, Limit)) for action in actions):
            self._exchange.ask(DRAIN_LOG)

    def _show(self, sample: Sample, changed: bool) -> None:
        """Write the status: not while a decision is made, which costs as much, nor while others wait for the level."""
        if changed:
            self._shown_ms = -SHOW_EVERY_MS
            if self.state.level in EASY:  # else it can wait for the next turn
                self.look_by(sample.t_ms + SHOW_AFTER_MS)
        elif sample.t_ms - self._shown_ms >= SHOW_EVERY_MS and self.state.flight is None:
            self._shown_ms = sample.t_ms
            self._exchange.write_status(status_line(self.state, self.plan, self.wakeups, sample, self._recorder.counts))

    def _perform(self, action: Action, woke_ms: float) -> None:
        if isinstance(action, Kill):
            self._kill(action, woke_ms)
        elif isinstance(action, Note):
            self._recorder.write(action, now_ms())
        elif isinstance(action, Escalate):
            self._escalate(action)
        elif isinstance(action, Reap):
            self._reap(action)
        elif isinstance(action, Limit):
            self._limit(action)
        else:
            self._exchange.ask(*command_of(action))

    def _limit(self, action: Limit) -> None:
        path = self._observer.stores.limit_path
        if path:  # else the policy asks again
            numbers = (*action.numbers, ("refused", self._port.limit(path, action.kib)))
            self._recorder.write(Note("store_limit", numbers), now_ms())

    def _reap(self, action: Reap) -> None:
        if self.plan.dry_run:
            return
        handle = self._held.get(action.pid)
        if not action.here:
            self._exchange.ask(REAP, action.pid)
        elif handle is not None:
            started_ms = now_ms()
            fields = (("pid", action.pid), ("by", "guard"), ("outcome", self._port.release(handle)))
            t_ms = now_ms()
            self._recorder.write(Note("reap", (*fields, ("ms", round(t_ms - started_ms, 1))), "warning"), t_ms)

    def _kill(self, kill: Kill, woke_ms: float) -> None:
        """Signal every victim first, then write the records: each of these costs as much as a signal."""
        notes = [self._signal(kill, victim, woke_ms) for victim in kill.victims]
        if self.helper:
            self._port.hasten(self.helper)
        signalled = [victim for victim in kill.victims if victim.pid in self._held]
        for victim in signalled:
            self._port.hasten(victim.pid)
        if not self.plan.dry_run:
            self._notices.tell_kill(kill, signalled, self.state, woke_ms)
        for note in notes:
            self._recorder.write(note, now_ms())

    def _signal(self, kill: Kill, victim: Victim, woke_ms: float) -> Note:
        handle = self._port.open(victim)
        refused = "it is gone, or the process id is another's now"
        if handle is not None:
            refused = self._port.signal(handle, kill.signal)
            if not refused:
                self._hold(handle)
                self._tell_helper(victim, kill.signal)
                return kill_note(kill, victim, self.plan, (now_ms() - woke_ms) * 1000)
            self._port.close(handle)
        # For the policy it is gone: what it would have returned shows in the next sample, or does not.
        self._gone.append(victim.pid)
        self._due_ms = 0.0
        return Note("refusal", (("pid", victim.pid), ("name", victim.name), ("reason", refused)), "warning")

    def _tell_helper(self, victim: Victim, signal: str, again: bool = False) -> None:
        """Whom we ended; and what its rule asks for besides the signal: the rest of its group, and its hook."""
        if not again and not self.plan.dry_run:
            self._exchange.ask(KILLED, victim.pid, int(now_ms()))
        if not 0 <= victim.rule < len(self.plan.rules) or self.plan.dry_run:
            return
        rule = self.plan.rules[victim.rule]
        if rule.group != "process":
            self._exchange.ask(GROUP, victim.pid, victim.rule | (GROUP_KILL if signal == "SIGKILL" else 0))
        if rule.on_kill and not again:
            self._exchange.ask(HOOK, victim.pid, victim.rule)

    def _escalate(self, action: Escalate) -> None:
        for victim in action.victims:
            handle = self._held.get(victim.pid)
            refused = self._port.signal(handle, "SIGKILL") if handle is not None else "it is no longer held"
            self._tell_helper(victim, "SIGKILL", again=True)
            who = (("pid", victim.pid), ("name", victim.name), ("signal", "SIGKILL"))
            fields = (*who, ("reason", action.reason), ("refused", refused))
            self._recorder.write(Note("escalate", fields, "warning"), now_ms())

    def _hold(self, handle: Handle) -> None:
        self._held[handle.pid] = handle
        if self.plan.dry_run:
            self._pretended.append((now_ms() + DRY_DEATH_MS, handle))
        elif handle.descriptor >= 0:
            self._handles[handle.descriptor] = handle
            self._epoll.register(handle.descriptor, select.EPOLLIN)

    def _pretend(self) -> None:
        """In a dry run a victim counts as dead a while after its decision, so that the decisions stay readable."""
        while self._pretended and self._pretended[0][0] <= now_ms():
            handle = self._pretended.pop(0)[1]
            self._gone.append(handle.pid)
            self._forget(handle)

    def _forget(self, handle: Handle) -> None:
        self._held.pop(handle.pid, None)
        if self._handles.pop(handle.descriptor, None) is not None:
            self._epoll.unregister(handle.descriptor)
        self._port.close(handle)

    def adopt(self, plan: Plan) -> None:
        """Go on by a new plan; what was learned and what is in flight stays."""
        self.plan = plan
        self._observer.stores.own_max_kib = plan.settings.store_limit_max_kib
        self.state = replace(self.state, refreshed_ms=-1e9)
        self._due_ms = 0.0
