"""Owns telling zram devices apart: lmkd's store, somebody else's, one half made, free ones. Only reads."""

from __future__ import annotations

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import swap, zram
from lmkd.store.record import ADDING, UP, StoreRecord, read_record
from lmkd.store.trial_note import scratch_device
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import Roots
    from lmkd.kernel.swap import SwapEntry

LABEL = "lmkd"


@value
class InUse:
    """A zram device that is swap now. ``ours``: it has lmkd's label, or lmkd noted that it made it."""

    number: int
    entry: SwapEntry
    ours: bool


@value
class Found:
    """What there is: swap on zram (best first), devices left half made, free devices, and the note."""

    in_use: tuple[InUse, ...]
    half_made: tuple[int, ...]
    free: tuple[int, ...]
    record: StoreRecord | None

    @property
    def store(self) -> InUse | None:
        """The store: lmkd's own if it is up, else the best of the others'; None without swap on zram."""
        return next((item for item in self.in_use if item.ours), self.in_use[0] if self.in_use else None)


def has_label(roots: Roots, number: int) -> bool | None:
    """Whether the device begins with a swap header of lmkd's; None when it cannot be read."""
    try:
        header = swap.read_swap_header(zram.node(roots, number))
    except KernelInterfaceError:
        return None
    return header is not None and header.label == LABEL


def _is_ours(roots: Roots, number: int, noted: int | None) -> bool:
    # What stands on the device says more than a note: somebody may have made it anew since.
    labelled = has_label(roots, number)
    return number == noted if labelled is None else labelled


def find(roots: Roots) -> Found:
    """Look at every zram device. KernelInterfaceError when /proc/swaps or a disksize cannot be read."""
    record = read_record(roots)
    noted = zram.device_number(record.device) if record is not None and record.phase != ADDING else None
    in_use = []
    for entry in swap.swaps(roots):
        number = zram.device_number(entry.path)
        if number is not None and entry.kind == "partition":
            in_use.append(InUse(number, entry, _is_ours(roots, number, noted)))
    in_use.sort(key=lambda item: (-item.entry.priority, -item.entry.size_kib, item.number))
    taken = [item.number for item in in_use] + [scratch_device(roots)]
    others = [number for number in zram.devices(roots) if number not in taken]
    half_made = []
    free = []
    # Before its header is written a store has no label; a finished one is told by its label alone.
    in_work = noted if record is not None and record.phase != UP else None
    for number in others:
        if zram.holders(roots, number):
            continue
        if zram.disksize_kib(roots, number) == 0:
            free.append(number)
        elif number == in_work or has_label(roots, number):
            half_made.append(number)
    return Found(tuple(in_use), tuple(half_made), tuple(free), record)
