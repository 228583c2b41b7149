"""/proc/swaps for the helper: light enough to stay resident, and pollable (mm/swapfile.c, swaps_poll).

After a swapon or swapoff by anybody a descriptor of /proc/swaps polls as POLLERR | POLLPRI once.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    SwapDevice = tuple[str, int, int, int]
    """(name without /dev/ and with the kernel's octal escapes, number of a zram or -1, size in KiB, priority)"""

COLUMNS = 5
LABEL_AT, LABEL_BYTES = 1052, 16
"""Of the first page of a swap area (include/linux/swap.h, union swap_header): volume_name."""
SIZE_MAX = 8192


def parse_swap_list(data: bytes) -> tuple[SwapDevice, ...]:
    """The swap devices by priority, highest first; lines that are none are left out."""
    found = []
    for line in data.decode("utf-8", "replace").splitlines()[1:]:
        words = line.split()
        if len(words) != COLUMNS or not all(word.lstrip("-").isdigit() for word in words[2:]):
            continue
        name = words[0].removeprefix("/dev/")
        if words[1] == "partition":  # switched on in a mount namespace that is gone: the path within /dev alone
            name = name.removeprefix("/")
        digits = name.removeprefix("zram")
        is_zram = words[1] == "partition" and name != digits and digits.isascii() and digits.isdigit()
        found.append((name, int(digits) if is_zram else -1, int(words[2]), int(words[4])))
    return tuple(sorted(found, key=_order))


def _order(device: SwapDevice) -> tuple[int, int]:
    return -device[3], device[1]


def has_label(path: str, label: str) -> bool:
    """Whether the swap area on this device carries the label; False when it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # Read-ahead would decompress 128 KiB of somebody's swapped pages into the page cache.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        data = os.pread(descriptor, LABEL_BYTES, LABEL_AT)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return data.rstrip(b"\0") == label.encode()


def open_swap_list(proc: str) -> int:
    """A descriptor to poll for POLLPRI; -1 for a kernel without swap."""
    try:
        return os.open(f"{proc}/swaps", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def read_swap_list(descriptor: int) -> bytes:
    """What the list says now; empty when it cannot be read."""
    try:
        return os.pread(descriptor, SIZE_MAX, 0)
    except OSError:
        return b""
