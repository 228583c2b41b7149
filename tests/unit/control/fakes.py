"""Fakes for what stands behind and before the control socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


class FakeSource:
    """Events are appended by the test; status can be told to fail."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.numbers: list[dict[str, Any]] = []
        self.files: dict[str, Any] = {"mounts": [], "files": []}
        self.state: dict[str, Any] = {"level": "calm"}
        self.trouble: Exception | None = None

    def status(self) -> Mapping[str, Any]:
        if self.trouble is not None:
            raise self.trouble
        return self.state

    def policy(self) -> Iterable[Mapping[str, Any]]:
        return iter(self.numbers)

    def tmpfs(self) -> Mapping[str, Any]:
        return self.files

    def events_since(self, sequence: int) -> tuple[list[dict[str, Any]], int]:
        found = [event for event in self.events if event["seq"] >= sequence]
        return found, max([sequence, *(event["seq"] + 1 for event in found)])

    def candidates(self) -> Iterable[Mapping[str, Any]]:
        return iter(self.rows)


@contextlib.contextmanager
def listening(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A socket at ``path`` whose first connection is given to ``serve``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield str(path)
        thread.join(10)
