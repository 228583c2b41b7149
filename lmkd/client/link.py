"""The synchronous connection below ``Client``: made when it is needed, with what stands asked for again each time."""

from __future__ import annotations

import os
import time
from typing import Any, TypeVar

from . import codec
from .calls import Call
from .codec import Level, Notice
from .errors import ClientError, NotAvailable, Refused
from .retry import Retry, Standing, Waiting, answer, tells_level
from .stopped import Stopped
from .wire import Wire

T = TypeVar("T")


class Connection:
    """At most one wire to lmkd; every failure but a refusal closes it, and the next use makes another."""

    def __init__(self, path: str, timeout_ms: int, retry: Retry | None) -> None:
        self.path = path
        self.timeout_ms = timeout_ms
        self.retry = retry or Retry(spread=os.getpid() % 64 / 63)
        self.standing = Standing()
        self.waiting = Waiting()
        self.stopped = Stopped()
        self.wire: Wire | None = None
        self.fresh = False
        """Made since this was last looked at."""
        self._owner = 0
        self._made_s = 0.0
        self._number = 0

    def connect(self) -> Wire:
        """The wire; when there is none, a new one on which all that stands is asked for. Raises NotAvailable.

        After ``fork`` the wire is the parent's: answers would go to either.
        """
        if self.wire is not None:
            if self._owner == os.getpid():
                return self.wire
            self.close()
        wire = self.wire = Wire(self.path, self.timeout_ms)
        self._owner = os.getpid()
        self._made_s = time.monotonic()
        self.standing.refusal = ""
        try:
            for call in self.standing.again():
                try:
                    self._exchange(wire, call)
                except Refused as refusal:
                    self.standing.refuse(call, str(refusal))
        except BaseException:
            # Also what a signal handler raises: a wire on which less was asked for would stay silent.
            self.close()
            raise
        self.fresh = True
        return wire

    def close(self) -> None:
        """Close the wire, if there is one."""
        if self.wire is not None:
            self.wire.close()
            self.wire = None
            self.fresh = False
            self.retry.lasted((time.monotonic() - self._made_s) * 1000)

    def stop(self) -> None:
        """End every wait, for good."""
        self.stopped.set()
        wire = self.wire
        if wire is not None:
            wire.shut()

    def ask(self, call: Call[T]) -> T:
        """The answer to one request. Raises ClientError; a wire that lmkd has left is replaced before it is used."""
        had = self.wire is not None
        wire = self.connect()
        try:
            return self._exchange(wire, call)
        except _NotSentError:
            if not had:
                raise
        return self._exchange(self.connect(), call)

    def receive(self, wire: Wire, timeout_ms: float | None) -> bool:
        """Keep one notice if one comes in this time; False: none came."""
        try:
            message = wire.receive(timeout_ms)
            if message is None:
                return False
            self._sort(codec.decode(message))
        except ClientError:
            self.close()
            raise
        return True

    def next_kept(self) -> Notice | None:
        """The oldest notice that waits here."""
        return self.waiting.take()

    def _keep(self, notice: Notice) -> None:
        if isinstance(notice, Level):
            self.standing.level = notice.level
        self.waiting.put(notice)

    def _exchange(self, wire: Wire, call: Call[T]) -> T:
        self._number += 1
        message = codec.encode(call.op, self._number, call.fields)
        try:
            wire.send(message, self.timeout_ms)
        except NotAvailable as error:
            self.close()
            raise _NotSentError(str(error)) from error
        try:
            result = call.read(self._replies(wire, call))
        except Refused:
            raise
        except ClientError:
            self.close()
            raise
        if tells_level(call) and isinstance(result, str):
            self._keep(Level(result, self.standing.level))
        return result

    def _replies(self, wire: Wire, call: Call[Any]) -> list[dict[str, Any]]:
        replies: list[dict[str, Any]] = []
        deadline_s = time.monotonic() + self.timeout_ms / 1000
        while True:
            message = wire.receive(max(0.0, deadline_s - time.monotonic()) * 1000)
            if message is None:
                raise NotAvailable(f"lmkd at {self.path} did not answer {call.op} within {self.timeout_ms} ms")
            reply = self._sort(codec.decode(message))
            if reply is None or reply.number != self._number:
                continue
            fields = answer(reply)
            if call.in_parts and "end" in fields:
                return replies
            replies.append(fields)
            if not call.in_parts:
                return replies
            deadline_s = time.monotonic() + self.timeout_ms / 1000

    def _sort(self, message: codec.Reply | Notice | None) -> codec.Reply | None:
        """Notices are kept, a reply comes back; a refusal of no request is of the connection: NotAvailable."""
        if not isinstance(message, codec.Reply):
            if message is not None:
                self._keep(message)
            return None
        if message.number is None and message.error is not None:
            raise NotAvailable(f"lmkd at {self.path} refused: {message.error}")
        return message


class _NotSentError(NotAvailable):
    """Not even sent: asking again cannot do anything twice."""
