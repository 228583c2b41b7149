"""Owns the device behind zswap that fails every write: makes it and frees it, noted below /run before each change."""

from __future__ import annotations

import errno

from lmkd.errors import KernelInterfaceError, StoreError
from lmkd.kernel import device_mapper, loop, swap, zram
from lmkd.kernel.device_mapper import SECTOR_BYTES, Target
from lmkd.kernel.files import errno_of, read_text_or_none
from lmkd.store.record import ADDING, MAKING, boot_id
from lmkd.store.zswap_find import (
    CLOSED,
    LABEL,
    MAP_NAME,
    MAP_UUID,
    MAPPED,
    ZswapFound,
    ZswapRecord,
    format_note,
    header_path,
    note_path,
)
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import Roots
    from lmkd.store.device_effects import DeviceEffects
    from lmkd.store.state import Report

_KIB_BYTES = 1024


def whole_pages_kib(size_kib: int) -> int:
    """The size rounded up to whole pages of this machine."""
    page_kib = swap.page_bytes() // _KIB_BYTES
    return -(-size_kib // page_kib) * page_kib


def swap_header(size_kib: int) -> bytes:
    """The first page, with lmkd's label. StoreError for a size that a swap area cannot have."""
    import os

    try:
        return swap.swap_header(swap.page_bytes(), size_kib, os.urandom(16), LABEL)
    except ValueError as error:
        raise StoreError(f"store: size: {error}") from error


def table(header: str, size_kib: int) -> tuple[Target, ...]:
    """One page of the device ``header`` (``MAJOR:MINOR``, or a path), and then errors."""
    first = swap.page_bytes() // SECTOR_BYTES
    whole = size_kib * _KIB_BYTES // SECTOR_BYTES
    return Target(0, first, "linear", f"{header} 0"), Target(first, whole - first, "error")


class Backing:
    """Makes one device. ``record`` is the note as it stands; errors leave what there is to ``free``."""

    def __init__(self, roots: Roots, port: DeviceEffects, report: Report) -> None:
        self._roots = roots
        self._port = port
        self._report = report
        self.record = ZswapRecord(boot_id(roots), MAKING, MAPPED)

    def choose(self) -> str:
        """The form to make: device-mapper where the kernel has it."""
        if not self._have(device_mapper.MODULE, device_mapper.control_exists(self._roots)):
            cost = "a zram that takes no writes stands behind zswap instead"
            self._report("degraded", {"feature": "device-mapper", "cost": cost, "reason": "not in this kernel"})
            self._note(form=CLOSED)
        return self.record.form

    def make(self, size_kib: int) -> str:
        """The device, its swap header written; its kernel name. It takes no other page."""
        header = swap_header(size_kib)
        if self.record.form == CLOSED:
            name = self._zram()
            if name is None:
                raise StoreError("store: neither device-mapper nor zram can stand behind zswap in this kernel")
            number = zram.device_number(name) or 0
            self._port.set_attribute(number, "disksize", str(size_kib * _KIB_BYTES))
            self._port.write_header(number, header)
            # Whatever zswap does not take is refused here as well: one page, and it is full of the header.
            self._port.set_attribute(number, "mem_limit", str(len(header)))
            return name
        below = self._header_device()
        name = f"dm-{self._port.map_create(MAP_NAME, MAP_UUID)}"
        device = (read_text_or_none(self._roots.sys / "block" / below / "dev") or f"/dev/{below}").strip()
        self._port.map_load(MAP_NAME, table(device, size_kib))
        self._port.map_resume(MAP_NAME)
        self._port.ensure_block_node(name)
        self._port.write_swap_header(name, header)
        return name

    def _header_device(self) -> str:
        """A device of one page: a tiny zram, or without zram a loop device over a file in /run."""
        name = self._zram()
        if name is not None:
            self._port.set_attribute(zram.device_number(name) or 0, "disksize", str(swap.page_bytes()))
            return name
        if not self._have(loop.MODULE, loop.control_exists(self._roots)):
            raise StoreError("store: this kernel has neither zram nor loop devices to hold the swap header")
        self._note(header="")
        path = header_path(self._roots)
        self._port.save(path, "\0" * swap.page_bytes())
        return self._port.loop_attach(path)

    def _zram(self) -> str | None:
        """A zram device of size 0, noted as ours; None without zram."""
        if not self._have("zram", zram.control_exists(self._roots) or bool(zram.devices(self._roots))):
            return None
        free = (
            number for number in zram.devices(self._roots)
            if zram.disksize_kib(self._roots, number) == 0 and not zram.holders(self._roots, number)
        )  # fmt: skip
        number = next(free, None)
        hot_added = number is None
        if number is None:
            self._note(phase=ADDING, header=f"zram{zram.next_number(self._roots)}", hot_added=True)
            number = self._port.hot_add()
        self._note(phase=MAKING, header=f"zram{number}", hot_added=hot_added)
        self._port.ensure_node(number)
        return f"zram{number}"

    def _have(self, module: str, is_there: bool) -> bool:
        if is_there:
            return True
        try:
            self._port.load_module(module)
        except KernelInterfaceError:
            return False
        return True

    def _note(self, **changes: str | bool) -> None:
        self.record = replace(self.record, **changes)
        self._port.save(note_path(self._roots), format_note(self.record))


def free(roots: Roots, found: ZswapFound, port: DeviceEffects) -> tuple[str, ...]:
    """Free what is not in use as swap any more, device first and then what it stands on; their names."""
    freed = []
    if found.form == MAPPED and found.device:
        port.map_remove(MAP_NAME)
        freed.append(found.device)
    elif found.form == MAPPED and found.record is not None and found.record.phase == MAKING:
        _remove_unseen(port)
    closed = (found.device,) if found.form == CLOSED and found.device and found.device not in found.headers else ()
    for name in (*closed, *found.headers):
        number = zram.device_number(name)
        if number is None:
            port.loop_detach(name)
        else:
            _free_zram(roots, number, found.record, port)
        freed.append(name)
    if header_path(roots).exists():
        port.remove(header_path(roots))
    return tuple(freed)


def _remove_unseen(port: DeviceEffects) -> None:
    """A map that was made and given no table is nowhere in sysfs (Linux 6.1 and later), and its name is taken."""
    try:
        port.map_remove(MAP_NAME)
    except KernelInterfaceError as error:
        if errno_of(error) not in (errno.ENXIO, errno.ENOENT, errno.ENODEV):
            raise


def _free_zram(roots: Roots, number: int, record: ZswapRecord | None, port: DeviceEffects) -> None:
    if zram.disksize_kib(roots, number):
        port.reset(number)
    if record is not None and record.hot_added and record.header == f"zram{number}":
        port.hot_remove(number)
