"""Owns the question whether a block device may be written over: it is nobody's, and blank or lmkd's already.

zram never writes to the first page of its backing device (drivers/block/zram, alloc_block_bdev skips block 0), so a
mark there stays, and any file system, partition table, swap or volume put there later changes it. What is neither
marked nor blank is somebody's data, known or not.
"""

from __future__ import annotations

import errno
import os
import stat

from lmkd.kernel.files import errno_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import AnyPath

MARK_BYTES = 4096
MARK = (b"lmkd: backing device of a zram swap store, content worthless\n" * MARK_BYTES)[:MARK_BYTES]
LOOK_BYTES = 1 << 20
"""Looked at from the start and before the end: there the file systems, RAID and partition tables have theirs."""
MD_AT, MD_MAGIC = 4096, b"\xfc\x4e\x2b\xa9"
"""A RAID of format 1.2 leaves the first page alone (include/uapi/linux/raid/md_p.h)."""
KNOWN = (
    (1080, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
    (0, b"XFSB", "an XFS file system"),
    (0, b"hsqs", "a SquashFS file system"),
    (1024, b"\x10\x20\xf5\xf2", "an F2FS file system"),
    (0x10040, b"_BHRfS_M", "a Btrfs file system"),
    (0, b"LUKS\xba\xbe", "an encrypted volume (LUKS)"),
    (536, b"LVM2", "an LVM volume"),
    (4086, b"SWAPSPACE2", "a swap area"),
    (MD_AT, MD_MAGIC, "a member of a RAID"),
    (510, b"\x55\xaa", "a partition table or a FAT file system"),
)


class BlockCalls:
    """What touches the device, as a port so that a test's plain file can stand in."""

    def is_block(self, path: AnyPath) -> bool:
        """Is it a block device? An OSError as it comes."""
        return stat.S_ISBLK(os.stat(path).st_mode)


def refusal(path: AnyPath, force: bool, calls: BlockCalls | None = None) -> str:
    """Why the device must not be written over; empty when it may.

    With ``force`` its content does not count; one that is mounted or otherwise in use is refused all the same.
    """
    name = os.fspath(path)
    try:
        if not (calls or BlockCalls()).is_block(path):
            return f"{name} is not a block device"
        # O_EXCL: the kernel refuses one that is mounted, swapped on, or held by another driver (open(2)).
        descriptor = os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        in_use = " (it is mounted or in use otherwise)" if error.errno == errno.EBUSY else ""
        return f"{name}: {errno_text(error)}{in_use}"
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        head = os.pread(descriptor, LOOK_BYTES, 0)
        tail = os.pread(descriptor, LOOK_BYTES, max(0, size - LOOK_BYTES))
    except OSError as error:
        return f"{name}: cannot read: {errno_text(error)}"
    finally:
        os.close(descriptor)
    if size < LOOK_BYTES:
        return f"{name} is smaller than 1 MiB"
    return "" if force else holds(name, head, tail)


def holds(name: str, head: bytes, tail: bytes) -> str:
    """What is on a device, by its first and last bytes; empty when it is blank or marked as lmkd's."""
    if head.startswith(MARK) and not head.startswith(MD_MAGIC, MD_AT):
        return ""
    if is_blank(head) and is_blank(tail):
        return ""
    what = next((what for at, magic, what in KNOWN if head.startswith(magic, at)), "data that lmkd does not know")
    return f"{name} holds {what}, which would be destroyed; to use it all the same: store.backing_dev_force: true"


def is_blank(data: bytes) -> bool:
    """All zero, or all one as erased flash reads."""
    return not data or (data[:1] in (b"\0", b"\xff") and data.count(data[:1]) == len(data))


def write_mark(path: AnyPath) -> None:
    """Make it lmkd's; an OSError as it comes, EBUSY for one that is in use."""
    descriptor = os.open(path, os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, MARK, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
