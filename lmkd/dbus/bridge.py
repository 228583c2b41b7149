"""The bridge: levels of pressure from lmkd's control socket to org.freedesktop.LowMemoryMonitor on the system bus."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from lmkd.dbus.bus import Bus
from lmkd.dbus.warnings import Warnings
from lmkd.errors import ControlError

NAME = INTERFACE = "org.freedesktop.LowMemoryMonitor"
PATH = "/org/freedesktop/LowMemoryMonitor"
MEMBER = "LowMemoryWarning"
XML = f"""\
<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
<node>
  <interface name="{INTERFACE}">
    <signal name="{MEMBER}"><arg name="level" type="y"/></signal>
  </interface>
  <interface name="org.freedesktop.DBus.Introspectable">
    <method name="Introspect"><arg name="xml" type="s" direction="out"/></method>
  </interface>
  <interface name="org.freedesktop.DBus.Peer"><method name="Ping"/></interface>
</node>
"""
SUBSCRIBE = b'{"v":1,"op":"subscribe","levels":true}'
MESSAGE_BYTES_MAX = 65536
FIRST_PAUSE_MS, LAST_PAUSE_MS = 500.0, 30_000.0
"""lmkd may start after us, and again: it is looked for after so long, each time after twice as long."""


class Levels:
    """A subscription to the levels. ``descriptor`` is -1 while there is no connection."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    @property
    def descriptor(self) -> int:
        """For poll."""
        return -1 if self._socket is None else self._socket.fileno()

    def connect(self) -> bool:
        """Subscribe; False when nobody is there."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            made.connect(self._path)
            made.send(SUBSCRIBE)
        except OSError:
            made.close()
            return False
        self._socket = made
        return True

    def receive(self) -> str | None:
        """The level that one message tells; empty when the connection has ended, None when it tells none.

        ControlError: this lmkd does not let us subscribe.
        """
        assert self._socket is not None
        try:
            data = self._socket.recv(MESSAGE_BYTES_MAX)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self.close()
            return ""
        return level_of(data)

    def close(self) -> None:
        """End the subscription."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def level_of(data: bytes) -> str | None:
    """The level that a message of the control socket tells, None if of something else. ControlError: refused."""
    try:
        message: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    if message.get("ok") is False:
        raise ControlError(f"lmkd does not tell its levels: {message.get('error')}")
    told = message.get("level", message.get("subscribed"))
    level = told.get("level") if isinstance(told, dict) else None
    return level if isinstance(level, str) else None


class Bridge:
    """Owns both connections. A bus that goes ends it (BusError); lmkd is waited for."""

    def __init__(self, bus: Bus, levels: Levels, clock_ms: Callable[[], float] | None = None) -> None:
        self._bus = bus
        self._levels = levels
        self._clock_ms = clock_ms or _monotonic_ms
        self._warnings = Warnings()
        self._due_ms, self._pause_ms = 0.0, FIRST_PAUSE_MS

    def run(self) -> None:
        """Until the bus is gone."""
        while True:
            self.turn()

    def turn(self) -> None:
        """Wait for something to happen, and do what it asks for."""
        self._look_for_lmkd()
        watch = select.poll()
        watch.register(self._bus.fileno(), select.POLLIN)
        if self._levels.descriptor >= 0:
            watch.register(self._levels.descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in watch.poll(self._timeout_ms())}
        if self._levels.descriptor in ready:
            self._hear()
        value = self._warnings.take(self._clock_ms())
        if value is not None:
            self._bus.emit(INTERFACE, MEMBER, "y", bytes([value]))
        if self._bus.fileno() in ready:
            self._bus.answer()

    def _timeout_ms(self) -> float | None:
        now_ms = self._clock_ms()
        due = [self._warnings.timeout_ms(now_ms)]
        if self._levels.descriptor < 0:
            due.append(max(0.0, self._due_ms - now_ms))
        return min((one for one in due if one is not None), default=None)

    def _hear(self) -> None:
        level = self._levels.receive()
        if level is not None:
            self._warnings.see(level)
        if level:
            self._pause_ms = FIRST_PAUSE_MS

    def _look_for_lmkd(self) -> None:
        now_ms = self._clock_ms()
        if self._levels.descriptor < 0 and now_ms >= self._due_ms:
            self._levels.connect()
            self._due_ms = now_ms + self._pause_ms
            self._pause_ms = min(2 * self._pause_ms, LAST_PAUSE_MS)


def _monotonic_ms() -> float:
    return time.monotonic() * 1000
