"""What makes the sessions of a listening socket of each kind (``lmkd.helper.desk.sockets_of``)."""

from __future__ import annotations

from lmkd.control.hands import Hands, Peer, Session
from lmkd.control.native import NativeSession
from lmkd.control.order_hands import OrderHands
from lmkd.guard.exchange import Exchange
from lmkd.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Maker = Callable[[Peer, Hands], Session]


def makers(plan: Plan, hands: OrderHands, exchange: Exchange) -> dict[str, Maker]:
    """What makes the sessions of each kind, for one talker."""
    if not plan.android_socket:
        return {"native": NativeSession}
    from lmkd.control.android_session import android_sessions
    from lmkd.control.android_shared import Shared

    shared = Shared(plan.android_release, exchange.android)
    hands.status_of["android"] = lambda: shared.status(hands)
    return {"native": NativeSession, "android": android_sessions(shared)}
