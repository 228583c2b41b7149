"""A record's line taken apart again: for fields of the journal, the environment of hooks, and one line of text.

The lines are those of ``guard.record.encode``; json, which could read them as well, costs 1.1 MB in a resident process.
"""

from __future__ import annotations

ENVELOPE = ("event", "level", "timestamp", "seq", "t_ms")


def members(line: bytes) -> list[tuple[str, str]]:
    """(key, text) of each member of a record, in its order; empty for what is no whole record.

    Text is without its quotes; control characters in it stay escaped (``\\u000a``). A list or mapping is its JSON text,
    null the empty text.
    """
    text = line.decode("utf-8", "replace")
    found: list[tuple[str, str]] = []
    try:
        if text[0] != "{" or text[-1] != "}":
            return []
        at = 0
        while at < len(text) - 1:
            key, at = _string(text, at + 1)
            if text[at] != ":":
                return []
            start = at + 1
            shown, at = _string(text, start) if text[start] == '"' else _raw(text, start)
            if text[at] != "," and at != len(text) - 1:
                return []
            found.append((key, shown))
    except (IndexError, ValueError):
        return []
    return found


def sentence(fields: list[tuple[str, str]]) -> str:
    """One line for people and for ``grep``: the event, then ``key=text``, quoted where it has spaces."""
    words = [next((text for key, text in fields if key == "event"), "?")]
    for key, text in fields:
        if key not in ENVELOPE:
            words.append(f'{key}="{text}"' if " " in text or not text else f"{key}={text}")
    return " ".join(words)


def variables(fields: list[tuple[str, str]]) -> dict[str, str]:
    """The fields as ``LMKD_KEY``: names that both an environment and the journal take."""
    plain = ((key, text) for key, text in fields if key.isascii() and key.isidentifier())
    return {f"LMKD_{key.upper()}"[:64]: text for key, text in plain}


def _string(text: str, start: int) -> tuple[str, int]:
    """The string that begins at ``start`` without its escapes, and where it ends. ValueError, IndexError: no string."""
    if text[start] != '"':
        raise ValueError("no string")
    end = text.index('"', start + 1)
    while (end - len(text[start + 1 : end].rstrip("\\")) - start - 1) % 2:
        end = text.index('"', end + 1)
    inner = text[start + 1 : end]
    if "\\" in inner:
        inner = "\\".join(piece.replace('\\"', '"') for piece in inner.split("\\\\"))
    return inner, end + 1


def _raw(text: str, start: int) -> tuple[str, int]:
    """A number, a constant, a list or a mapping as it is written, and where it ends."""
    depth, at = 0, start
    while depth or text[at] not in ",}":
        if text[at] == '"':
            at = _string(text, at)[1]
            continue
        depth += (text[at] in "[{") - (text[at] in "]}")
        at += 1
    shown = text[start:at]
    return "" if shown == "null" else shown, at
