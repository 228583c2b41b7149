"""Commands that change something: whom they mean, what they ask, what they refuse, what they tell afterwards."""

from __future__ import annotations

import argparse
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmkd.cli import kill, trim
from lmkd.cli.kill import told
from lmkd.cli.main import main
from lmkd.cli.priority import priority
from lmkd.cli.ps import numbered
from lmkd.cli.target import AmbiguousError, all_meant, one_meant
from lmkd.control.client import ControlClient
from lmkd.errors import EXIT_USAGE, ControlError, LmkdError
from tests.unit.cli.orders import FakeDaemon, listening
from tests.unit.cli.test_render import Terminal
from tests.unit.cli.watch_sample import ROWS, row


class Board:
    """A fake lmkd, and commands given to it."""

    def __init__(self, path: str, daemon: FakeDaemon) -> None:
        self.path = path
        self.daemon = daemon

    def run(self, *words: str) -> tuple[int, str]:
        """Exit code and what stands on stderr."""
        stderr = io.StringIO()
        code = main([*words, "--socket", self.path], stderr)
        return code, stderr.getvalue()

    def kill(self, answer: str | None, *words: str) -> tuple[int, str]:
        """``lmkd kill`` on a terminal at which a person answers (None: there is nobody); exit code and output."""
        parser = argparse.ArgumentParser()
        kill.add_parser(parser.add_subparsers())
        stdin, stdout = (io.StringIO() if answer is None else Terminal(answer)), io.StringIO()
        code = kill.kill(parser.parse_args(["kill", *words, "--socket", self.path]), stdin, stdout)
        return code, stdout.getvalue()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    daemon = FakeDaemon([*ROWS, row(813, "indexer", 0, 9_000, "ui")])
    with listening(tmp_path / "c", daemon) as path:
        yield Board(path, daemon)


DEAD = {"event": "receipt", "pid": 744, "name": "podcast-sync", "predicted_kib": 11_060, "returned_kib": 10_240,
        "ms": 38.0, "outcome": "dead"}  # fmt: skip


def test_set_tells_what_it_was_and_what_it_is(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    assert board.run("set", "mail", "cached") == (0, "")
    assert board.daemon.orders == [{"op": "set", "pid": 650, "priority": "cached"}]
    assert capsys.readouterr().out == "mail[650]: priority cached, it was 500 service\n"


def test_set_takes_a_number_also_a_negative_one(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    assert board.run("set", "650", "-900") == (0, "")
    assert board.daemon.orders[0]["priority"] == -900
    assert "priority -900 foreground" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "urgent", "1001", "-1001", "--5", "5.0", "\u0663"])
def test_what_is_no_priority_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is meant"):
        priority(text)


