"""Owns the kernel tunables that a compressed store wants: sets them, keeps the old values, puts them back.

The note below /run is written before a tunable is, and a value that it already has is not replaced: after a
crash, an upgrade or a second start it is still the value from before lmkd that comes back.
"""

from __future__ import annotations

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import sysctl
from lmkd.kernel.files import read_text_or_none
from lmkd.store.kept import format_rows, parse_rows
from lmkd.store.record import boot_id
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from lmkd.kernel.files import Roots
    from lmkd.store.effects import Effects
    from lmkd.store.state import Report, Sysctls

_COSTS = (
    (
        "vm.swappiness",
        "the kernel drops file pages, which stalls applications, before it compresses idle ones",
    ),
    ("vm.page-cluster", "each page fault decompresses neighbours that nobody asked for"),
    ("vm.watermark_boost_factor", "the kernel reclaims in bursts after fragmentation"),
    (
        "vm.watermark_scale_factor",
        "the kernel begins to reclaim late, and applications reclaim for themselves",
    ),
    (sysctl.LRU_GEN, "the kernel knows less of which pages the foreground uses"),
    (sysctl.MIN_TTL, "the kernel itself may kill on thrashing, and it ignores the priorities"),
)


@value
class Kept:
    """One tunable: the value from before lmkd and the one that lmkd set.

    ``asked``: it was about to be set, and the kernel may have made less of it than ``set_to``, or nothing yet.
    """

    name: str
    old: int
    set_to: int
    asked: bool = False


def kept_path(roots: Roots) -> Path:
    """Where the old values are."""
    return roots.run / "sysctl.json"


def parse_kept(text: str, boot: str) -> tuple[Kept, ...]:
    """The old values in a note; none from a note that is damaged or of another boot."""
    kept = []
    for row in parse_rows(text, boot):
        name, old, set_to = row.get("name"), row.get("old"), row.get("set_to")
        if isinstance(name, str) and type(old) is int and type(set_to) is int:
            kept.append(Kept(name, old, set_to, row.get("asked") is True))
    return tuple(kept)


def format_kept(kept: tuple[Kept, ...], boot: str) -> str:
    """The note as JSON text."""
    return format_rows(kept, boot)


def read_kept(roots: Roots) -> tuple[Kept, ...]:
    """The old values noted in this boot."""
    text = read_text_or_none(kept_path(roots))
    return () if text is None else parse_kept(text, boot_id(roots))


def apply(roots: Roots, wanted: Sysctls, effects: Effects, report: Report) -> None:
    """Set the tunables in ``wanted``; one that is absent or refused is reported as degraded, never an error.

    Raises KernelInterfaceError only when the old values cannot be noted, and then nothing has been set.
    """
    kept = {item.name: item for item in read_kept(roots)}
    changes = []
    for name, number in wanted:
        try:
            now = sysctl.read(roots, name)
        except KernelInterfaceError as error:
            _degraded(report, name, str(error))
            continue
        if now is None:
            if name not in (sysctl.MIN_TTL, sysctl.LRU_GEN):  # doctor tells of a kernel without MGLRU
                _degraded(report, name, "this kernel does not have it")
        elif now != number:
            changes.append((name, now, number))
            kept[name] = Kept(name, kept[name].old if name in kept else now, number, True)
    if not any(item.asked for item in kept.values()):
        return
    boot = boot_id(roots)
    effects.save(kept_path(roots), format_kept(tuple(kept.values()), boot))
    for name, now, number in changes:
        try:
            done = effects.set_sysctl(name, number)
        except KernelInterfaceError as error:
            _degraded(report, name, str(error))
            continue
        if done != now:  # of a mask the processor may have no more than was set before: Debian's 6.12 on armhf
            report("sysctl", {"name": name, "old": now, "new": done})
        if done != number and name != sysctl.LRU_GEN:  # a mask: a processor lacks what some of its bits use
            _degraded(report, name, f"this kernel takes {done} at most, not {number}")
        kept[name] = Kept(name, kept[name].old, done)
    certain = tuple(Kept(item.name, item.old, item.set_to) for item in kept.values())
    effects.save(kept_path(roots), format_kept(certain, boot))


def restore(roots: Roots, effects: Effects, report: Report) -> None:
    """Put the old values back, but leave one that somebody else has changed since; then forget them."""
    kept = read_kept(roots)
    for item in kept:
        try:
            now = sysctl.read(roots, item.name)
            ours = now == item.set_to or (item.asked and now is not None and sysctl.may_be(item.name, item.set_to, now))
            if ours and now != item.old:
                effects.set_sysctl(item.name, item.old)
                report("sysctl", {"name": item.name, "old": now, "new": item.old})
            elif now not in (None, item.old):
                report(
                    "sysctl_left", {"name": item.name, "now": now, "reason": "changed since by somebody else"}
                )
        except KernelInterfaceError as error:
            report(
                "degraded", {"feature": item.name, "cost": "the old value is not back", "reason": str(error)}
            )
    if kept:
        effects.remove(kept_path(roots))


def _degraded(report: Report, name: str, reason: str) -> None:
    cost = dict(_COSTS).get(name, "it stays as it is")
    report("degraded", {"feature": name, "cost": cost, "reason": reason})
