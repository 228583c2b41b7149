"""A fake board with zswap, device-mapper and loop devices, and a port that behaves as the kernel does on it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from lmkd.kernel import swap
from lmkd.kernel.device_mapper import Target
from lmkd.store.device_effects import KernelDeviceEffects
from lmkd.store.state import StoreSpec
from lmkd.store.zswap_find import MAP_NAME
from tests.unit.store.fakes import SPEC, Board, Crash, FakeKernel, refusal

ZSWAP_SPEC = StoreSpec("zswap", "auto", SPEC.size_kib, 30 * 241012 // 100)
PARAMETERS = {
    "enabled": "N", "compressor": "lzo", "zpool": "zbud", "max_pool_percent": "20", "accept_threshold_percent": "90",
    "same_filled_pages_enabled": "Y", "non_same_filled_pages_enabled": "Y",
}  # fmt: skip
CGROUP = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"


class ZswapBoard(Board):
    """As ``Board``; ``lacks`` may name mapper, loop and zram. Kernel 6.1 unless told."""

    def __init__(self, base: Path, devices: int = 1, lacks: tuple[str, ...] = ()) -> None:
        self.zswap_kib = (0, 0, 0)
        self.mapped: tuple[str, str] | None = None
        super().__init__(base, devices)
        self.lacks = lacks
        self.pools: tuple[str, ...] = ("zbud", "z3fold", "zsmalloc")
        self.compressors: tuple[str, ...] = ("lzo", "lzo-rle", "lz4", "zstd")
        self.put(self.roots.proc / "self" / "mounts", CGROUP)
        (self.roots.sys / "fs" / "cgroup").mkdir(parents=True)
        (self.roots.sys / "block").mkdir(parents=True, exist_ok=True)
        for name, text in PARAMETERS.items():
            self.parameter(name, text)

    def memory(self, total_kib: int, available_kib: int) -> None:
        super().memory(total_kib, available_kib)
        stored, pool, cached = self.zswap_kib
        path = self.roots.proc / "meminfo"
        more = f"SwapCached: {cached} kB\nZswap: {pool} kB\nZswapped: {stored} kB\n"
        path.write_text(path.read_text() + more)

    def parameter(self, name: str, text: str) -> None:
        """Set a parameter as the kernel shows it, or give the kernel one more."""
        self.put(self.roots.sys / "module" / "zswap" / "parameters" / name, f"{text}\n")

    def parameters(self) -> dict[str, str]:
        """All parameters, and the writeback switch where there is one."""
        folder = self.roots.sys / "module" / "zswap" / "parameters"
        found = {path.name: path.read_text().strip() for path in folder.iterdir()}
        switch = self.roots.sys / "fs" / "cgroup" / "memory.zswap.writeback"
        return {**found, **({"writeback": switch.read_text().strip()} if switch.exists() else {})}

    def swap_names(self) -> list[str]:
        """The devices in /proc/swaps."""
        lines = (self.roots.proc / "swaps").read_text().splitlines()[1:]
        return [line.split()[0].rsplit("/", 1)[-1] for line in lines]

    def swap_line(self, name: str, kib: int, used_kib: int = 0, priority: int = 100) -> None:
        """Show a device in /proc/swaps."""
        path = self.roots.proc / "swaps"
        path.write_text(path.read_text() + f"/dev/{name} partition {kib} {used_kib} {priority}\n")

    def stored(
        self, stored_kib: int, pool_kib: int, swap_kib: int, cached_kib: int = 0, available_kib: int = 0
    ) -> None:
        """Say that zswap holds so much, and that so many swap slots are taken."""
        self.zswap_kib = (stored_kib, pool_kib, cached_kib)
        self.memory(241012, available_kib)
        path = self.roots.proc / "swaps"
        rows = [line.split() for line in path.read_text().splitlines()]
        path.write_text("".join(" ".join([*row[:3], str(swap_kib), row[4]]) + "\n" for row in rows[1:]))
        path.write_text(" ".join(rows[0]) + "\n" + path.read_text())

    def left(self) -> dict[str, object]:
        """All that a store may not leave behind, to be compared; free zram devices count for nothing."""
        blocks = sorted(os.listdir(self.roots.sys / "block"))
        sized = [name for name in blocks if name.startswith("zram") and self.text(int(name[4:]), "disksize") != "0"]
        notes = sorted(path.name for path in self.roots.run.glob("*") if path.name != "store.lock")
        others = [name for name in blocks if not name.startswith("zram")]
        sysctls = {name: self.sysctl(name) for name in ("swappiness", "page-cluster")}
        return {
            "sized": sized, "blocks": others, "notes": notes, "parameters": self.parameters(), "sysctls": sysctls,
            "swaps": self.swap_names(), "mapped": self.mapped,
        }  # fmt: skip


class FakeDevices(FakeKernel, KernelDeviceEffects):
    """Acts on a ``ZswapBoard``; ``crash_at`` is the number of the effect before which the process dies."""

    board: ZswapBoard

    def __init__(self, board: ZswapBoard, crash_at: int = -1) -> None:
        super().__init__(board)
        self.crash_at = crash_at
        self.count = 0
        self.lazy = False

    def _do(self, what: str) -> None:
        if self.count == self.crash_at:
            raise Crash
        self.count += 1
        super()._do(what)

    def load_module(self, name: str) -> None:
        self._do(f"modprobe {name}")
        if {"dm-mod": "mapper"}.get(name, name) in self.board.lacks:
            raise refusal(errno.ENOENT, name)
        if name == "zram":
            self.board.load_driver()
            self.board.add_device(0)
        folder = {"dm-mod": "device-mapper", "loop": "loop-control"}.get(name)
        if folder is not None:
            (self.board.roots.sys / "class" / "misc" / folder).mkdir(parents=True)

    def save(self, path: Path, text: str) -> None:
        self._do(f"save {path.name}")
        self.board.put(path, text)  # as write_atomic, but without fsync

    def remove(self, path: Path) -> None:
        self._do(f"remove {path.name}")
        super().remove(path)

    def set_sysctl(self, name: str, number: int) -> int:
        self._do(f"sysctl {name}")
        return super().set_sysctl(name, number)

    def set_attribute(self, number: int, name: str, text: str) -> None:
        super().set_attribute(number, name, text)
        if name == "disksize":
            self.board.put(self.board.roots.dev / f"zram{number}", "\0" * 4096)

    def _block(self, name: str) -> Path:
        return self.board.roots.sys / "block" / name

    def map_create(self, name: str, uuid: str) -> int:
        self._do(f"map_create {name}")
        if self.board.mapped is not None:
            raise refusal(errno.EBUSY, "create")
        self.board.mapped = (name, uuid)
        return 0

    def map_load(self, name: str, targets: tuple[Target, ...]) -> None:
        self._do("map_load " + " ; ".join(f"{one.start} {one.length} {one.kind} {one.parameters}" for one in targets))
        device = targets[0].parameters.split()[0]
        # Linux 6.1 and later show a device in sysfs only once it has a table.
        assert self.board.mapped is not None
        for file, text in (("dm/name", name), ("dm/uuid", self.board.mapped[1]), ("dev", "253:0")):
            self.board.put(self._block("dm-0") / file, text + "\n")
        (self._block("dm-0") / "slaves").mkdir()
        self.board.put(self.board.roots.dev / "dm-0", "")
        names = (each for each in os.listdir(self.board.roots.sys / "block") if not each.startswith("dm-"))
        below = next(each for each in names if (self._block(each) / "dev").read_text().strip() == device)
        self.board.put(self._block(below) / "holders" / "dm-0", "")
        self.board.put(self._block("dm-0") / "slaves" / below, "")

    def map_resume(self, name: str) -> None:
        self._do(f"map_resume {name}")
        self.board.put(self._block("dm-0") / "resumed", "")

    def map_remove(self, name: str) -> None:
        self._do(f"map_remove {name}")
        assert name == MAP_NAME
        if "dm-0" in self.board.swap_names():
            raise refusal(errno.EBUSY, "remove")
        if self.board.mapped is None:
            raise refusal(errno.ENXIO, "remove")
        self.board.mapped = None
        for path in sorted(self._block("dm-0").rglob("*"), reverse=True):
            if path.parent.name == "slaves":
                (self._block(path.name) / "holders" / "dm-0").unlink()
            path.rmdir() if path.is_dir() else path.unlink()
        if self._block("dm-0").exists():
            self._block("dm-0").rmdir()

    def loop_attach(self, file: Path) -> str:
        self._do(f"loop_attach {file.name}")
        self.board.put(self._block("loop0") / "loop" / "backing_file", f"{file}\n")
        self.board.put(self._block("loop0") / "dev", "7:0\n")
        (self._block("loop0") / "holders").mkdir()
        self.board.put(self.board.roots.dev / "loop0", "")
        return "loop0"

    def loop_detach(self, name: str) -> None:
        self._do(f"loop_detach {name}")
        folder = self._block(name)
        assert not list((folder / "holders").iterdir())
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()

    def ensure_block_node(self, name: str) -> None:
        self._do(f"node {name}")

    def write_swap_header(self, name: str, header: bytes) -> None:
        self._do(f"header {name}")
        assert (self._block(name) / "resumed").exists()
        for below in (name, *os.listdir(self._block(name) / "slaves")):
            (self.board.roots.dev / below).write_bytes(header)

    def swapon_device(self, name: str, priority: int) -> None:
        self._do(f"swapon {name} {priority}")
        header = swap.read_swap_header(self.board.roots.dev / name)
        assert header is not None and header.label == "lmkd-zswap"
        assert self.board.parameters()["enabled"] == "Y", "pages would go to a device that takes none"
        if name.startswith("zram"):
            assert self.board.text(int(name[4:]), "mem_limit") == str(swap.page_bytes()), "zram would take pages"
        self.board.swap_line(name, header.last_page * swap.page_bytes() // 1024, priority=priority)

    def swapoff_device(self, name: str) -> None:
        self._do(f"swapoff {name}")
        path = self.board.roots.proc / "swaps"
        kept = [line for line in path.read_text().splitlines() if not line.startswith(f"/dev/{name} ")]
        path.write_text("\n".join(kept) + "\n")

    def set_zswap(self, name: str, text: str) -> None:
        self._do(f"zswap {name} {text}")
        offered = {"compressor": self.board.compressors, "zpool": self.board.pools}.get(name)
        if offered is not None and text not in offered and not self.lazy:
            raise refusal(errno.ENOENT, name)
        if name == "enabled" and text == "Y" and self.lazy:
            self.lazy = False
            now = self.board.parameters()
            for each, names in (("compressor", self.board.compressors), ("zpool", self.board.pools)):
                if now.get(each, names[0]) not in names:
                    self.board.parameter(each, names[0])
        super().set_zswap(name, text)
