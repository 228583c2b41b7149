"""Owns telling what there is of a zswap store: up, half made, or not at all; and lmkd's note about it. Only reads.

Two forms of what stands behind zswap, both of which fail every write and so lose none: a device-mapper device whose
first page is real and the rest is the target ``error``, or a zram whose memory limit is the page of its header.
"""

from __future__ import annotations

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import device_mapper, loop, swap, zram
from lmkd.kernel.files import read_text_or_none
from lmkd.store.record import ADDING, PHASES, UP, boot_id, parse_object
from lmkd.values import as_dict, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from lmkd.kernel.files import Roots
    from lmkd.kernel.swap import SwapEntry

LABEL = "lmkd-zswap"
MAP_NAME = "lmkd-swap"
MAP_UUID = "LMKD-swap"
MAPPED, CLOSED = "device-mapper", "closed zram"
_FORMS = (MAPPED, CLOSED)


@value
class ZswapRecord:
    """One note: how far the store is, its form, and the device that holds the swap header ("": none yet)."""

    boot_id: str
    phase: str
    form: str
    header: str = ""
    hot_added: bool = False


@value
class ZswapFound:
    """What there is. ``device`` is the swap device or what will be ("": none); ``entry`` its line of /proc/swaps.

    ``headers`` are the zram and loop devices that hold nothing but the swap header, ``others``: other swap is in use.
    """

    form: str
    device: str
    entry: SwapEntry | None
    headers: tuple[str, ...]
    record: ZswapRecord | None
    others: bool

    @property
    def half_made(self) -> bool:
        """Is there something of lmkd's that is not in use?"""
        return self.entry is None and bool(self.device or self.headers or self.record)


def note_path(roots: Roots) -> Path:
    """Where the note about a zswap store is."""
    return roots.run / "zswap-store.json"


def header_path(roots: Roots) -> Path:
    """The file behind the loop device."""
    return roots.run / "swap-header"


def format_note(record: ZswapRecord) -> str:
    """The note as JSON text."""
    import json

    return json.dumps({"version": 1, **as_dict(record)}) + "\n"


def parse_note(text: str) -> ZswapRecord | None:
    """The note in ``text``; None for one that is damaged, hostile or of another version."""
    found = parse_object(text) or {}
    words = [found.get(key) for key in ("boot_id", "phase", "form", "header")]
    if not all(isinstance(word, str) for word in words):
        return None
    boot, phase, form, header = map(str, words)
    if phase not in PHASES or form not in _FORMS or not (header == "" or _is_header(header)):
        return None
    return ZswapRecord(boot, phase, form, header, found.get("hot_added") is True)


def read_note(roots: Roots) -> ZswapRecord | None:
    """The note, None when there is none that holds for this boot or it cannot be read."""
    try:
        text = read_text_or_none(note_path(roots))
        record = parse_note(text) if text is not None else None
        return record if record is not None and record.boot_id == boot_id(roots) else None
    except KernelInterfaceError:
        return None


def _is_header(name: str) -> bool:
    digits = name.removeprefix("loop")
    is_loop = name.startswith("loop") and digits.isascii() and digits.isdigit() and len(digits) < 6
    return is_loop or ("/" not in name and zram.device_number(name) is not None)


def find(roots: Roots) -> ZswapFound:
    """Look at everything. KernelInterfaceError when /proc/swaps or a zram's size cannot be read."""
    record = read_note(roots)
    by_device = {entry.path.rsplit("/", 1)[-1]: entry for entry in swap.swaps(roots)}
    minor = device_mapper.find_minor(roots, MAP_NAME, MAP_UUID)
    closed = _closed(roots, record, by_device)
    if minor is not None:
        form, device = MAPPED, f"dm-{minor}"
    elif closed is not None:
        form, device = CLOSED, closed
    else:
        form, device = record.form if record is not None else MAPPED, ""
    entry = by_device.get(device)
    others = bool(set(by_device) - {device})
    return ZswapFound(form, device, entry, _headers(roots, record, form, device, by_device), record, others)


def _closed(roots: Roots, record: ZswapRecord | None, in_use: dict[str, SwapEntry]) -> str | None:
    """The closed zram that is swap now."""
    for name in in_use:
        number = zram.device_number(name)
        if number is None:
            continue
        labelled = _labelled(roots, number)
        noted = record is not None and (record.form, record.header) == (CLOSED, name)
        # What stands on the device says more than a note: somebody may have made it anew since.
        if noted if labelled is None else labelled:
            return name
    return None


def _labelled(roots: Roots, number: int) -> bool | None:
    try:
        header = swap.read_swap_header(zram.node(roots, number))
    except KernelInterfaceError:
        return None
    return header is not None and header.label == LABEL


def _headers(
    roots: Roots, record: ZswapRecord | None, form: str, device: str, in_use: dict[str, SwapEntry]
) -> tuple[str, ...]:
    """Devices that hold a header of ours and nothing else: by what the map stands on, the note, or their label."""
    found = []
    in_work = record.header if record is not None and record.phase != UP else None
    adding = record is not None and record.phase == ADDING
    for number in zram.devices(roots):
        name = f"zram{number}"
        held = zram.holders(roots, number)
        if name in in_use or (held and held != (device,)):
            continue
        size_kib = zram.disksize_kib(roots, number)
        is_in_work = name == in_work and not (adding and size_kib)
        if held or is_in_work or (size_kib and _labelled(roots, number)):
            found.append(name)
    looped = loop.find(roots, header_path(roots))
    return (*found, looped) if looped is not None else tuple(found)
