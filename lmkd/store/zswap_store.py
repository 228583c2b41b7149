"""Owns the life of a zswap store: zswap in front of a device that fails every write, so that nothing is written.

Order: the device, zswap's parameters, swapon; back in the reverse order. Root's memory.zswap.writeback (Linux 6.8)
goes to 0, which spares the kernel the attempts. A device of Mel Gorman's description: a page that zswap does not take
stays in memory, since the kernel keeps a page whose write failed.
"""

from __future__ import annotations

import contextlib
import os

from lmkd.errors import KernelInterfaceError, LmkdError, StoreError
from lmkd.kernel import zswap
from lmkd.kernel.counters import find_number
from lmkd.kernel.files import read_bytes
from lmkd.kernel.zswap_stat import SAFE_PCT
from lmkd.store import fit, sysctls, zswap_parameters
from lmkd.store.algorithms import PREFERENCE
from lmkd.store.device_effects import DeviceEffects, KernelDeviceEffects
from lmkd.store.record import TAKING_DOWN, UP, boot_id
from lmkd.store.state import AUTO, NO_STORE, StoreSpec, StoreState
from lmkd.store.zswap_backing import Backing, free, whole_pages_kib
from lmkd.store.zswap_find import CLOSED, ZswapFound, ZswapRecord, find, format_note, note_path
from lmkd.store.zswap_parameters import Setter, Wish
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import Roots
    from lmkd.store.state import Report

PERCENT_MAX = 90
POOL_AUTO = "zsmalloc"


def is_there(roots: Roots) -> bool:
    """Whether a zswap store of lmkd's is up, or was left half made or half taken down. Never raises."""
    try:
        found = find(roots)
    except KernelInterfaceError:
        return False
    return found.entry is not None or found.half_made


def missing(roots: Roots) -> str | None:
    """Why this kernel can have no zswap store; None where it can."""
    if not zswap.exists(roots):
        return "zswap is not in this kernel (CONFIG_ZSWAP)"
    if zswap.stat(roots) is None:
        return "/proc/meminfo does not tell what zswap holds (Linux 5.19), so nobody could be ended in time"
    return None


def bring_up(roots: Roots, spec: StoreSpec, report: Report, effects: DeviceEffects | None = None) -> StoreState:
    """Adopt the store that is up, or make one; then set the tunables. As ``zram_store.bring_up``."""
    port = effects or KernelDeviceEffects(roots)
    spec = replace(spec, size_kib=whole_pages_kib(spec.size_kib))
    try:
        with port.lock():
            found = find(roots)
            if found.entry is not None:
                state = _adopt(roots, spec, found, port, report)
            else:
                _clear(roots, found, port, report)
                reason = missing(roots)
                if reason is not None:
                    raise StoreError(f"store: {reason}")
                state = _make(roots, spec, found, port, report)
            sysctls.apply(roots, spec.sysctls, port, report)
            return state
    except KernelInterfaceError as error:
        raise StoreError(f"store: {error}") from error


def take_down(roots: Roots, report: Report, force: bool = False, effects: DeviceEffects | None = None) -> None:
    """Bring all that is stored back, free the device, restore parameters and tunables. As ``zram_store.take_down``."""
    port = effects or KernelDeviceEffects(roots)
    try:
        with port.lock():
            found = find(roots)
            if found.entry is not None:
                if not force:
                    fit.require_fit(_only_stored(roots, _read(roots, found)), fit.read_memory(roots))
                _swap_off(roots, found, port, report)
            _clear(roots, found, port, report)
            sysctls.restore(roots, port, report)
    except KernelInterfaceError as error:
        raise StoreError(f"store: {error}") from error


def clear(roots: Roots, report: Report, effects: DeviceEffects | None = None) -> None:
    """Free what was left half made or half taken down, where another kind of store is wanted now."""
    port = effects or KernelDeviceEffects(roots)
    try:
        with port.lock():
            found = find(roots)
            if found.entry is None:
                _clear(roots, found, port, report)
    except KernelInterfaceError as error:
        raise StoreError(f"store: {error}") from error


def status_or_none(roots: Roots) -> StoreState | None:
    """As ``status``, but None where there is no such store or the kernel cannot be read. Never raises."""
    try:
        state = status(roots)
    except StoreError:
        return None
    return state if state.kind != "none" else None


