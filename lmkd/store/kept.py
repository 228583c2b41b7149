"""The note of old values: what was before lmkd set it, of this boot, as JSON text. What a row says is its owner's."""

from __future__ import annotations

from lmkd.store.record import parse_object
from lmkd.values import as_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


def parse_rows(text: str, boot: str) -> list[dict[str, Any]]:
    """The rows of a note; none from a note that is damaged or of another boot."""
    found = parse_object(text) or {}
    rows = found.get("kept")
    if found.get("boot_id") != boot or not isinstance(rows, list):
        return []
    return [row for row in rows if isinstance(row, dict)]


def format_rows(kept: Iterable[object], boot: str) -> str:
    """The note of these values (``lmkd.values.value``)."""
    import json

    return json.dumps({"version": 1, "boot_id": boot, "kept": [as_dict(item) for item in kept]}) + "\n"
