"""The client for applications: hear of memory pressure, register with lmkd, ask it. Standard library only.

    from lmkd.client import Client
    Client().listen(on_level=lambda notice: notice.severity >= 2 and cache.clear())

``lmkd.client.aio.AsyncClient`` is the same for asyncio: a module of its own, because asyncio takes 5 MB on a board.
Nothing here imports the rest of lmkd: an application may as well take a copy of this folder, under any name.
docs/clients.md is the introduction.
"""

from __future__ import annotations

from .codec import DEFAULT_SOCKET, LEVELS, AboutToKill, Event, Level, Link, Notice
from .errors import ClientError, NotAvailable, OddAnswer, Refused
from .results import Change, Registration
from .retry import Retry
from .sync import Client

__all__ = [
    "DEFAULT_SOCKET",
    "LEVELS",
    "AboutToKill",
    "Change",
    "Client",
    "ClientError",
    "Event",
    "Level",
    "Link",
    "NotAvailable",
    "Notice",
    "OddAnswer",
    "Refused",
    "Registration",
    "Retry",
]
