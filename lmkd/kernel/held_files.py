"""Owns what a process has open or mapped: /proc/PID/fd, maps and map_files (Documentation/filesystems/proc.rst, 3.8).

A file is known by (device, inode), which is the same in every mount namespace and after its name is gone.
"""

from __future__ import annotations

import os
import stat

from lmkd.kernel.pinned import read_whole
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

BLOCK_BYTES = 512
FDS_MAX = 1024
MAPS_BYTES_MAX = 1 << 20
_MAPS_INODE, _MAPS_FIELDS = 4, 6


@value
class FileSeen:
    """One regular file that a process holds. ``kib`` is what was ever written of it: in RAM, and in the store.

    ``links``: its names; ``name``: as /proc shows it; ``path``: where it can be looked at again while it is held.
    """

    device: int
    inode: int
    kib: int
    links: int
    name: str
    path: str


def internal_device() -> int:
    """The device of the mount that nobody sees, of memfd, System V and shared anonymous memory; -1: it is not known."""
    try:
        descriptor = os.memfd_create("lmkd", os.MFD_CLOEXEC)
    except (OSError, AttributeError):
        return -1
    try:
        return os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)


def look_at(path: str, name: str, devices: Container[int]) -> FileSeen | None:
    """The file behind a link in /proc, when it is a regular one on one of these devices.

    st_blocks of a file on tmpfs counts its pages in the store as well (mm/shmem.c: inode->i_blocks stays).
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    if found.st_dev not in devices or not stat.S_ISREG(found.st_mode):
        return None
    return FileSeen(found.st_dev, found.st_ino, found.st_blocks * BLOCK_BYTES // 1024, found.st_nlink, name, path)


def open_files(
    proc: str, pid: int, devices: Container[int], avoid: tuple[str, ...]
) -> tuple[list[FileSeen], bool]:
    """What a process has open on these devices, and whether that is all (not more than ``FDS_MAX`` descriptors).

    What lies below a path of ``avoid`` (it ends in a slash) is not looked at: to ask there may take for ever.
    """
    try:
        names = os.listdir(f"{proc}/{pid}/fd")
    except OSError:
        return [], True
    found = []
    for number in names[:FDS_MAX]:
        path = f"{proc}/{pid}/fd/{number}"
        try:
            name = os.readlink(path)
        except OSError:
            continue
        seen = look_at(path, name, devices) if name.startswith("/") and not name.startswith(avoid) else None
        if seen is not None:
            found.append(seen)
    return found, len(names) <= FDS_MAX


def parse_maps(data: bytes, devices: Container[int], tokens: tuple[bytes, ...]) -> list[tuple[int, int, str, str]]:
    """(device, inode, name, range) of each mapping of a file on these devices; ``tokens`` are these as maps has them.

    The name may hold spaces; a newline in it is escaped by the kernel.
    """
    if not any(token in data for token in tokens):
        return []
    found = []
    for line in data.split(b"\n"):
        fields = line.split(None, _MAPS_FIELDS - 1)
        if len(fields) < _MAPS_FIELDS or not fields[_MAPS_INODE].isdigit():
            continue
        try:
            device = device_of(fields[_MAPS_INODE - 1])
        except (ValueError, OverflowError):
            continue
        if device in devices:
            name = fields[-1].decode("utf-8", "surrogateescape")
            found.append((device, int(fields[_MAPS_INODE]), name, fields[0].decode("ascii", "replace")))
    return found


def device_of(text: bytes) -> int:
    """A device as maps has it (hexadecimal, major:minor), as ``st_dev`` has it. ValueError for anything else."""
    major, _, minor = text.partition(b":")
    return os.makedev(int(major, 16), int(minor, 16))


def token_of(device: int) -> bytes:
    """A device as maps has it, between its spaces."""
    return b" %02x:%02x " % (os.major(device), os.minor(device))


def mapped_files(
    proc: str, pid: int, devices: Container[int], tokens: tuple[bytes, ...]
) -> tuple[list[tuple[int, int, str, str]], bool]:
    """(device, inode, name, path to look at it) of what a process has mapped on these devices; whether that is all.

    The same file once only.
    """
    data = read_whole(f"{proc}/{pid}/maps", MAPS_BYTES_MAX) or b""
    once = {(device, inode): (device, inode, name, f"{proc}/{pid}/map_files/{_canonical(span)}")
            for device, inode, name, span in parse_maps(data, devices, tokens)}
    return list(once.values()), len(data) < MAPS_BYTES_MAX


def _canonical(span: str) -> str:
    """maps pads its addresses with zeros, map_files does not (fs/proc/base.c, dname_to_vma_addr)."""
    first, _, last = span.partition("-")
    return f"{first.lstrip('0') or '0'}-{last.lstrip('0') or '0'}"
