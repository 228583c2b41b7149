"""The init script for BusyBox and SysV keeps lmkd running: again when it dies, never when that is of no use."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.source_tree import ROOT

SCRIPT = (ROOT / "configs/init/S15lmkd").read_text()
DEADLINE_S = 20.0


class Supervised:
    """The script's background part over a program of the test's; ``log`` is what that program wrote."""

    def __init__(self, base: Path, program: str) -> None:
        self._log = base / "log"
        self._log.touch()
        fake, script, bin_dir = base / "lmkd", base / "S15lmkd", base / "bin"
        bin_dir.mkdir()
        (bin_dir / "sleep").write_text(f'#!/bin/sh\necho "pause $1" >> {self._log}\n')
        fake.write_text(f"#!/bin/sh\nexec >> {self._log}\n{program}\n")
        for path in (fake, bin_dir / "sleep"):
            path.chmod(0o755)
        assert '"/usr/bin/$DAEMON" run $LMKD_ARGS' in SCRIPT
        script.write_text(SCRIPT.replace('"/usr/bin/$DAEMON" run', f"{fake} run"))
        environment = {**os.environ, "PATH": f"{bin_dir}:{os.environ['PATH']}"}
        self.process = subprocess.Popen(["/bin/sh", script, "supervise"], env=environment)

    def log(self) -> list[str]:
        return self._log.read_text().splitlines()

    def wait_for_lines(self, number: int) -> list[str]:
        until = time.monotonic() + DEADLINE_S
        while len(self.log()) < number and time.monotonic() < until:
            time.sleep(0.01)
        return self.log()

    def tell(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)


Supervise = Callable[[str], Supervised]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    started: list[Supervised] = []

    def start(program: str) -> Supervised:
        started.append(Supervised(tmp_path, program))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait(DEADLINE_S)


def test_what_dies_is_started_again_later_and_later(supervise: Supervise) -> None:
    one = supervise("echo $1; exit 1")
    lines = one.wait_for_lines(18)[:18]
    assert lines[::2] == ["run"] * 9
    assert [int(line.removeprefix("pause ")) for line in lines[1::2]] == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    one.tell()


def test_what_is_killed_is_started_again(supervise: Supervise) -> None:
    one = supervise("echo $$; kill -9 $$")
    assert len(set(one.wait_for_lines(3)[:3:2])) == 2
    one.tell()


@pytest.mark.parametrize("code", [2, 3])
def test_an_exit_code_that_would_only_come_again_is_the_end(supervise: Supervise, code: int) -> None:
    one = supervise(f"echo run; exit {code}")
    assert one.process.wait(DEADLINE_S) == code
    assert one.log() == ["run"]


def test_a_program_that_ends_by_itself_is_started_again(supervise: Supervise) -> None:
    one = supervise("echo run; exit 0")
    assert one.wait_for_lines(3)[:3] == ["run", "pause 1", "run"]
    one.tell()


def test_told_to_stop_it_tells_lmkd_and_waits_until_that_has_ended(supervise: Supervise) -> None:
    ending = "trap - TERM; /bin/sleep 0.3; echo ended; exit 0"
    one = supervise(f"trap '{ending}' TERM; echo run; while :; do /bin/sleep 0.02; done")
    assert one.wait_for_lines(1) == ["run"]
    one.tell()
    assert one.log() == ["run", "ended"]


def test_an_action_that_is_none_is_refused() -> None:
    ran = subprocess.run(
        ["/bin/sh", ROOT / "configs/init/S15lmkd", "dance"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1 and "Usage:" in ran.stdout