def status(roots: Roots) -> StoreState:
    """What the store is now; ``NO_STORE`` when there is none. StoreError when the kernel cannot be read."""
    try:
        found = find(roots)
        return NO_STORE if found.entry is None else _read(roots, found)
    except KernelInterfaceError as error:
        raise StoreError(f"store: {error}") from error


def pool_percent(limit_kib: int | None, ram_kib: int) -> int:
    """max_pool_percent for a store of ``limit_kib``: whole percent, and so much more that the killer acts before."""
    if limit_kib is None:
        return PERCENT_MAX
    return min(PERCENT_MAX, max(1, -(-limit_kib * 10_000 // (ram_kib * SAFE_PCT))))


def _read(roots: Roots, found: ZswapFound) -> StoreState:
    stat, counted = zswap.stat(roots), zswap.counters(roots)
    percent = zswap.read(roots, zswap.MAX_POOL_PERCENT)
    ram_kib = fit.read_memory(roots).total_kib
    entry = found.entry
    used_kib = stat.pool_kib if stat is not None else None
    orig_kib = stat.stored_kib if stat is not None else None
    return StoreState(
        kind="zswap",
        device=found.device,
        algorithm=zswap.read(roots, zswap.COMPRESSOR),
        size_kib=entry.size_kib if entry is not None else None,
        mem_limit_kib=ram_kib * int(percent) // 100 if percent is not None and percent.isdigit() else None,
        orig_kib=orig_kib,
        used_kib=used_kib,
        swap_used_kib=entry.used_kib if entry is not None else None,
        swap_priority=entry.priority if entry is not None else None,
        ratio=orig_kib / used_kib if orig_kib and used_kib else None,
        pool=zswap.read(roots, zswap.POOL),
        backing=found.form if not found.headers else f"{found.form} over {', '.join(found.headers)}",
        rejected_pages=counted.rejected,
        limit_hits=counted.limit_hits,
        written_back_pages=counted.written_back,
        device_writes=counted.device_writes,
    )


def _only_stored(roots: Roots, state: StoreState) -> StoreState:
    """With the swap slots whose pages are nowhere but in zswap: those that a write failed for are in memory."""
    cached_kib = find_number(read_bytes(roots.proc / "meminfo"), b"SwapCached:") or 0
    taken_kib = max(0, (state.swap_used_kib or 0) - cached_kib)
    return replace(state, swap_used_kib=max(taken_kib, state.orig_kib or 0))


def _adopt(roots: Roots, spec: StoreSpec, found: ZswapFound, port: DeviceEffects, report: Report) -> StoreState:
    if spec.kind == "zswap":
        _set_parameters(roots, spec, found.form, found.others, port, report)
    old = found.record
    header = next(iter(found.headers), found.device if found.form == CLOSED else "")
    note = ZswapRecord(boot_id(roots), UP, found.form, header, old is not None and old.hot_added)
    if note != old:
        port.save(note_path(roots), format_note(note))
    state = replace(_read(roots, found), adopted=True)
    fields = ("device", "backing", "algorithm", "pool", "size_kib", "mem_limit_kib", "swap_used_kib", "foreign")
    report("store_adopted", {name: getattr(state, name) for name in fields})
    return state


def _make(roots: Roots, spec: StoreSpec, found: ZswapFound, port: DeviceEffects, report: Report) -> StoreState:
    backing = Backing(roots, port, report)
    try:
        form = backing.choose()
        if form == CLOSED:
            _require_safe(roots)
        device = backing.make(spec.size_kib)
        _set_parameters(roots, spec, form, found.others, port, report)
        port.swapon_device(device, spec.swap_priority)
    except LmkdError:
        _undo(roots, port)
        raise
    port.save(note_path(roots), format_note(replace(backing.record, phase=UP)))
    expected = StoreState(
        kind="zswap",
        device=device,
        algorithm=port.zswap(zswap.COMPRESSOR),
        size_kib=spec.size_kib,
        mem_limit_kib=spec.mem_limit_kib,
        swap_priority=spec.swap_priority,
        pool=port.zswap(zswap.POOL),
        backing=form,
    )
    state = port.settle(expected, lambda: status(roots))
    fields = ("device", "backing", "algorithm", "pool", "size_kib", "mem_limit_kib", "swap_priority")
    report("store_up", {name: getattr(state, name) for name in fields})
    return state


def _require_safe(roots: Roots, release: str | None = None) -> None:
    """A zram reads past the swap cache, and a kernel that drops the compressed copy on such a read loses the page."""
    # b9c91c43412f (6.5) to 25cd241408a2 (6.8.3). Until 6.7 a parameter tells and turns it off; 6.8 cannot be asked.
    release = release or os.uname().release
    if release.startswith("6.8.") and zswap.read(roots, zswap.EXCLUSIVE_LOADS) is None:
        raise StoreError(f"store: kernel {release} may lose pages that zswap holds in front of zram (fixed in 6.8.3)")


def _set_parameters(
    roots: Roots, spec: StoreSpec, form: str, others: bool, port: DeviceEffects, report: Report
) -> None:
    """Whatever of ``_wishes`` this kernel has. StoreError when zswap cannot be switched on, or would lose pages."""
    first, last = _wishes(spec, fit.read_memory(roots).total_kib, form, others)
    setter = Setter(roots, port, report)
    # Twice: before zswap was ever on, a kernel takes any name, and drops what it cannot load when it is switched on.
    for wish in (*first, *last, *last):
        setter.grant(wish)
    for wish in (*first, *last):
        setter.complain(wish)
    setter.done()
    if port.zswap(zswap.ENABLED) != "Y":
        raise StoreError("store: zswap cannot be switched on (see the kernel's log)")
    if form == CLOSED and port.zswap(zswap.EXCLUSIVE_LOADS) == "Y":
        raise StoreError("store: zswap's exclusive_loads cannot be switched off, and may lose pages before zram")


def _wishes(spec: StoreSpec, ram_kib: int, form: str, others: bool) -> tuple[tuple[Wish, ...], tuple[Wish, ...]]:
    percent = str(pool_percent(spec.mem_limit_kib, ram_kib))
    limits = [
        Wish(zswap.MAX_POOL_PERCENT, (percent,), "the store has another limit than it was given"),
        Wish("accept_threshold_percent", ("100",)),
        Wish("same_filled_pages_enabled", ("Y",)),
        Wish("non_same_filled_pages_enabled", ("Y",)),
        Wish("shrinker_enabled", ("N",)),
        Wish(zswap.EXCLUSIVE_LOADS, ("N" if form == CLOSED else "Y",)),
    ]
    # With swap of somebody else's on a disk this switch would keep all pages from it.
    if not others:
        limits.append(Wish(zswap.WRITEBACK, ("0",)))
    pool = POOL_AUTO if spec.pool == AUTO else spec.pool
    first = spec.preferred if spec.algorithm == AUTO else spec.algorithm
    names = (*([first] if first else []), *(name for name in PREFERENCE if name != first))
    return tuple(limits), (
        Wish(zswap.POOL, (pool,), "" if pool == POOL_AUTO and spec.pool == AUTO else "another allocator is used"),
        Wish(zswap.COMPRESSOR, names, "" if spec.algorithm == AUTO else "another algorithm is used"),
        Wish(zswap.ENABLED, ("Y",)),
    )


def _undo(roots: Roots, port: DeviceEffects) -> None:
    # What went wrong first is what matters: a failure of the clean-up must not hide it.
    with contextlib.suppress(LmkdError):
        _clear(roots, find(roots), port, lambda event, fields: None)


def _swap_off(roots: Roots, found: ZswapFound, port: DeviceEffects, report: Report) -> None:
    header = next(iter(found.headers), found.device if found.form == CLOSED else "")
    hot_added = found.record is not None and found.record.hot_added
    note = ZswapRecord(boot_id(roots), TAKING_DOWN, found.form, header, hot_added)
    port.save(note_path(roots), format_note(note))
    try:
        port.swapoff_device(found.device)
    except KernelInterfaceError:
        port.save(note_path(roots), format_note(replace(note, phase=UP)))
        raise
    report("store_down", {"device": found.device, "swap_used_kib": found.entry.used_kib if found.entry else None})


def _clear(roots: Roots, found: ZswapFound, port: DeviceEffects, report: Report) -> None:
    """Free the devices and put zswap's parameters back; only once nothing is swapped to them."""
    freed = free(roots, found, port)
    zswap_parameters.restore(roots, port, report)
    if found.record is not None:
        port.remove(note_path(roots))
    if freed and found.entry is None:
        report("store_reset", {"device": ", ".join(freed)})

