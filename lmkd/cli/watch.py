"""``lmkd status --watch``: the live view's loop, over a terminal or as blocks of text, until it is told to end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

from lmkd.cli.render import use_colour
from lmkd.cli.watch_feed import Feed
from lmkd.cli.watch_frame import framed, plain
from lmkd.cli.watch_parts import SORTS, Look, Seen
from lmkd.cli.watch_screen import Screen, backlog, can_move, can_unicode, keys, read_key, terminal_size
from lmkd.errors import EXIT_OK
from lmkd.values import replace, value

SLICE_S = 0.5
"""How long a change of the terminal's size may go unseen."""
BACKLOG_BYTES = 64
LOOKER_ADJ = "900"
REDRAW = "\x0c"
"""Ctrl-L, as everywhere."""


@value
class Way:
    """How this terminal is used: whether the cursor moves, colour, and frames by ``rich``."""

    moves: bool
    colour: bool
    frames: bool


class Stopped(Exception):
    """Ctrl-Z: the terminal has to be given back while we are stopped."""


def watch(args: argparse.Namespace, stdin: TextIO, stdout: TextIO, proc: str = "/proc", own: str = "") -> int:
    """Show until q or Ctrl-C, or ``args.count`` pictures; ControlError where no lmkd is there to begin with.

    ``own`` is this process's oom_score_adj, if that may be raised: who looks on must die before what he looks at.
    """
    from pathlib import Path

    from lmkd.control.client import ControlClient

    environment = os.environ
    way = way_of(args.plain, stdout, environment)
    look = Look(unicode=can_unicode(stdout, environment))
    feed = Feed(lambda: ControlClient(args.socket), Path(proc))
    if own:
        with suppress(OSError):
            Path(own).write_text(LOOKER_ADJ)
    try:
        if way.moves:
            _on_screen(feed, args, way, look, stdin, stdout)
        else:
            _in_blocks(feed, args, way, look, stdout)
    finally:
        feed.close()
    return EXIT_OK


def way_of(plain_only: bool, stdout: TextIO, environment: Mapping[str, str]) -> Way:
    """What is possible here; ``rich`` is asked for only where its frames could be drawn."""
    moves, colour = can_move(stdout, environment), use_colour(stdout, environment)
    frames = False
    if moves and colour and not plain_only and can_unicode(stdout, environment):
        import importlib.util

        frames = importlib.util.find_spec("rich") is not None
    return Way(moves, colour, frames)


def lines_of(seen: Seen, look: Look, way: Way, size: tuple[int, int]) -> list[str]:
    """The picture for a terminal of (columns, rows). The last column stays empty: old terminals wrap there."""
    columns, rows = max(1, size[0] - 1), max(1, size[1])
    found = framed(seen, look, columns, rows) if way.frames else None
    return plain(seen, look, columns, rows, way.colour) if found is None else found


def _in_blocks(feed: Feed, args: argparse.Namespace, way: Way, look: Look, stdout: TextIO) -> None:
    """One picture after the other, for a dumb terminal, a pipe or a file."""
    shown = 0
    while True:
        size = terminal_size(stdout, os.environ)
        print("\n".join(lines_of(feed.see(), look, way, size)), end="\n\n", file=stdout, flush=True)
        shown += 1
        if shown == args.count:
            return
        time.sleep(args.interval)


def _on_screen(
    feed: Feed, args: argparse.Namespace, way: Way, look: Look, stdin: TextIO, stdout: TextIO
) -> None:
    screen = Screen(_sender(stdout))
    session = Session(feed, screen, way, replace(look, keys=stdin.isatty()), stdout)
    with _ends_tidily():
        again = True
        while again:
            try:
                with keys(stdin) as descriptor:
                    again = session.run(descriptor, args.interval, args.count)
            except Stopped:
                screen.leave(session.look.keys)
                signal.signal(signal.SIGTSTP, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGTSTP)  # and here it goes on, when the person says so
                signal.signal(signal.SIGTSTP, _stop)
            finally:
                screen.leave(session.look.keys)


class Session:
    """The view between two stops: what is shown, and what the person chose."""

    def __init__(self, feed: Feed, screen: Screen, way: Way, look: Look, stdout: TextIO) -> None:
        self._feed = feed
        self._screen = screen
        self._way = way
        self._stdout = stdout
        self._size = (0, 0)
        self._seen: Seen | None = None
        self.look = look
        self.shown = 0

    def run(self, descriptor: int | None, interval_s: float, count: int) -> bool:
        """Until the person has seen enough (False)."""
        while True:
            if not self.look.paused or self._seen is None:
                self._seen = self._feed.see()
            self.draw()
            self.shown += 1
            if self.shown == count or not self._wait(descriptor, interval_s):
                return False

    def draw(self) -> None:
        """Send what has changed, unless a slow line still has the last picture before it."""
        size = terminal_size(self._stdout, os.environ)
        if size != self._size:
            self._size = size
            self._screen.forget()
        if self._seen is not None and backlog(self._stdout) <= BACKLOG_BYTES:
            self._screen.paint(lines_of(self._seen, self.look, self._way, size))

    def _wait(self, descriptor: int | None, interval_s: float) -> bool:
        """Answer keys until the next picture is due; False: enough."""
        due_s = time.monotonic() + interval_s
        while (left_s := due_s - time.monotonic()) > 0:
            key = read_key(descriptor, min(left_s, SLICE_S))
            if key in ("q", "Q"):
                return False
            if self.press(key) or terminal_size(self._stdout, os.environ) != self._size:
                self.draw()
        return True

    def press(self, key: str) -> bool:
        """What a key does; True when the picture is another then."""
        if key in ("p", "P", " "):
            self.look = replace(self.look, paused=not self.look.paused)
        elif key in ("s", "S"):
            at = (SORTS.index(self.look.sort) + 1) % len(SORTS)
            self.look = replace(self.look, sort=SORTS[at])
        elif key == REDRAW:
            self._screen.forget()
        else:
            return False
        return True


def _sender(stdout: TextIO) -> Callable[[str], object]:
    def send(text: str) -> None:
        stdout.write(text)
        stdout.flush()

    return send


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


@contextmanager
def _ends_tidily() -> Iterator[None]:
    """Signals that end or stop us do it by way of ``finally``; what was in force before is so again afterwards."""
    wanted = {signal.SIGTERM: _leave, signal.SIGHUP: _leave, signal.SIGTSTP: _stop}
    before = {}
    with suppress(ValueError):  # not the main thread: nothing can be set there
        for number, handler in wanted.items():
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def run(args: argparse.Namespace) -> int:
    """Show the live view on this process's terminal."""
    return watch(args, sys.stdin, sys.stdout, own="/proc/self/oom_score_adj")
