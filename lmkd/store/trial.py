"""Owns the trial: each algorithm on a scratch zram device, with sampled pages; nothing is left behind.

A sample is stored several times over, for two reasons. Each time is measured by itself and the median counts, so that
one interrupt does not decide. And zsmalloc gives memory to each size class in whole zspages: a small device is mostly
half-empty ones. What a further copy adds is what a page costs in a store of some size.
"""

from __future__ import annotations

import contextlib

from lmkd.errors import KernelInterfaceError, LmkdError, StoreError
from lmkd.kernel import zram
from lmkd.kernel.direct_io import PageBuffer
from lmkd.store import trial_note
from lmkd.store.choice import ENTRY_BYTES, Figure
from lmkd.store.record import boot_id
from lmkd.store.trial_note import ADDING, AT_WORK, EMPTY, TrialNote, format_note, note_path
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmkd.kernel.files import Roots
    from lmkd.store.state import Report
    from lmkd.store.trial_effects import TrialEffects

COPIES_MAX = 8
RAM_PART = 64
"""The scratch device takes a 64th of RAM, but two samples must fit."""
SPARE_PARTS = 4
"""So many times what the trial may take must be available, or memory is too short for a trial."""
ENTRY_PROBE_BYTES = 256 << 20
_TABLE_BYTES_MAX = 32
_KIB = 1024


@value
class Sample:
    """Pages at the beginning of ``buffer``."""

    buffer: PageBuffer
    pages: int
    page_bytes: int

    @property
    def view(self) -> memoryview:
        """The pages."""
        return self.buffer.view[: self.pages * self.page_bytes]


@value
class Outcome:
    """What a trial gave: figures in the kernel's order, (name, reason) of what could not be tried, and what an unused
    page of disksize costs (measured; None: not known)."""

    figures: tuple[Figure, ...]
    failed: tuple[tuple[str, str], ...]
    entry_bytes: int | None


