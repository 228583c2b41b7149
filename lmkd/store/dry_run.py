"""Owns the port that touches nothing: it notes what the store would do, one line an action."""

from __future__ import annotations

import contextlib

from lmkd.kernel import zram
from lmkd.store.effects import Effects

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmkd.kernel.files import Roots
    from lmkd.store.state import StoreState


class DryRunEffects(Effects):
    """Notes every action in ``actions``; the answers that it gives are those that a kernel would give."""

    def __init__(self, roots: Roots) -> None:
        self.actions: list[str] = []
        self._next = max(zram.devices(roots), default=-1) + 1

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Nothing to keep others from."""
        yield

    def load_module(self, name: str) -> None:
        """Notes it."""
        self.actions.append(f"modprobe {name}")

    def hot_add(self) -> int:
        """Notes it; the number that the kernel would give."""
        number = self._next
        self._next += 1
        self.actions.append(f"hot-add zram{number}")
        return number

    def hot_remove(self, number: int) -> None:
        """Notes it."""
        self.actions.append(f"hot-remove zram{number}")

    def ensure_node(self, number: int) -> None:
        """Nothing to wait for."""

    def set_attribute(self, number: int, name: str, text: str) -> None:
        """Notes it."""
        self.actions.append(f"set zram{number}/{name} to {text}")

    def reset(self, number: int) -> None:
        """Notes it."""
        self.actions.append(f"reset zram{number}")

    def mark_backing(self, path: str) -> None:
        """Notes it."""
        self.actions.append(f"write over {path}: it becomes a backing device")

    def write_header(self, number: int, header: bytes) -> None:
        """Notes it."""
        self.actions.append(f"write a swap header of {len(header)} bytes to zram{number}")

    def swapon(self, number: int, priority: int) -> None:
        """Notes it."""
        self.actions.append(f"swapon zram{number} with priority {priority}")

    def swapoff(self, number: int) -> None:
        """Notes it."""
        self.actions.append(f"swapoff zram{number}")

    def be_nice(self) -> None:
        """Nothing to yield for."""

    def set_sysctl(self, name: str, number: int) -> int:
        """Notes it."""
        self.actions.append(f"set {name} to {number}")
        return number

    def save(self, path: Path, text: str) -> None:
        """Notes it."""
        self.actions.append(f"save {path}")

    def remove(self, path: Path) -> None:
        """Notes it."""
        self.actions.append(f"remove {path}")

    def settle(self, expected: StoreState, read: Callable[[], StoreState]) -> StoreState:
        """What would be there."""
        return expected
