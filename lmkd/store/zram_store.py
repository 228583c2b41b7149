"""Owns the life of a zram swap store: makes or adopts it, says what it is, takes it down when that is safe.

Order of the kernel's (Documentation/admin-guide/blockdev/zram.rst): algorithm, disksize, limit, header,
swapon. Before the first change of a device its name is noted below /run, so that a crash half way is known
for lmkd's own.
"""

from __future__ import annotations

import errno

from lmkd.errors import KernelInterfaceError, LmkdError, StoreError
from lmkd.kernel import swap, zram
from lmkd.kernel.files import errno_of
from lmkd.kernel.sysctl import MIN_TTL
from lmkd.store import drain, fit, sysctls, trial_note
from lmkd.store.effects import Effects, KernelEffects
from lmkd.store.extras import limit_may_stay, set_algorithm, set_extras
from lmkd.store.find import LABEL, Found, InUse, find
from lmkd.store.record import ADDING, MAKING, TAKING_DOWN, UP, StoreRecord, boot_id, format_record, store_path
from lmkd.store.state import NO_STORE, StoreSpec, StoreState
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmkd.kernel.files import Roots
    from lmkd.store.state import Report

_KIB_BYTES = 1024


def bring_up(roots: Roots, spec: StoreSpec, report: Report, effects: Effects | None = None) -> StoreState:
    """Adopt the store that is up, or make one; then set the tunables. Returns what there is.

    ``report`` is called with store_up, store_adopted, store_reset, sysctl and degraded, each with its
    numbers. With kind ``none`` nothing is made. Raises StoreError; then nothing half made is left behind.
    """
    port = effects or KernelEffects(roots)
    spec = whole_pages(spec)
    try:
        with port.lock():
            trial_note.clear_dead(roots, port, report)
            found = find(roots)
            if drain.finish(roots, found, port, report):
                found = find(roots)
            if found.store is not None:
                state = _adopt(roots, spec, found, port, report)
            elif spec.kind == "none":
                state = NO_STORE
            else:
                state = make(roots, spec, found, port, report)
            # Without a store only the kernel's own killing on thrash is of concern.
            wanted = tuple(item for item in spec.sysctls if state.kind != "none" or item[0] == MIN_TTL)
            sysctls.apply(roots, wanted, port, report)
            return state
    except KernelInterfaceError as error:
        raise StoreError(f"store: {error}") from error


def take_down(roots: Roots, report: Report, force: bool = False, effects: Effects | None = None) -> None:
    """Bring all that is stored back to memory, free the device, restore the tunables. Nothing up is fine.

    Raises StoreError, and leaves the store up, when the stored pages would not fit in memory (not asked with
    ``force``), when the only store is somebody else's (the tunables are restored all the same), and when the
    kernel refuses.
    """
    port = effects or KernelEffects(roots)
    try:
        with port.lock():
            found = find(roots)
            store = found.store
            if store is not None and not store.ours:
                sysctls.restore(roots, port, report)
                raise StoreError(f"store: zram{store.number} was set up by somebody else; lmkd leaves it up")
            if store is not None:
                state = _read(roots, store, found.record)
                if not force:
                    fit.require_fit(state, fit.read_memory(roots))
                for extra in drain.extra_stores(found):
                    drain.drain(roots, extra, drain.hot_added(found.record, extra.number), port, report)
                _swap_off(roots, store, found.record, port, report)
            for number in found.half_made:
                drain.free(number, drain.hot_added(found.record, number), port)
                report("store_reset", {"device": f"zram{number}"})
            for number in drain.unused(found):
                port.hot_remove(number)
            port.remove(store_path(roots))
            sysctls.restore(roots, port, report)
    except KernelInterfaceError as error:
        raise StoreError(f"store: {error}") from error


def status(roots: Roots) -> StoreState:
    """What the store is now; ``NO_STORE`` when there is none. StoreError when the kernel cannot be read."""
    try:
        found = find(roots)
        return NO_STORE if found.store is None else _read(roots, found.store, found.record)
    except KernelInterfaceError as error:
        if errno_of(error) == errno.ENOENT and not (roots.proc / "swaps").exists():
            return NO_STORE
        raise StoreError(f"store: {error}") from error


