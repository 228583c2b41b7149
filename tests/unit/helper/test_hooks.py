"""Hooks: real commands, bounded in number and time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lmkd.helper.hooks import RUNNING_MAX, Hooks


class Bench:
    """Hooks and what they reported."""

    def __init__(self, limit_ms: float = 10_000) -> None:
        self.outcomes: list[str] = []
        self.hooks = Hooks(self._report, limit_ms)

    def _report(self, event: str, fields: tuple[tuple[str, object], ...], level: str) -> None:
        assert (event, level) == ("hook", "warning")
        self.outcomes.append(str(dict(fields)["outcome"]))

    def finish(self) -> None:
        deadline = time.monotonic() + 10
        while self.hooks._running:
            assert time.monotonic() < deadline
            self.hooks.collect()
            time.sleep(0.005)


Script = Callable[[str], str]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    def make(body: str) -> str:
        path = tmp_path / "hook"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return str(path)

    return make


def test_a_hook_knows_what_it_is_told_and_a_good_one_is_silent(script: Script, tmp_path: Path) -> None:
    bench = Bench()
    told = {"LMKD_PID": "7", "LMKD_RULE": "a rule", "NOTIFY_SOCKET": "/run/notify"}
    body = f'echo "$LMKD_PID $LMKD_RULE $NOTIFY_SOCKET $1" > {tmp_path}/out'
    bench.hooks.run(script(body), 7, told, ("an argument",))
    assert 0 < (bench.hooks.timeout_ms() or 0) <= 10_001
    bench.finish()
    assert (tmp_path / "out").read_text() == "7 a rule  an argument\n"
    assert (bench.outcomes, bench.hooks.timeout_ms()) == ([], None)


def test_a_child_that_somebody_else_has_told_to_end_is_waited_for_in_silence(script: Script) -> None:
    bench = Bench()
    child = os.posix_spawn(script("exit 3"), [script("exit 3")], {})
    bench.hooks.take(child)
    bench.hooks.take(0)
    assert bench.hooks.runs(child) and bench.hooks.timeout_ms() is None
    bench.finish()
    assert bench.outcomes == []
    with pytest.raises(ChildProcessError):
        os.waitpid(child, 0)


@pytest.mark.parametrize(("body", "outcome"), [("exit 3", "ended with 3"), ("kill -9 $$", "ended with -9")])
def test_how_a_hook_failed_is_reported(script: Script, body: str, outcome: str) -> None:
    bench = Bench()
    bench.hooks.run(script(body), 7, {})
    bench.finish()
    assert bench.outcomes == [outcome]


def test_what_cannot_be_run_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    bench = Bench()
    plain = tmp_path / "plain"
    plain.write_text("no program")
    before = os.listdir("/proc/self/fd")
    for command in (str(tmp_path / "absent"), str(plain), ""):
        bench.hooks.run(command, 7, {})
    assert bench.outcomes == [
        "cannot be run: No such file or directory",
        "cannot be run: Permission denied",
        "cannot be run: Invalid argument",
    ]
    assert os.listdir("/proc/self/fd") == before
    assert bench.hooks.timeout_ms() is None


def test_a_hook_that_takes_too_long_is_ended_with_what_it_started(script: Script, tmp_path: Path) -> None:
    bench = Bench(limit_ms=300)
    bench.hooks.run(script(f"sleep 60 & echo $! > {tmp_path}/pid; wait"), 7, {})
    deadline = time.monotonic() + 10
    while bench.hooks._running and time.monotonic() < deadline:
        bench.hooks.collect()
        time.sleep(0.02)
    assert bench.outcomes == ["ended after 300 ms"]
    sleeper = int((tmp_path / "pid").read_text())
    for _ in range(200):
        state = Path(f"/proc/{sleeper}/stat")
        if not state.exists() or ") Z" in state.read_text():
            break
        time.sleep(0.01)
    else:
        os.kill(sleeper, signal.SIGKILL)
        pytest.fail("what the hook started is still there")


def test_a_hook_may_have_a_limit_of_its_own_and_one_can_ask_whether_it_runs(script: Script) -> None:
    bench = Bench(limit_ms=60_000)
    child = bench.hooks.run(script("sleep 60"), 7, {}, limit_ms=100)
    assert bench.hooks.runs(child) and not bench.hooks.runs(0)
    bench.finish()
    assert (bench.outcomes, bench.hooks.runs(child)) == (["ended after 100 ms"], False)


def test_background_work_is_nice(script: Script, tmp_path: Path) -> None:
    bench = Bench()
    bench.hooks.run(script(f"nice > {tmp_path}/nice"), 0, {}, nice=19)
    bench.finish()
    assert (tmp_path / "nice").read_text() == "19\n"


def test_what_a_hook_prints_fills_no_log(script: Script, tmp_path: Path) -> None:
    bench = Bench()
    body = f"ends=$(for fd in 0 1 2; do readlink /proc/$$/fd/$fd; done); echo $ends > {tmp_path}/ends"
    bench.hooks.run(script(body), 7, {})
    bench.finish()
    assert (tmp_path / "ends").read_text() == "/dev/null /dev/null /dev/null\n"


def test_a_record_says_whom_a_hook_was_about_and_how_it_was_run(script: Script) -> None:
    said: list[dict[str, object]] = []
    hooks = Hooks(lambda event, fields, level: said.append(dict(fields)))
    command = script("exit 3")
    hooks.run(command, 7, {}, ("--all",))
    deadline = time.monotonic() + 10
    while not said and time.monotonic() < deadline:
        hooks.collect()
    assert said == [{"command": f"{command} --all", "pid": 7, "outcome": "ended with 3"}]


def test_only_so_many_run_at_once(script: Script) -> None:
    bench = Bench(limit_ms=0)
    command = script("sleep 60")
    for _ in range(RUNNING_MAX + 1):
        bench.hooks.run(command, 7, {})
    assert bench.outcomes == [f"not run: {RUNNING_MAX} others are still running"]
    bench.finish()


def test_a_hook_inherits_neither_our_signals_nor_our_immunity(script: Script, tmp_path: Path) -> None:
    bench = Bench()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        body = f"cat /proc/self/oom_score_adj > {tmp_path}/adj; grep SigIgn /proc/$$/status > {tmp_path}/ignored"
        bench.hooks.run(script(body), 7, {})
    finally:
        signal.signal(signal.SIGINT, before)
    bench.finish()
    assert (tmp_path / "adj").read_text() == "0\n"
    ignored = int((tmp_path / "ignored").read_text().split()[1], 16)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP):
        assert not ignored & (1 << (number - 1))
