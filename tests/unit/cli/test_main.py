"""The command line as a whole: exit codes, the one line of an error, what is imported and what is not."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lmkd import __version__
from lmkd.cli import run_command
from lmkd.cli.events import sequence_number
from lmkd.cli.main import COMMANDS, explain, main
from lmkd.errors import CannotWorkError, ConfigError, ControlError
from tests.unit.control.fakes import FakeSource, listening, serve_connection

EVENTS = [
    {"event": "ready", "level": "info", "timestamp": 1.0, "seq": 1, "t_ms": 5.0},
    {"event": "kill", "level": "warning", "timestamp": 2.0, "seq": 2, "t_ms": 6.0, "pid": 9, "name": "app"},
]


def usage_exit(arguments: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    return leaving.value.code


def lmkd(*arguments: str, script: str = "from lmkd.cli.main import entry; entry()") -> list[str]:
    return [sys.executable, "-c", script, *arguments]


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_exit(["--version"]) == 0
    assert capsys.readouterr().out == f"lmkd {__version__}\n"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_exit(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(command.name in shown for command in COMMANDS)


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_command_has_its_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_exit([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: lmkd {command} ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["--nonsense"],
        ["status", "--nonsense"],
        ["status", "more"],
        ["check"],
        ["explain"],
        ["explain", "1", "2"],
        ["events", "--since", "-1"],
        ["events", "--since", "x"],
        ["run", "--config"],
        ["run", "--ready-fd", "999999"],
        ["run", "--ready-fd", "three"],
    ],
)
def test_wrong_usage_is_exit_2(arguments: list[str]) -> None:
    assert usage_exit(arguments) == 2


@pytest.mark.parametrize("text", ["", "-1", "1.5", "٣", "1" * 19, " 1"])
def test_what_is_no_sequence_number_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="sequence number"):
        sequence_number(text)


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (ControlError("no socket"), 1, ["no socket"]),
        (ConfigError(("a.yaml:1:1: x", "a.yaml:2:1: y")), 2, ["a.yaml:1:1: x", "a.yaml:2:1: y"]),
        (CannotWorkError("no right to kill"), 3, ["no right to kill"]),
        (CannotWorkError(), 3, ["CannotWorkError"]),
        (ModuleNotFoundError(name="lz4"), 3, ["the Python module lz4 is missing here"]),
        (PermissionError(13, "Permission denied", "/x"), 1, ["/x: Permission denied"]),
        (OSError("odd"), 1, ["odd"]),
    ],
)
def test_every_error_has_its_code_and_its_lines(
    error: ControlError | ConfigError | OSError, code: int, lines: list[str]
) -> None:
    assert explain(error) == (code, lines)


@pytest.mark.parametrize("command", ["status", "events"])
def test_without_a_daemon_one_line_says_so(command: str, tmp_path: Path) -> None:
    stderr = io.StringIO()
    assert main([command, "--socket", str(tmp_path / "none")], stderr) == 1
    assert stderr.getvalue() == f"lmkd: lmkd is not running here: no socket at {tmp_path}/none\n"


def test_status_is_asked_of_the_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(tmp_path / "c", lambda connection: serve_connection(connection, FakeSource())) as path:
        assert main(["status", "--socket", path]) == 0
    assert capsys.readouterr().out == "level  calm\n"


def test_status_as_json_is_the_daemons_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(tmp_path / "c", lambda connection: serve_connection(connection, FakeSource())) as path:
        assert main(["status", "--json", "--socket", path]) == 0
    assert json.loads(capsys.readouterr().out) == {"level": "calm"}


def test_events_are_lines_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = FakeSource()
    source.events = list(EVENTS)
    with listening(tmp_path / "c", lambda connection: serve_connection(connection, source)) as path:
        assert main(["events", "--socket", path]) == 0
    ready, kill = capsys.readouterr().out.splitlines()
    assert ready.endswith("info      ready")
    assert kill.endswith("warning   kill            app[9]")


def test_events_as_json_are_the_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = FakeSource()
    source.events = list(EVENTS)
    with listening(tmp_path / "c", lambda connection: serve_connection(connection, source)) as path:
        assert main(["events", "--json", "--since", "2", "--socket", path]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == EVENTS[1:]


def test_ps_shows_the_daemons_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = FakeSource()
    source.rows = [{"pid": 5, "name": "app", "priority": 900}]
    with listening(tmp_path / "c", lambda connection: serve_connection(connection, source)) as path:
        assert main(["ps", "--json", "--socket", path]) == 0
    assert json.loads(capsys.readouterr().out) == [{"pid": 5, "name": "app", "priority": 900, "order": 1}]


def test_ps_without_a_daemon_looks_at_proc_with_the_given_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "mine.yaml"
    exe = os.path.realpath(sys.executable)
    rules.write_text(f'apps:\n  - name: me\n    match: {{exe: "{exe}"}}\n    priority: 350\n')
    assert main(["ps", "--json", "--config", str(rules)]) == 0
    (me,) = [row for row in json.loads(capsys.readouterr().out) if row["pid"] == os.getpid()]
    assert (me["priority"], me["rule"]) == (350, f"{rules}:2")
    assert me["resident_kib"] > 0


def test_ps_says_when_the_order_is_not_the_daemons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ps", "--socket", str(tmp_path / "none")]) == 0
    shown = capsys.readouterr()
    assert "not running here" in shown.err and "by the configuration" in shown.err
    assert shown.out.startswith("ORDER")


def test_check_says_that_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = tmp_path / "good.yaml"
    good.write_text("stall_budget: 33ms\n")
    assert main(["check", str(good)]) == 0
    assert capsys.readouterr().out == f"ok: {good}\n"


def test_check_prints_one_line_an_error_and_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("stall_budget: 33\nstroe: {}\n")
    assert main(["check", str(bad)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{bad}:1:") and lines[1].startswith(f"{bad}:2:")


def test_run_takes_several_files_and_a_dry_run() -> None:
    parser = argparse.ArgumentParser()
    run_command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["run", "--config", "a.yaml", "--config", "b.yaml", "--dry-run"])
    assert (args.config, args.dry_run) == ([Path("a.yaml"), Path("b.yaml")], True)
    assert not parser.parse_args(["run"]).config
    assert [parser.parse_args(words).ready_fd for words in (["run", "--ready-fd", "1"], ["run"])] == [1, -1]


@pytest.mark.parametrize("arguments", [["run", "--help"], ["status"], ["ps"], ["explain", "policy"], ["--version"]])
def test_commands_do_not_import_what_they_do_not_need(arguments: list[str], tmp_path: Path) -> None:
    if arguments[0] in ("status", "ps", "explain"):
        arguments = [*arguments, "--socket", str(tmp_path / "none")]
    script = """
