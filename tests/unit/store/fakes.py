"""A fake tree of /proc, /sys, /dev and /run, and a port that behaves as the kernel does on it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import swap, zram
from lmkd.kernel.files import Roots, roots_under
from lmkd.store.effects import KernelEffects
from lmkd.store.state import StoreSpec

BOOT_ID = "0f1e2d3c-0000-4000-8000-000000000001"
SWAPS_HEADING = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
SPEC = StoreSpec(kind="zram", algorithm="auto", size_kib=131072, mem_limit_kib=65536)
VM_DEFAULTS = {
    "swappiness": 60, "page-cluster": 3, "watermark_boost_factor": 15000, "watermark_scale_factor": 10,
}  # fmt: skip


def refusal(number: int, what: str) -> KernelInterfaceError:
    """The error that a kernel's refusal becomes."""
    error = KernelInterfaceError(f"{what}: {os.strerror(number)} ({errno.errorcode[number]})")
    error.__cause__ = OSError(number, os.strerror(number))
    return error


class Board:
    """A fake board: files that a kernel would show, changed by the tests and by ``FakeKernel``."""

    def __init__(self, base: Path, devices: int = 1) -> None:
        self.roots: Roots = roots_under(base)
        self.offered = "lzo lzo-rle lz4 zstd"
        self.put(self.roots.proc / "swaps", SWAPS_HEADING)
        self.put(self.roots.proc / "sys" / "kernel" / "random" / "boot_id", BOOT_ID + "\n")
        self.memory(total_kib=241012, available_kib=150000)
        for name, number in VM_DEFAULTS.items():
            self.put(self.roots.proc / "sys" / "vm" / name, f"{number}\n")
        if devices:
            self.load_driver()
        for number in range(devices):
            self.add_device(number)

    @staticmethod
    def put(path: Path, text: str) -> None:
        """Write a file and the folders above it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def memory(self, total_kib: int, available_kib: int) -> None:
        """Set MemTotal and MemAvailable."""
        self.put(
            self.roots.proc / "meminfo",
            f"MemTotal:       {total_kib} kB\nMemFree:        1000 kB\nMemAvailable:   {available_kib} kB\n",
        )

    def load_driver(self) -> None:
        """The zram module is there."""
        (self.roots.sys / "class" / "zram-control").mkdir(parents=True, exist_ok=True)

    def add_device(self, number: int) -> None:
        """A fresh device of size 0."""
        folder = self.roots.sys / "block" / f"zram{number}"
        self.put(folder / "disksize", "0\n")
        self.put(folder / "comp_algorithm", self.offered.replace("lzo-rle", "[lzo-rle]") + "\n")
        self.put(folder / "mm_stat", "0 0 0 0 0 0 0 0 0\n")
        self.put(folder / "mem_limit", "")
        self.put(folder / "dev", f"253:{number}\n")
        (folder / "holders").mkdir()
        self.put(self.roots.dev / f"zram{number}", "")

    def size(self, number: int, kib: int, header: bytes = b"") -> None:
        """Give a device a size, and a first page, as some program other than this lmkd may have done."""
        self.put(zram.attribute(self.roots, number, "disksize"), f"{kib * 1024}\n")
        zram.node(self.roots, number).write_bytes(header)

    def swap_on(self, number: int, kib: int, used_kib: int = 0, priority: int = 100) -> None:
        """Show a device in /proc/swaps."""
        path = self.roots.proc / "swaps"
        path.write_text(path.read_text() + f"/dev/zram{number} partition {kib} {used_kib} {priority}\n")

    def swap_off(self, number: int) -> None:
        """Take a device out of /proc/swaps."""
        path = self.roots.proc / "swaps"
        kept = [line for line in path.read_text().splitlines() if not line.startswith(f"/dev/zram{number} ")]
        path.write_text("\n".join(kept) + "\n")

    def store(self, number: int, orig_kib: int, used_kib: int) -> None:
        """Say that so much is stored."""
        text = f"{orig_kib * 1024} {used_kib * 1000} {used_kib * 1024} 0 {used_kib * 1024} 3 0 7 9\n"
        self.put(zram.attribute(self.roots, number, "mm_stat"), text)
        path = self.roots.proc / "swaps"
        lines = [line.split() for line in path.read_text().splitlines()[1:]]
        rows = [" ".join((*row[:3], str(orig_kib), row[4])) for row in lines]
        path.write_text(SWAPS_HEADING + "".join(row + "\n" for row in rows))

    def sysctl(self, name: str) -> int:
        """The value of vm.NAME."""
        return int((self.roots.proc / "sys" / "vm" / name).read_text())

    def text(self, number: int, name: str) -> str:
        """One attribute of a device."""
        return zram.attribute(self.roots, number, name).read_text().strip()


def header_of(label: str, kib: int = 131072) -> bytes:
    """A valid swap header of this machine's page size."""
    return swap.swap_header(swap.page_bytes(), kib, bytes(range(16)), label)


