"""The live view with frames round its parts, drawn by `rich`: the extra `watch`. What it says is watch_parts's."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.box import ASCII, ROUNDED
from rich.console import Console, ConsoleRenderable, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lmkd.cli import watch_parts as parts
from lmkd.cli.spans import Line, ansi, fitted
from lmkd.cli.watch_frame import below_store, footer
from lmkd.cli.watch_parts import Look, Seen

_FRAME = 4
"""Cells that a frame and its margins take of a line."""


def picture(seen: Seen, look: Look, columns: int, rows: int) -> list[str]:
    """Exactly ``rows`` lines of at most ``columns`` cells, in colour."""
    left_room = columns // 2
    room = columns - left_room - _FRAME
    right = below_store(seen, look, room)
    left = parts.memory(seen, look, left_room - _FRAME)
    pair = Table.grid(expand=True)
    pair.add_column(width=left_room)
    pair.add_column(width=columns - left_room)
    first = _panel(parts.memory_heading(seen), left, look, left_room - _FRAME)
    pair.add_row(first, _panel(parts.store_heading(seen), right, look, room))
    last = footer(seen, look)
    free = rows - 1 - 2 - max(len(left), len(right)) - 4 - len(last)
    most = parts.candidates(seen, look, columns - _FRAME, (free + 1) // 2)
    told = parts.events(seen, look, columns - _FRAME, free - len(most))
    told += [()] * (free - len(most) - len(told))
    shown: tuple[ConsoleRenderable, ...] = (
        _text(parts.title(seen, look, columns)),
        pair,
        _panel(parts.candidates_heading(seen, look), most, look, columns - _FRAME),
        _panel(parts.events_heading(seen), told, look, columns - _FRAME),
        *map(_text, last),
    )
    return _drawn(Group(*shown), columns)


def _panel(heading: Line, lines: Sequence[Line], look: Look, room: int) -> Panel:
    body = Group(*[_text(fitted(one, room)) for one in lines])
    return Panel(
        body, title=_text(heading), title_align="left", box=ROUNDED if look.unicode else ASCII, border_style="dim"
    )


def _text(one: Line) -> Text:
    return Text.from_ansi(ansi(one, True), no_wrap=True, overflow="crop")


def _drawn(group: Group, columns: int) -> list[str]:
    console = Console(
        file=io.StringIO(), force_terminal=True, color_system="standard", width=columns, legacy_windows=False,
        highlight=False, markup=False, emoji=False,
    )  # fmt: skip
    with console.capture() as caught:
        console.print(group)
    return [one.rstrip() for one in caught.get().splitlines()]