import sys
from lmkd.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print({"structlog", "asyncio", "logging", "pyudev", "lz4"} & set(sys.modules))
"""
    ran = subprocess.run(lmkd(*arguments, script=script), capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("arguments", [["ps", "--json"], ["ps"], ["check", "good.yaml"]])
def test_a_reader_that_closes_early_is_no_error(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("")
    reading, writing = os.pipe()
    os.close(reading)
    script = f"import sys; sys.path.insert(0, {os.getcwd()!r}); from lmkd.cli.main import entry; entry()"
    command = lmkd(*arguments, script=script)
    ran = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path
    )
    os.close(writing)
    assert ran.returncode == 141
    assert "Traceback" not in ran.stderr and "BrokenPipe" not in ran.stderr


def test_an_interrupted_follower_leaves_quietly(tmp_path: Path) -> None:
    source = FakeSource()
    source.events = list(EVENTS)
    with listening(tmp_path / "c", lambda connection: serve_connection(connection, source)) as path:
        # A job in the background ignores interrupts, and so does what it starts.
        heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        script = f"{heeds}from lmkd.cli.main import entry; entry()"
        command = lmkd("events", "--follow", "--json", "--socket", path, script=script)
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as follower:
            assert follower.stdout is not None and follower.stderr is not None
            assert json.loads(follower.stdout.readline()) == EVENTS[0]
            follower.send_signal(signal.SIGINT)
            try:
                assert follower.wait(10) == 130
            finally:
                follower.kill()
            assert follower.stderr.read() == ""


def test_the_module_can_be_run() -> None:
    command = [sys.executable, "-m", "lmkd", "--version"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout == f"lmkd {__version__}\n"
