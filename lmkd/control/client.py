"""A small synchronous client of the control socket, standard library only."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
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
        self._send(protocol.Request("status"))
        return self._expect(self._receive(), "status", dict)

    def policy(self) -> list[dict[str, Any]]:
        """Every number of the policy: ``name``, ``value``, ``rule`` in words, ``key``, and where it was ``given``."""
        self._send(protocol.Request("policy"))
        rows = self._expect(self._receive(), "policy", list)
        if not all(isinstance(row, dict) for row in rows):
            raise ControlError(f"lmkd at {self._path} answered a number that is not an object")
        return rows

    def tmpfs(self) -> dict[str, Any]:
        """Memory in files: ``mounts``, ``files``, ``holders`` (see ``lmkd.helper.survey``)."""
        self._send(protocol.Request("tmpfs"))
        return self._expect(self._receive(), "tmpfs", dict)

    def candidates(self) -> Iterator[dict[str, Any]]:
        """Every process in the order in which it would be killed."""
        self._send(protocol.Request("candidates"))
        while "end" not in (reply := self._receive()):
            for row in self._expect(reply, "candidates", list):
                if not isinstance(row, dict):
                    raise ControlError(f"lmkd at {self._path} answered a candidate that is not an object")
                yield row

    def events(self, since: int = 0, follow: bool = False) -> Iterator[dict[str, Any]]:
        """The events from number ``since`` on, oldest first; with ``follow`` also those that come."""
        self._send(protocol.Request("events", since, follow))
        if follow:
            self._socket.settimeout(None)
        while "end" not in (reply := self._receive()):
            yield self._expect(reply, "event", dict)

    def set_priority(self, pid: int, priority: int | str) -> dict[str, Any]:
        """Give a process a priority, a class or a number: ``pid``, ``name``, ``priority``, ``previous``."""
        return self._order("set", dict, pid=pid, priority=priority)

    def clear(self, pid: int) -> dict[str, Any]:
        """Take back what was set: the rules decide again. ``pid``, ``name`` where it is known."""
        return self._order("clear", dict, reply="cleared", pid=pid)

    def trim(self, pid: int | None = None, kib: int = 0) -> None:
        """Have memory paged out: of one process, or of all that are idle; the records tell what came of it."""
        self._order("trim", dict, pid=pid, kib=kib)

    def kill(self, pid: int) -> dict[str, Any]:
        """Have a process ended: ``pid``, ``name``, ``accepted``; the records tell what came of it."""
        return self._order("kill", dict, pid=pid)

    def reload(self) -> None:
        """Have the configuration read again; a record tells what came of it."""
        self._order("reload", dict)

    def metrics(self) -> str:
        """OpenMetrics text."""
        parts = [self._order("metrics", str)]
        while "end" not in (reply := self._receive()):
            parts.append(self._expect(reply, "metrics", str))
        return "".join(parts)

    def _order(self, op: str, kind: type[T], reply: str = "", **fields: object) -> T:
        given = {key: item for key, item in fields.items() if item is not None}
        self._send_bytes(json.dumps({"v": protocol.VERSION, "op": op, **given}).encode())
        return self._expect(self._receive(), reply or op, kind)

    def _send(self, request: protocol.Request) -> None:
        self._send_bytes(protocol.encode_request(request))

    def _send_bytes(self, message: bytes) -> None:
        try:
            self._socket.send(message)
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
