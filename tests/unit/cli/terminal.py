"""A small terminal: text and the ECMA-48 sequences of the live view in, cells out; and its picture as SVG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from itertools import groupby

from lmkd.cli.spans import cells

SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")
CELL_X, CELL_Y, MARGIN = 8.4, 16.4, 14
PALETTE = {
    "30": "#1b1f27", "31": "#ff6b6b", "32": "#7fd88f", "33": "#f2c55c", "34": "#6fb1ff", "35": "#d59bff",
    "36": "#5fd7d7", "37": "#f2f4f8", "41": "#b3261e",
}  # fmt: skip
TEXT, DIM, PAPER = "#d5dae3", "#7d8799", "#12151c"
EIGHTHS = " \u258f\u258e\u258d\u258c\u258b\u258a\u2589\u2588"


class Terminal:
    """Owns the cells: a character and its SGR parameters each. AssertionError for a sequence that is not known."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.columns, self.rows = columns, rows
        self.row = self.column = 0
        self.cursor = True
        self.style = ""
        self.scrolled = 0
        self._clear()

    def _clear(self) -> None:
        self.cells = [[(" ", "")] * self.columns for _ in range(self.rows)]

    def feed(self, text: str) -> None:
        """Show it, as a terminal would."""
        at = 0
        while at < len(text):
            found = SEQUENCE.match(text, at)
            if found:
                self._do(found[1], found[2])
                at = found.end()
                continue
            assert text[at] != "\x1b", ascii(text[at : at + 12])
            self._put(text[at])
            at += 1

    def _put(self, char: str) -> None:
        if char == "\r":
            self.column = 0
        elif char == "\n":
            self.row += 1
            if self.row == self.rows:
                self.row -= 1
                self.scrolled += 1
                self.cells = [*self.cells[1:], [(" ", "")] * self.columns]
        else:
            for offset in range(cells(char)):
                self.cells[self.row][self.column + offset] = ("" if offset else char, self.style)
            self.column += cells(char)

    def _do(self, parameters: str, final: str) -> None:
        blank = (" ", "")
        if final == "H":
            row, column = (int(number) for number in parameters.split(";"))
            assert 1 <= row <= self.rows and 1 <= column <= self.columns, parameters
            self.row, self.column = row - 1, column - 1
        elif final == "m":
            self.style = "" if parameters in ("", "0") else parameters
        elif final == "K" and not parameters:
            self.cells[self.row][self.column :] = [blank] * (self.columns - self.column)
        elif final == "J" and parameters == "2":
            self._clear()
        elif final == "J" and not parameters:
            for row in range(self.row, self.rows):
                self.cells[row] = [blank] * self.columns
        elif parameters == "?25" and final in "hl":
            self.cursor = final == "h"
        else:
            raise AssertionError(f"unknown sequence {parameters}{final}")

    def text(self) -> list[str]:
        """What a person reads, a line a row."""
        return ["".join(char for char, _ in row).rstrip() for row in self.cells]


def svg(screen: Terminal, label: str) -> str:
    """The terminal's picture."""
    wide, high = screen.columns * CELL_X + 2 * MARGIN, screen.rows * CELL_Y + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" role="img" '
        f'aria-label="{escape(label)}" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14">',
        f'<rect width="{wide:g}" height="{high:g}" rx="8" fill="{PAPER}"/>',
    ]
    for number, row in enumerate(screen.cells):
        parts += _row(row, MARGIN + number * CELL_Y)
    return "\n".join([*parts, "</svg>", ""])


def _row(row: list[tuple[str, str]], top: float) -> Iterator[str]:
    for style, run in groupby(enumerate(row), key=lambda cell: cell[1][1]):
        found = list(run)
        ink, ground, weight = _colours(style)
        if ground:
            start = MARGIN + found[0][0] * CELL_X
            yield (f'<rect x="{start:g}" y="{top:g}" width="{len(found) * CELL_X:g}" height="{CELL_Y}" rx="3" '
                   f'fill="{ground}"/>')  # fmt: skip
        blocks = [(column, char) for column, (char, _) in found if char in EIGHTHS[1:] and char]
        if blocks:
            length = sum(EIGHTHS.index(char) for _, char in blocks) / 8 * CELL_X
            start = MARGIN + blocks[0][0] * CELL_X
            yield f'<rect x="{start:g}" y="{top + 3.5:g}" width="{length:g}" height="{CELL_Y - 7:g}" fill="{ink}"/>'
        yield from _words(found, top, ink, weight)


def _words(found: list[tuple[int, tuple[str, str]]], top: float, ink: str, weight: str) -> Iterator[str]:
    kept = [(column, " " if char in EIGHTHS else char) for column, (char, _) in found if char]
    text = "".join(char for _, char in kept)
    if not text.strip():
        return
    first = kept[len(text) - len(text.lstrip())][0]
    stripped = text.strip()
    yield (
        f'<text x="{MARGIN + first * CELL_X:g}" y="{top + 12.6:g}" textLength="{cells(stripped) * CELL_X:g}" '
        f'xml:space="preserve" fill="{ink}"{weight}>{escape(stripped)}</text>'
    )


def _colours(style: str) -> tuple[str, str, str]:
    """Ink, ground (empty: none) and weight of SGR parameters."""
    numbers = style.split(";")
    ink = next((PALETTE[number] for number in numbers if number in PALETTE and number[0] == "3"), TEXT)
    ground = next((PALETTE[number] for number in numbers if number in PALETTE and number[0] == "4"), "")
    return (DIM if "2" in numbers else ink), ground, ' font-weight="bold"' if "1" in numbers else ""
