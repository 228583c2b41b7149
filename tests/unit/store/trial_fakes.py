"""A fake kernel for trials: scratch devices in memory that compress, a clock, memory, and death at any effect."""

from __future__ import annotations

import errno
import functools
import zlib
from pathlib import Path

from lmkd.kernel import swap, zram
from lmkd.kernel.direct_io import DirectDevice, PageBuffer
from lmkd.store.trial import Sample
from lmkd.store.trial_effects import TrialEffects
from tests.unit.store.fakes import Board, Crash, FakeKernel, refusal

PAGE = swap.page_bytes()
STORE_US = {"lzo": 22.0, "lzo-rle": 20.0, "lz4": 25.0, "zstd": 200.0}
FETCH_US = {"lzo": 9.0, "lzo-rle": 6.0, "lz4": 8.0, "zstd": 60.0}
LEVELS = {"lzo": 1, "lzo-rle": 1, "lz4": 1, "zstd": 9}
OWN_KIB = {"lzo": 0, "lzo-rle": 0, "lz4": 20, "zstd": 1700}


@functools.cache
def compressed_bytes(page: bytes, level: int) -> int:
    """What zlib makes of a page."""
    return len(zlib.compress(page, level))


class FakeDevice(DirectDevice):
    """Pages in memory; each takes the time that its algorithm takes."""

    def __init__(self, kernel: FakeTrial, number: int) -> None:
        self._kernel, self._number = kernel, number
        self._pages: dict[int, bytes] = {}
        self._compressed = 0
        self._algorithm = next(
            word.strip("[]") for word in kernel.board.text(number, "comp_algorithm").split() if word[0] == "["
        )

    def write(self, pages: memoryview, offset: int) -> None:
        self._kernel.step("write")
        for at in range(0, len(pages), PAGE):
            page = self._pages[offset + at] = bytes(pages[at : at + PAGE])
            self._compressed += compressed_bytes(page, LEVELS[self._algorithm])
            self._kernel.clock_us += STORE_US[self._algorithm]
        used = self._compressed + self._kernel.fixed_bytes
        text = f"{len(self._pages) * PAGE} {self._compressed} {used} 0 {used} 0 0 0 0\n"
        self._kernel.board.put(zram.attribute(self._kernel.board.roots, self._number, "mm_stat"), text)

    def read(self, pages: memoryview, offset: int) -> None:
        self._kernel.step("read")
        for at in range(0, len(pages), PAGE):
            pages[at : at + PAGE] = self._pages[offset + at]
            self._kernel.clock_us += FETCH_US[self._algorithm]
        if self._algorithm == self._kernel.corrupts:
            pages[len(pages) // 2] ^= 1

    def close(self) -> None:
        self._kernel.closed += 1


class FakeTrial(FakeKernel, TrialEffects):
    """``dies_after`` effects the process is dead: nothing that it still tries has an effect."""

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self.clock_us = 0.0
        self.fixed_bytes = 65536
        self.corrupts = ""
        self.refuses = ""
        self.free_kib = 150_000
        self.closed = self.effects = 0
        self.dies_after: int | None = None
        self.unloaded: list[frozenset[str]] = []

    def step(self, what: str) -> None:
        """One effect is about to be done."""
        if self.dies_after is not None and self.effects >= self.dies_after:
            raise Crash
        self._do(what)
        self.effects += 1

    def _do(self, what: str) -> None:
        if self.dies_after is not None and self.effects >= self.dies_after:
            raise Crash
        super()._do(what)
        if not what.startswith(("write", "read", "save", "remove", "open")):
            self.effects += 1

    def save(self, path: Path, text: str) -> None:
        self.step(f"save {path.name}")
        super().save(path, text)

    def remove(self, path: Path) -> None:
        self.step(f"remove {path.name}")
        super().remove(path)

    def set_attribute(self, number: int, name: str, text: str) -> None:
        if name == "comp_algorithm" and text == self.refuses:
            raise refusal(errno.EINVAL, name)
        super().set_attribute(number, name, text)
        if name == "comp_algorithm":
            offered = " ".join(f"[{word}]" if word == text else word for word in self.board.offered.split())
            self.board.put(zram.attribute(self.board.roots, number, name), offered + "\n")

    def open(self, number: int) -> FakeDevice:
        self.step(f"open {number}")
        return FakeDevice(self, number)

    def cpu_us(self) -> float:
        return self.clock_us

    def vmalloc_kib(self) -> int | None:
        total = 1000.0
        for number in zram.devices(self.board.roots):
            size = int(self.board.text(number, "disksize"))
            if size:
                text = self.board.text(number, "comp_algorithm")
                name = text[text.index("[") + 1 : text.index("]")]
                total += size / PAGE * 16 / 1024 + OWN_KIB[name]
        return round(total)

    def available_kib(self) -> int:
        return self.free_kib

    def modules(self) -> frozenset[str]:
        return frozenset(("lz4",))

    def unload_all_but(self, kept: frozenset[str]) -> None:
        self.unloaded.append(kept)


def sample_of(pages: int = 16) -> Sample:
    """Pages that compress, each another."""
    buffer = PageBuffer(pages * PAGE)
    for at in range(pages):
        text = b"".join(b"%d entry %d of page %d\n" % (line * at, line, at) for line in range(400))
        buffer.view[at * PAGE : (at + 1) * PAGE] = (text * 4)[:PAGE]
    return Sample(buffer, pages, PAGE)