def _read(roots: Roots, store: InUse, record: StoreRecord | None) -> StoreState:
    stat = zram.mm_stat(roots, store.number)
    offered = zram.algorithms(roots, store.number)
    noted = record is not None and zram.device_number(record.device) == store.number
    return StoreState(
        kind="zram",
        device=f"zram{store.number}",
        algorithm=offered.selected if offered is not None else None,
        size_kib=zram.disksize_kib(roots, store.number),
        mem_limit_kib=stat.limit_bytes // _KIB_BYTES or None,
        orig_kib=stat.orig_bytes // _KIB_BYTES,
        compressed_kib=stat.compressed_bytes // _KIB_BYTES,
        used_kib=stat.used_bytes // _KIB_BYTES,
        used_max_kib=stat.used_max_bytes // _KIB_BYTES,
        same_pages=stat.same_pages,
        huge_pages=stat.huge_pages,
        swap_used_kib=store.entry.used_kib,
        swap_priority=store.entry.priority,
        adopted=not store.ours or (noted and record is not None and record.adopted),
        foreign=not store.ours,
        ratio=stat.orig_bytes / stat.used_bytes if stat.used_bytes and store.entry.used_kib else None,
    )


def _adopt(roots: Roots, spec: StoreSpec, found: Found, port: Effects, report: Report) -> StoreState:
    store = found.store
    if store is None:
        raise StoreError("store: there is none to adopt")
    state = replace(_read(roots, store, found.record), adopted=True)
    if store.ours:
        if spec.kind == "zram" and not limit_may_stay(state.mem_limit_kib, spec):
            port.set_attribute(store.number, "mem_limit", str((spec.mem_limit_kib or 0) * _KIB_BYTES))
            state = replace(state, mem_limit_kib=spec.mem_limit_kib)
        added = drain.hot_added(found.record, store.number)
        record = StoreRecord(boot_id(roots), f"zram{store.number}", UP, added, True)
        if found.record is not None and found.record.device == record.device:
            old, old_added = found.record.draining, found.record.draining_hot_added
            record = replace(record, draining=old, draining_hot_added=old_added)
        port.save(store_path(roots), format_record(record))
    report(
        "store_adopted",
        {
            "device": state.device,
            "algorithm": state.algorithm,
            "size_kib": state.size_kib,
            "mem_limit_kib": state.mem_limit_kib,
            "swap_used_kib": state.swap_used_kib,
            "foreign": state.foreign,
        },
    )
    return state


def make(
    roots: Roots, spec: StoreSpec, found: Found, port: Effects, report: Report, beside: StoreRecord | None = None
) -> StoreState:
    """A new store; ``beside`` is the note of one that is up and that this one takes the place of."""
    header = _header(swap.page_bytes(), spec)
    if not zram.control_exists(roots) and not zram.devices(roots):
        port.load_module("zram")
        found = find(roots)
    found = replace(found, half_made=_clear_half_made(found, port, report))
    for number, hot_added in _candidates(roots, found, port, beside):
        try:
            return _prepare(roots, spec, header, (number, hot_added), port, report, beside)
        except KernelInterfaceError as error:
            if hot_added or errno_of(error) != errno.EBUSY:
                raise
            report(
                "degraded",
                {"feature": f"zram{number}", "cost": "another device is used", "reason": str(error)},
            )
    raise StoreError("store: no zram device is free and none could be added")


