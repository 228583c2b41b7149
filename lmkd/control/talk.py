"""The talker's whole life: what it does not need of the helper is put away, then it talks."""

from __future__ import annotations

import _signal
import _socket
import gc
import os

from lmkd.control.talker import Talker
from lmkd.guard.exchange import Exchange
from lmkd.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def talk(
    plan: Plan, exchange: Exchange, listeners: Mapping[str, _socket.socket], channel: _socket.socket
) -> None:
    """The forked child's whole life."""
    for number in (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT):
        _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    kept = {0, 1, 2, channel.fileno(), exchange.wake, *(one.fileno() for one in listeners.values())}
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                continue  # the one that listed them
    gc.freeze()  # what the helper made stays as it is: looking through it would copy every page of it
    gc.enable()
    _hurry()
    Talker(plan, exchange, listeners, channel).run()


def _hurry() -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    except OSError:
        return  # a little slower, under load
