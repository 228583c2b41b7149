"""How commands look to a person: aligned tables, groups of fields, colour where there is a terminal."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from lmkd.cli.spans import cells
from lmkd.control.protocol import DEFAULT_SOCKET
from lmkd.log import format_field, format_value, paint, printable

HEADING = "1"
DIM = "2"
COLUMNS, COLUMNS_MIN = 80, 30
_HOLD = "\xa0"
_UNITS = ("KB", "MB", "GB", "ms", "s", "min", "h")


def add_socket_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--socket PATH``, common to all commands that ask the running lmkd."""
    said = f"the control socket ({DEFAULT_SOCKET})"
    parser.add_argument("--socket", metavar="PATH", default=DEFAULT_SOCKET, help=said)


def use_colour(stream: TextIO, environment: Mapping[str, str] | None = None) -> bool:
    """Colour is for a terminal that can show it, unless NO_COLOR is set to anything (no-color.org)."""
    environment = os.environ if environment is None else environment
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def terminal_width(stream: TextIO) -> int:
    """Columns of the terminal; 80 where there is none, or where it does not know (a serial console says 0)."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return COLUMNS
    return max(COLUMNS_MIN, columns) if columns > 0 else COLUMNS


def wrapped(text: str, width: int) -> list[str]:
    """Text in lines of at most ``width``, where it has a space at all; a number stays with its unit."""
    import textwrap

    held = "".join((_HOLD if word.rstrip(".,;)") in _UNITS else " ") + word for word in text.split(" ")).strip()
    lines = textwrap.wrap(held, max(1, width), break_on_hyphens=False)
    return [line.replace(_HOLD, " ") for line in lines]


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = (), colour: bool = False
) -> list[str]:
    """The lines of a table; columns whose index is in ``right`` are aligned to the right, as numbers are."""
    lines = [list(headings), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(cells(line[column]) for line in lines) for column in range(len(headings))]
    to_right = set(right)

    def joined(line: Sequence[str]) -> str:
        gaps = (" " * (width - cells(cell)) for cell, width in zip(line, widths, strict=True))
        padded = (
            gap + cell if column in to_right else cell + gap
            for column, (cell, gap) in enumerate(zip(line, gaps, strict=True))
        )
        return "  ".join(padded).rstrip()

    return [paint(joined(lines[0]), HEADING, colour), *(joined(line) for line in lines[1:])]


def groups(fields: Mapping[str, Any], colour: bool = False) -> list[str]:
    """Fields as lines of label and value, nested ones indented below the line of their group.

    ``total_kib`` (or any ``total_...``) inside a group stands on the group's own line.
    """
    lines = list(_group_lines(fields, 0))
    width = max((len(label) for label, _ in lines), default=0)
    return [
        f"{paint(label.ljust(width), DIM if label.startswith(' ') else HEADING, colour)}  {text}".rstrip()
        for label, text in lines
    ]


def _group_lines(fields: Mapping[str, Any], depth: int) -> Iterable[tuple[str, str]]:
    indent = "  " * depth
    for key, item in fields.items():
        if isinstance(item, Mapping):
            total = next((name for name in item if str(name).startswith("total")), None)
            text = format_field(str(total), item[total])[1] if total is not None else ""
            yield indent + printable(format_field(str(key), None)[0]), text if item else "none"
            yield from _group_lines({name: part for name, part in item.items() if name != total}, depth + 1)
        elif isinstance(item, list | tuple) and item and all(isinstance(part, Mapping) for part in item):
            yield indent + printable(format_field(str(key), None)[0]), ""
            yield from ((f"{indent}  -", format_value(part)) for part in item)
        else:
            label, text = format_field(str(key), item)
            yield indent + printable(label), text


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of names and numbers: the first column to the left, all others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    found = []
    for first, *numbers in rows:
        aligned = [f"{cell:>{width}}" for cell, width in zip(numbers, widths[1:], strict=True)]
        found.append("  ".join([f"{first:<{widths[0]}}", *aligned]).rstrip())
    return found