def budget_kib(ram_kib: int, sample: Sample) -> int:
    """RAM that the scratch device may take."""
    return max(ram_kib // RAM_PART, 2 * sample.pages * sample.page_bytes // _KIB)


def run(
    roots: Roots, port: TrialEffects, sample: Sample, ram_kib: int, report: Report, names: Sequence[str] = ()
) -> Outcome:
    """Try ``names``, or all that the kernel offers. StoreError, nothing left behind, when there can be no trial."""
    budget = budget_kib(ram_kib, sample)
    try:
        with trial_note.owned(roots) as alone:
            if not alone:
                raise StoreError("store: another trial is running; try again")
            kept = port.modules()
            back = PageBuffer(len(sample.view))
            try:
                with _scratch(roots, port, report) as number:
                    bench = _Bench(roots, port, sample, back.view, number, budget)
                    return bench.try_all(names)
            finally:
                back.close()
                port.unload_all_but(kept)
    except KernelInterfaceError as error:
        raise StoreError(f"store: no trial: {error}") from error


@contextlib.contextmanager
def _scratch(roots: Roots, port: TrialEffects, report: Report) -> Iterator[int]:
    """A fresh device, noted before it is there, and gone afterwards whatever happens."""
    with port.lock():
        trial_note.clear(roots, port, report)
        if note_path(roots).exists():
            raise StoreError("store: the device of an earlier trial could not be removed")
        if not zram.control_exists(roots):
            port.load_module("zram")
        boot = boot_id(roots)
        port.save(note_path(roots), format_note(TrialNote(boot, ADDING, -1, zram.devices(roots))))
        try:
            number = port.hot_add()
        except KernelInterfaceError:
            port.remove(note_path(roots))
            raise
        port.save(note_path(roots), format_note(TrialNote(boot, AT_WORK, number)))
    try:
        port.ensure_node(number)
        yield number
    finally:
        _remove(roots, port, TrialNote(boot, EMPTY, number), report)


def _remove(roots: Roots, port: TrialEffects, empty: TrialNote, report: Report) -> None:
    # What went wrong first is what matters; what cannot be removed now stays noted for the next start.
    try:
        port.reset(empty.device)
        port.save(note_path(roots), format_note(empty))
        port.hot_remove(empty.device)
        port.remove(note_path(roots))
    except LmkdError as error:
        report("degraded", {"feature": f"zram{empty.device}", "cost": "left by a trial", "reason": str(error)})


class _Bench:
    """One scratch device and one sample. Between two algorithms the device is empty."""

    def __init__(
        self, roots: Roots, port: TrialEffects, sample: Sample, back: memoryview, number: int, budget: int
    ) -> None:
        self._roots, self._port, self._sample, self._back = roots, port, sample, back
        self._number, self._budget_kib = number, budget
        self._size_bytes = COPIES_MAX * len(back)

    def try_all(self, names: Sequence[str]) -> Outcome:
        """Each algorithm in turn; one that fails is told of and does not end the trial, short memory does."""
        offered = zram.algorithms(self._roots, self._number)
        if offered is None:
            raise StoreError("store: this kernel lists no compression algorithms")
        figures, failed = [], []
        entry_bytes = self._entry_bytes()
        for name in names or offered.offered:
            self._require_room()
            try:
                figures.append(self._try(name, entry_bytes or ENTRY_BYTES))
            except KernelInterfaceError as error:
                failed.append((name, str(error)))
            finally:
                self._port.reset(self._number)
        if not figures:
            raise StoreError("store: no algorithm could be tried: " + "; ".join(reason for _, reason in failed))
        return Outcome(tuple(figures), tuple(failed), entry_bytes)

    def _require_room(self) -> None:
        available = self._port.available_kib()
        if available < SPARE_PARTS * self._budget_kib:
            raise StoreError(
                f"store: no trial while memory is short: {available} KiB are available, "
                f"{SPARE_PARTS * self._budget_kib} are needed"
            )

    def _try(self, name: str, entry_bytes: int) -> Figure:
        port, number = self._port, self._number
        before = port.vmalloc_kib()
        port.set_attribute(number, "comp_algorithm", name)
        port.set_attribute(number, "disksize", str(self._size_bytes))
        after = port.vmalloc_kib()
        port.set_attribute(number, "mem_limit", str(self._budget_kib * _KIB))
        table_kib = self._size_bytes / self._sample.page_bytes * entry_bytes / _KIB
        overhead = 0 if before is None or after is None else max(0, round(after - before - table_kib))
        device = port.open(number)
        try:
            store_us, used = self._store(device)
            compressed = zram.mm_stat(self._roots, number).compressed_bytes / len(used) / self._sample.pages
            fetch_us = self._fetch(device, len(used), name)
        finally:
            device.close()
        grown = (used[-1] - used[0]) / (len(used) - 1) if len(used) > 1 else used[0]
        occupied = max(compressed, grown / self._sample.pages)
        return Figure(name, compressed, occupied, store_us, fetch_us, overhead)

    def _store(self, device: Device) -> tuple[float, list[int]]:
        """Median microseconds to store a page, and the bytes of RAM taken after each copy."""
        times: list[float] = []
        used: list[int] = []
        while len(times) < COPIES_MAX:
            self._require_room()
            begun = self._port.cpu_us()
            device.write(self._sample.view, len(times) * len(self._back))
            times.append(self._port.cpu_us() - begun)
            used.append(zram.mm_stat(self._roots, self._number).used_bytes)
            if used[-1] + used[-1] / len(used) > self._budget_kib * _KIB:
                break
        return _median(times) / self._sample.pages, used

    def _fetch(self, device: Device, copies: int, name: str) -> float:
        """Median microseconds to fetch a page. StoreError when one comes back different: a kernel not to be trusted."""
        times: list[float] = []
        for copy in range(copies):
            self._back[:] = bytes(len(self._back))
            begun = self._port.cpu_us()
            device.read(self._back, copy * len(self._back))
            times.append(self._port.cpu_us() - begun)
            if self._back != self._sample.view:
                raise StoreError(f"store: {name} gave back other pages than it was given: do not use it")
        return _median(times) / self._sample.pages

    def _entry_bytes(self) -> int | None:
        """What a page of disksize costs before it is used: the table of a large device, by VmallocUsed."""
        port, number = self._port, self._number
        before = port.vmalloc_kib()
        port.set_attribute(number, "disksize", str(ENTRY_PROBE_BYTES))
        after = port.vmalloc_kib()
        port.reset(number)
        if before is None or after is None:
            return None
        found = round((after - before) * _KIB * self._sample.page_bytes / ENTRY_PROBE_BYTES)
        return found if 1 <= found <= _TABLE_BYTES_MAX else None


def _median(times: Sequence[float]) -> float:
    ordered = sorted(times)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


if TYPE_CHECKING:
    from typing import Protocol

    class Device(Protocol):
        """What a trial needs of a device."""

        def write(self, pages: memoryview, offset: int) -> None:
            """Write pages."""

        def read(self, pages: memoryview, offset: int) -> None:
            """Read pages."""

        def close(self) -> None:
            """Let go of it."""
