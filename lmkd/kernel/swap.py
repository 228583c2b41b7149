"""Owns swap: /proc/swaps, the swap header (version 2 format, SWAPSPACE2), and swapon(2) and swapoff(2).

Source: include/linux/swap.h (union swap_header), mm/swapfile.c, proc(5). BusyBox's mkswap and swapon lack a
label that survives and a priority, so lmkd does both itself.
"""

from __future__ import annotations

import errno
import os
import struct

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.files import errno_text, parse_int, read_text
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import AnyPath, Roots
    from lmkd.kernel.syscalls import Libc

_MAGIC = b"SWAPSPACE2"
_HEADER = struct.Struct("=III16s16s")
_HEADER_OFFSET = 1024
_LABEL_BYTES = 16
_UUID_BYTES = 16
_PAGES_MIN = 10
_PAGES_MAX = 2**32 - 1
_COLUMNS = 5
_FLAG_PREFER = 0x8000
_PRIORITY_MAX = 0x7FFF

_SWAPON_CAUSES = (
    (
        errno.EPERM,
        "only root (CAP_SYS_ADMIN) may turn swap on, or the kernel has no room for one more swap device",
    ),
    (errno.EBUSY, "it is in use already, as swap or otherwise"),
    (
        errno.EINVAL,
        "the kernel does not find a valid swap header on it, or it is neither a block device nor a file",
    ),
    (errno.ENOSYS, "this kernel is built without swap (CONFIG_SWAP)"),
    (errno.ENOMEM, "there is too little free memory for the swap map"),
    (errno.ENOENT, "there is no such device node"),
)
_SWAPOFF_CAUSES = (
    (errno.EPERM, "only root (CAP_SYS_ADMIN) may turn swap off"),
    (errno.EINVAL, "it is not in use as swap"),
    (errno.ENOMEM, "what is stored in it does not fit in memory"),
    (errno.EINTR, "a signal ended the attempt; what came back stays in memory, the rest stays swapped"),
)


@value
class SwapEntry:
    """One line of /proc/swaps. ``path`` is as the kernel shows it, escapes undone; sizes in KiB."""

    path: str
    kind: str
    size_kib: int
    used_kib: int
    priority: int


@value
class SwapHeader:
    """The part of a swap header that says what it is and whose."""

    version: int
    last_page: int
    uuid: bytes
    label: str


def _unescape(name: str) -> str:
    # seq_file_path writes space, tab, newline and backslash as three octal digits after a backslash.
    first, *rest = name.split("\\")
    parts = [first]
    for part in rest:
        digits = part[:3]
        is_octal = len(digits) == 3 and all(letter in "01234567" for letter in digits)
        parts.append(chr(int(digits, 8)) + part[3:] if is_octal else "\\" + part)
    return "".join(parts)


def parse_swaps(text: str, where: str = "/proc/swaps") -> tuple[SwapEntry, ...]:
    """Read /proc/swaps; KernelInterfaceError without its heading or for a line of other than five columns."""
    lines = text.splitlines()
    if not lines or not lines[0].startswith("Filename"):
        raise KernelInterfaceError(f"{where}: the heading 'Filename Type Size Used Priority' is missing")
    entries = []
    for number, line in enumerate(lines[1:], start=2):
        words = line.split()
        if len(words) != _COLUMNS:
            raise KernelInterfaceError(
                f"{where}, line {number}: five columns were expected, not {line[:80]!r}"
            )
        size_kib, used_kib, priority = (parse_int(word, f"{where}, line {number}") for word in words[2:])
        entries.append(SwapEntry(_unescape(words[0]), words[1], size_kib, used_kib, priority))
    return tuple(entries)


def swaps(roots: Roots) -> tuple[SwapEntry, ...]:
    """What is in use as swap; KernelInterfaceError without /proc/swaps (a kernel without CONFIG_SWAP)."""
    path = roots.proc / "swaps"
    return parse_swaps(read_text(path), str(path))


