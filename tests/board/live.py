"""Owns how a run is shown while it happens: lmkd's records and the kernel's kills, one line each, as `lmkd events`."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from lmkd.cli.render import use_colour
from lmkd.log import NAME_WIDTH, EventLine

LOG_PREFIX = "lmkd: {"
# Of each event what tells the story; all numbers of all events: `lmkd events` on the board. () hides it.
SHOWN: Mapping[str, tuple[str, ...]] = {
    "store_up": ("device", "algorithm", "size_kib", "mem_limit_kib"),
    "ready": ("ms",),
    "pressure": ("pressure", "headroom_kib", "rate_kib_s"),
    "kill": ("pid", "name", "reason", "priority", "predicted_kib"),
    "escalate": ("pid", "name", "reason", "signal"),
    "receipt": ("pid", "name", "victims", "predicted_kib", "returned_kib", "ms"),
    "sysctl": (),
    "helper_started": (),
    "reap": (),
}
LABELS: Mapping[str, str] = {"ms": "after_ms", "pressure": "now"}
KERNEL_KILL = re.compile(r"^\[ *(\d+\.\d+)\] Out of memory: Killed process (\d+) \(([^)]*)\).* anon-rss:(\d+)kB")
KERNEL_POLL_S = 0.3
HEAD_WIDTH = len("00:00:00.000  warning   ") + NAME_WIDTH + 2


class Stage:
    """Prints to `stream`; both the board's thread and the one that watches the kernel's console do."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._plain = EventLine(False, time.gmtime)
        self._coloured = EventLine(use_colour(stream), time.gmtime)
        self._width = shutil.get_terminal_size().columns if stream.isatty() else None
        self._lock = threading.Lock()
        self.colour = use_colour(stream)

    def say(self, text: str = "") -> None:
        """One line."""
        with self._lock:
            print(text, file=self._stream, flush=True)

    def text(self, line: str) -> None:
        """A line of the guest's text: an event of lmkd's log is shown, anything else is not."""
        if not line.startswith(LOG_PREFIX):
            return
        try:
            record = json.loads(line.partition(" ")[2])
        except ValueError:
            return
        if isinstance(record, dict):
            self.event(record)

    def event(self, record: Mapping[str, Any]) -> None:
        """One event, at its time since the board started; folded on a terminal that is too narrow."""
        chosen = story(record)
        if chosen is None:
            return
        plain, shown = (form(None, "", dict(chosen)) for form in (self._plain, self._coloured))
        if self._width is not None and len(plain) > self._width:
            shown = fold(plain, shown, self._width)
        self.say(shown)


def story(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part of a record that a person who sees lmkd for the first time wants; None: nothing of it."""
    found = dict(record)
    names = SHOWN.get(str(record.get("event")))
    if names == ():
        return None
    kept: dict[str, Any] = {name: found[name] for name in ("event", "level") if name in found}
    if isinstance(found.get("t_ms"), int | float):
        kept["timestamp"] = found["t_ms"] / 1000
    for name in names or (name for name in found if name not in ("event", "level", "timestamp", "seq", "t_ms")):
        if name in found:
            kept[LABELS.get(name, name)] = found[name]
    return kept


def fold(plain: str, shown: str, width: int) -> str:
    """`shown` (which may hold colours, but only in its head) in lines of `width`, the story below itself."""
    rest = plain[HEAD_WIDTH:]
    lines = textwrap.wrap(rest, max(20, width - HEAD_WIDTH), break_on_hyphens=False)
    return shown[: len(shown) - len(rest)] + ("\n" + " " * HEAD_WIDTH).join(lines)


class KernelWatch:
    """Shows the kernel's own kills as they appear on the board's console. A context manager."""

    def __init__(self, console: Path, stage: Stage) -> None:
        self._console = console
        self._stage = stage
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> KernelWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        position, last = 0, False
        while not last:
            last = self._over.wait(KERNEL_POLL_S)
            if not self._console.exists():
                continue
            with self._console.open("rb") as file:
                file.seek(position)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            position += len(whole)
            for line in whole.decode("utf-8", "replace").splitlines():
                self._show(line)

    def _show(self, line: str) -> None:
        found = KERNEL_KILL.match(line)
        if found is not None:
            t_s, pid, name, resident = found.groups()
            self._stage.event({
                "event": "kernel kill", "level": "error", "t_ms": float(t_s) * 1000, "pid": int(pid), "name": name,
                "reason": "the kernel's OOM killer: memory was exhausted", "resident_kib": int(resident),
            })  # fmt: skip
