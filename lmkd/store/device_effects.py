"""Owns what a zswap store does to the system beyond what zram's does: device-mapper, loop, zswap's parameters."""

from __future__ import annotations

from lmkd.kernel import loop, swap, zswap
from lmkd.kernel.device_mapper import Mapper, Target
from lmkd.store.effects import Effects, KernelEffects, while_busy
from lmkd.store.nodes import ensure_block_node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


class DeviceEffects(Effects):
    """The port. Block devices go by their kernel names (``dm-0``); errors as in ``Effects``."""

    def map_create(self, name: str, uuid: str) -> int:
        """Make a device-mapper device without a table; its minor number."""
        raise NotImplementedError

    def map_load(self, name: str, targets: tuple[Target, ...]) -> None:
        """Give a device-mapper device its table."""
        raise NotImplementedError

    def map_resume(self, name: str) -> None:
        """Let the table take effect."""
        raise NotImplementedError

    def map_remove(self, name: str) -> None:
        """Remove a device-mapper device."""
        raise NotImplementedError

    def loop_attach(self, file: Path) -> str:
        """A loop device over the file; its name."""
        raise NotImplementedError

    def loop_detach(self, name: str) -> None:
        """Take a loop device off its file."""
        raise NotImplementedError

    def ensure_block_node(self, name: str) -> None:
        """Return once the device node is there."""
        raise NotImplementedError

    def write_swap_header(self, name: str, header: bytes) -> None:
        """Write the swap header."""
        raise NotImplementedError

    def swapon_device(self, name: str, priority: int) -> None:
        """Use the device as swap."""
        raise NotImplementedError

    def swapoff_device(self, name: str) -> None:
        """Bring all that is stored back into memory and stop using the device as swap."""
        raise NotImplementedError

    def set_zswap(self, name: str, text: str) -> None:
        """Set one of zswap's parameters, or root's writeback switch."""
        raise NotImplementedError

    def zswap(self, name: str) -> str | None:
        """The value in force; None where the kernel has no such parameter."""
        raise NotImplementedError


class KernelDeviceEffects(KernelEffects, DeviceEffects):
    """Acts on the system below ``roots``."""

    def map_create(self, name: str, uuid: str) -> int:
        """As the port says."""
        return Mapper(self._roots).create(name, uuid).minor

    def map_load(self, name: str, targets: tuple[Target, ...]) -> None:
        """As the port says."""
        Mapper(self._roots).load(name, targets)

    def map_resume(self, name: str) -> None:
        """As the port says."""
        Mapper(self._roots).resume(name)

    def map_remove(self, name: str) -> None:
        """As the port says."""
        while_busy(lambda: Mapper(self._roots).remove(name))

    def loop_attach(self, file: Path) -> str:
        """As the port says."""
        return loop.attach(self._roots, file)

    def loop_detach(self, name: str) -> None:
        """As the port says."""
        while_busy(lambda: loop.detach(self._roots, name))

    def ensure_block_node(self, name: str) -> None:
        """As the port says."""
        ensure_block_node(self._roots, name)

    def write_swap_header(self, name: str, header: bytes) -> None:
        """As the port says."""
        # udev looks at a device that was just made, and an exclusive open fails meanwhile.
        while_busy(lambda: swap.write_swap_header(self._roots.dev / name, header))

    def swapon_device(self, name: str, priority: int) -> None:
        """As the port says."""
        self._calls.swapon(str(self._roots.dev / name), priority)

    def swapoff_device(self, name: str) -> None:
        """As the port says."""
        self._calls.swapoff(str(self._roots.dev / name))

    def set_zswap(self, name: str, text: str) -> None:
        """As the port says."""
        zswap.write(self._roots, name, text)

    def zswap(self, name: str) -> str | None:
        """As the port says."""
        return zswap.read(self._roots, name)