def whole_pages(spec: StoreSpec) -> StoreSpec:
    # As the kernel rounds, so that what is read back equals what was asked for.
    page_kib = swap.page_bytes() // _KIB_BYTES
    limit_kib = None if spec.mem_limit_kib is None else -(-spec.mem_limit_kib // page_kib) * page_kib
    return replace(spec, size_kib=-(-spec.size_kib // page_kib) * page_kib, mem_limit_kib=limit_kib)


def _header(page_bytes: int, spec: StoreSpec) -> bytes:
    import os

    try:
        return swap.swap_header(page_bytes, spec.size_kib, os.urandom(16), LABEL)
    except ValueError as error:
        raise StoreError(f"store: size: {error}") from error


def _candidates(
    roots: Roots, found: Found, port: Effects, beside: StoreRecord | None
) -> Iterator[tuple[int, bool]]:
    # One that a crash left behind is used, or nobody would remember that lmkd has to remove it.
    left = (*found.half_made, *drain.unused(found))
    for number in (*left, *(number for number in found.free if number not in left)):
        yield number, drain.hot_added(found.record, number)
    port.save(store_path(roots), format_record(_note(roots, (zram.next_number(roots), True), ADDING, beside)))
    try:
        yield port.hot_add(), True
    except KernelInterfaceError:
        _forget(roots, port, beside)
        raise


def _note(roots: Roots, device: tuple[int, bool], phase: str, beside: StoreRecord | None) -> StoreRecord:
    old, old_added = (beside.device, beside.hot_added) if beside is not None else ("", False)
    return StoreRecord(boot_id(roots), f"zram{device[0]}", phase, device[1], False, old, old_added)


def _forget(roots: Roots, port: Effects, beside: StoreRecord | None) -> None:
    if beside is not None:
        port.save(store_path(roots), format_record(beside))
    else:
        port.remove(store_path(roots))


def _clear_half_made(found: Found, port: Effects, report: Report) -> tuple[int, ...]:
    cleared = []
    for number in found.half_made:
        try:
            port.reset(number)
        except KernelInterfaceError as error:
            report("degraded", {"feature": f"zram{number}", "cost": "left half made", "reason": str(error)})
            continue
        cleared.append(number)
        report("store_reset", {"device": f"zram{number}"})
    return tuple(cleared)


def _prepare(
    roots: Roots,
    spec: StoreSpec,
    header: bytes,
    device: tuple[int, bool],
    port: Effects,
    report: Report,
    beside: StoreRecord | None,
) -> StoreState:
    number, hot_added = device
    record = _note(roots, device, MAKING, beside)
    is_sized = False
    try:
        port.save(store_path(roots), format_record(record))
        port.ensure_node(number)
        algorithm = set_algorithm(roots, spec, number, port, report)
        set_extras(roots, spec, number, port, report)
        port.set_attribute(number, "disksize", str(spec.size_kib * _KIB_BYTES))
        is_sized = True
        if spec.mem_limit_kib is not None:
            port.set_attribute(number, "mem_limit", str(spec.mem_limit_kib * _KIB_BYTES))
        port.write_header(number, header)
        port.swapon(number, spec.swap_priority)
    except LmkdError:
        _undo(roots, number, hot_added, is_sized, port, beside)
        raise
    port.save(store_path(roots), format_record(replace(record, phase=UP)))
    expected = StoreState(
        kind="zram",
        device=f"zram{number}",
        algorithm=algorithm,
        size_kib=spec.size_kib,
        mem_limit_kib=spec.mem_limit_kib,
        swap_priority=spec.swap_priority,
    )
    shown = ("device", "algorithm", "size_kib", "mem_limit_kib", "swap_priority")
    report("store_up", {name: getattr(expected, name) for name in shown})
    return port.settle(expected, lambda: status(roots))


def _undo(
    roots: Roots, number: int, hot_added: bool, is_sized: bool, port: Effects, beside: StoreRecord | None
) -> None:
    # What went wrong first is what matters: a failure of the clean-up must not hide it.
    try:
        if is_sized or hot_added:
            drain.free(number, hot_added, port, is_sized)
        _forget(roots, port, beside)
    except LmkdError:
        pass


def _swap_off(roots: Roots, store: InUse, record: StoreRecord | None, port: Effects, report: Report) -> None:
    hot_added = drain.hot_added(record, store.number)
    note = StoreRecord(boot_id(roots), f"zram{store.number}", TAKING_DOWN, hot_added)
    port.save(store_path(roots), format_record(note))
    try:
        port.swapoff(store.number)
    except KernelInterfaceError:
        port.save(store_path(roots), format_record(replace(note, phase=UP)))
        raise
    drain.free(store.number, hot_added, port)
    report("store_down", {"device": f"zram{store.number}", "swap_used_kib": store.entry.used_kib})
