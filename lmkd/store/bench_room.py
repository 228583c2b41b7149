"""Owns how much memory a measurement of the store may take: of the board, and of the store's own room. Pure."""

from __future__ import annotations

from lmkd.errors import StoreError
from lmkd.store.bench_pages import THREE, VARIED, WHOLE
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmkd.kernel.swap import SwapEntry
    from lmkd.store.fit import Memory
    from lmkd.store.state import StoreState

LEAST_KIB = 1 << 10
"""Fewer than 256 pages tell nothing."""
STEP_KIB = 512
PROCESS_KIB = 1536
"""What a forked process of ours takes beside its pages (measured: 1.1 MB on armhf)."""
KEEP_KIB, KEEP_PART = 8 << 10, 8
"""What must stay available: so much, or this part of RAM if it is more."""
AVAILABLE_PARTS = 8
"""No more than this part of what is available: a guard sees how fast it goes, and ends what takes a quarter of it."""
APPS_MIN = 2
_ROOM_PCT = {THREE: 50, VARIED: 60, WHOLE: 115}
"""The store's RAM for each 100 of pages, with what zsmalloc wastes."""
REFUSED_KIB = 1 << 10
"""zswap refuses incompressible pages: each is a failed write, which the kernel tells on the console."""


@value
class Room:
    """What there is now, in KiB. ``store_kib`` is RAM that the store may still take, None: it has no limit."""

    available_kib: int
    keep_kib: int
    slots_kib: int
    store_kib: int | None


def room_of(state: StoreState, memory: Memory) -> Room:
    """The board's memory and the store's room."""
    limit, used = state.mem_limit_kib, state.used_kib or 0
    return Room(
        memory.available_kib,
        max(KEEP_KIB, memory.total_kib // KEEP_PART),
        max(0, (state.size_kib or 0) - (state.swap_used_kib or 0)),
        None if limit is None else max(0, limit - used),
    )


def fitting_kib(wanted_kib: int, room: Room, kind: str, processes: int, refuses: bool = False) -> int:
    """So much of ``wanted_kib`` as there is room for. StoreError, with the numbers, when that is too little.

    ``refuses``: the store does not take such pages, so that a few of them tell all.
    """
    free_kib = room.available_kib - room.keep_kib - processes * PROCESS_KIB
    bounds = [wanted_kib, free_kib, room.available_kib // AVAILABLE_PARTS, room.slots_kib]
    if refuses:
        bounds.append(REFUSED_KIB)
    elif room.store_kib is not None:
        bounds.append(room.store_kib * 100 // _ROOM_PCT[kind])
    found = min(bounds) // STEP_KIB * STEP_KIB
    if free_kib < LEAST_KIB:
        needed = room.keep_kib + processes * PROCESS_KIB + LEAST_KIB
        raise StoreError(
            f"store: not measured while memory is short: {room.available_kib} KiB are available, {needed} are needed"
        )
    if found < LEAST_KIB:
        raise StoreError(f"store: not measured: there is room for {min(bounds)} KiB of {kind} pages in the store only")
    return found


def fitting_apps(wanted: int, wanted_kib: int, room: Room, kind: str) -> tuple[int, int]:
    """So many processes, halved until there is room, and KiB for all of them. StoreError when two are too many."""
    apps = wanted
    while apps // 2 >= APPS_MIN:
        try:
            return apps, fitting_kib(wanted_kib, room, kind, apps)
        except StoreError:
            apps //= 2
    return apps, fitting_kib(wanted_kib, room, kind, apps)


def require_store(state: StoreState, in_use: Sequence[SwapEntry]) -> None:
    """StoreError when there is no store, or when pages would go elsewhere first."""
    if state.kind == "none" or state.device is None:
        raise StoreError("store: there is none to measure: `lmkd store up` makes one")
    own = [entry.priority for entry in in_use if entry.path.rsplit("/", 1)[-1] == state.device]
    for entry in in_use:
        other = entry.path.rsplit("/", 1)[-1] != state.device
        if own and other and entry.priority >= own[0] and entry.used_kib < entry.size_kib:
            raise StoreError(
                f"store: not measured: pages would go to {entry.path} (priority {entry.priority}) as well as to "
                f"{state.device} ({own[0]})"
            )
