"""Owns zram's sysfs interface: a device's attributes and numbers, and adding, preparing, resetting a device.

Source: Documentation/admin-guide/blockdev/zram.rst and drivers/block/zram/zram_drv.c (5.10 to 6.12). Order
matters: comp_algorithm, then disksize, then the swap header and swapon; after disksize an algorithm gives
EBUSY. mem_limit may be set at any time, and cannot be read back but as a column of mm_stat.
"""

from __future__ import annotations

import os

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.files import parse_int, read_int, read_text, read_text_or_none, write_text
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from lmkd.kernel.files import Roots

_KIB_BYTES = 1024
_MM_STAT_COLUMNS_MIN = 7
_HUGE_COLUMN = 7
_HUGE_SINCE_COLUMN = 8


@value
class Algorithms:
    """What comp_algorithm says: the names offered, in the kernel's order, and the one selected."""

    offered: tuple[str, ...]
    selected: str | None


@value
class MmStat:
    """One reading of mm_stat. Pages are of the kernel's page size; a column that the kernel lacks is None."""

    orig_bytes: int
    compressed_bytes: int
    used_bytes: int
    limit_bytes: int
    used_max_bytes: int
    same_pages: int
    compacted_pages: int
    huge_pages: int | None
    huge_since_pages: int | None


def parse_algorithms(text: str, where: str = "comp_algorithm") -> Algorithms:
    """Read ``lzo lzo-rle [lz4] zstd``; KernelInterfaceError when nothing is offered or two are selected."""
    offered = []
    selected = []
    for word in text.split():
        name = word.strip("[]")
        if word.startswith("[") and word.endswith("]"):
            selected.append(name)
        if not name or not all(letter.isalnum() or letter in "-_." for letter in name):
            raise KernelInterfaceError(f"{where}: {word[:40]!r} is not the name of a compression algorithm")
        offered.append(name)
    if not offered or len(selected) > 1:
        raise KernelInterfaceError(
            f"{where}: a list of algorithms with one in brackets was expected, not {text!r:.80}"
        )
    return Algorithms(offered=tuple(offered), selected=selected[0] if selected else None)


def parse_mm_stat(text: str, where: str = "mm_stat") -> MmStat:
    """Read mm_stat: 7 columns before 4.18, 8 up to 5.14, 9 and more later.

    Raises KernelInterfaceError for fewer columns, for what is not a number and for a negative one.
    """
    numbers = [parse_int(word, where) for word in text.split()]
    if len(numbers) < _MM_STAT_COLUMNS_MIN or min(numbers) < 0:
        raise KernelInterfaceError(
            f"{where}: 7 or more numbers of 0 and above were expected, not {text.strip()!r:.120}"
        )
    orig, compressed, used, limit, used_max, same, compacted = numbers[:_MM_STAT_COLUMNS_MIN]
    huge = numbers[_HUGE_COLUMN] if len(numbers) > _HUGE_COLUMN else None
    huge_since = numbers[_HUGE_SINCE_COLUMN] if len(numbers) > _HUGE_SINCE_COLUMN else None
    return MmStat(orig, compressed, used, limit, used_max, same, compacted, huge, huge_since)


def device_number(name: str) -> int | None:
    """The number in ``zram12`` (a folder may come before it); None for what is not a zram device's name."""
    base = name.rsplit("/", 1)[-1]
    digits = base.removeprefix("zram")
    is_number = base.startswith("zram") and digits.isascii() and digits.isdigit() and len(digits) < 6
    return int(digits) if is_number and str(int(digits)) == digits else None


def attribute(roots: Roots, number: int, name: str) -> Path:
    """The path of one of a device's attributes."""
    return roots.sys / "block" / f"zram{number}" / name


def node(roots: Roots, number: int) -> Path:
    """The path of the device node."""
    return roots.dev / f"zram{number}"


def devices(roots: Roots) -> tuple[int, ...]:
    """The numbers of the zram devices that exist, in order; empty when there is none, or no /sys/block."""
    try:
        names = os.listdir(roots.sys / "block")
    except OSError:
        return ()
    return tuple(sorted(number for name in names if (number := device_number(name)) is not None))


def control_exists(roots: Roots) -> bool:
    """Whether the zram driver is there: built in, or its module loaded."""
    return os.path.isdir(roots.sys / "class" / "zram-control")


def disksize_kib(roots: Roots, number: int) -> int:
    """The uncompressed size of the device in KiB, 0 for one that nobody has set up."""
    return read_int(attribute(roots, number, "disksize")) // _KIB_BYTES


def holders(roots: Roots, number: int) -> tuple[str, ...]:
    """The block devices that are stacked on this one (device-mapper and the like)."""
    try:
        return tuple(sorted(os.listdir(attribute(roots, number, "holders"))))
    except FileNotFoundError:
        return ()


def algorithms(roots: Roots, number: int) -> Algorithms | None:
    """The algorithms offered for the device; None when it does not exist (yet)."""
    path = attribute(roots, number, "comp_algorithm")
    text = read_text_or_none(path)
    return None if text is None else parse_algorithms(text, str(path))


def mm_stat(roots: Roots, number: int) -> MmStat:
    """One reading of the device's mm_stat."""
    path = attribute(roots, number, "mm_stat")
    return parse_mm_stat(read_text(path), str(path))


def hot_add(roots: Roots) -> int:
    """Make one more device and return its number: reading hot_add is what makes it (Linux 4.2)."""
    return read_int(roots.sys / "class" / "zram-control" / "hot_add")


def next_number(roots: Roots) -> int:
    """The number that ``hot_add`` gives as long as nobody else asks: the lowest that is free (idr_alloc)."""
    there = devices(roots)
    return next(number for number in range(len(there) + 1) if number not in there)


def hot_remove(roots: Roots, number: int) -> None:
    """Remove a device; the kernel refuses with EBUSY while it is open."""
    write_text(roots.sys / "class" / "zram-control" / "hot_remove", str(number))
