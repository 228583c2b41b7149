"""The pictures of the live view in docs, drawn from the sample (``tests.unit.pages`` writes them)."""

from __future__ import annotations

from lmkd.cli.watch import Way, lines_of
from lmkd.cli.watch_parts import Look
from lmkd.cli.watch_screen import Screen
from tests.unit.cli.terminal import Terminal, svg
from tests.unit.cli.watch_sample import SEEN

PICTURES = (
    ("watch.svg", "lmkd status --watch in a terminal of 80x24", True, True),
    ("watch-serial.svg", "lmkd status --watch over a serial console, TERM=vt100", False, False),
)
"""File, label, with rich, with Unicode."""


def picture(label: str, rich: bool, unicode: bool) -> str:
    """The picture as SVG. ModuleNotFoundError without `rich`, where that draws it."""
    screen = Terminal()
    look = Look(unicode=unicode, keys=True, utc=True)
    Screen(screen.feed).paint(lines_of(SEEN, look, Way(True, True, rich), (screen.columns, screen.rows)))
    return svg(screen, label)
