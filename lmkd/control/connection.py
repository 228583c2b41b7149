"""One connection of the talker: whole messages, never waited for, a queue with an end."""

from __future__ import annotations

import _socket
import errno
import fcntl
import select

from lmkd.control import protocol
from lmkd.control.hands import ABOUT_TO_KILL, Peer, Session
from lmkd.values import value

SEND_BYTES, SEND_BYTES_LARGE = 8192, 34000
"""What the kernel keeps for a peer that does not read is twice this; the large one holds one message of any size."""

SIOCOUTQ = 0x5411
"""How much the peer has not read. Another number on MIPS, PowerPC and SPARC: there nobody is seen to wait."""
_NOTHING = bytes(4)


@value
class Limits:
    """What clients may cost. ``notices`` and ``notice_bytes`` are what waits for one that does not read.

    ``reply_bytes`` is what waits for all together who may do all, and for all the others. Of these ``burst`` requests
    are answered at once, ``per_s`` go on; a millisecond of work counts as ``per_ms`` of them.
    """

    clients: int = 128
    clients_of_user: int = 64
    idle_ms: int = 60_000
    write_ms: int = 10_000
    order_ms: int = 10_000
    linger_ms: int = 10_000
    poll_ms: int = 100
    notices: int = 16
    notice_bytes: int = 16_384
    reply_bytes: int = 2 << 20
    burst: int = 500
    per_s: int = 200
    per_ms: int = 2

    @property
    def kept(self) -> int:
        """So many connections are for who may do all, however many others come."""
        return self.clients // 8


class PeerGone(Exception):
    """The peer closed, or broke the connection."""


class Connection:
    """See the module. Mutable, and never leaves the talker."""

    __slots__ = (
        "_notice_bytes", "_notices", "_out", "_socket", "_tokens", "_tokens_ms", "descriptor", "dropped", "interests",
        "limits", "number", "peer", "reply_bytes", "session", "since_ms", "stuck_ms", "watched",
    )  # fmt: skip

    def __init__(
        self, connection: _socket.socket, number: int, peer: Peer, session: Session, limits: Limits, now_ms: float
    ) -> None:
        self._socket = connection
        self.descriptor = connection.fileno()
        self.number = number
        self.peer = peer
        self.session = session
        self.interests: frozenset[str] = frozenset()
        """The session's, as they were when it was asked last."""
        self.limits = limits
        self.since_ms = now_ms
        """When it last said something."""
        self.stuck_ms: float | None = None
        """Since when it takes no reply."""
        self.watched = select.POLLIN
        """What the loop waits for on it."""
        self.dropped = 0
        self.reply_bytes = 0
        self._out: list[tuple[bytes, bool]] = []
        self._notices = self._notice_bytes = 0
        self._tokens, self._tokens_ms = float(limits.burst), now_ms
        connection.setblocking(False)
        self._set_room(SEND_BYTES)

    @property
    def unsent(self) -> bool:
        """Is there anything that it has not taken yet?"""
        return bool(self._out)

    @property
    def may_ask(self) -> bool:
        """Is it time for its next request? Not before it has taken the replies to the last one."""
        in_time = self.peer.privileged or self._tokens >= 1
        return not self.session.waiting and not self.reply_bytes and in_time

    def refill(self, now_ms: float) -> None:
        """Time has passed: so many more requests."""
        passed_s = (now_ms - self._tokens_ms) / 1000
        self._tokens = min(float(self.limits.burst), self._tokens + passed_s * self.limits.per_s)
        self._tokens_ms = now_ms

    def charge(self, spent_ms: float) -> None:
        """What it asked took so long: as many requests fewer as ``per_ms`` says."""
        self._tokens = max(-float(self.limits.burst), self._tokens - spent_ms * self.limits.per_ms)

    def receive(self, now_ms: float) -> bytes | None:
        """One message; None for one over the limit. PeerGone at the end, which an empty message is as well."""
        try:
            # No room for ancillary data: descriptors that a peer passes are closed by the kernel.
            message, _, flags, _ = self._socket.recvmsg(protocol.REQUEST_LIMIT_BYTES)
        except OSError as error:
            raise PeerGone from error
        if not message:
            raise PeerGone
        self.since_ms = now_ms
        self._tokens -= 1
        return None if flags & _socket.MSG_TRUNC else message

    def reply(self, messages: list[bytes], now_ms: float) -> None:
        """Queue the replies to one request."""
        if messages and not self.reply_bytes:
            self.stuck_ms = now_ms
        self._out.extend((message, False) for message in messages)
        self.reply_bytes += sum(map(len, messages))

    def notify(self, kind: str, payload: object) -> bool:
        """Send a notice if the session wants it: at once if nothing waits, else queued. False: no room, so dropped.

        PeerGone when it is gone.
        """
        message = self.session.notify(kind, payload, 0)
        if message is None or (not self._out and not self.dropped and self._send(message)):
            return True
        urgent = kind == ABOUT_TO_KILL  # before all that waits, and there is room for as many again
        most, most_bytes = (bound << urgent for bound in (self.limits.notices, self.limits.notice_bytes))
        if self._notices >= most or self._notice_bytes + len(message) > most_bytes:
            self.dropped += 1  # in the words for all: whoever does not read costs no encoding of his own
            return False
        if self.dropped:
            message = self.session.notify(kind, payload, self.dropped) or message
            self.dropped = 0
        self._out.insert(0 if urgent else len(self._out), (message, True))
        self._notices += 1
        self._notice_bytes += len(message)
        return True

    def flush(self, now_ms: float) -> None:
        """Send what it takes. PeerGone when it is gone."""
        while self._out:
            message, notice = self._out[0]
            if not self._send(message):
                return
            del self._out[0]
            if notice:
                self._notices -= 1
                self._notice_bytes -= len(message)
            else:
                self.reply_bytes -= len(message)
                self.stuck_ms = now_ms if self.reply_bytes else None

    def has_unread(self) -> bool:
        """Is there anything that the peer has not read? False where the kernel does not say."""
        try:
            return fcntl.ioctl(self.descriptor, SIOCOUTQ, _NOTHING) != _NOTHING
        except OSError:
            return False

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def _send(self, message: bytes) -> bool:
        """False when it does not take it now."""
        for large in (False, True):
            try:
                self._socket.send(message, _socket.MSG_NOSIGNAL)
                return True
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return False
                if error.errno != errno.EMSGSIZE or large:
                    raise PeerGone from error
                self._set_room(SEND_BYTES_LARGE)
        return False

    def _set_room(self, octets: int) -> None:
        try:
            self._socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, octets)
        except OSError:
            return
