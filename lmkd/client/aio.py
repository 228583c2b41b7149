"""The asyncio client: the same requests as ``Client``'s as coroutines, the notices as an asynchronous iterator."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Any, TypeVar

from . import calls, codec
from .aio_link import AsyncConnection, dial
from .codec import AboutToKill, Event, Level, Link, Notice
from .errors import ClientError, NotAvailable
from .results import Change, Registration
from .retry import Retry, answer
from .wire import broken

T = TypeVar("T")


class AsyncClient:
    """lmkd at ``path``, for the tasks of one event loop. It need not run: nothing is connected here.

    What ``Client`` says of ``timeout_ms``, ``retry`` and errors holds here too. Several tasks may ask at once; one of
    them may take notices. To end ``notices`` or ``listen``, cancel the task.
    """

    def __init__(
        self, path: str = codec.DEFAULT_SOCKET, timeout_ms: int = 5_000, retry: Retry | None = None
    ) -> None:
        self._link = AsyncConnection(path, timeout_ms, retry)
        self._ask = self._link.ask

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def connect(self) -> None:
        """Connect now, if not connected. Raises NotAvailable."""
        await self._link.connect()

    def close(self) -> None:
        """Close the connection. What was registered stays so until its process ends or ``unregister``."""
        self._link.close()

    # What reads.

    async def status(self) -> dict[str, Any]:
        """The state of the service, keys with their units."""
        return await self._ask(calls.status())

    async def policy(self) -> list[dict[str, Any]]:
        """Every number of the policy, with the rule by which it came about."""
        return await self._ask(calls.policy())

    async def tmpfs(self) -> dict[str, Any]:
        """Memory in files: mounts, files, who holds them."""
        return await self._ask(calls.tmpfs())

    async def candidates(self) -> list[dict[str, Any]]:
        """Every process in the order in which it would be killed."""
        return await self._ask(calls.candidates())

    async def events(self, since: int = 0, names: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """What lmkd did, from record number ``since`` on, oldest first; with ``names`` only these."""
        return await self._ask(calls.events(since, names))

    async def metrics(self) -> str:
        """The numbers of the service as OpenMetrics text."""
        return await self._ask(calls.metrics())

    async def follow(self, since: int = 0, names: Iterable[str] | None = None) -> AsyncIterator[dict[str, Any]]:
        """The records there are and those that come, on a connection of their own, until lmkd ends."""
        call = calls.events(since, names, follow=True)
        loop = asyncio.get_running_loop()
        path = self._link.path
        with await dial(path, self._link.timeout_ms) as own:
            try:
                await loop.sock_sendall(own, codec.encode(call.op, 1, call.fields))
                while message := await loop.sock_recv(own, codec.REPLY_LIMIT_BYTES + 1):
                    reply = codec.decode(message)
                    if isinstance(reply, codec.Reply):
                        fields = answer(reply)
                        if "end" in fields:
                            return
                        yield call.read([fields])[0]
            except OSError as error:
                raise broken(path, error) from error
        raise NotAvailable(f"lmkd at {path} ended the connection")

    # What changes something.

    async def register(
        self,
        pid: int | None = None,
        name: str | None = None,
        priority: int | str | None = None,
        group: str | None = None,
        trim: bool | None = None,
        freeze: bool | None = None,
    ) -> Registration | None:
        """As ``Client.register``: None when lmkd is not there; it is done when it is."""
        call = calls.register(pid, name, priority, group, trim, freeze)
        made = None
        with contextlib.suppress(NotAvailable):
            made = await self._ask(call)
        self._link.standing.register(call)
        return made

    async def unregister(self, pid: int | None = None) -> None:
        """Forget the process, here and, if it is there, in lmkd."""
        self._link.standing.unregister(pid)
        with contextlib.suppress(NotAvailable):
            await self._ask(calls.unregister(pid))

    async def set_priority(self, pid: int, priority: int | str) -> Change:
        """Give a process a priority; one's own may only be made less important, unless one is root or in the group."""
        return await self._ask(calls.set_priority(pid, priority))

    async def clear(self, pid: int) -> Change:
        """Take back what ``set_priority`` or ``register`` gave."""
        self._link.standing.unregister(pid)
        return await self._ask(calls.clear(pid))

    async def trim(self, pid: int | None = None, kib: int | None = None) -> None:
        """Ask that idle memory (of one process) is paged out; the records tell what came of it."""
        await self._ask(calls.trim(pid, kib))

    async def kill(self, pid: int) -> None:
        """Ask that a process is ended by lmkd's own ways; the record tells when it has died."""
        await self._ask(calls.kill(pid))

    async def reload(self) -> None:
        """Ask that the configuration is read again; the records tell whether it was good."""
        await self._ask(calls.reload())

    # Notices.

    async def subscribe(self, levels: bool = True, events: Iterable[str] = ()) -> str | None:
        """From now on be told of levels and of the records named ("*": all); the present level, None: no lmkd yet."""
        names = tuple(events)
        try:
            level = await self._ask(calls.subscribe(levels, names))
        except NotAvailable:
            self._link.standing.subscribe(levels, names)
            return None
        self._link.standing.subscribe(levels, names)
        return level

    async def unsubscribe(self) -> None:
        """Be told of nothing more."""
        self._link.standing.subscription = None
        with contextlib.suppress(NotAvailable):
            await self._ask(calls.unsubscribe())
        self._link.waiting.clear()

    async def notices(self) -> AsyncIterator[Notice]:
        """Every notice, without end: waits for an lmkd that is not there, comes back to one that was restarted.

        Never raises for what lmkd is or does. Each connection begins with a Link and, when levels are subscribed
        (this does it when nothing is), the present Level.
        """
        link = self._link
        if link.standing.subscription is None:
            await self._begin()
        down = False
        while True:
            if link.fresh:
                link.fresh = down = False
                yield Link(True, link.standing.refusal)
            elif (notice := link.waiting.take()) is not None:
                yield notice
            else:
                try:
                    await link.connect()
                    if not link.fresh:
                        await link.wait()
                except ClientError as error:
                    if not down:
                        down = True
                        yield Link(False, str(error))
                    await asyncio.sleep(link.retry.next_ms() / 1000)

    async def _begin(self) -> None:
        """Subscribe to levels; what goes wrong is a Link's reason, not an error."""
        try:
            await self.subscribe()
        except ClientError as error:
            self._link.standing.subscribe(True, ())
            self._link.standing.refusal = str(error)

    async def listen(
        self,
        on_level: Callable[[Level], object] | None = None,
        on_about_to_kill: Callable[[AboutToKill], object] | None = None,
        on_event: Callable[[Event], object] | None = None,
        on_link: Callable[[Link], object] | None = None,
    ) -> None:
        """Call back for every notice, await what a callback returns if that can be; what it raises comes out here."""
        async for notice in self.notices():
            if isinstance(notice, Level):
                await _call(on_level, notice)
            elif isinstance(notice, AboutToKill):
                await _call(on_about_to_kill, notice)
            elif isinstance(notice, Event):
                await _call(on_event, notice)
            else:
                await _call(on_link, notice)


async def _call(callback: Callable[[T], object] | None, notice: T) -> None:
    if callback is not None:
        result = callback(notice)
        if inspect.isawaitable(result):
            await result