class Crash(BaseException):
    """The process died at this point: nothing after it runs."""


class FakeKernel(KernelEffects):
    """Acts on a ``Board`` as zram and swapon(2) do; ``fail_at`` raises there, ``log`` has what was done."""

    def __init__(self, board: Board) -> None:
        super().__init__(board.roots, swap.SwapCalls(), lock_s=0.05)
        self.board = board
        self.log: list[str] = []
        self.fail_at: dict[str, BaseException] = {}

    def _do(self, what: str) -> None:
        verb = what.partition(" ")[0]
        if verb in self.fail_at:
            raise self.fail_at[verb]
        self.log.append(what)

    def load_module(self, name: str) -> None:
        self._do(f"modprobe {name}")
        self.board.load_driver()
        self.board.add_device(0)

    def hot_add(self) -> int:
        number = zram.next_number(self.board.roots)
        self._do(f"hot_add {number}")
        self.board.add_device(number)
        return number

    def hot_remove(self, number: int) -> None:
        self._do(f"hot_remove {number}")
        folder = self.board.roots.sys / "block" / f"zram{number}"
        (folder / "holders").rmdir()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    def ensure_node(self, number: int) -> None:
        self._do(f"node {number}")

    def set_attribute(self, number: int, name: str, text: str) -> None:
        self._do(f"{name} {number} {text}")
        if name in ("comp_algorithm", "disksize") and self.board.text(number, "disksize") != "0":
            raise refusal(errno.EBUSY, name)
        if name == "comp_algorithm":
            text = " ".join(f"[{name}]" if name == text else name for name in self.board.offered.split())
        super().set_attribute(number, name, text)
        if name == "mem_limit":
            super().set_attribute(number, "mm_stat", f"4096 74 4096 {text} 4096 0 0 0 0")

    def reset(self, number: int) -> None:
        self._do(f"reset {number}")
        if f"zram{number} " in (self.board.roots.proc / "swaps").read_text():
            raise refusal(errno.EBUSY, "reset")
        self.board.size(number, 0)

    def be_nice(self) -> None:
        self._do("nice")

    def mark_backing(self, path: str) -> None:
        self._do(f"mark {path}")
        super().mark_backing(path)

    def write_header(self, number: int, header: bytes) -> None:
        self._do(f"header {number}")
        super().write_header(number, header)

    def swapon(self, number: int, priority: int) -> None:
        self._do(f"swapon {number} {priority}")
        header = swap.read_swap_header(zram.node(self.board.roots, number))
        assert header is not None
        self.board.swap_on(number, header.last_page * swap.page_bytes() // 1024, priority=priority)

    def swapoff(self, number: int) -> None:
        self._do(f"swapoff {number}")
        self.board.swap_off(number)


class Reports:
    """Collects what is reported."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def __call__(self, event: str, fields: dict[str, object]) -> None:
        self.events.append((event, fields))

    def names(self) -> list[str]:
        """The names of the events, in order."""
        return [event for event, _fields in self.events]

    def of(self, name: str) -> dict[str, object]:
        """The fields of the only event of this name."""
        found = [fields for event, fields in self.events if event == name]
        assert len(found) == 1, self.events
        return found[0]
