"""Styled text in cells of a terminal: measured, cut, filled up, set side by side, and turned into ANSI."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lmkd.log import paint, printable

Span = tuple[str, str]
"""A text and the name of its style."""
Line = tuple[Span, ...]

STYLES = {
    "": "",
    "heading": "1",
    "dim": "2",
    "good": "32",
    "warn": "33",
    "bad": "31",
    "worst": "1;37;41",
    "calm": "1;32",
    "low": "1;33",
    "moderate": "1;31",
    "critical": "1;37;41",
    "anonymous": "34",
    "store": "35",
    "shmem": "36",
    "cache": "32",
    "kernel": "33",
    "free": "2",
    "kill": "1;31",
}
"""SGR parameters (ECMA-48) of each style; only the first eight colours, which every terminal has."""

CUT_MARK = "~"


def cells(text: str) -> int:
    """How many cells of a terminal a printable text takes: wide letters two, combining marks none.

    One for each where Python was built without its table of letters, as Buildroot's can be.
    """
    if text.isascii():
        return len(text)
    try:
        import unicodedata
    except ModuleNotFoundError:
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def cut(text: str, room: int) -> str:
    """At most ``room`` cells of a text; what is left out is marked where there is room for it."""
    if cells(text) <= room:
        return text
    kept, used = "", 0
    for char in text:
        used += cells(char)
        if used > room - 1:
            break
        kept += char
    return kept + CUT_MARK if room > 0 else ""


def line(*parts: Span | str) -> Line:
    """A line of texts with and without a style. What a process calls itself cannot move the cursor."""
    spans = (part if isinstance(part, tuple) else (part, "") for part in parts)
    return tuple((printable(text), style) for text, style in spans if text)


def width(one: Line) -> int:
    """Its cells."""
    return sum(cells(text) for text, _ in one)


def fitted(one: Line, room: int) -> Line:
    """Cut to ``room`` cells or filled up with spaces to as many."""
    kept: list[Span] = []
    for text, style in one:
        left = room - width(tuple(kept))
        kept.append((cut(text, left), style))
        if cells(text) > left:
            break
    missing = room - width(tuple(kept))
    return (*kept, (" " * missing, "")) if missing > 0 else tuple(kept)


def beside(left: Sequence[Line], right: Sequence[Line], left_room: int, right_room: int, gap: int = 2) -> list[Line]:
    """Two blocks side by side, the shorter one filled up."""
    height = max(len(left), len(right))
    blank: Line = ()
    rows = ((*left, *[blank] * (height - len(left))), (*right, *[blank] * (height - len(right))))
    return [
        (*fitted(one, left_room), (" " * gap, ""), *fitted(other, right_room))
        for one, other in zip(*rows, strict=True)
    ]


def ends(left: Line, right: Line, room: int) -> Line:
    """Two texts at both ends of a line; the right one goes where there is no room for it."""
    gap = room - width(left) - width(right)
    return (*left, (" " * gap, ""), *right) if gap >= 2 else fitted(left, room)


def bar(share: float, room: int, style: str, unicode: bool) -> Line:
    """A share of 0 to 1 as a bar of ``room`` cells; in Unicode to the eighth of a cell."""
    share = min(1.0, max(0.0, share)) if room > 0 else 0.0
    eighths = round(share * room * 8)
    if not unicode:
        full = min(room, max(1 if share > 0 else 0, round(share * room)))
        return ("#" * full, style), ("." * (room - full), "dim")
    whole, rest = divmod(max(1, eighths) if share > 0 else 0, 8)
    part = "\u258f\u258e\u258d\u258c\u258b\u258a\u2589"[rest - 1] if rest else ""
    return ("\u2588" * whole + part, style), ("\u00b7" * (room - whole - len(part)), "dim")


def ansi(one: Line, colour: bool) -> str:
    """The line as text for a terminal, without spaces at its end."""
    spans = list(one)
    while spans and not (spans[-1][0].strip() or spans[-1][1]):
        spans.pop()
    if spans and not spans[-1][1]:
        spans[-1] = (spans[-1][0].rstrip(), "")
    return "".join(paint(text, STYLES.get(style, ""), colour) for text, style in spans)


def texts(lines: Iterable[Line]) -> list[str]:
    """The lines without any style."""
    return [ansi(one, False) for one in lines]
