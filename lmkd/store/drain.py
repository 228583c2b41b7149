"""Owns emptying a store beside another: the old device of a move, and whatever a crash in the middle of one left.

A note below /run names both devices, and which of them lmkd added, before the kernel is asked for anything; so whatever
the moment of a crash, the next start finds the newer one up (or not yet) and knows what to do with the other.
"""

from __future__ import annotations

from lmkd.errors import KernelInterfaceError, StoreError
from lmkd.kernel import zram
from lmkd.store import fit
from lmkd.store.record import UP, StoreRecord, boot_id, format_record, store_path
from lmkd.store.state import StoreState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import Roots
    from lmkd.store.effects import Effects
    from lmkd.store.find import Found, InUse
    from lmkd.store.state import Report

_KIB_BYTES = 1024


def hot_added(record: StoreRecord | None, number: int) -> bool:
    """Did lmkd add this device? Then it takes it away again."""
    if record is None:
        return False
    if zram.device_number(record.device) == number:
        return record.hot_added
    return record.draining_hot_added and zram.device_number(record.draining) == number


def extra_stores(found: Found) -> tuple[InUse, ...]:
    """lmkd's own devices in use beside the one that counts as the store."""
    return tuple(item for item in found.in_use if item.ours and item is not found.store)


def unused(found: Found) -> tuple[int, ...]:
    """Devices that lmkd had added and that nobody has given a size."""
    return tuple(number for number in found.free if hot_added(found.record, number))


def held_by(roots: Roots, store: InUse) -> StoreState:
    """What the device holds, as far as it matters for taking it down."""
    stat = zram.mm_stat(roots, store.number)
    return StoreState(
        kind="zram",
        device=f"zram{store.number}",
        orig_kib=stat.orig_bytes // _KIB_BYTES,
        used_kib=stat.used_bytes // _KIB_BYTES,
        swap_used_kib=store.entry.used_kib,
    )


def require_fit(roots: Roots, store: InUse) -> None:
    """StoreError with the numbers when what the device holds would not fit in memory."""
    fit.require_fit(held_by(roots, store), fit.read_memory(roots))


def drain(roots: Roots, store: InUse, is_added: bool, port: Effects, report: Report) -> None:
    """Bring back what the device holds and free it. KernelInterfaceError when the kernel refuses; then it stays up."""
    stored_kib = held_by(roots, store).orig_kib
    port.swapoff(store.number)
    free(store.number, is_added, port)
    fields = {"device": f"zram{store.number}", "swap_used_kib": store.entry.used_kib, "orig_kib": stored_kib}
    report("store_down", fields)


def free(number: int, is_added: bool, port: Effects, is_sized: bool = True) -> None:
    """Empty a device that is not in use, and remove it if lmkd added it."""
    if is_sized:
        port.reset(number)
    if is_added:
        port.hot_remove(number)


def finish(roots: Roots, found: Found, port: Effects, report: Report) -> bool:
    """End what a crash interrupted while a store is up; True when anything was changed.

    Another own device in use is drained if what it holds fits in memory, else it stays, and the next start tries again.
    """
    store, record = found.store, found.record
    if store is None or not store.ours:
        return False
    left = ""
    extra = extra_stores(found)
    for item in extra:
        try:
            require_fit(roots, item)
            drain(roots, item, hot_added(record, item.number), port, report)
        except (StoreError, KernelInterfaceError) as error:
            left = f"zram{item.number}"
            report("degraded", {"feature": left, "cost": "two stores until it can be drained", "reason": str(error)})
    for number in found.half_made:
        free(number, hot_added(record, number), port)
        report("store_reset", {"device": f"zram{number}"})
    empty = unused(found)
    for number in empty:
        port.hot_remove(number)
    noted = record is not None and (record.draining != left or zram.device_number(record.device) != store.number)
    if noted or extra or found.half_made:
        added = hot_added(record, store.number)
        was_added = bool(left) and hot_added(record, zram.device_number(left) or 0)
        note = StoreRecord(boot_id(roots), f"zram{store.number}", UP, added, False, left, was_added)
        port.save(store_path(roots), format_record(note))
    return bool(noted or extra or found.half_made or empty)
