"""Owns loop devices: a block device over a file, for the swap header where there is no zram.

Source: include/uapi/linux/loop.h, drivers/block/loop.c, man page loop(4); LOOP_CTL_GET_FREE since Linux 3.1.
"""

from __future__ import annotations

import errno
import fcntl
import os

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.files import errno_text, read_text_or_none

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import AnyPath, Roots

MODULE = "loop"
_SET_FD, _CLR_FD, _GET_FREE = 0x4C00, 0x4C01, 0x4C82
_TRIES = 8


def control_exists(roots: Roots) -> bool:
    """Whether the loop driver is there."""
    return os.path.isdir(roots.sys / "class" / "misc" / "loop-control")


def backing_file(roots: Roots, name: str) -> str | None:
    """The file behind loop device ``name``; None when it has none."""
    text = read_text_or_none(roots.sys / "block" / name / "loop" / "backing_file")
    return None if text is None else text.rstrip("\n")


def find(roots: Roots, file: AnyPath) -> str | None:
    """The name of the loop device over ``file``; None when there is none."""
    try:
        names = sorted(os.listdir(roots.sys / "block"))
    except OSError:
        return None
    wanted = os.fspath(file)
    return next((name for name in names if name.startswith("loop") and backing_file(roots, name) == wanted), None)


def attach(roots: Roots, file: AnyPath) -> str:
    """Put a free loop device over ``file``; its name. KernelInterfaceError where the kernel refuses."""
    control = roots.dev / "loop-control"
    try:
        descriptor = os.open(control, os.O_RDWR | os.O_CLOEXEC)
        backing = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise KernelInterfaceError(f"{control}: cannot use: {errno_text(error)}") from error
    try:
        for _ in range(_TRIES):
            number = fcntl.ioctl(descriptor, _GET_FREE)
            device = os.open(roots.dev / f"loop{number}", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _SET_FD, backing)
                return f"loop{number}"
            except OSError as error:
                if error.errno != errno.EBUSY:  # somebody else was faster
                    raise
            finally:
                os.close(device)
    except OSError as error:
        raise KernelInterfaceError(
            f"{os.fspath(file)}: no loop device over it: {errno_text(error)}"
        ) from error
    finally:
        os.close(backing)
        os.close(descriptor)
    raise KernelInterfaceError(f"{os.fspath(file)}: no loop device over it: all that were free were taken")


def detach(roots: Roots, name: str) -> None:
    """Take the device off its file."""
    path = roots.dev / name
    try:
        device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device, _CLR_FD)
        finally:
            os.close(device)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise KernelInterfaceError(f"{path}: cannot detach: {errno_text(error)}") from error
