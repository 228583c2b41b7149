"""One connection of the control socket, served to its end in a short-lived child of the helper.

Nothing here can hold up the guard: the child only reads what the guard and the helper have recorded. It ends
when the peer is gone, idle, or does not read, and after a bounded number of requests.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from lmkd.control import protocol
from lmkd.errors import ControlError, LmkdError
from lmkd.values import value


class Source(Protocol):
    """Where the answers come from. Methods may raise LmkdError, OSError or ValueError: the peer is told."""

    def status(self) -> Mapping[str, Any]:
        """The state of the service, keys with their units."""

    def policy(self) -> Iterable[Mapping[str, Any]]:
        """Every number of the policy, how it follows, and where it was given."""

    def tmpfs(self) -> Mapping[str, Any]:
        """Who holds memory in files."""

    def events_since(self, sequence: int) -> tuple[list[dict[str, Any]], int]:
        """The events from this sequence number on, oldest first, and the number to ask for next."""

    def candidates(self) -> Iterable[Mapping[str, Any]]:
        """Every process in the order in which it would be killed."""


@value
class Limits:
    """What one peer may cost. A follower of events that reads them is not idle."""

    idle_ms: int = 60_000
    write_ms: int = 2_000
    poll_ms: int = 100
    requests: int = 1_000


class _PeerGone(Exception):
    """The peer closed, was idle too long, or did not read: the connection has ended."""


class _Peer:
    """The other end: whole messages with deadlines. Raises _PeerGone only."""

    def __init__(self, connection: socket.socket, limits: Limits) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._limits = limits

    def receive(self) -> bytes | None:
        """The next message; None for one over the limit. An empty one reads as the end."""
        if not self.wait_readable(self._limits.idle_ms):
            raise _PeerGone
        try:
            # No room for ancillary data: descriptors that a peer passes are closed by the kernel.
            message, _, flags, _ = self._connection.recvmsg(protocol.REQUEST_LIMIT_BYTES)
        except OSError as error:
            raise _PeerGone from error
        if not message:
            raise _PeerGone
        return None if flags & socket.MSG_TRUNC else message

    def send(self, message: bytes) -> None:
        """Send one message within the write limit."""
        deadline_s = time.monotonic() + self._limits.write_ms / 1000
        while True:
            try:
                self._connection.send(message, socket.MSG_NOSIGNAL)
                return
            except BlockingIOError:
                left_ms = (deadline_s - time.monotonic()) * 1000
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    raise ControlError(f"{len(message)} bytes do not fit into one message here") from error
                raise _PeerGone from error
            if left_ms <= 0 or not self._wait(select.POLLOUT, left_ms):
                raise _PeerGone

    def wait_readable(self, timeout_ms: float) -> bool:
        """True when there is a message, or the peer is gone; False when the time is over."""
        return self._wait(select.POLLIN, timeout_ms)

    def _wait(self, events: int, timeout_ms: float) -> bool:
        poller = select.poll()
        poller.register(self._connection, events)
        return bool(poller.poll(timeout_ms))


def serve_connection(connection: socket.socket, source: Source, limits: Limits | None = None) -> None:
    """Answer the requests of one connected SOCK_SEQPACKET peer until it ends, then close the connection.

    A bad request gets an error reply and the connection stays usable. Raises nothing that the peer or an
    absent record can cause.
    """
    limits = limits or Limits()
    peer = _Peer(connection, limits)
    try:
        for _ in range(limits.requests):
            _answer(peer, source, peer.receive(), limits)
        peer.send(protocol.encode_error(f"{limits.requests} requests were answered: connect again"))
    except _PeerGone:
        pass
    finally:
        connection.close()


def _answer(peer: _Peer, source: Source, message: bytes | None, limits: Limits) -> None:
    try:
        if message is None:
            raise ControlError(f"a request has at most {protocol.REQUEST_LIMIT_BYTES} bytes")
        request = protocol.decode_request(message)
        if request.op == "status":
            peer.send(protocol.encode_status(source.status()))
        elif request.op == "policy":
            peer.send(protocol.encode_policy(source.policy()))
        elif request.op == "tmpfs":
            peer.send(protocol.encode_tmpfs(source.tmpfs()))
        elif request.op == "candidates":
            _send_candidates(peer, source)
        else:
            _send_events(peer, source, request, limits)
    except (LmkdError, OSError, ValueError) as error:
        peer.send(protocol.encode_error(str(error) or type(error).__name__))


def _send_candidates(peer: _Peer, source: Source) -> None:
    for message in protocol.encode_candidates(source.candidates()):
        peer.send(message)
    peer.send(protocol.encode_end())


def _send_events(peer: _Peer, source: Source, request: protocol.Request, limits: Limits) -> None:
    """The events there are; for a follower also those that come, until it closes or sends another request."""
    sequence = request.since
    while True:
        events, sequence = source.events_since(sequence)
        for event in events:
            peer.send(protocol.encode_event(event))
        if not request.follow or peer.wait_readable(limits.poll_ms):
            break
    peer.send(protocol.encode_end())
