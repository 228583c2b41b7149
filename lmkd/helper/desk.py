"""The desk: the control socket's clients, each served by a short-lived child that can delay nobody."""

from __future__ import annotations

import _socket
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lmkd.guard.exchange import Exchange
    from lmkd.plan import Plan

CLIENTS_MAX = 8
BACKLOG = 8


class Desk:
    """Owns the listening socket and the children. ``descriptor`` is -1 where no socket could be made."""

    def __init__(self, plan: Plan, exchange: Exchange, refreshed: Callable[[], None]) -> None:
        self._plan = plan
        self._exchange = exchange
        self._refreshed = refreshed
        self._children: set[int] = set()
        self._identity = (0, 0)
        self.descriptor = -1
        self.error = ""
        try:
            self._listen(plan.socket)
        except OSError as error:
            self.error = f"{plan.socket}: {error.strerror}"

    def _listen(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        listener = _socket.socket(
            _socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
        )
        fresh = f"{path}.{os.getpid()}"
        try:
            _remove(fresh)
            listener.bind(fresh)
            os.chmod(fresh, 0o666)
            listener.listen(BACKLOG)
            self._identity = _identity(fresh)
            os.rename(fresh, path)  # a socket that an earlier instance left is replaced in one step
        except OSError:
            listener.close()
            _remove(fresh)
            raise
        self._listener = listener
        self.descriptor = listener.fileno()

    def accept(self) -> None:
        """Take one waiting client; over the bound it is turned away by closing."""
        self.collect()
        try:
            descriptor, _ = self._listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        if len(self._children) >= CLIENTS_MAX:
            os.close(descriptor)
            return
        self._refreshed()
        try:
            child = os.fork()
        except OSError:  # no memory, or too many processes: the client may come again
            os.close(descriptor)
            return
        if child == 0:
            self._serve(descriptor)
        os.close(descriptor)
        self._children.add(child)

    def collect(self) -> None:
        """Take leave of children that have ended."""
        for child in list(self._children):
            try:
                pid, _ = os.waitpid(child, os.WNOHANG)
            except ChildProcessError:
                pid = child
            if pid:
                self._children.discard(child)

    def close(self) -> None:
        """End every client and the socket."""
        import _signal

        for child in self._children:
            try:
                os.kill(child, _signal.SIGTERM)
            except ProcessLookupError:
                continue
        if self.descriptor >= 0:
            self._listener.close()
            self.descriptor = -1
            # The next instance may have put its own there already.
            if _identity(self._plan.socket) == self._identity:
                _remove(self._plan.socket)

    def _serve(self, descriptor: int) -> None:
        """The child: an ordinary process that may be killed like any other. Never returns."""
        code = 1
        try:
            import _signal

            for number in (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT):
                _signal.signal(number, _signal.SIG_DFL)
            self._listener.close()
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write("900")
            import socket

            from lmkd.control.server import serve_connection
            from lmkd.helper.source import ExchangeSource

            serve_connection(socket.socket(fileno=descriptor), ExchangeSource(self._plan, self._exchange))
            code = 0
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
