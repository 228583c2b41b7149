"""The desk: the listening control sockets, and the talker that serves their clients while there are any.

The talker is a process of its own, forked when the first client connects: it needs all of Python, and may be ended
like any other process. It ends by itself some time after its last client, and when the helper ends.
"""

from __future__ import annotations

import _socket
import os
import select
import time

from lmkd.helper.listing import make_folder
from lmkd.kernel.clock import now_ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmkd.guard.exchange import Exchange
    from lmkd.plan import Plan

BACKLOG = 128
AGAIN_MS = 1000.0
"""A talker that failed is started again after so long."""
LAST_WORDS_MS = 300.0
"""How long a talker may take to end with its helper."""
ORDERS_AT_ONCE = 16
ORDER_BYTES_MAX = 256
KIND = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK


class Listener:
    """One listening socket at a path. Raises OSError when there can be none."""

    def __init__(self, path: str, mode: int = 0o666, gid: int = -1) -> None:
        self.path = path
        make_folder(path.rpartition("/")[0])
        self.socket = _socket.socket(_socket.AF_UNIX, KIND)
        fresh = f"{path}.{os.getpid()}"
        try:
            _remove(fresh)
            self.socket.bind(fresh)
            os.chown(fresh, -1, gid)
            os.chmod(fresh, mode)
            self.socket.listen(BACKLOG)
            self._identity = _identity(fresh)
            os.rename(fresh, path)  # a socket that an earlier instance left is replaced in one step
        except OSError:
            self.socket.close()
            _remove(fresh)
            raise

    def close(self) -> None:
        """The next instance may have put its own there already."""
        self.socket.close()
        if _identity(self.path) == self._identity:
            _remove(self.path)


def sockets_of(plan: Plan) -> tuple[tuple[str, str], ...]:
    """(kind, path) of each socket to listen on; ``lmkd.control.kinds.makers`` has what serves a kind."""
    return tuple((kind, path) for kind, path in (("native", plan.socket), ("android", plan.android_socket)) if path)


