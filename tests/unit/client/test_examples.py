"""The three examples, run as an author would run them, against the fake lmkd and without any."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.client.compiled import C_DIR, EXAMPLES, build
from tests.unit.client.fake_server import FakeLmkd
from tests.unit.source_tree import ROOT

MIB = 1024


class Application:
    """A running example: its lines without their times, and its resident memory."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(re.sub(r"^\d+\.\d+ ", "", line.rstrip("\n")))

    def anonymous_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(status.split("RssAnon:")[1].split()[0])

    def end(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


Start = Callable[..., Application]


@pytest.fixture
def start() -> Iterator[Start]:
    begun: list[Application] = []

    def launch(command: list[str], **environment: str) -> Application:
        begun.append(Application(command, environment))
        return begun[-1]

    yield launch
    for application in begun:
        application.end()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build([EXAMPLES / "cache.c", C_DIR / "lmkd.c"], tmp_path_factory.mktemp("cache") / "cache"))


def in_python(*arguments: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / "cache.py"), *arguments]


@pytest.mark.parametrize("language", ["C", "Python"])
def test_a_cache_goes_back_to_the_kernel_on_notice_and_comes_again_when_it_is_calm(
    language: str, cache: str, server: FakeLmkd, start: Start
) -> None:
    options = ["--mib", "8", "--socket", str(server.path)]
    application = start([cache, *options] if language == "C" else in_python(*options), PYTHONPATH=str(ROOT))
    server.wait(lambda: "full 8 MiB" in application.lines, f"full; {application.lines}")
    full_kib = application.anonymous_kib()
    server.level("moderate")
    server.wait(lambda: any(line.startswith("dropped 7 MiB") for line in application.lines), "most of it is dropped")
    server.level("critical")
    server.wait(lambda: any(line.startswith("dropped 1 MiB") for line in application.lines), "all of it is dropped")
    assert application.anonymous_kib() < full_kib - 7 * MIB
    server.level("low")
    server.wait(lambda: application.lines[-1] == "level low", "it is told")
    assert application.anonymous_kib() < full_kib - 7 * MIB
    server.level("calm")
    server.wait(lambda: application.lines.count("full 8 MiB") == 2, "it comes again")
    server.about_to_kill(application.process.pid)
    assert application.process.wait(10) == 0
    assert application.lines[-1] == "about to be killed, 200 ms left"
    assert server.requests[0]["priority"] == "background" and server.requests[0]["trim"] is True


@pytest.mark.parametrize("language", ["C", "Python"])
def test_without_lmkd_the_application_works_as_ever(language: str, cache: str, tmp_path: Path, start: Start) -> None:
    options = ["--mib", "2", "--socket", str(tmp_path / "none")]
    application = start([cache, *options] if language == "C" else in_python(*options), PYTHONPATH=str(ROOT))
    FakeLmkd(tmp_path / "none").wait(lambda: "full 2 MiB" in application.lines)
    assert application.process.poll() is None


def test_deaf_it_asks_lmkd_for_nothing(cache: str, server: FakeLmkd, start: Start) -> None:
    application = start([cache, "--deaf", "--mib", "1", "--socket", str(server.path)])
    server.wait(lambda: "full 1 MiB" in application.lines)
    assert application.lines[0].endswith("deaf") and server.requests == []


def test_a_cache_goes_back_at_a_signal_without_any_connection(cache: str, server: FakeLmkd, start: Start) -> None:
    application = start([cache, "--signal", "--mib", "8", "--socket", str(server.path)])
    server.wait(lambda: "full 8 MiB" in application.lines)
    full_kib = application.anonymous_kib()
    application.process.send_signal(signal.SIGUSR1)
    server.wait(lambda: application.lines[-1] == "dropped 8 MiB (signal)")
    assert application.anonymous_kib() < full_kib - 7 * MIB and server.requests == []
    application.process.send_signal(signal.SIGUSR1)
    threading.Event().wait(0.05)
    assert application.lines[-1] == "dropped 8 MiB (signal)" and application.process.poll() is None


def test_a_wrong_option_is_a_usage_error(cache: str) -> None:
    done = subprocess.run([cache, "--mib", "none"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.split(":")[0]) == (2, "usage")


def line(level: str, end: str) -> bytes:
    text = f"level={level} previous=calm t_ms=81234 headroom_kib=8123 exhaustion_ms=none end={end}"
    return text.ljust(159).encode() + b"\n"


def test_the_script_runs_the_command_at_each_change_and_never_for_half_a_line(tmp_path: Path, start: Start) -> None:
    file, waits = tmp_path / "level", FakeLmkd(tmp_path / "unused")
    command = ["sh", str(EXAMPLES / "notify.sh"), "sh", "-c", 'echo "$PREVIOUS $LEVEL"']
    application = start(command, LMKD_LEVEL_FILE=str(file), LMKD_POLL_S="0.01")
    for wanted, content in (
        (None, b""),
        (None, line("calm", "calm")),
        ("calm critical", line("critical", "critical")),
        (None, line("low", "critical")),
        (None, line("unknown", "unknown")),
        (None, b"level=$(reboot) level=* end=*\n"),
        ("critical low", line("low", "low")),
        ("low calm", b"level=calm headroom_kib=8123\n"),
    ):
        file.write_bytes(content)
        if wanted is None:
            threading.Event().wait(0.05)
        else:
            waits.wait(lambda wanted=wanted: application.lines[-1:] == [wanted], f"{wanted} in {application.lines}")  # type: ignore[misc]
    assert application.lines == ["calm critical", "critical low", "low calm"], "and nothing of an error"


def test_the_script_goes_on_when_its_command_fails(tmp_path: Path, start: Start) -> None:
    file, waits = tmp_path / "level", FakeLmkd(tmp_path / "unused")
    file.write_bytes(line("low", "low"))
    script = str(EXAMPLES / "notify.sh")
    application = start(["sh", script, "false"], LMKD_LEVEL_FILE=str(file), LMKD_POLL_S="0.01")
    waits.wait(lambda: application.lines == [f"{script}: false failed (1)"])
    file.unlink()
    threading.Event().wait(0.05)
    file.write_bytes(line("calm", "calm"))
    waits.wait(lambda: len(application.lines) == 2)


def test_the_script_without_a_command_says_how_it_is_used() -> None:
    done = subprocess.run(["sh", str(EXAMPLES / "notify.sh")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.split(":")[0]) == (2, "usage")
