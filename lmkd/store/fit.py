"""Owns the question whether what is stored would fit in memory if the store were taken down now."""

from __future__ import annotations

from lmkd.errors import KernelInterfaceError, StoreError
from lmkd.kernel.counters import find_number
from lmkd.kernel.files import read_bytes
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import Roots
    from lmkd.store.state import StoreState

_MARGIN_MIN_KIB = 4096
_MARGIN_PART = 16


@value
class Memory:
    """MemTotal and MemAvailable of /proc/meminfo, in KiB."""

    total_kib: int
    available_kib: int


@value
class Fit:
    """The arithmetic of a swapoff, in KiB: it fits when ``needed`` is at most ``room``."""

    needed_kib: int
    available_kib: int
    returned_kib: int
    margin_kib: int

    @property
    def room_kib(self) -> int:
        """What may come back: available memory and the store's own, less the margin."""
        return self.available_kib + self.returned_kib - self.margin_kib


def parse_memory(data: bytes, where: str = "/proc/meminfo") -> Memory:
    """Read two lines of /proc/meminfo (MemAvailable: Linux 3.14); KernelInterfaceError without them."""
    found = []
    for key in ("MemTotal", "MemAvailable"):
        number = find_number(data, f"{key}:".encode())
        if number is None:
            raise KernelInterfaceError(f"{where}: no number after {key}")
        found.append(number)
    return Memory(*found)


def read_memory(roots: Roots) -> Memory:
    """MemTotal and MemAvailable now."""
    path = roots.proc / "meminfo"
    return parse_memory(read_bytes(path), str(path))


def fit_of(state: StoreState, memory: Memory) -> Fit:
    """How a swapoff of the store would come out.

    Needed is the larger of what is stored and of the slots taken: pages of one repeated value cost the store
    nothing and come back whole. The margin is a sixteenth of the RAM, at least 4 MiB: the store gives its
    memory back late.
    """
    if state.orig_kib is None or state.used_kib is None or state.swap_used_kib is None:
        raise StoreError("store: how much it holds is not known, so it cannot be taken down safely")
    return Fit(
        # An empty store still holds the page of its swap header, which never comes back.
        needed_kib=max(state.orig_kib, state.swap_used_kib) if state.swap_used_kib else 0,
        available_kib=memory.available_kib,
        returned_kib=state.used_kib,
        margin_kib=max(_MARGIN_MIN_KIB, memory.total_kib // _MARGIN_PART),
    )


def require_fit(state: StoreState, memory: Memory) -> None:
    """StoreError with the numbers when what is stored would not fit in memory; an empty store fits."""
    fit = fit_of(state, memory)
    if fit.needed_kib and fit.needed_kib > fit.room_kib:
        raise StoreError(
            f"store: {state.device} stays up: {fit.needed_kib} KiB are stored, and only "
            f"{max(0, fit.room_kib)} KiB would fit ({fit.available_kib} KiB available + {fit.returned_kib} "
            f"KiB that the store gives back - {fit.margin_kib} KiB margin); stop applications first"
        )