class Desk:
    """Owns the listeners and the talker. A socket that cannot be made is a record, and the others work."""

    def __init__(self, plan: Plan, exchange: Exchange, poll: select.poll, exclude: Callable[[int], None]) -> None:
        """``exclude`` is told the talker's process id, 0 when it has ended: it is nobody's victim."""
        self._plan = plan
        self._exchange = exchange
        self._poll = poll
        self._exclude = exclude
        self._listeners: dict[str, Listener] = {}
        self._channel: _socket.socket | None = None
        self._due_ms = 0.0
        self._listening = False
        self.talker = 0
        self._open()

    def go_by(self, plan: Plan, descriptor: int) -> None:
        """Go on by a new plan, which the talker finds in the guard's ``descriptor``.

        All clients stay, unless they are to come by other sockets, or the talker cannot be told.
        """
        before, self._plan = self._plan, plan
        same = sockets_of(before) == sockets_of(plan) and before.android_release == plan.android_release
        same = same and (before.control_gid == plan.control_gid or not plan.android_socket)
        if not same or len(self._listeners) < len(sockets_of(plan)) or not self._pass_on(descriptor):
            self.close()
            self._open()

    def _open(self) -> None:
        for kind, path in sockets_of(self._plan):
            try:
                # Android's is for root and a group alone, as its init makes it; who else came would never be answered.
                own = (0o660, self._plan.control_gid) if kind == "android" else ()
                self._listeners[kind] = Listener(path, *own)
            except OSError as error:
                cost = f"{path}: {error.strerror}"
                self._exchange.post("degraded", (("feature", f"{kind} control socket"), ("cost", cost)), "warning")
        self._listen()

    def _pass_on(self, descriptor: int) -> bool:
        """Tell the talker, if there is one, where the next plan is. False when it takes nothing."""
        if self._channel is None:
            return True
        from lmkd.helper.orders import ANSWER, NEW_PLAN

        try:
            return bool(self._channel.send(ANSWER.pack(0, NEW_PLAN, 0, 0, descriptor)))
        except OSError:
            return False

    def timeout_ms(self) -> float | None:
        """How long the loop may wait until it must listen again; None: for ever."""
        return max(0.0, self._due_ms - now_ms()) if self._due_ms and not self._listening else None

    def turn(
        self, ready: Mapping[int, int], carry_out: Callable[[bytes], bytes], settle: Callable[[], None] = lambda: None
    ) -> bool:
        """Start the talker for whoever waits, carry out its orders. True when there was any order.

        ``settle`` is called before they are answered: what a client was told is done counts for the next decision.
        """
        if self._listening and any(one.socket.fileno() in ready for one in self._listeners.values()):
            self._start()
        elif self._channel is not None and self._channel.fileno() in ready:
            return self._take_orders(self._channel, carry_out, settle)
        elif not self._listening and self._due_ms and now_ms() >= self._due_ms:
            self._listen()
        return False

    def close(self) -> None:
        """End the talker and the sockets."""
        if self.talker:
            self._leave()
            self._end()
        for listener in self._listeners.values():
            if self._listening:
                self._poll.unregister(listener.socket.fileno())
            listener.close()
        self._listeners = {}

    def _leave(self) -> None:
        """Let the talker end: it still tells its clients what has happened, such as how their reload ended."""
        if self._channel is not None:
            self._channel.shutdown(_socket.SHUT_RDWR)
        late_ms = now_ms() + LAST_WORDS_MS
        while now_ms() < late_ms:
            try:
                if os.waitpid(self.talker, os.WNOHANG)[0]:
                    return
            except ChildProcessError:
                return
            time.sleep(0.005)
        import _signal

        os.kill(self.talker, _signal.SIGKILL)

    def _listen(self) -> None:
        self._listening, self._due_ms = True, 0.0
        for listener in self._listeners.values():
            self._poll.register(listener.socket.fileno(), select.POLLIN)

    def _start(self) -> None:
        for listener in self._listeners.values():
            self._poll.unregister(listener.socket.fileno())
        self._listening, self._due_ms = False, now_ms() + AGAIN_MS
        try:
            ours, theirs = _socket.socketpair(_socket.AF_UNIX, KIND)
        except OSError:
            return  # no descriptors: the client waits
        try:
            child = os.fork()
        except OSError:  # no memory, or too many processes
            ours.close()
            theirs.close()
            return
        if child == 0:
            self._serve(theirs)
        theirs.close()
        self.talker, self._channel, self._due_ms = child, ours, 0.0
        self._exclude(child)
        self._poll.register(ours.fileno(), select.POLLIN)

    def _take_orders(
        self, channel: _socket.socket, carry_out: Callable[[bytes], bytes], settle: Callable[[], None]
    ) -> bool:
        answers = []
        ended = False
        for _ in range(ORDERS_AT_ONCE):
            try:
                order = channel.recv(ORDER_BYTES_MAX)
            except BlockingIOError:
                break
            except OSError:
                order = b""
            ended = not order
            if ended:
                break
            answers.append(carry_out(order))
        settle()
        for answer in answers:
            try:
                channel.send(answer)
            except OSError:
                continue  # it does not read: it knows by the time that passes
        if ended:
            self._end()
        return bool(answers)

    def _end(self) -> None:
        """The talker has closed its end of the channel: it has nothing more to do."""
        if self._channel is not None:
            self._poll.unregister(self._channel.fileno())
            self._channel.close()
            self._channel = None
        try:
            _, status = os.waitpid(self.talker, 0)
        except ChildProcessError:
            status = 0
        self.talker = 0
        self._exclude(0)
        if status:
            self._due_ms = now_ms() + AGAIN_MS
        else:
            self._listen()

    def _serve(self, channel: _socket.socket) -> None:
        """The talker's whole life. Never returns."""
        code = 1
        try:
            from lmkd.control.talk import talk

            talk(self._plan, self._exchange, {kind: one.socket for kind, one in self._listeners.items()}, channel)
            code = 0
        except Exception:
            import sys

            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)


def _identity(path: str) -> tuple[int, int]:
    try:
        found = os.lstat(path)
    except OSError:
        return (-1, -1)
    return (found.st_dev, found.st_ino)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
