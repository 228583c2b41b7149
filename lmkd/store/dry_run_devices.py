"""Owns the dry run of a zswap store: notes what would be done, as ``dry_run`` does for zram."""

from __future__ import annotations

import os

from lmkd.kernel import zswap
from lmkd.store.device_effects import DeviceEffects
from lmkd.store.dry_run import DryRunEffects

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from lmkd.kernel.device_mapper import Target
    from lmkd.kernel.files import Roots


class DryRunDeviceEffects(DryRunEffects, DeviceEffects):
    """Touches nothing; device numbers are those that a kernel would give."""

    def __init__(self, roots: Roots) -> None:
        super().__init__(roots)
        self._roots = roots
        self._set: dict[str, str] = {}

    def map_create(self, name: str, uuid: str) -> int:
        """Notes it; the lowest minor number that no device has."""
        self.actions.append(f"make device-mapper device {name}")
        number = 0
        while os.path.exists(self._roots.sys / "block" / f"dm-{number}"):
            number += 1
        return number

    def map_load(self, name: str, targets: tuple[Target, ...]) -> None:
        """Notes it."""
        table = " ; ".join(
            f"{one.start} {one.length} {one.kind} {one.parameters}".rstrip() for one in targets
        )
        self.actions.append(f"give {name} the table {table}")

    def map_resume(self, name: str) -> None:
        """Notes it."""
        self.actions.append(f"resume device-mapper device {name}")

    def map_remove(self, name: str) -> None:
        """Notes it."""
        self.actions.append(f"remove device-mapper device {name}")

    def loop_attach(self, file: Path) -> str:
        """Notes it; a name that is as good as any."""
        self.actions.append(f"put a loop device over {file}")
        return "loop0"

    def loop_detach(self, name: str) -> None:
        """Notes it."""
        self.actions.append(f"detach {name}")

    def ensure_block_node(self, name: str) -> None:
        """Nothing to wait for."""

    def write_swap_header(self, name: str, header: bytes) -> None:
        """Notes it."""
        self.actions.append(f"write a swap header of {len(header)} bytes to {name}")

    def swapon_device(self, name: str, priority: int) -> None:
        """Notes it."""
        self.actions.append(f"swapon {name} with priority {priority}")

    def swapoff_device(self, name: str) -> None:
        """Notes it."""
        self.actions.append(f"swapoff {name}")

    def set_zswap(self, name: str, text: str) -> None:
        """Notes it."""
        self.actions.append(f"set zswap's {name} to {text}")
        self._set[name] = text

    def zswap(self, name: str) -> str | None:
        """What would be in force."""
        return self._set[name] if name in self._set else zswap.read(self._roots, name)