def swap_header(page_bytes: int, size_kib: int, uuid: bytes, label: str) -> bytes:
    """The first page of a swap area of ``size_kib``, in this machine's byte order.

    Raises ValueError for a size under ten pages or over what a header can say, a uuid of other than 16 bytes,
    and a label over 16 bytes.
    """
    pages = size_kib * 1024 // page_bytes
    if not _PAGES_MIN <= pages <= _PAGES_MAX:
        raise ValueError(f"a swap area has {_PAGES_MIN} to {_PAGES_MAX} pages; {size_kib} KiB are {pages}")
    encoded = label.encode()
    if len(uuid) != _UUID_BYTES or len(encoded) > _LABEL_BYTES:
        raise ValueError(f"a uuid has 16 bytes and a label up to 16, not {len(uuid)} and {len(encoded)}")
    page = bytearray(page_bytes)
    _HEADER.pack_into(page, _HEADER_OFFSET, 1, pages - 1, 0, uuid, encoded)
    page[-len(_MAGIC) :] = _MAGIC
    return bytes(page)


def parse_swap_header(page: bytes) -> SwapHeader | None:
    """The header in the first page of a device; None for what is not a swap area of this page size."""
    if len(page) < _HEADER_OFFSET + _HEADER.size or not page.endswith(_MAGIC):
        return None
    version, last_page, _bad_pages, uuid, label = _HEADER.unpack_from(page, _HEADER_OFFSET)
    return SwapHeader(version, last_page, uuid, label.split(b"\0", 1)[0].decode("utf-8", "replace"))


def page_bytes() -> int:
    """The kernel's page size in bytes (16 and 64 KiB exist on ARM)."""
    return os.sysconf("SC_PAGE_SIZE")


def read_swap_header(path: AnyPath) -> SwapHeader | None:
    """The swap header on a device, None where there is none; KernelInterfaceError when it cannot be read."""
    size_bytes = page_bytes()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            # Read-ahead would decompress 128 KiB of somebody's swapped pages into the page cache.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
            page = os.read(descriptor, size_bytes)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KernelInterfaceError(f"{os.fspath(path)}: cannot read: {errno_text(error)}") from error
    return parse_swap_header(page)


def write_swap_header(path: AnyPath, header: bytes) -> None:
    """Write the first page and wait until the device has it.

    O_EXCL on a block device makes the kernel refuse (EBUSY) one that is mounted, swapped on or held.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC)
        try:
            written = os.pwrite(descriptor, header, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KernelInterfaceError(
            f"{os.fspath(path)}: cannot write a swap header: {errno_text(error)}"
        ) from error
    if written != len(header):
        raise KernelInterfaceError(
            f"{os.fspath(path)}: only {written} of {len(header)} bytes of the swap header taken"
        )


class SwapCalls:
    """The two system calls, as a port: the kernel's, or a test's fake."""

    def swapon(self, path: str, priority: int) -> None:
        """Turn a prepared device on; KernelInterfaceError with the errno and what it means here."""
        raise NotImplementedError

    def swapoff(self, path: str) -> None:
        """Turn a device off: every page in it comes back to memory first, which takes time and room."""
        raise NotImplementedError


class KernelSwapCalls(SwapCalls):
    """swapon(2) and swapoff(2) of the C library (glibc and musl both have them)."""

    def __init__(self) -> None:
        self._libc: Libc | None = None

    def swapon(self, path: str, priority: int) -> None:
        """As the port says; ``priority`` is 0..32767, higher is used first."""
        if not 0 <= priority <= _PRIORITY_MAX:
            raise ValueError(f"a swap priority is 0..{_PRIORITY_MAX}, not {priority}")
        self._call("swapon", _SWAPON_CAUSES, path, _FLAG_PREFER | priority)

    def swapoff(self, path: str) -> None:
        """As the port says."""
        self._call("swapoff", _SWAPOFF_CAUSES, path)

    def _call(self, name: str, causes: tuple[tuple[int, str], ...], path: str, *arguments: int) -> None:
        from lmkd.kernel.syscalls import Libc

        self._libc = self._libc or Libc()
        try:
            self._libc.call(name, os.fsencode(path), *arguments)
        except OSError as error:
            cause = dict(causes).get(error.errno or 0, "")
            said = f"{name} {path}: {errno_text(error)}"
            raise KernelInterfaceError(f"{said}: {cause}" if cause else said) from error
