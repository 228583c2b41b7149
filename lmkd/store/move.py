"""Owns moving the store to a second device with other settings: for another algorithm, or out of fragmentation.

The new device is swapped on at a higher priority, so whatever is stored from then on goes there; then the old one is
drained: what comes back has to fit in memory for a while. ``improve`` is for the helper, in calm, and asks for more.
"""

from __future__ import annotations

from lmkd.errors import KernelInterfaceError, StoreError
from lmkd.store import drain, fit
from lmkd.store.effects import Effects, KernelEffects
from lmkd.store.find import find
from lmkd.store.record import UP, StoreRecord, boot_id, format_record, store_path
from lmkd.store.wanted import better_algorithm
from lmkd.store.zram_store import make, status, whole_pages
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import Roots
    from lmkd.store.find import Found, InUse
    from lmkd.store.state import Report, StoreSpec, StoreState

PRIORITY_MAX = 32767
CALM_PART = 4
"""So much of RAM must stay available with all that is stored back in memory: as much as calm is (helper/trial.py)."""


def move(roots: Roots, spec: StoreSpec, report: Report, effects: Effects | None = None) -> StoreState:
    """Make a second device as ``spec`` says, drain the old one and remove it. Returns what there is then.

    StoreError, with nothing changed, when there is no store of lmkd's own, what it holds would not fit in memory, or
    the second one cannot be made. StoreError with both up when the kernel refuses to drain the old one: the next start
    (or move) tries again.
    """
    port = effects or KernelEffects(roots)
    spec = whole_pages(spec)
    try:
        with port.lock():
            found = find(roots)
            if drain.finish(roots, found, port, report):
                found = find(roots)
            old = _own(found)
            drain.require_fit(roots, old)
            if old.entry.priority >= PRIORITY_MAX:
                raise StoreError(f"store: zram{old.number} has the highest swap priority, none is left for a second")
            before = found.record or StoreRecord(boot_id(roots), f"zram{old.number}", UP)
            spec = replace(spec, kind="zram", swap_priority=max(0, old.entry.priority) + 1)
            state = make(roots, spec, found, port, report, before)
            port.be_nice()
            drain.drain(roots, old, drain.hot_added(before, old.number), port, report)
            added = drain.hot_added(find(roots).record, _number(state))
            port.save(store_path(roots), format_record(StoreRecord(boot_id(roots), state.device or "", UP, added)))
            return port.settle(state, lambda: status(roots))
    except KernelInterfaceError as error:
        raise StoreError(f"store: {error}") from error


def improve(roots: Roots, spec: StoreSpec, report: Report, effects: Effects | None = None) -> StoreState:
    """Move the store where ``auto`` has come to mean another algorithm, or finish a move that was ended half-way.

    With nothing to do nothing is done. Errors as those of ``move``, and when what comes back would end the calm.
    """
    port = effects or KernelEffects(roots)
    try:
        found, state = find(roots), status(roots)
        extra, better = drain.extra_stores(found), better_algorithm(spec, state)
        unfinished = bool(extra or found.half_made or drain.unused(found))
        if found.store is None or not found.store.ours or not (unfinished or better):
            return state
        _require_calm(roots, (*extra, *((found.store,) if better else ())))
        if unfinished:
            port.be_nice()
            with port.lock():
                drain.finish(roots, find(roots), port, report)
        return move(roots, spec, report, port) if better else status(roots)
    except KernelInterfaceError as error:
        raise StoreError(f"store: {error}") from error


def _require_calm(roots: Roots, going: tuple[InUse, ...]) -> None:
    held = (drain.held_by(roots, item) for item in going)
    stored_kib = sum(max(one.orig_kib or 0, one.swap_used_kib or 0) for one in held)
    memory = fit.read_memory(roots)
    room_kib = max(0, memory.available_kib - memory.total_kib // CALM_PART)
    if stored_kib > room_kib:
        raise StoreError(f"store: not moved: {stored_kib} KiB are stored, and only {room_kib} KiB would fit in calm")


def _own(found: Found) -> InUse:
    if found.store is None:
        raise StoreError("store: none is up: lmkd store up makes one")
    if not found.store.ours:
        raise StoreError(f"store: zram{found.store.number} was set up by somebody else; lmkd leaves it up")
    if drain.extra_stores(found):
        raise StoreError("store: there are two already, the older cannot be drained yet: stop applications first")
    return found.store


def _number(state: StoreState) -> int:
    return int((state.device or "zram-1").removeprefix("zram"))