def test_clear_takes_it_back(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    assert board.run("clear", "mail") == (0, "")
    assert board.daemon.orders == [{"op": "clear", "pid": 650}]
    assert capsys.readouterr().out.startswith("mail[650]: what was set is cleared")


def test_a_refusal_is_one_line_and_exit_1(board: Board) -> None:
    board.daemon.refuse["set"] = "process 650 is another user's"
    assert board.run("set", "mail", "0") == (1, "lmkd: lmkd refused: process 650 is another user's\n")


@pytest.mark.parametrize("command", [("set", "indexer", "cached"), ("clear", "indexer"), ("trim", "indexer"),
                                     ("kill", "--yes", "indexer")])  # fmt: skip
def test_a_name_that_means_several_is_refused_with_all_of_them(board: Board, command: tuple[str, ...]) -> None:
    code, said = board.run(*command)
    assert code == EXIT_USAGE and board.daemon.orders == []
    assert "2 processes are meant by indexer: say which by its process id" in said
    assert "812" in said and "813" in said


def test_all_that_a_name_means_can_be_set_on_purpose(board: Board) -> None:
    assert board.run("set", "--all", "indexer", "cached") == (0, "")
    assert [order["pid"] for order in board.daemon.orders] == [812, 813]


@pytest.mark.parametrize("command", [("set", "nobody", "0"), ("clear", "4711"), ("kill", "nobody"), ("trim", "nobody")])
def test_a_process_that_is_not_there_is_said_so(board: Board, command: tuple[str, ...]) -> None:
    code, said = board.run(*command)
    assert code == 1 and "lmkd knows no process with the id or the name" in said and board.daemon.orders == []


@pytest.mark.parametrize(
    "command", [("kill", "--yes", "lmkd"), ("set", "lmkd", "cached"), ("set", str(os.getpid()), "1")]
)
def test_who_asks_is_never_meant(board: Board, command: tuple[str, ...]) -> None:
    board.daemon.rows.append(row(os.getpid(), "lmkd", 0, 10))
    code, said = board.run(*command)
    assert (code, board.daemon.orders) == (1, []) and "knows no process" in said


def test_a_number_is_a_process_id_and_no_name(board: Board) -> None:
    board.daemon.rows.append(row(5, "650", 900, 10))
    with ControlClient(board.path) as client:
        assert one_meant(client, "650")["name"] == "mail"
        assert [found["pid"] for found in all_meant(client, "*sync")] == [744]
        with pytest.raises(AmbiguousError):
            one_meant(client, "*e*")
        with pytest.raises(LmkdError):
            all_meant(client, "0")


def test_kill_shows_what_it_is_and_asks(board: Board) -> None:
    board.daemon.outcome = lambda request: [DEAD]
    code, said = board.kill("y\n", "podcast-sync")
    assert code == 0 and board.daemon.orders == [{"op": "kill", "pid": 744}]
    assert said.splitlines() == [
        'podcast-sync[744]: priority 850 background, by rule "sync"',
        "its death would return 10.8 MB",
        "End podcast-sync[744]? [y/N] podcast-sync[744] died, 10.0 MB of 10.8 MB came back in 38 ms",
    ]


@pytest.mark.parametrize("answer", ["\n", "n\n", "", "yes please\n"])
def test_kill_does_nothing_without_a_yes(board: Board, answer: str) -> None:
    code, said = board.kill(answer, "744")
    assert code == 1 and said.endswith("nothing was done\n") and board.daemon.orders == []


def test_kill_does_nothing_where_nobody_can_be_asked(board: Board) -> None:
    with pytest.raises(LmkdError, match="say --yes") as error:
        board.kill(None, "744")
    assert error.value.exit_code == EXIT_USAGE and board.daemon.orders == []


def test_kill_does_nothing_when_the_process_id_is_anothers_by_the_time_of_the_yes(board: Board) -> None:
    class Slow(Terminal):
        def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
            board.daemon.rows = [row(744, "login", 0, 10)]
            return "y\n"

    parser = argparse.ArgumentParser()
    kill.add_parser(parser.add_subparsers())
    with pytest.raises(LmkdError, match=r"744 is login\[744\]'s now"):
        kill.kill(parser.parse_args(["kill", "744", "--socket", board.path]), Slow(), io.StringIO())
    assert board.daemon.orders == []


def test_kill_says_who_else_has_the_name_and_what_goes_with_it() -> None:
    protected = numbered([row(1, "init", -1000, 10, group="tree")])[0]
    others = [row(pid, "init", 0, 1) for pid in range(10)]
    text = "\n".join(told(protected, others))
    assert "it is protected" in text and "all that it has started" in text
    assert "10 more have the same name and would go on: 0, 1, 2, 3, 4, 5, 6, 7 ..." in text


def test_kill_that_comes_to_nothing_is_exit_1(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board.daemon.outcome = lambda request: [{"event": "refusal", "pid": 744, "name": "podcast-sync", "reason": "gone"}]
    code, said = board.kill("y\n", "744")
    assert code == 1 and "did not end podcast-sync[744]: gone" in said
    monkeypatch.setattr(kill, "WAIT_S", 0.1)
    board.daemon.outcome = lambda request: [{**DEAD, "pid": 745}]
    code, said = board.kill("y\n", "744")
    assert code == 1 and "nothing is recorded of it" in said


def test_trim_tells_what_went(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    record = {"event": "trim", "pid": 650, "name": "mail", "stored_kib": 2048, "ms": 10.0}
    board.daemon.outcome = lambda request: [record]
    assert board.run("trim", "mail", "--size", "2M") == (0, "")
    assert board.daemon.orders == [{"op": "trim", "pid": 650, "kib": 2048}]
    assert "paged out 2.0 MB of mail[650]" in capsys.readouterr().out


def test_trim_of_all_tells_the_sum(
    board: Board, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trim, "WAIT_S", 0.2)
    assert board.run("trim") == (0, "")
    assert board.daemon.orders == [{"op": "trim", "kib": 0}]
    assert "nothing went to the store: nobody was idle" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["0K", "5", "x", "-1M"])
def test_a_size_needs_its_unit(size: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        trim.size_kib(size)


def test_reload_tells_what_came_of_it(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    board.daemon.outcome = lambda request: [{"event": "reload", "rules": 4, "files": []}]
    assert board.run("reload") == (0, "")
    assert capsys.readouterr().out == "read the configuration again, 4 rules\n"


def test_reload_is_followed_also_when_lmkd_ends_all_connections(
    board: Board, capsys: pytest.CaptureFixture[str]
) -> None:
    def later() -> None:
        board.daemon.end_all()
        board.daemon.events.append({"seq": 1, "level": "info", "event": "reload", "rules": 4})

    timer = threading.Timer(0.2, later)
    board.daemon.outcome = lambda request: (timer.start(), [])[1]  # type: ignore[func-returns-value]
    assert board.run("reload") == (0, "")
    assert "4 rules" in capsys.readouterr().out


def test_reload_of_a_bad_file_is_exit_2_with_its_errors(board: Board) -> None:
    errors = "a.yaml:1:1: x: unknown key\na.yaml:2:1: y: unknown key"
    board.daemon.outcome = lambda request: [{"event": "reload_failed", "reason": errors}]
    assert board.run("reload") == (2, "".join(f"lmkd: {line}\n" for line in errors.splitlines()))


def test_records_of_before_are_not_taken_for_the_answer(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmkd.cli import reload

    board.daemon.events = [{"seq": 1, "event": "reload_failed", "reason": "long ago"}]
    monkeypatch.setattr(reload, "WAIT_S", 0.1)
    code, said = board.run("reload")
    assert code == 1 and "has not said within" in said


def test_metrics_are_printed_whole(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    board.daemon.metrics = ["# TYPE a gauge\na 1", "2\n", "# EOF\n"]
    assert board.run("metrics") == (0, "")
    assert capsys.readouterr().out == "# TYPE a gauge\na 12\n# EOF\n"


def test_a_file_of_metrics_is_for_the_textfile_collector(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "lmkd.prom"
    board.daemon.state = {"level": "low", "kills": 3, "t_ms": 5000.0, "started_ms": 0.0}
    assert board.run("metrics", "--output", str(path)) == (0, "")
    text = path.read_text()
    assert "# TYPE " in text and "# EOF" not in text and "# UNIT" not in text
    code, said = board.run("metrics", "--output", str(tmp_path / "none" / "lmkd.prom"))
    assert (code, "No such file or directory" in said) == (1, True)


def test_an_lmkd_that_does_not_know_the_order_says_so(board: Board) -> None:
    board.daemon.refuse["reload"] = 'unknown op "reload"'
    with ControlClient(board.path) as client, pytest.raises(ControlError, match="unknown op"):
        client.reload()
    assert client.__class__ is ControlClient


@pytest.mark.parametrize("words", [["set", "x"], ["set", "x", "urgent"], ["kill"], ["trim", "--size", "5"], ["clear"]])
def test_wrong_usage_is_exit_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(words)
    assert leaving.value.code == 2


