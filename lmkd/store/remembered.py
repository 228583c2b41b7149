"""Owns what was measured of the algorithms on this board: a small file that outlives a boot, for one kernel.

Only figures are kept: what to make of them (``choice``) depends on the configuration of the day. Below /var/lib, and
where that cannot be written to, below /run for this boot.
"""

from __future__ import annotations

import os

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.files import read_text_or_none, write_atomic
from lmkd.store.choice import Figure
from lmkd.store.record import parse_object
from lmkd.values import as_dict, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from lmkd.kernel.files import Roots
    from lmkd.store.state import Report

_FIGURES_MAX = 32
_TEXT_MAX = 256
_NUMBER_MAX = 1e6
_PAGE_BYTES_MAX = 1 << 16
_PAGES_MAX = 1 << 20
_OVERHEAD_KIB_MAX = 1 << 20


@value
class Remembered:
    """One trial: the kernel and the machine that it holds for, when (seconds since 1970), of how many pages of how many
    processes, what a page of disksize costs (None: not known), and the figures."""

    kernel: str
    machine: str
    measured_s: int
    page_bytes: int
    pages: int
    processes: int
    same_pages: int
    entry_bytes: int | None
    figures: tuple[Figure, ...]


def lasting_path(roots: Roots) -> Path:
    """Where it is kept."""
    return roots.state / "store.json"


def passing_path(roots: Roots) -> Path:
    """Where it is kept until the next boot, if it can be nowhere else."""
    return roots.run / "trial-figures.json"


def this_kernel() -> str:
    """The release of the running kernel (uname)."""
    return os.uname().release


def this_machine(roots: Roots) -> str:
    """The machine (uname) and, where a device tree tells it, the model: a disk can be moved to another board."""
    try:
        model = read_text_or_none(roots.proc / "device-tree" / "model")
    except KernelInterfaceError:
        model = None
    return ", ".join(part for part in (os.uname().machine, (model or "").strip("\0\n ")) if part)


def format_remembered(found: Remembered) -> str:
    """As JSON text."""
    import json

    figures = [as_dict(figure) for figure in found.figures]
    return json.dumps({"version": 1, **as_dict(found), "figures": figures}) + "\n"


def parse_remembered(text: str) -> Remembered | None:
    """What stands in ``text``; None for what is damaged or of another version. Numbers that cannot be are damage."""
    found = parse_object(text) or {}
    try:
        rows = found["figures"]
        if not isinstance(rows, list) or not 0 < len(rows) <= _FIGURES_MAX:
            return None
        entry = found["entry_bytes"]
        remembered = Remembered(
            kernel=_text(found["kernel"]),
            machine=_text(found["machine"]),
            measured_s=_count(found["measured_s"], 1 << 53),
            page_bytes=_count(found["page_bytes"], _PAGE_BYTES_MAX),
            pages=_count(found["pages"], _PAGES_MAX),
            processes=_count(found["processes"], _PAGES_MAX),
            same_pages=_count(found["same_pages"], _PAGES_MAX),
            entry_bytes=None if entry is None else _count(entry, _PAGE_BYTES_MAX),
            figures=tuple(_figure(row) for row in rows),
        )
    except (KeyError, TypeError, ValueError):
        return None
    names = {figure.name for figure in remembered.figures}
    return remembered if remembered.page_bytes and len(names) == len(remembered.figures) else None


def _figure(row: dict[str, object]) -> Figure:
    numbers = {name: _number(row[name]) for name in ("compressed_bytes", "occupied_bytes", "store_us", "fetch_us")}
    return Figure(name=_text(row["name"]), overhead_kib=_count(row["overhead_kib"], _OVERHEAD_KIB_MAX), **numbers)


def _text(item: object) -> str:
    if not isinstance(item, str) or not 0 < len(item) <= _TEXT_MAX:
        raise ValueError
    return item


def _count(item: object, most: int) -> int:
    if not isinstance(item, int) or isinstance(item, bool) or not 0 <= item <= most:
        raise ValueError
    return item


def _number(item: object) -> float:
    if not isinstance(item, int | float) or isinstance(item, bool) or not 0 <= item <= _NUMBER_MAX:
        raise ValueError
    return float(item)


def remember(roots: Roots, found: Remembered, report: Report) -> Path:
    """Keep it, whole or not at all; where it is. KernelInterfaceError when it can be kept nowhere."""
    text = format_remembered(found)
    try:
        write_atomic(lasting_path(roots), text)
        passing_path(roots).unlink(missing_ok=True)
        return lasting_path(roots)
    except (KernelInterfaceError, OSError) as error:
        write_atomic(passing_path(roots), text)
        cost = "what was measured is forgotten at the next boot"
        report("degraded", {"feature": "store.trial", "cost": cost, "reason": str(error)})
        return passing_path(roots)


def recall(roots: Roots, report: Report) -> Remembered | None:
    """The newest trial that holds for this kernel and machine; None without one. A damaged file is told of."""
    here = (this_kernel(), this_machine(roots))
    valid = []
    for path in (passing_path(roots), lasting_path(roots)):
        try:
            text = read_text_or_none(path)
            found = None if text is None else parse_remembered(text)
            reason = "it is damaged, or of another version of lmkd"
        except KernelInterfaceError as error:
            text, found, reason = "", None, str(error)
        if text is not None and found is None:
            cost = "ignored: algorithm and size are chosen as if there had been no trial"
            report("degraded", {"feature": str(path), "cost": cost, "reason": reason})
        if found is not None and (found.kernel, found.machine) == here:
            valid.append(found)
    return max(valid, key=lambda one: one.measured_s, default=None)
