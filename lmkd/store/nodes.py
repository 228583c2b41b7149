"""Owns the node of a block device: waits for udev (bounded), else polls, else makes it itself."""

from __future__ import annotations

import errno
import os
import stat
import time

from lmkd.errors import StoreError
from lmkd.kernel.files import errno_text, parse_int, read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lmkd.kernel.files import AnyPath, Roots

_TIMEOUT_S = 2.0
_NO_UDEV_TIMEOUT_S = 0.1
_POLL_S = 0.02
_UDEV_SLICE_S = 0.25


class NodeCalls:
    """What touches the real device file system, as a port so that a test's fake tree can stand in."""

    def device_of(self, path: AnyPath) -> int | None:
        """The device number of the block device at ``path``; None for nothing, -1 for anything else."""
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        return found.st_rdev if stat.S_ISBLK(found.st_mode) else -1

    def make(self, path: AnyPath, device: int) -> None:
        """mknod(2), owner only; an OSError as it comes."""
        os.mknod(path, stat.S_IFBLK | 0o600, device)

    def wait_for_udev(self, is_there: Callable[[], bool], deadline_s: float) -> bool:
        """Wait for block events of udev until ``is_there``; False when pyudev or libudev cannot be used."""
        try:
            import pyudev

            monitor = pyudev.Monitor.from_netlink(pyudev.Context())
            monitor.filter_by("block")
            monitor.start()
        except (ImportError, OSError):
            return False
        while not is_there() and (left_s := deadline_s - time.monotonic()) > 0:
            monitor.poll(timeout=min(left_s, _UDEV_SLICE_S))
        return True


def device_number_of(text: str, where: str) -> int:
    """The device number in a sysfs ``dev`` file, ``253:0``."""
    major, _, minor = text.strip().partition(":")
    return os.makedev(parse_int(major, where), parse_int(minor, where))


def ensure_node(
    roots: Roots, number: int, calls: NodeCalls | None = None, timeout_s: float = _TIMEOUT_S
) -> str:
    """As ``ensure_block_node``, for a zram device by its number."""
    return ensure_block_node(roots, f"zram{number}", calls, timeout_s)


def ensure_block_node(
    roots: Roots, name: str, calls: NodeCalls | None = None, timeout_s: float = _TIMEOUT_S
) -> str:
    """Return once the node of block device ``name`` is there and right: ``present``, ``awaited`` or ``made``.

    Waits at most ``timeout_s`` where udev runs, 0.1 s where it does not, then makes the node. Raises
    StoreError when something else is at that path or the node cannot be made, KernelInterfaceError when sysfs
    does not know the device.
    """
    calls = calls or NodeCalls()
    path = roots.dev / name
    dev_file = roots.sys / "block" / name / "dev"
    device = device_number_of(read_text(dev_file), str(dev_file))

    def is_there() -> bool:
        found = calls.device_of(path)
        if found not in (None, device):
            raise StoreError(f"{path}: something is there that is not the block device {name}")
        return found is not None

    if is_there():
        return "present"
    udev_runs = (roots.run.parent / "udev" / "control").exists()
    deadline_s = time.monotonic() + (timeout_s if udev_runs else min(timeout_s, _NO_UDEV_TIMEOUT_S))
    if not (udev_runs and calls.wait_for_udev(is_there, deadline_s)):
        while not is_there() and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
    if is_there():
        return "awaited"
    try:
        calls.make(path, device)
    except OSError as error:
        if error.errno == errno.EEXIST and is_there():
            return "awaited"
        raise StoreError(
            f"{path}: udev did not make it, and neither can lmkd: {errno_text(error)}"
        ) from error
    return "made"
