"""The synchronous client: every request as a method, and the notices as an iterator or by callbacks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from . import calls, codec
from .codec import AboutToKill, Event, Level, Link, Notice
from .errors import ClientError, NotAvailable
from .link import Connection
from .results import Change, Registration
from .retry import Retry, answer

T = TypeVar("T")


class Client:
    """lmkd at ``path``, for one thread (``stop`` may come from any). It need not run: nothing is connected here.

    ``timeout_ms`` is how long one answer may take. Methods raise NotAvailable when lmkd is not there, Refused when it
    says no, OddAnswer when it is something else; all are ClientError. ``register`` and ``subscribe`` do not raise
    NotAvailable: they answer None, are remembered, and are asked for again on each new connection, with ``retry``'s
    delays in ``notices`` and ``listen``.
    """

    def __init__(
        self, path: str = codec.DEFAULT_SOCKET, timeout_ms: int = 5_000, retry: Retry | None = None
    ) -> None:
        self._link = Connection(path, timeout_ms, retry)
        self._ask = self._link.ask
        self._follower: Client | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Connect now, if not connected. Raises NotAvailable."""
        self._link.connect()

    def close(self) -> None:
        """Close the connection. What was registered stays so until its process ends or ``unregister``."""
        self._link.close()

    def stop(self) -> None:
        """End ``notices``, ``listen`` and ``follow`` soon, from any thread or signal handler; for good."""
        self._link.stop()
        if self._follower is not None:
            self._follower.stop()

    # What reads.

    def status(self) -> dict[str, Any]:
        """The state of the service, keys with their units."""
        return self._ask(calls.status())

    def policy(self) -> list[dict[str, Any]]:
        """Every number of the policy, with the rule by which it came about."""
        return self._ask(calls.policy())

    def tmpfs(self) -> dict[str, Any]:
        """Memory in files: mounts, files, who holds them."""
        return self._ask(calls.tmpfs())

    def candidates(self) -> list[dict[str, Any]]:
        """Every process in the order in which it would be killed."""
        return self._ask(calls.candidates())

    def events(self, since: int = 0, names: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """What lmkd did, from record number ``since`` on, oldest first; with ``names`` only these."""
        return self._ask(calls.events(since, names))

    def metrics(self) -> str:
        """The numbers of the service as OpenMetrics text."""
        return self._ask(calls.metrics())

    def follow(self, since: int = 0, names: Iterable[str] | None = None) -> Iterator[dict[str, Any]]:
        """The records there are and those that come, on a connection of their own, until lmkd ends or ``stop``."""
        call = calls.events(since, names, follow=True)
        with Client(self._link.path, self._link.timeout_ms) as other:
            self._follower = other
            wire = other._link.connect()
            wire.send(codec.encode(call.op, 1, call.fields), self._link.timeout_ms)
            while not self._link.stopped.is_set():
                try:
                    reply = codec.decode(wire.receive(None) or b"")
                except NotAvailable:
                    if self._link.stopped.is_set():
                        return
                    raise
                if isinstance(reply, codec.Reply):
                    fields = answer(reply)
                    if "end" in fields:
                        return
                    yield call.read([fields])[0]

    # What changes something.

    def register(
        self,
        pid: int | None = None,
        name: str | None = None,
        priority: int | str | None = None,
        group: str | None = None,
        trim: bool | None = None,
        freeze: bool | None = None,
    ) -> Registration | None:
        """Make this process (or ``pid``) known: its importance, a class's name or a number of -1000..1000.

        ``trim``, ``freeze``: it may be paged out when idle, stopped for a while. Again: what is left out
        stays. None: lmkd is not there; it is done when ``notices`` (or any request) finds it.
        """
        call = calls.register(pid, name, priority, group, trim, freeze)
        made = None
        with contextlib.suppress(NotAvailable):
            made = self._ask(call)
        self._link.standing.register(call)
        return made

    def unregister(self, pid: int | None = None) -> None:
        """Forget the process, here and, if it is there, in lmkd."""
        self._link.standing.unregister(pid)
        with contextlib.suppress(NotAvailable):
            self._ask(calls.unregister(pid))

    def set_priority(self, pid: int, priority: int | str) -> Change:
        """Give a process a priority; one's own may only be made less important, unless one is root or in the group."""
        return self._ask(calls.set_priority(pid, priority))

    def clear(self, pid: int) -> Change:
        """Take back what ``set_priority`` or ``register`` gave."""
        self._link.standing.unregister(pid)
        return self._ask(calls.clear(pid))

    def trim(self, pid: int | None = None, kib: int | None = None) -> None:
        """Ask that idle memory (of one process) is paged out; the records tell what came of it."""
        self._ask(calls.trim(pid, kib))

    def kill(self, pid: int) -> None:
        """Ask that a process is ended by lmkd's own ways; the record tells when it has died."""
        self._ask(calls.kill(pid))

    def reload(self) -> None:
        """Ask that the configuration is read again; the records tell whether it was good."""
        self._ask(calls.reload())

    # Notices.

    def subscribe(self, levels: bool = True, events: Iterable[str] = ()) -> str | None:
        """From now on be told of levels and of the records named ("*": all); the present level, None: no lmkd yet."""
        names = tuple(events)
        try:
            level = self._ask(calls.subscribe(levels, names))
        except NotAvailable:
            self._link.standing.subscribe(levels, names)
            return None
        self._link.standing.subscribe(levels, names)
        return level

    def unsubscribe(self) -> None:
        """Be told of nothing more."""
        self._link.standing.subscription = None
        with contextlib.suppress(NotAvailable):
            self._ask(calls.unsubscribe())
        self._link.waiting.clear()

    def fileno(self) -> int:
        """The descriptor for an application's own poll loop; -1: not connected.

        When it is readable, and after each request (notices that came meanwhile are kept), take ``next_notice(0)``
        until it is None.
        """
        return -1 if self._link.wire is None else self._link.wire.fileno()

    def next_notice(self, timeout_ms: float | None = None) -> Notice | None:
        """The next notice; None when none comes in time (``timeout_ms`` None: waits). Raises NotAvailable: no link."""
        deadline_s = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        while (notice := self._link.next_kept()) is None:
            wire = self._link.connect()
            if len(self._link.waiting):
                continue
            left_ms = None if deadline_s is None else max(0.0, deadline_s - time.monotonic()) * 1000
            if not self._link.receive(wire, left_ms):
                return None
        return notice

    def notices(self) -> Iterator[Notice]:
        """Every notice until ``stop``: waits for an lmkd that is not there, comes back to one that was restarted.

        Never raises for what lmkd is or does. Each connection begins with a Link and, when levels are subscribed
        (this does it when nothing is), the present Level.
        """
        link = self._link
        if link.standing.subscription is None:
            self._begin()
        down = False
        while not link.stopped.is_set():
            if link.fresh:
                link.fresh = down = False
                yield Link(True, link.standing.refusal)
            elif (notice := link.next_kept()) is not None:
                yield notice
            else:
                try:
                    wire = link.connect()
                    if not (link.fresh or link.stopped.is_set()):
                        link.receive(wire, None)
                except ClientError as error:
                    if link.stopped.is_set():
                        return
                    if not down:
                        down = True
                        yield Link(False, str(error))
                    link.stopped.wait(link.retry.next_ms() / 1000)

    def _begin(self) -> None:
        """Subscribe to levels; what goes wrong is a Link's reason, not an error."""
        try:
            self.subscribe()
        except ClientError as error:
            self._link.standing.subscribe(True, ())
            self._link.standing.refusal = str(error)

    def listen(
        self,
        on_level: Callable[[Level], object] | None = None,
        on_about_to_kill: Callable[[AboutToKill], object] | None = None,
        on_event: Callable[[Event], object] | None = None,
        on_link: Callable[[Link], object] | None = None,
    ) -> None:
        """Call back for every notice until ``stop``; what a callback raises comes out here."""
        for notice in self.notices():
            if isinstance(notice, Level):
                _call(on_level, notice)
            elif isinstance(notice, AboutToKill):
                _call(on_about_to_kill, notice)
            elif isinstance(notice, Event):
                _call(on_event, notice)
            else:
                _call(on_link, notice)


def _call(callback: Callable[[T], object] | None, notice: T) -> None:
    if callback is not None:
        callback(notice)
