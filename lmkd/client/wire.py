"""One SOCK_SEQPACKET connection, thin: whole messages in and out within a time, every failure as NotAvailable."""

from __future__ import annotations

import contextlib
import socket
import time

from . import codec
from .errors import NotAvailable

BUSY_S = 0.01


class Wire:
    """A connection to the socket at ``path``. Raises NotAvailable when there is nobody within ``timeout_ms``."""

    def __init__(self, path: str, timeout_ms: float) -> None:
        self._path = path
        self._socket = new_socket()
        deadline_s = time.monotonic() + timeout_ms / 1000
        try:
            while not try_connect(self._socket, path):
                if time.monotonic() >= deadline_s:
                    raise NotAvailable(f"lmkd at {path} takes no connection within {timeout_ms:.0f} ms")
                time.sleep(BUSY_S)
        except NotAvailable:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The descriptor, to poll on."""
        return self._socket.fileno()

    def send(self, message: bytes, timeout_ms: float) -> None:
        """Send one message."""
        try:
            self._socket.settimeout(timeout_ms / 1000)
            self._socket.send(message)
        except OSError as error:
            raise broken(self._path, error) from error

    def receive(self, timeout_ms: float | None) -> bytes | None:
        """The next message; None when none came in this time (0: does not wait, None: waits without end)."""
        try:
            self._socket.settimeout(None if timeout_ms is None else max(0.0, timeout_ms / 1000))
            # One byte more than there may be: what is longer shows, and is not taken for the whole.
            message = self._socket.recv(codec.REPLY_LIMIT_BYTES + 1)
        except (TimeoutError, BlockingIOError):
            return None
        except OSError as error:
            raise broken(self._path, error) from error
        if not message:
            raise NotAvailable(f"lmkd at {self._path} ended the connection")
        return message

    def shut(self) -> None:
        """Make a ``receive`` that waits in another thread end, and every later one."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def new_socket() -> socket.socket:
    """A socket of the protocol's kind, not blocking."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)


def try_connect(unconnected: socket.socket, path: str) -> bool:
    """Connect without waiting: True when it is done, False when the listener's queue is full (unix(7), EAGAIN)."""
    try:
        unconnected.connect(path)
    except BlockingIOError:
        return False
    except FileNotFoundError as error:
        raise NotAvailable(f"lmkd is not running here: no socket at {path}") from error
    except ConnectionRefusedError as error:
        raise NotAvailable(f"lmkd is not running here: nobody listens at {path}") from error
    except PermissionError as error:
        raise NotAvailable(f"no right to connect to {path}") from error
    except (OSError, ValueError) as error:
        raise NotAvailable(f"cannot connect to {path}: {error}") from error
    return True


def broken(path: str, error: OSError) -> NotAvailable:
    """What a failed send or receive means."""
    if isinstance(error, TimeoutError | BlockingIOError):
        return NotAvailable(f"lmkd at {path} takes nothing: its queue is full")
    return NotAvailable(f"the connection to lmkd at {path} broke: {error.strerror or error}")
