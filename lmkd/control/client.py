"""A small synchronous client of the control socket, standard library only."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from lmkd.control import protocol
from lmkd.errors import ControlError

T = TypeVar("T")


class ControlClient:
    """A connection to a running lmkd. Use it as a context manager.

    Every method raises ControlError: no lmkd here, no right to connect, a refusal, an odd or late answer.
    ``timeout_ms`` is how long one answer may take.
    """

    def __init__(self, path: str = protocol.DEFAULT_SOCKET, timeout_ms: int = 5_000) -> None:
        self._path = path
        self._timeout_ms = timeout_ms
        self._socket = _connect(path, timeout_ms)

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a stream that is read from it ends."""
        self._socket.close()

    def status(self) -> dict[str, Any]:
        """The state of the service, keys with their units."""
        return self._ask("status", "status")

    def policy(self) -> list[dict[str, Any]]:
        """Every number of the policy: ``name``, ``value``, ``rule`` in words, ``key``, and where it was ``given``."""
        self._send("policy")
        rows = self._expect(self._receive(), "policy", list)
        if not all(isinstance(row, dict) for row in rows):
            raise ControlError(f"lmkd at {self._path} answered a number that is not an object")
        return rows

    def tmpfs(self) -> dict[str, Any]:
        """Memory in files: ``mounts``, ``files``, ``holders`` (see ``lmkd.helper.survey``)."""
        return self._ask("tmpfs", "tmpfs")

    def candidates(self) -> Iterator[dict[str, Any]]:
        """Every process in the order in which it would be killed."""
        self._send("candidates")
        while "end" not in (reply := self._receive()):
            for row in self._expect(reply, "candidates", list):
                if not isinstance(row, dict):
                    raise ControlError(f"lmkd at {self._path} answered a candidate that is not an object")
                yield row

    def events(self, since: int = 0, follow: bool = False, names: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
        """The events from number ``since`` on, oldest first; with ``follow`` also those that come. Only ``names``."""
        self._send("events", since=since, follow=follow, **({"names": list(names)} if names else {}))
        if follow:
            self._socket.settimeout(None)
        while "end" not in (reply := self._receive()):
            yield self._expect(reply, "event", dict)

    def subscribe(self, levels: bool = True, names: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
        """The notices from now on, each as ``{"level": ...}`` or ``{"event": ...}``; the first has the level now."""
        self._send("subscribe", levels=levels, events=list(names))
        self._socket.settimeout(None)
        while True:
            yield self._receive()

    def set_priority(self, pid: int, priority: int | str) -> dict[str, Any]:
        """Set a process's priority, a number or a class: ``pid``, ``name``, ``priority``, ``previous``."""
        return self._ask("set", "set", pid=pid, priority=priority)

    def clear(self, pid: int) -> dict[str, Any]:
        """Forget what was set for a process."""
        return self._ask("clear", "cleared", pid=pid)

    def trim(self, pid: int | None = None, kib: int = 0) -> None:
        """Have one process paged out, or all that are idle; the events tell what came of it."""
        self._ask("trim", "trim", kib=kib, **({"pid": pid} if pid is not None else {}))

    def kill(self, pid: int) -> dict[str, Any]:
        """Have the guard end a process: ``pid``, ``name``; the events tell what came of it."""
        return self._ask("kill", "kill", pid=pid)

    def reload(self) -> None:
        """Have the configuration read anew; the events tell what came of it."""
        self._ask("reload", "reload")

    def metrics(self) -> str:
        """The service in numbers, as OpenMetrics text."""
        self._send("metrics")
        pieces = []
        while "end" not in (reply := self._receive()):
            pieces.append(self._expect(reply, "metrics", str))
        return "".join(pieces)

    def _ask(self, op: str, key: str, **fields: Any) -> dict[str, Any]:
        self._send(op, **fields)
        return self._expect(self._receive(), key, dict)

    def _send(self, op: str, **fields: Any) -> None:
        try:
            self._socket.send(protocol.encode_request(op, fields))
        except OSError as error:
            raise self._broken(error) from error

    def _receive(self) -> dict[str, Any]:
        try:
            message, _, flags, _ = self._socket.recvmsg(protocol.REPLY_LIMIT_BYTES)
        except OSError as error:
            raise self._broken(error) from error
        if not message:
            raise ControlError(f"lmkd at {self._path} ended the connection")
        if flags & socket.MSG_TRUNC:
            raise ControlError(f"lmkd at {self._path} answered more than {protocol.REPLY_LIMIT_BYTES} bytes")
        return protocol.decode_reply(message)

    def _expect(self, reply: dict[str, Any], key: str, kind: type[T]) -> T:
        found = reply.get(key)
        if not isinstance(found, kind):
            raise ControlError(f"lmkd at {self._path} answered without {key}")
        return found

    def _broken(self, error: OSError) -> ControlError:
        if isinstance(error, TimeoutError):
            return ControlError(f"lmkd at {self._path} did not answer within {self._timeout_ms} ms")
        return ControlError(f"the connection to lmkd at {self._path} broke: {error.strerror or error}")


def _connect(path: str, timeout_ms: int) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(timeout_ms / 1000)
        connection.connect(path)
    except FileNotFoundError as error:
        connection.close()
        raise ControlError(f"lmkd is not running here: no socket at {path}") from error
    except ConnectionRefusedError as error:
        connection.close()
        raise ControlError(f"lmkd is not running here: nobody listens at {path}") from error
    except PermissionError as error:
        connection.close()
        raise ControlError(f"no right to connect to {path}: try as root") from error
    except (OSError, ValueError) as error:
        connection.close()
        raise ControlError(f"cannot connect to {path}: {error}") from error
    return connection
