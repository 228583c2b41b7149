"""The trial in calm and the move after it: when they are started, when they are told to end, what becomes of them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lmkd.helper.care import Care
from lmkd.helper.trial import FIRST_MS, LAST_MS, MOVE, MOVE_MS, RUNNING_MAX, RUNNING_MS, TRY, TrialRun
from lmkd.kernel.syscalls import Libc
from tests.unit.plans import make_plan

CALM = (
    "MemTotal: 241012 kB\nMemFree: 9 kB\nMemAvailable: 150000 kB\nAnonPages: 60000 kB\n"
    "SwapTotal: 99999 kB\nSwapFree: 49999 kB\n"
)
SHORT = CALM.replace("150000", "50000")
EMPTY = CALM.replace("60000", "9000")
FULL = CALM.replace("49999", "9")


class Bench:
    """A trial whose program is a script, with a clock of its own."""

    def __init__(
        self, base: Path, body: str = "exit 0", meminfo: str = CALM, action: tuple[str, ...] = TRY
    ) -> None:
        self.script = base / "lmkd"
        self.script.write_text(f"#!/bin/sh\necho \"$@\" >> \"$0.log\"\n{body}\n")
        self.script.chmod(0o755)
        self.proc = base / "proc"
        self.proc.mkdir()
        self.say(meminfo)
        self.now_ms = 0.0
        self.outcomes: list[str] = []
        self.trial = TrialRun((str(self.script),), str(self.proc), self._report, lambda: "zstd", action)

    def _report(self, event: str, fields: tuple[tuple[str, object], ...], level: str) -> None:
        assert (event, level) in (("trial", "info"), ("store_move", "info"))
        if event == "store_move":
            assert dict(fields)["algorithm"] == "zstd"
        self.outcomes.append(str(dict(fields)["outcome"]))

    def say(self, meminfo: str) -> None:
        (self.proc / "meminfo").write_text(meminfo)

    def next(self) -> float | None:
        """Wait as long as it says, then let it look; how long that was."""
        wait_ms = self.trial.timeout_ms(self.now_ms)
        if wait_ms is not None:
            self.now_ms += wait_ms
            self.trial.turn(self.now_ms)
        return wait_ms

    def until(self, text: str) -> None:
        """Look again and again, but only when what was started has ended: real processes take real time."""
        deadline = time.monotonic() + 30
        while text not in "".join(self.outcomes):
            assert time.monotonic() < deadline, (self.outcomes, self.asked())
            if not self.trial._child or self.has_ended():
                self.next()
            time.sleep(0.005)

    def has_ended(self) -> bool:
        """Whether there is nothing to wait for; what has ended stays for the trial to collect."""
        try:
            return os.waitid(os.P_PID, self.trial._child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def asked(self) -> list[str]:
        """The arguments with which the program was started, each time."""
        log = Path(f"{self.script}.log")
        return log.read_text().splitlines() if log.exists() else []

    def wait_for_start(self, count: int = 1) -> None:
        deadline = time.monotonic() + 10
        while len(self.asked()) < count:
            assert time.monotonic() < deadline
            time.sleep(0.005)


def test_it_runs_once_after_two_calm_minutes(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.next() == FIRST_MS
    bench.until("remembered")
    assert bench.asked() == ["store trial"]


def test_when_it_has_picked_the_store_moves_after_some_more_calm_and_that_is_all(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.next()
    bench.until("remembered")
    assert bench.trial.timeout_ms(bench.now_ms) == MOVE_MS
    bench.until("the trial picked")
    assert bench.asked() == ["store trial", "store move --if-better"]
    assert bench.next() is None


def test_what_is_started_goes_by_the_configuration_in_force(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    report = bench._report
    bench.trial = TrialRun((str(bench.script),), str(bench.proc), report, lambda: "zstd", TRY, ("/a.yaml", "/b.yaml"))
    bench.next()
    bench.until("the trial picked")
    files = "--config /a.yaml --config /b.yaml"
    assert bench.asked() == [f"store trial {files}", f"store move --if-better {files}"]


def test_of_a_store_that_is_no_zram_nothing_is_moved(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.trial._algorithm = None
    bench.next()
    bench.until("remembered")
    assert bench.next() is None and bench.asked() == ["store trial"]


def test_a_move_that_is_due_at_the_start_needs_no_trial(tmp_path: Path) -> None:
    bench = Bench(tmp_path, action=MOVE)
    assert bench.next() == MOVE_MS
    bench.until("the trial picked")
    assert bench.asked() == ["store move --if-better"]
    assert bench.next() is None


@pytest.mark.parametrize("meminfo", [FULL, SHORT, "", "MemTotal: 1 kB\nMemAvailable: 1 kB\nAnonPages: 1 kB\n"])
def test_it_moves_only_what_fits_beside_it(tmp_path: Path, meminfo: str) -> None:
    bench = Bench(tmp_path, meminfo=meminfo, action=MOVE)
    assert [bench.next() for _ in range(3)] == [MOVE_MS, 2 * MOVE_MS, 4 * MOVE_MS]
    assert bench.asked() == []
    bench.say(CALM)
    bench.until("the trial picked")


def test_a_move_is_told_to_end_when_it_is_not_calm_and_the_next_one_finishes_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, '[ -e "$0.again" ] && exit 0\ntouch "$0.again"\nexec sleep 60', action=MOVE)
    bench.next()
    bench.wait_for_start()
    while not Path(f"{bench.script}.again").exists():
        time.sleep(0.005)
    bench.trial.disturb(bench.now_ms)
    bench.until("the trial picked")
    assert [outcome.split()[0] for outcome in bench.outcomes] == ["ended,", "the"]
    assert bench.asked() == ["store move --if-better"] * 2


def test_a_move_that_fails_again_and_again_is_given_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "exit 1", action=MOVE)
    bench.until("ended with 1")
    assert len(bench.asked()) == 7 and bench.now_ms < 10 * LAST_MS
    assert bench.next() is None


def test_its_process_is_the_first_to_die_and_the_last_to_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 'cat /proc/self/oom_score_adj >> "$0.log"; nice >> "$0.log"')
    bench.next()
    bench.until("remembered")
    assert bench.asked()[1:] == ["1000", "19"]
    bench.until("the trial picked")
    assert bench.asked()[4:] == ["1000", "19"]


@pytest.mark.parametrize("meminfo", [SHORT, EMPTY, "", "MemTotal: 1 kB\n"])
def test_it_waits_longer_and_longer_while_there_is_no_room_or_nothing_to_sample(tmp_path: Path, meminfo: str) -> None:
    bench = Bench(tmp_path, meminfo=meminfo)
    waits = [bench.next() for _ in range(6)]
    assert waits == [FIRST_MS * factor for factor in (1, 2, 4, 8, 8, 8)]
    assert bench.asked() == []
    bench.say(CALM)
    bench.next()
    bench.until("remembered")


def test_what_disturbs_the_calm_makes_it_wait_anew(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.trial.timeout_ms(0.0) == FIRST_MS
    bench.trial.disturb(FIRST_MS - 1)
    bench.trial.turn(FIRST_MS)
    assert bench.asked() == [] and bench.trial.timeout_ms(FIRST_MS - 1) == FIRST_MS


def test_one_that_runs_is_told_to_end_when_it_is_not_calm_and_tried_later(tmp_path: Path) -> None:
    bench = Bench(tmp_path, '[ -e "$0.again" ] && exit 0\ntouch "$0.again"\ntrap "exit 143" TERM\nsleep 60 & wait')
    bench.next()
    bench.wait_for_start()
    while not Path(f"{bench.script}.again").exists():
        time.sleep(0.005)
    time.sleep(0.05)
    bench.trial.disturb(bench.now_ms)
    bench.until("remembered")
    assert bench.asked() == ["store trial", "store trial"]


def test_what_one_that_was_killed_left_behind_is_cleared_when_there_is_room(tmp_path: Path) -> None:
    bench = Bench(tmp_path, '[ "$3" = --clear ] || kill -9 $$')
    bench.next()
    bench.wait_for_start()
    bench.say(SHORT)
    while not bench.has_ended():
        time.sleep(0.005)
    for _ in range(5):
        bench.next()
    assert bench.asked() == ["store trial"]
    bench.say(EMPTY)
    bench.until("its device is removed")
    assert bench.asked() == ["store trial", "store trial --clear"]


def test_one_that_fails_is_told_of_and_not_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "exit 1")
    bench.next()
    bench.until("ended with 1")
    assert bench.next() is None and len(bench.asked()) == 1


def test_one_that_never_ends_is_ended(tmp_path: Path) -> None:
    bench = Bench(tmp_path, '[ "$3" = --clear ] && exit 0\ntrap "" TERM\nwhile :; do sleep 0.05; done')
    bench.next()
    bench.wait_for_start()
    for _ in range(RUNNING_MAX + 1):
        assert bench.next() == RUNNING_MS
    bench.until("its device is removed")


def test_a_program_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.script.unlink()
    bench.next()
    assert "cannot be run" in bench.outcomes[0] and bench.next() is None


def test_closed_it_says_who_is_still_to_be_waited_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "sleep 60")
    assert bench.trial.close() == 0
    bench.next()
    child = bench.trial._child
    assert child and bench.trial.close() == child
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -15


@pytest.mark.parametrize(
    ("changes", "waits"), [({"trial": True}, True), ({"move": True}, True), ({}, False), ({"dry_run": True}, False)]
)
def test_care_runs_it_only_where_the_plan_asks_for_it(tmp_path: Path, changes: dict[str, bool], waits: bool) -> None:
    (tmp_path / "proc").mkdir()
    if "dry_run" in changes:
        changes = changes | {"trial": True, "move": True}
    care = Care(make_plan(tmp_path, **changes), Libc(), lambda *_: None)
    assert (care.timeout_ms() is not None) == waits
    care.turn()
    care.renew([], 0)
    care.close()
