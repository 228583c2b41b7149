"""One picture of the live view as lines, for a terminal of any size; with frames where `rich` draws them."""

from __future__ import annotations

from lmkd.cli import watch_parts as parts
from lmkd.cli.spans import Line, ansi, beside, fitted, line
from lmkd.cli.watch_parts import Look, Seen

BESIDE_CELLS = 70
"""From this width on what is about memory stands on the left, what is about pressure on the right."""
GAP = 3
LOOSE_ROWS, LOOSE_ROWS_BELOW = 23, 32
"""From this height on there are empty lines between the parts: in two columns, in one."""
LISTS_ROWS = 4
"""Candidates and events need so many, besides their headings."""
PRESSURE_HEADING = line(("PRESSURE, FORECAST", "heading"))


def frame(seen: Seen, look: Look, columns: int, rows: int) -> list[Line]:
    """At most ``rows`` lines of at most ``columns`` cells."""
    loose = LOOSE_ROWS if columns >= BESIDE_CELLS else LOOSE_ROWS_BELOW
    blank: list[Line] = [()] if rows >= loose else []
    last = footer(seen, look)
    shown = bands(seen, look, columns)
    taken = 1 + 3 * len(blank) + 2 + len(last)
    if rows - taken - len(shown) < LISTS_ROWS <= rows - taken - len(about := _about(seen, look, columns)):
        shown = about  # who is next is worth more than what all of memory is used for
    top = [parts.title(seen, look, columns), *blank, *shown, *blank]
    left = rows - taken - len(shown)
    if left < LISTS_ROWS:
        return [fitted(one, columns) for one in [*top[: rows - len(last)], *last]]
    first = (left + 1) // 2 if left > 6 else min(3, left)
    many = parts.candidates(seen, look, columns, first)
    few = parts.events(seen, look, columns, left - len(many))
    body = [parts.candidates_heading(seen, look), *many, *blank, parts.events_heading(seen), *few]
    empty: list[Line] = [()] * (rows - len(top) - len(body) - len(last))
    return [fitted(one, columns) for one in [*top, *body, *(empty if look.keys else ()), *last]]


def bands(seen: Seen, look: Look, columns: int) -> list[Line]:
    """Memory, store, pressure and forecast: in two columns, or one below the other."""
    if columns < BESIDE_CELLS:
        room = columns
        left = [parts.memory_heading(seen), *parts.memory(seen, look, room)]
        return [*left, *_right(seen, look, room)]
    room = (columns - GAP) // 2
    left = [parts.memory_heading(seen), *parts.memory(seen, look, room)]
    return beside(left, _right(seen, look, columns - GAP - room), room, columns - GAP - room, GAP)


def _right(seen: Seen, look: Look, room: int) -> list[Line]:
    return [parts.store_heading(seen), *below_store(seen, look, room)]


def below_store(seen: Seen, look: Look, room: int) -> list[Line]:
    """The column that begins with the store, without its first heading."""
    return [*parts.store(seen, look, room), PRESSURE_HEADING, *_about(seen, look, room)]


def _about(seen: Seen, look: Look, room: int) -> list[Line]:
    return [*parts.pressure(seen, look, room), *parts.forecast(seen, look, room)]


def footer(seen: Seen, look: Look) -> list[Line]:
    """What is wrong, else the keys; nothing where there are none."""
    if seen.trouble:
        return [line((seen.trouble, "bad"))]
    if not look.keys:
        return []
    keys = (("q", "quit"), ("   p", "go on" if look.paused else "pause"), ("   s", "sort"))
    return [line(*(part for key, what in keys for part in ((key, "heading"), (f" {what}", "dim"))))]


def plain(seen: Seen, look: Look, columns: int, rows: int, colour: bool) -> list[str]:
    """The picture as lines for a terminal."""
    return [ansi(one, colour) for one in frame(seen, look, columns, rows)]


def framed(seen: Seen, look: Look, columns: int, rows: int) -> list[str] | None:
    """The picture with frames round its parts, in colour; None where there is no room for that.

    ModuleNotFoundError without `rich`.
    """
    from lmkd.cli import watch_rich

    return watch_rich.picture(seen, look, columns, rows) if columns >= 78 and rows >= 20 else None
