"""Owns what a zram store may have besides: a second algorithm, a backing device, a limit that has been raised.

Both are set before disksize, the second algorithm first (Documentation/admin-guide/blockdev/zram.rst); a kernel or a
device that does not have or allow them costs nothing but them.
"""

from __future__ import annotations

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import zram
from lmkd.kernel.blank import refusal
from lmkd.kernel.files import read_text_or_none
from lmkd.store.algorithms import choose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.blank import BlockCalls
    from lmkd.kernel.files import Roots
    from lmkd.store.effects import Effects
    from lmkd.store.state import Report, StoreSpec

ROUNDS_KIB = 64
"""The governor's limits are rounded up to so much (policy/governor.py)."""


def limit_may_stay(limit_kib: int | None, spec: StoreSpec) -> bool:
    """A limit that the governor had raised stays: below what is stored already every write would fail."""
    if limit_kib is None or spec.mem_limit_kib is None:
        return limit_kib == spec.mem_limit_kib
    most = max(spec.mem_limit_kib, spec.mem_limit_max_kib or 0)
    return spec.mem_limit_kib <= limit_kib <= most + ROUNDS_KIB


def set_extras(
    roots: Roots, spec: StoreSpec, number: int, port: Effects, report: Report, calls: BlockCalls | None = None
) -> None:
    """Prepare a device that has no size yet. What cannot be had is reported as ``degraded``."""
    if spec.recompress:
        _set(roots, number, "recomp_algorithm", f"algo={spec.recompress} priority=1", "store.recompress", port, report)
    if not spec.backing_dev:
        return
    why = refusal(spec.backing_dev, spec.backing_dev_force, calls)
    if why:
        report("degraded", {"feature": "store.backing_dev", "cost": "nothing is written out", "reason": why})
        return
    _set(roots, number, "backing_dev", spec.backing_dev, "store.backing_dev", port, report)


def set_algorithm(roots: Roots, spec: StoreSpec, number: int, port: Effects, report: Report) -> str | None:
    """The wanted algorithm, else the best there is; which it is."""
    offered = zram.algorithms(roots, number)
    choice = choose(spec.algorithm, offered, spec.preferred)
    selected = offered.selected if offered is not None else None
    if choice.degraded is not None:
        cost = f"{choice.name or 'the algorithm of the kernel'} is used instead"
        report("degraded", {"feature": "store.algorithm", "cost": cost, "reason": choice.degraded})
    if choice.name is not None and choice.name != selected:
        port.set_attribute(number, "comp_algorithm", choice.name)
    return choice.name or selected


def zram_has(roots: Roots, number: int, name: str) -> bool:
    """Does this kernel's zram have the attribute? (CONFIG_ZRAM_WRITEBACK, CONFIG_ZRAM_MULTI_COMP)"""
    return zram.attribute(roots, number, name).exists()


def backing_of(roots: Roots, number: int) -> str | None:
    """The backing device as the kernel shows it, None for none."""
    text = (read_text_or_none(zram.attribute(roots, number, "backing_dev")) or "none").strip()
    return None if text == "none" else text


def _set(roots: Roots, number: int, name: str, text: str, key: str, port: Effects, report: Report) -> None:
    try:
        if not zram_has(roots, number, name):
            raise KernelInterfaceError(f"this kernel's zram has no {name}")
        if name == "backing_dev":
            port.mark_backing(text)
        port.set_attribute(number, name, text)
    except KernelInterfaceError as error:
        report("degraded", {"feature": key, "cost": "the store works without it", "reason": str(error)})
