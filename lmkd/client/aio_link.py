"""The asyncio connection below ``AsyncClient``: replies go to the requests that wait, notices are kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from typing import Any, TypeVar

from . import codec
from .calls import Call
from .codec import Level, Notice
from .errors import ClientError, NotAvailable, OddAnswer, Refused
from .retry import Retry, Standing, Waiting, answer, tells_level
from .wire import BUSY_S, broken, new_socket, try_connect

T = TypeVar("T")
_AT_ONCE = 64
"""Messages taken in one turn of the loop: a flood must not keep the application from its other work."""
Answers = asyncio.Queue[codec.Reply | ClientError]


class AsyncConnection:
    """At most one connection to lmkd in one event loop; requests of several tasks may be on it at once.

    asyncio has no transport for SOCK_SEQPACKET (``create_unix_connection`` takes streams only): the loop's
    ``add_reader`` it is.
    """

    def __init__(self, path: str, timeout_ms: int, retry: Retry | None) -> None:
        self.path = path
        self.timeout_ms = timeout_ms
        self.retry = retry or Retry(spread=os.getpid() % 64 / 63)
        self.standing = Standing()
        self.waiting = Waiting()
        self.fresh = False
        """Made since this was last looked at."""
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loss: ClientError = NotAvailable("not connected")
        self._made_s = 0.0
        self._number = 0
        self._asked: dict[int, tuple[Call[Any], Answers]] = {}
        self._connecting = asyncio.Lock()
        self._something = asyncio.Event()

    @property
    def connected(self) -> bool:
        """There is a connection, as far as is known."""
        return self._socket is not None

    async def connect(self) -> None:
        """Connect if not connected, and ask for all that stands. Raises NotAvailable."""
        async with self._connecting:
            if self._socket is not None:
                return
            self._socket = await dial(self.path, self.timeout_ms)
            self._loop = asyncio.get_running_loop()
            self._made_s = time.monotonic()
            self._loop.add_reader(self._socket, self._read)
            self.standing.refusal = ""
            try:
                for call in self.standing.again():
                    try:
                        await self._exchange(call)
                    except Refused as refusal:
                        self.standing.refuse(call, str(refusal))
            except BaseException:
                # Also when the task is cancelled: a connection on which less was asked for would stay silent.
                self.close()
                raise
            self.fresh = True

    def close(self, loss: ClientError | None = None) -> None:
        """Close the connection, if there is one; whoever waits for an answer gets ``loss``."""
        if self._socket is None:
            return
        self._loss = loss or NotAvailable(f"the connection to lmkd at {self.path} was closed")
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        self.fresh = False
        self.retry.lasted((time.monotonic() - self._made_s) * 1000)
        for _, answers in self._asked.values():
            answers.put_nowait(self._loss)
        self._something.set()

    async def ask(self, call: Call[T]) -> T:
        """The answer to one request. Raises ClientError; a connection that lmkd has left is replaced before its use."""
        had = self._socket is not None
        await self.connect()
        try:
            return await self._exchange(call)
        except _NotSentError:
            if not had:
                raise
        await self.connect()
        return await self._exchange(call)

    async def wait(self) -> None:
        """Until a notice is kept. Raises ClientError when the connection is lost."""
        while not len(self.waiting):
            if self._socket is None:
                raise self._loss
            self._something.clear()
            await self._something.wait()

    async def _exchange(self, call: Call[T]) -> T:
        self._number += 1
        number, answers = self._number, Answers()
        message = codec.encode(call.op, number, call.fields)
        self._asked[number] = call, answers
        try:
            await self._send(message)
            return call.read(await self._replies(call, answers))
        except Refused:
            raise
        except ClientError as error:
            self.close(error)
            raise
        finally:
            del self._asked[number]

    async def _send(self, message: bytes) -> None:
        if self._socket is None:
            raise _NotSentError(str(self._loss))
        try:
            sending = asyncio.get_running_loop().sock_sendall(self._socket, message)
            await asyncio.wait_for(sending, self.timeout_ms / 1000)
        except OSError as error:
            raise _NotSentError(str(broken(self.path, error))) from error

    async def _replies(self, call: Call[Any], answers: Answers) -> list[dict[str, Any]]:
        replies: list[dict[str, Any]] = []
        while True:
            try:
                reply = await asyncio.wait_for(answers.get(), self.timeout_ms / 1000)
            except TimeoutError as error:
                text = f"lmkd at {self.path} did not answer {call.op} within {self.timeout_ms} ms"
                raise NotAvailable(text) from error
            if isinstance(reply, ClientError):
                raise reply
            fields = answer(reply)
            if call.in_parts and "end" in fields:
                return replies
            replies.append(fields)
            if not call.in_parts:
                return replies

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            if self._socket is None:
                return
            try:
                self._sort(codec.decode(receive(self._socket, self.path)))
            except BlockingIOError:
                return
            except ClientError as error:
                self.close(error)

    def _sort(self, message: codec.Reply | Notice | None) -> None:
        """Notices are kept; a refusal of no request is of the connection: NotAvailable."""
        if isinstance(message, codec.Reply):
            if message.number is None and message.error is not None:
                raise NotAvailable(f"lmkd at {self.path} refused: {message.error}")
            if isinstance(message.number, int) and message.number in self._asked:
                call, answers = self._asked[message.number]
                answers.put_nowait(message)
                self._keep_told(call, message)
        elif message is not None:
            self._keep(message)

    def _keep_told(self, call: Call[Any], reply: codec.Reply) -> None:
        """Here and not where the answer is awaited: a change may be the next message, and must come after it."""
        if tells_level(call) and reply.error is None:
            with contextlib.suppress(OddAnswer):
                self._keep(Level(call.read([reply.fields]), self.standing.level))

    def _keep(self, notice: Notice) -> None:
        if isinstance(notice, Level):
            self.standing.level = notice.level
        self.waiting.put(notice)
        self._something.set()


class _NotSentError(NotAvailable):
    """Not even sent: asking again cannot do anything twice."""


async def dial(path: str, timeout_ms: float) -> socket.socket:
    """A connected socket. Raises NotAvailable when there is nobody within the time."""
    made = new_socket()
    deadline_s = time.monotonic() + timeout_ms / 1000
    try:
        while not try_connect(made, path):
            if time.monotonic() >= deadline_s:
                raise NotAvailable(f"lmkd at {path} takes no connection within {timeout_ms:.0f} ms")
            await asyncio.sleep(BUSY_S)
    except BaseException:
        made.close()
        raise
    return made


def receive(connected: socket.socket, path: str) -> bytes:
    """The next message. Raises BlockingIOError when there is none, NotAvailable at the end of the connection."""
    try:
        message = connected.recv(codec.REPLY_LIMIT_BYTES + 1)
    except BlockingIOError:
        raise
    except OSError as error:
        raise broken(path, error) from error
    if not message:
        raise NotAvailable(f"lmkd at {path} ended the connection")
    return message
