"""The service manager: who waits to hear of us, by the environment (sd_notify(3), sd_watchdog_enabled(3)).

The planner connects, and the guard inherits the connection: writing to it looks up no name and loads no module.
"""

from __future__ import annotations

import os

from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NOBODY = -1


@value
class Waiting:
    """``fd`` is connected to the manager, NOBODY without one, and then the record ``notes`` may say why.

    ``watchdog_ms``: how often it wants to hear that we are alive, 0 for never.
    """

    fd: int
    watchdog_ms: int
    notes: tuple[tuple[str, tuple[tuple[str, object], ...], str], ...] = ()


def who_waits(environment: Mapping[str, str], pid: int) -> Waiting:
    """The manager that started process ``pid``. The connection outlives an exec."""
    period_us, watched = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    ours = period_us.isdecimal() and watched in ("", str(pid))
    try:
        descriptor = connect(environment.get("NOTIFY_SOCKET", ""))
    except OSError as error:
        cost = f"the service manager is told nothing ({error.strerror or error})"
        fields = (("feature", "NOTIFY_SOCKET"), ("cost", cost))
        return Waiting(NOBODY, 0, (("degraded", fields, "warning"),))
    return Waiting(descriptor, int(period_us) // 1000 if ours and descriptor != NOBODY else 0)


def connect(path: str) -> int:
    """A datagram socket that is connected to ``path`` (``@name``: abstract) and never waits; NOBODY for no path.

    OSError when nobody listens there.
    """
    if not path:
        return NOBODY
    import _socket

    address = "\0" + path[1:] if path.startswith("@") else path
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
    try:
        connection.connect(address)
        os.set_inheritable(connection.fileno(), True)
        return connection.detach()
    finally:
        connection.close()
