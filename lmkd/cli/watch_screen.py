"""The terminal of the live view: only changed lines are sent, and it is left as it was found, whatever happens.

No alternate screen: the last picture stays where it is, as the prompt's history. The cursor is hidden while a picture
is sent and no longer, so that not even SIGKILL can leave a terminal without one. Sequences are those of ECMA-48 that a
VT100 already had, and DECTCEM (cursor on and off), which it ignores.
"""

from __future__ import annotations

import os
import re
import select
import termios
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TextIO

COLUMNS, ROWS = 80, 24
REPAINT_EVERY = 60
"""Pictures after which every line is sent again: on a console the kernel writes between ours."""
CLEAR, BELOW, REST = "\x1b[2J", "\x1b[J", "\x1b[K"
HIDE, SHOW, PLAIN = "\x1b[?25l", "\x1b[?25h", "\x1b[m"


def can_move(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether this is a terminal on which the cursor can be moved."""
    return stream.isatty() and environment.get("TERM", "") not in ("", "dumb", "unknown", "network")


def can_unicode(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether bars may be drawn with block elements.

    Not on terminals of a time before Unicode, and not on the kernel's own console: its font has no eighths.
    """
    encoding = (getattr(stream, "encoding", None) or "").lower().replace("-", "")
    return encoding == "utf8" and not environment.get("TERM", "").startswith(("vt", "ansi", "dumb", "linux"))


def terminal_size(stream: TextIO, environment: Mapping[str, str]) -> tuple[int, int]:
    """(columns, rows): of the terminal, else as COLUMNS and LINES say, else 80x24 (a serial console says 0x0)."""
    columns = rows = 0
    with suppress(OSError, ValueError):
        columns, rows = os.get_terminal_size(stream.fileno())
    return (
        columns or _number(environment.get("COLUMNS")) or COLUMNS,
        rows or _number(environment.get("LINES")) or ROWS,
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 5 else 0


class Screen:
    """Owns what the terminal shows. ``write`` takes text and sends it at once."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._shown: list[str] | None = None
        self._pictures = 0

    def forget(self) -> None:
        """What is shown is not what was sent (another size, a stop, a person who saw that): send all of it again."""
        self._shown = None

    def paint(self, lines: list[str]) -> None:
        """Show these lines from the top of the screen, by sending those that are not there yet."""
        self._pictures += 1
        whole = self._shown is None or self._pictures % REPAINT_EVERY == 0
        before = self._shown or []
        parts = [CLEAR] if self._shown is None else []
        for row, text in enumerate(lines):
            if whole or row >= len(before) or before[row] != text:
                parts.append(f"\x1b[{row + 1};1H{text}{PLAIN if chr(27) in text else ''}{REST}")
        if len(before) > len(lines):
            parts.append(f"\x1b[{len(lines) + 1};1H{BELOW}")
        self._shown = list(lines)
        if parts:
            # The cursor waits at the start of the last line, where the next output of anybody does the least harm.
            self._write(f"{HIDE}{''.join(parts)}\x1b[{max(1, len(lines))};1H{SHOW}")

    def leave(self, footer: bool = False) -> None:
        """Put the cursor below the picture, or in the place of its ``footer``, and see that it is shown."""
        if self._shown is not None:
            self._write(f"{PLAIN}\x1b[{max(1, len(self._shown))};1H{'' if footer else chr(13) + chr(10)}{REST}{SHOW}")
            self._shown = None


def backlog(stream: TextIO) -> int:
    """Bytes that a slow line has still to send; 0 where nobody tells."""
    import array
    import fcntl

    left = array.array("i", (0,))
    with suppress(OSError, ValueError):
        fcntl.ioctl(stream.fileno(), termios.TIOCOUTQ, left)
    return left[0]


@contextmanager
def keys(stream: TextIO) -> Iterator[int | None]:
    """The descriptor that single keys can be read from, unechoed; None where there is no terminal to type at.

    Ctrl-C, Ctrl-Z and Ctrl-\\ do what they always do. What was set before is set again at the end.
    """
    try:
        descriptor = stream.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        yield None
        return
    try:
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        yield descriptor
    finally:
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def read_key(descriptor: int | None, wait_s: float) -> str:
    """The next key within ``wait_s``; empty when there was none, and ``q`` when the terminal is gone."""
    if descriptor is None:
        select.select([], [], [], wait_s)
        return ""
    if not select.select([descriptor], [], [], wait_s)[0]:
        return ""
    try:
        data = os.read(descriptor, 64)
    except OSError:
        return "q"
    if not data:
        return "q"
    # Arrows and function keys come as sequences: they are no keys of ours.
    return re.sub(rb"\x1b(\[[0-9;?]*[A-Za-z~]|O.|)", b"", data)[:1].decode("ascii", "replace")
