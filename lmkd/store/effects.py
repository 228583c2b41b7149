"""Owns everything that the store does to the system, as one narrow port, and the kernel's side of it."""

from __future__ import annotations

import contextlib
import errno
import os
import time

from lmkd.errors import KernelInterfaceError, StoreError
from lmkd.kernel import modules, swap, sysctl, zram
from lmkd.kernel.blank import write_mark
from lmkd.kernel.files import errno_of, errno_text, remove_unfinished, write_atomic, write_text
from lmkd.store.nodes import ensure_node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from lmkd.kernel.files import Roots
    from lmkd.kernel.swap import SwapCalls
    from lmkd.store.state import StoreState

_BUSY_S = 1.0
_LOCK_S = 5.0
_POLL_S = 0.02


class Effects:
    """The port. Every method raises KernelInterfaceError or StoreError with path and errno when it fails."""

    def lock(self) -> AbstractContextManager[None]:
        """Keep other lmkd processes from changing the store meanwhile."""
        raise NotImplementedError

    def load_module(self, name: str) -> None:
        """Load a kernel module."""
        raise NotImplementedError

    def hot_add(self) -> int:
        """Make one more zram device; its number."""
        raise NotImplementedError

    def hot_remove(self, number: int) -> None:
        """Remove a zram device."""
        raise NotImplementedError

    def ensure_node(self, number: int) -> None:
        """Return once the device node is there."""
        raise NotImplementedError

    def set_attribute(self, number: int, name: str, text: str) -> None:
        """Write one sysfs attribute of a zram device."""
        raise NotImplementedError

    def reset(self, number: int) -> None:
        """Empty a device and return it to size 0."""
        raise NotImplementedError

    def mark_backing(self, path: str) -> None:
        """Mark a block device as a backing device of lmkd's: what was on it is lost."""
        raise NotImplementedError

    def write_header(self, number: int, header: bytes) -> None:
        """Write the swap header."""
        raise NotImplementedError

    def swapon(self, number: int, priority: int) -> None:
        """Use the device as swap."""
        raise NotImplementedError

    def swapoff(self, number: int) -> None:
        """Bring all that is stored back into memory and stop using the device as swap."""
        raise NotImplementedError

    def be_nice(self) -> None:
        """Leave the processor to everybody else from here on."""
        raise NotImplementedError

    def set_sysctl(self, name: str, number: int) -> int:
        """Set a kernel tunable; what was set in the end."""
        raise NotImplementedError

    def save(self, path: Path, text: str) -> None:
        """Replace one of lmkd's own notes below /run."""
        raise NotImplementedError

    def remove(self, path: Path) -> None:
        """Remove a note; one that is not there is fine."""
        raise NotImplementedError

    def settle(self, expected: StoreState, read: Callable[[], StoreState]) -> StoreState:
        """What the store is now: read from the kernel, or ``expected`` where nothing was done."""
        raise NotImplementedError


class KernelEffects(Effects):
    """Acts on the system below ``roots``."""

    def __init__(self, roots: Roots, calls: SwapCalls | None = None, lock_s: float = _LOCK_S) -> None:
        self._roots = roots
        self._lock_s = lock_s
        self._calls = calls or swap.KernelSwapCalls()

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """As the port says; waits ``lock_s`` seconds at most, then StoreError."""
        import fcntl

        path = self._roots.run / "store.lock"
        try:
            os.makedirs(self._roots.run, mode=0o755, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{path}: cannot lock the store: {errno_text(error)}") from error
        deadline_s = time.monotonic() + self._lock_s
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > deadline_s:
                        raise StoreError(f"{path}: another lmkd is changing the store; try again") from error
                    time.sleep(_POLL_S)
            with contextlib.suppress(OSError):
                remove_unfinished(self._roots.run, self._roots.proc)
            yield
        finally:
            os.close(descriptor)

    def load_module(self, name: str) -> None:
        """As the port says."""
        modules.load(name)

    def hot_add(self) -> int:
        """As the port says."""
        return zram.hot_add(self._roots)

    def hot_remove(self, number: int) -> None:
        """As the port says."""
        while_busy(lambda: zram.hot_remove(self._roots, number))

    def ensure_node(self, number: int) -> None:
        """As the port says."""
        ensure_node(self._roots, number)

    def set_attribute(self, number: int, name: str, text: str) -> None:
        """As the port says."""
        write_text(zram.attribute(self._roots, number, name), text)

    def reset(self, number: int) -> None:
        """As the port says; the kernel itself refuses one that is in use."""
        while_busy(lambda: write_text(zram.attribute(self._roots, number, "reset"), "1"))

    def mark_backing(self, path: str) -> None:
        """As the port says."""
        try:
            write_mark(path)
        except OSError as error:
            raise KernelInterfaceError(f"{path}: cannot write: {errno_text(error)}") from error

    def write_header(self, number: int, header: bytes) -> None:
        """As the port says."""
        swap.write_swap_header(zram.node(self._roots, number), header)

    def swapon(self, number: int, priority: int) -> None:
        """As the port says."""
        self._calls.swapon(str(zram.node(self._roots, number)), priority)

    def swapoff(self, number: int) -> None:
        """As the port says."""
        self._calls.swapoff(str(zram.node(self._roots, number)))

    def be_nice(self) -> None:
        """As the port says."""
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, 19)

    def set_sysctl(self, name: str, number: int) -> int:
        """As the port says."""
        return sysctl.write(self._roots, name, number)

    def save(self, path: Path, text: str) -> None:
        """As the port says."""
        write_atomic(path, text)

    def remove(self, path: Path) -> None:
        """As the port says."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise KernelInterfaceError(f"{path}: cannot remove: {errno_text(error)}") from error

    def settle(self, expected: StoreState, read: Callable[[], StoreState]) -> StoreState:
        """As the port says: reads."""
        return read()


def while_busy(action: Callable[[], None]) -> None:
    """Try again for a second while the kernel says EBUSY."""
    # udev opens a device for a moment after each change of it, and the kernel answers EBUSY to a reset
    # meanwhile.
    deadline_s = time.monotonic() + _BUSY_S
    while True:
        try:
            action()
            return
        except KernelInterfaceError as error:
            if errno_of(error) != errno.EBUSY or time.monotonic() > deadline_s:
                raise
        time.sleep(_POLL_S)
