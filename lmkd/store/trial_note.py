"""Owns the note about a trial's scratch device below /run, and removing one whose trial died.

A trial lives as long as it holds a lock that the kernel takes away with the process. A note without a holder is that of
a dead one. What is noted is removed only where it can still be the trial's: of this boot, no swap, nothing stacked on
it, without the label of a store, and empty where the note says that it was.
"""

from __future__ import annotations

import contextlib
import os

from lmkd.errors import KernelInterfaceError, StoreError
from lmkd.kernel import swap, zram
from lmkd.kernel.files import errno_text, read_text_or_none
from lmkd.store.record import boot_id, parse_object
from lmkd.values import as_dict, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lmkd.kernel.files import Roots
    from lmkd.store.effects import Effects
    from lmkd.store.state import Report

ADDING = "adding"
AT_WORK = "at-work"
EMPTY = "empty"
_PHASES = (ADDING, AT_WORK, EMPTY)


@value
class TrialNote:
    """``device`` is the scratch device's number, -1 while it is being added; ``before`` those that were there."""

    boot_id: str
    phase: str
    device: int
    before: tuple[int, ...] = ()


def note_path(roots: Roots) -> Path:
    """Where the note is."""
    return roots.run / "trial.json"


def format_note(note: TrialNote) -> str:
    """The note as JSON text."""
    import json

    return json.dumps({"version": 1, **as_dict(note)}) + "\n"


def parse_note(text: str) -> TrialNote | None:
    """The note in ``text``; None for one that is damaged or of another version."""
    found = parse_object(text) or {}
    boot, phase, device, before = (found.get(key) for key in ("boot_id", "phase", "device", "before"))
    if not (isinstance(boot, str) and isinstance(phase, str) and phase in _PHASES and type(device) is int):
        return None
    if not isinstance(before, list) or not all(type(item) is int for item in before):
        return None
    return TrialNote(boot, phase, device, tuple(before))


def read_note(roots: Roots) -> TrialNote | None:
    """The note, None when there is none that holds for this boot or it cannot be read."""
    try:
        text = read_text_or_none(note_path(roots))
        note = parse_note(text) if text is not None else None
        return note if note is not None and note.boot_id == boot_id(roots) else None
    except KernelInterfaceError:
        return None


def scratch_device(roots: Roots) -> int | None:
    """The number of the device that is a trial's, living or dead; None without one."""
    note = read_note(roots)
    return note.device if note is not None and note.device >= 0 else None


@contextlib.contextmanager
def owned(roots: Roots) -> Iterator[bool]:
    """Be the one trial of this machine meanwhile; False when another is. StoreError when that cannot be found out."""
    import fcntl

    path = roots.run / "trial.lock"
    try:
        os.makedirs(roots.run, mode=0o755, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: cannot lock: {errno_text(error)}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def clear_dead(roots: Roots, port: Effects, report: Report) -> None:
    """Remove the device of a trial that died; of one that lives nothing is touched. Needs the store's lock."""
    if not note_path(roots).exists():
        return
    with owned(roots) as alone:
        if alone:
            clear(roots, port, report)


def clear(roots: Roots, port: Effects, report: Report) -> None:
    """As ``clear_dead`` for who is the one trial. A device that the kernel does not give up keeps its note."""
    note = read_note(roots)
    number = _left_behind(roots, note) if note is not None else None
    if number is not None and note is not None:
        try:
            if zram.disksize_kib(roots, number):
                port.reset(number)
                port.save(note_path(roots), format_note(TrialNote(note.boot_id, EMPTY, number)))
            port.hot_remove(number)
        except KernelInterfaceError as error:
            report("degraded", {"feature": f"zram{number}", "cost": "left by a trial", "reason": str(error)})
            return
        report("trial_cleared", {"device": f"zram{number}"})
    port.remove(note_path(roots))


def _left_behind(roots: Roots, note: TrialNote) -> int | None:
    there = zram.devices(roots)
    if note.phase == ADDING:
        # The device may have been added just before the crash. With two new ones somebody else is at work.
        fresh = [number for number in there if number not in note.before]
        found = fresh[0] if len(fresh) == 1 else -1
    else:
        found = note.device
    if found not in there or zram.holders(roots, found):
        return None
    if any(zram.device_number(entry.path) == found for entry in swap.swaps(roots)):
        return None
    if note.phase != AT_WORK and zram.disksize_kib(roots, found):
        return None  # somebody has set it up since
    return found
