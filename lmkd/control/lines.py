"""Notices as one line of text, for programs that read no JSON."""

from __future__ import annotations

import math

from lmkd.plain_json import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

LINE_BYTES_MAX = 1024
_LEVEL_KEYS = ("level", "previous", "headroom_kib", "exhaustion_ms")
_VICTIM_KEYS = ("pid", "name", "signal", "grace_ms")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+/:@")


def line_of(kind: str, fields: Mapping[str, object], dropped: int) -> bytes:
    """``key=value`` pairs with single spaces; what is not plain is quoted as in JSON; no newline at the end."""
    if kind == "level":
        chosen = {key: fields.get(key) for key in _LEVEL_KEYS}
        head = ""
    elif kind == "about_to_kill":
        chosen, head = {key: fields.get(key) for key in _VICTIM_KEYS}, "about_to_kill "
    else:
        order = ("event", "seq", *(key for key in fields if key not in ("event", "seq", "level", "timestamp", "t_ms")))
        chosen, head = {key: fields[key] for key in order if key in fields}, ""
    pairs = [f"{key}={_word(item)}" for key, item in (*chosen.items(), ("dropped", dropped)) if set(key) <= _PLAIN]
    line = head + " ".join(pairs)
    while len(line) > LINE_BYTES_MAX and len(pairs) > 2:
        del pairs[-2]
        line = head + " ".join(pairs)
    return line.encode("ascii", "replace")[:LINE_BYTES_MAX]


def _word(item: object) -> str:
    if item is None:
        return "none"
    if isinstance(item, float):
        return str(round(item)) if math.isfinite(item) else "none"
    text = item if isinstance(item, str) else dumps(item, (",", ":"), default=str)
    return text if text and set(text) <= _PLAIN else dumps(text)
