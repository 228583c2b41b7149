"""The live view as a process on a real (pseudo) terminal, as blocks in a pipe, and against a daemon that goes away."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkd.cli import status, watch
from lmkd.cli.main import main
from lmkd.cli.watch_feed import Feed
from lmkd.cli.watch_options import count, interval_s
from lmkd.cli.watch_screen import can_move, can_unicode, terminal_size
from lmkd.control.client import ControlClient
from lmkd.errors import ControlError
from tests.unit.cli.orders import FakeDaemon, listening
from tests.unit.cli.terminal import Terminal
from tests.unit.cli.test_render import Terminal as Tty
from tests.unit.cli.watch_sample import EVENTS, ROWS, STATUS

ENTRY = "import sys; sys.path.insert(0, {root!r}); from lmkd.cli.main import entry; entry()"


def board() -> FakeDaemon:
    return FakeDaemon(list(ROWS), list(EVENTS), STATUS)


class OnTerminal:
    """The command on a pseudo terminal of 80x24, and what it shows there."""

    def __init__(self, path: str, *more: str, term: str = "xterm") -> None:
        self.ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, (24, 80))
        self.before = termios.tcgetattr(self.theirs)
        self.screen = Terminal()
        self.sent = ""
        environment = {**os.environ, "TERM": term, "PYTHONIOENCODING": "utf-8", "TZ": "UTC"}
        environment.pop("NO_COLOR", None)
        script = ENTRY.format(root=os.getcwd())
        # A job in the background ignores interrupts, one of nohup hang-ups, and so would what it starts.
        script = "signal.signal(signal.SIGHUP, signal.SIG_DFL); " + script
        script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); " + script
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, "status", "--watch", "--plain", "--socket", path, *more],
            stdin=self.theirs, stdout=self.theirs, stderr=self.theirs, env=environment, process_group=0,
        )  # fmt: skip

    def read(self, wait_s: float) -> None:
        while select.select([self.ours], [], [], wait_s)[0]:
            text = os.read(self.ours, 65536).decode()
            self.sent += text
            self.screen.feed(text)
            wait_s = 0.05

    def until(self, said: str) -> None:
        """Read until the screen says it."""
        deadline = time.monotonic() + 20
        while said not in "\n".join(self.screen.text()):
            assert time.monotonic() < deadline, "\n".join(self.screen.text())
            self.read(0.1)

    def press(self, key: str) -> None:
        os.write(self.ours, key.encode())

    def wait(self) -> int:
        deadline = time.monotonic() + 20
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            self.read(0.05)
        self.read(0.05)
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@contextlib.contextmanager
def on_terminal(tmp_path: Path, *more: str, term: str = "xterm") -> Iterator[OnTerminal]:
    with listening(tmp_path / "c", board()) as path:
        shown = OnTerminal(path, *more, term=term)
        try:
            yield shown
        finally:
            shown.close()


def tidy(shown: OnTerminal) -> bool:
    """Is the terminal as it was: the cursor seen, keys echoed, no colour left on, no other screen?"""
    return (
        shown.screen.cursor
        and shown.screen.style == ""
        and termios.tcgetattr(shown.theirs) == shown.before
        and "\x1b[?1049" not in shown.sent
    )


@pytest.mark.parametrize(
    ("way", "code"),
    [("q", 0), (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["q", "SIGINT", "SIGTERM", "SIGHUP"],
)
def test_however_it_ends_the_terminal_is_as_it_was(tmp_path: Path, way: Any, code: int) -> None:
    with on_terminal(tmp_path) as shown:
        shown.until("q quit")
        assert termios.tcgetattr(shown.theirs) != shown.before, "keys are read one by one"
        if way == "q":
            shown.press(way)
        else:
            shown.process.send_signal(way)
        assert shown.wait() == code
        assert tidy(shown), shown.sent[-300:]
        assert "Traceback" not in shown.sent
        assert "headroom 71.0 MB" in shown.screen.text()[0], "the last picture stays"
        assert shown.screen.text()[23] == "", "and the prompt comes where the keys were"


def test_keys_sort_pause_and_go_on(tmp_path: Path) -> None:
    with on_terminal(tmp_path, "--interval", "100ms") as shown:
        shown.until("q quit")
        shown.press("s")
        shown.until("sorted by returns")
        shown.press("\x1b[A")
        shown.press("p")
        shown.until("PAUSED")
        shown.press("p")
        shown.until("p pause")
        shown.press("q")
        assert shown.wait() == 0


def test_a_stop_gives_the_terminal_back_and_the_view_goes_on_after_it(tmp_path: Path) -> None:
    with on_terminal(tmp_path) as shown:
        shown.until("q quit")
        shown.process.send_signal(signal.SIGTSTP)
        deadline = time.monotonic() + 20
        while not os.WIFSTOPPED(os.waitpid(shown.process.pid, os.WUNTRACED | os.WNOHANG)[1]):
            assert time.monotonic() < deadline
            shown.read(0.02)
        assert tidy(shown)
        shown.screen = Terminal()
        shown.process.send_signal(signal.SIGCONT)
        shown.until("q quit")
        shown.press("q")
        assert shown.wait() == 0
        assert tidy(shown)


def test_another_size_is_seen_and_everything_is_sent_again(tmp_path: Path) -> None:
    with on_terminal(tmp_path, "--interval", "1h") as shown:
        shown.until("q quit")
        shown.screen = Terminal(120, 40)
        termios.tcsetwinsize(shown.theirs, (40, 120))
        shown.until("q quit")
        assert "s sort" in shown.screen.text()[39]


def test_on_a_dumb_terminal_the_cursor_is_not_moved(tmp_path: Path) -> None:
    with on_terminal(tmp_path, "--count", "1", term="dumb") as shown:
        assert shown.wait() == 0
        assert "\x1b" not in shown.sent and "headroom 71.0 MB" in shown.sent


def test_a_vt100_gets_ascii(tmp_path: Path) -> None:
    with on_terminal(tmp_path, "--count", "1", term="vt100") as shown:
        assert shown.wait() == 0
        assert shown.sent.isascii() and "####" in shown.sent


def test_a_pipe_gets_one_block_after_the_other(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    status.add_parser(parser.add_subparsers())
    words = ["status", "--watch", "--count", "2", "--interval", "0.1", "--socket", str(tmp_path / "c")]
    out, adj = io.StringIO(), tmp_path / "adj"
    with listening(tmp_path / "c", board()):
        assert watch.watch(parser.parse_args(words), io.StringIO(), out, str(tmp_path), str(adj)) == 0
    text = out.getvalue()
    assert text.count("NEXT TO DIE") == 2 and "\x1b" not in text and "q quit" not in text
    assert adj.read_text() == "900", "who looks on dies before what he looks at"


def test_without_a_daemon_one_line_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--watch", "--socket", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("lmkd: lmkd is not running here")


def test_a_daemon_that_goes_and_comes_back_is_told_and_met_again(tmp_path: Path) -> None:
    source = board()
    with listening(tmp_path / "c", source) as path:
        feed = Feed(lambda: ControlClient(path, 2_000), tmp_path)
        first = feed.see()
        assert (first.trouble, len(first.rows), len(first.events)) == ("", len(ROWS), len(EVENTS))
        assert first.memory is None, "there is no meminfo in this tree"
        source.events.append({**EVENTS[-1], "seq": 9})
        assert [event["seq"] for event in feed.see().events] == list(range(1, 10)), "only what is new is asked for"
    gone = feed.see()
    assert "lmkd is not running here" in gone.trouble and gone.status == first.status and gone.rows == first.rows
    source.state = {**STATUS, "started_ms": 2.0}
    source.events = [{**EVENTS[0], "seq": 1}]
    with listening(tmp_path / "c", source):
        back = feed.see()
        assert (back.trouble, len(back.events)) == ("", 1), "another lmkd numbers its records anew"
        feed.close()


def test_every_process_is_not_asked_for_each_second(tmp_path: Path) -> None:
    source, now = board(), [0.0]
    with listening(tmp_path / "c", source) as path:
        feed = Feed(lambda: ControlClient(path, 2_000), tmp_path, lambda: now[0])
        assert len(feed.see().rows) == len(ROWS)
        source.rows = source.rows[:3]
        now[0] = 1_000.0
        assert len(feed.see().rows) == len(ROWS)
        source.events.append({"seq": 9, "event": "kill"})
        assert len(feed.see().rows) == 3, "a kill changes the order"
        source.rows = []
        now[0] = 5_000.0
        assert feed.see().rows == ()
        feed.close()


def test_what_the_terminal_can_is_known_by_its_name() -> None:
    assert can_move(Tty(), {"TERM": "xterm"}) and can_move(Tty(), {"TERM": "vt100"})
    assert not any(can_move(Tty(), {"TERM": term}) for term in ("", "dumb", "unknown"))
    assert not can_unicode(Tty(), {"TERM": "xterm"}), "it says nothing of its encoding"
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    shown = [term for term in ("xterm", "screen", "vt100", "vt220", "linux") if can_unicode(stream, {"TERM": term})]
    assert shown == ["xterm", "screen"]
    assert terminal_size(Tty(), {}) == (80, 24)
    assert terminal_size(Tty(), {"COLUMNS": "132", "LINES": "50"}) == (132, 50)
    assert terminal_size(Tty(), {"COLUMNS": "-1", "LINES": "x"}) == (80, 24)


@pytest.mark.parametrize(("text", "seconds"), [("1", 1.0), ("0.5", 0.5), ("500ms", 0.5), ("2s", 2.0), ("1min", 60.0)])
def test_an_interval_is_seconds_or_has_a_unit(text: str, seconds: float) -> None:
    assert interval_s(text) == seconds


@pytest.mark.parametrize("arguments", ["--interval 0", "--interval x", "--interval 2h", "--count 0"])
def test_wrong_options_are_refused(arguments: str) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["status", "--watch", *arguments.split()])
    assert leaving.value.code == 2


def test_a_count_is_a_number_from_1_on() -> None:
    assert count("12") == 12


def test_a_slow_line_is_not_given_more_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    from lmkd.cli.watch_parts import Look
    from lmkd.cli.watch_screen import Screen
    from tests.unit.cli.watch_sample import SEEN

    class Once:
        def see(self) -> Any:
            return SEEN

    sent: list[str] = []
    waiting = [1000]
    monkeypatch.setattr(watch, "backlog", lambda stream: waiting[0])
    session = watch.Session(Once(), Screen(sent.append), watch.Way(True, False, False), Look(), Tty())  # type: ignore[arg-type]
    session.run(None, 0.0, 1)
    assert sent == []
    waiting[0] = 0
    session.run(None, 0.0, 2)
    assert len(sent) == 1


def test_the_first_answer_must_come(tmp_path: Path) -> None:
    with pytest.raises(ControlError):
        Feed(lambda: ControlClient(str(tmp_path / "none")), tmp_path)
