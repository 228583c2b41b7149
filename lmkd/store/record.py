"""Owns lmkd's note below /run: which store is being made or is up, so that a crash can be finished safely.

A note counts only for the boot that wrote it: on boards whose /run outlives a boot, zram0 is another device
by then.
"""

from __future__ import annotations

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.files import read_text, read_text_or_none
from lmkd.kernel.zram import device_number
from lmkd.values import as_dict, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from lmkd.kernel.files import Roots

ADDING = "adding"
"""The device is asked for, and may be there: one of that number is lmkd's as long as nobody gave it a size."""
MAKING = "making"
UP = "up"
TAKING_DOWN = "taking-down"
PHASES = (ADDING, MAKING, UP, TAKING_DOWN)


@value
class StoreRecord:
    """One note: the device (``zram0``), how far it is, and whether lmkd added or adopted it.

    ``draining`` is the device that this one takes the place of, empty for none.
    """

    boot_id: str
    device: str
    phase: str
    hot_added: bool = False
    adopted: bool = False
    draining: str = ""
    draining_hot_added: bool = False


def store_path(roots: Roots) -> Path:
    """Where the note about the store is."""
    return roots.run / "store.json"


def boot_id(roots: Roots) -> str:
    """What tells this boot from any other (proc(5), random/boot_id)."""
    return read_text(roots.proc / "sys" / "kernel" / "random" / "boot_id").strip()


def format_record(record: StoreRecord) -> str:
    """The note as JSON text."""
    import json

    return json.dumps({"version": 1, **as_dict(record)}) + "\n"


def parse_object(text: str) -> dict[str, object] | None:
    """A JSON object of version 1; None for anything else (cut short, other version, endless nesting)."""
    import json

    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("version") == 1 else None


def parse_record(text: str) -> StoreRecord | None:
    """The note in ``text``; None for a note that is damaged or of another version."""
    found = parse_object(text) or {}
    boot, device, phase = found.get("boot_id"), found.get("device"), found.get("phase")
    if not (
        isinstance(boot, str) and isinstance(device, str) and phase in PHASES and isinstance(phase, str)
    ):
        return None
    if device_number(device) is None or "/" in device:
        return None
    draining = found.get("draining")
    if not isinstance(draining, str) or "/" in draining or device_number(draining) is None:
        draining = ""
    return StoreRecord(
        boot, device, phase, found.get("hot_added") is True, found.get("adopted") is True,
        draining, bool(draining) and found.get("draining_hot_added") is True,
    )  # fmt: skip


def read_record(roots: Roots) -> StoreRecord | None:
    """The note about the store, None when there is none that holds for this boot or it cannot be read."""
    try:
        text = read_text_or_none(store_path(roots))
        record = parse_record(text) if text is not None else None
        return record if record is not None and record.boot_id == boot_id(roots) else None
    except KernelInterfaceError:
        return None
