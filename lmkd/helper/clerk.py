"""Between the desk and the orders, whose code the first of them loads: most boards never have any."""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lmkd.guard.exchange import Exchange
    from lmkd.helper.care import Care
    from lmkd.helper.orders import Orders
    from lmkd.helper.scout import Scout


class Clerk:
    """See ``lmkd.helper.orders.Orders``, which gets all that this is given."""

    def __init__(
        self, exchange: Exchange, scout: Scout, care: Care, guard_pid: int, refresh: Callable[[], None]
    ) -> None:
        self._given = (exchange, scout, care, guard_pid, refresh)
        self._orders: Orders | None = None
        if struct.unpack_from("=I", exchange.slots)[0]:  # the first slot was used, by a helper before this one
            self._load()

    def carry_out(self, data: bytes) -> bytes:
        """The answer to one order."""
        return self._load().carry_out(data)

    def tidy(self) -> None:
        """Forget those that are no more."""
        if self._orders is not None:
            self._orders.tidy()

    def take_changed(self) -> bool:
        """Was something changed, since this was asked, that the candidates' table shows?"""
        if self._orders is None or not self._orders.changed:
            return False
        self._orders.changed = False
        return True

    def group_of(self, pid: int) -> tuple[list[int], str]:
        """Who was registered to end together with one that the guard has signalled, and by which signal."""
        return self._orders.group_of(pid) if self._orders is not None else ([], "")

    def _load(self) -> Orders:
        if self._orders is None:
            from lmkd.helper.orders import Orders

            self._orders = Orders(*self._given)
        return self._orders
