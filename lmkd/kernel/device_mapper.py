"""Owns device-mapper's ioctl interface, without dmsetup: make, fill, start, look at and remove one device.

Source: include/uapi/linux/dm-ioctl.h and drivers/md/dm-ioctl.c (interface 4.0, Linux 3.14 to 6.12). The targets
``linear`` and ``error`` are part of the dm-mod module itself.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.files import errno_text, parse_int, read_text_or_none
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from lmkd.kernel.files import Roots

MODULE = "dm-mod"
SECTOR_BYTES = 512
_VERSION = (4, 0, 0)
# version[3], data_size, data_start, target_count, open_count, flags, event_nr, padding, dev, name, uuid, data
_HEADER = struct.Struct("=IIIIIIiIIIQ128s129s7s")
# sector_start, length, status, next, target_type; the parameters follow, the next target begins at a multiple of 8
_TARGET = struct.Struct("=QQiI16s")
_ALIGN = 8
_FLAGS_OFFSET, _DEVICE_OFFSET = 28, 40
_DEV_CREATE, _DEV_REMOVE, _DEV_SUSPEND, _DEV_STATUS, _TABLE_LOAD = 3, 4, 6, 7, 9
_SUSPENDED, _ACTIVE_TABLE = 1 << 1, 1 << 5
_NAME_BYTES, _UUID_BYTES, _TYPE_BYTES = 127, 128, 15


@value
class Target:
    """One line of a table, in sectors of 512 bytes: ``start length kind parameters`` as dmsetup(8) prints it."""

    start: int
    length: int
    kind: str
    parameters: str = ""


@value
class Device:
    """A device of ours: its minor number, and whether it has a table and takes requests."""

    minor: int
    running: bool


def request(operation: int) -> int:
    """The ioctl number: _IOWR(0xfd, operation, struct dm_ioctl), the same on every architecture."""
    return 3 << 30 | _HEADER.size << 16 | 0xFD << 8 | operation


def message(name: str, uuid: str = "", flags: int = 0, targets: tuple[Target, ...] = ()) -> bytearray:
    """What an ioctl takes. ValueError for a name, uuid or kind of target that is too long or not ASCII."""
    encoded, uuid_bytes = name.encode("ascii"), uuid.encode("ascii")
    if not 0 < len(encoded) <= _NAME_BYTES or len(uuid_bytes) > _UUID_BYTES:
        raise ValueError(f"a device-mapper name has 1..{_NAME_BYTES} bytes, a uuid up to {_UUID_BYTES}")
    body = b"".join(_packed(target) for target in targets)
    size = _HEADER.size + len(body)
    head = _HEADER.pack(
        *_VERSION, size, _HEADER.size, len(targets), 0, flags, 0, 0, 0, encoded, uuid_bytes, b""
    )
    return bytearray(head + body)


def _packed(target: Target) -> bytes:
    kind = target.kind.encode("ascii")
    if not 0 < len(kind) <= _TYPE_BYTES:
        raise ValueError(f"a kind of target has 1..{_TYPE_BYTES} bytes, not {len(kind)}")
    text = target.parameters.encode("ascii") + b"\0"
    size = -(-(_TARGET.size + len(text)) // _ALIGN) * _ALIGN
    return (_TARGET.pack(target.start, target.length, 0, size, kind) + text).ljust(size, b"\0")


def parse_answer(answer: bytes) -> Device:
    """What the kernel wrote back about a device; KernelInterfaceError when that is too short."""
    if len(answer) < _HEADER.size:
        raise KernelInterfaceError(f"device-mapper: an answer of {len(answer)} bytes is no struct dm_ioctl")
    (flags,) = struct.unpack_from("=I", answer, _FLAGS_OFFSET)
    (device,) = struct.unpack_from("=Q", answer, _DEVICE_OFFSET)
    return Device(os.minor(device), bool(flags & _ACTIVE_TABLE) and not flags & _SUSPENDED)


def control_path(roots: Roots) -> Path:
    """The node through which device-mapper is asked."""
    return roots.dev / "mapper" / "control"


def control_exists(roots: Roots) -> bool:
    """Whether device-mapper is there: built in, or its module loaded."""
    return os.path.isdir(roots.sys / "class" / "misc" / "device-mapper")


def find_minor(roots: Roots, name: str, uuid: str) -> int | None:
    """The minor number of the device of that name and uuid, by sysfs; None when there is none."""
    try:
        entries = os.listdir(roots.sys / "block")
    except OSError:
        return None
    for entry in entries:
        folder = roots.sys / "block" / entry / "dm"
        if not entry.startswith("dm-") or not entry[3:].isdigit():
            continue
        found = tuple((read_text_or_none(folder / part) or "").strip() for part in ("name", "uuid"))
        if found == (name, uuid):
            return int(entry[3:])
    return None


class Mapper:
    """The control node, made where nobody made it. All methods raise KernelInterfaceError with the errno."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots

    def create(self, name: str, uuid: str) -> Device:
        """A new device without a table; EBUSY when the name or the uuid is taken."""
        return self._call("create", _DEV_CREATE, message(name, uuid))

    def load(self, name: str, targets: tuple[Target, ...]) -> Device:
        """Give the device a table; it takes effect with ``resume``."""
        return self._call("load a table for", _TABLE_LOAD, message(name, targets=targets))

    def resume(self, name: str) -> Device:
        """Start the device with the table that was loaded."""
        return self._call("resume", _DEV_SUSPEND, message(name))

    def status(self, name: str) -> Device:
        """What the device is now; ENXIO when there is none of that name."""
        return self._call("look at", _DEV_STATUS, message(name))

    def remove(self, name: str) -> None:
        """Remove the device; EBUSY while it is open."""
        self._call("remove", _DEV_REMOVE, message(name))

    def _call(self, verb: str, operation: int, data: bytearray) -> Device:
        path = control_path(self._roots)
        try:
            self._make_node(path)
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(descriptor, request(operation), data, True)
            finally:
                os.close(descriptor)
        except OSError as error:
            name = bytes(data[48:176]).split(b"\0", 1)[0].decode()
            raise KernelInterfaceError(f"{path}: cannot {verb} {name}: {errno_text(error)}") from error
        return parse_answer(bytes(data))

    def _make_node(self, path: Path) -> None:
        """Without devtmpfs nobody else may have made it; the number is in sysfs."""
        if os.path.exists(path):
            return
        text = read_text_or_none(self._roots.sys / "class" / "misc" / "device-mapper" / "dev")
        if text is None:
            return
        major, _, minor = text.strip().partition(":")
        os.makedirs(path.parent, mode=0o755, exist_ok=True)
        number = os.makedev(parse_int(major, str(path)), parse_int(minor, str(path)))
        os.mknod(path, stat.S_IFCHR | 0o600, number)
