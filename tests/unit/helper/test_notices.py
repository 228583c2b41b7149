"""Notices: real processes that catch a signal or do not, programs, the pace, and the level's file."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.guard.commands import DRAIN_LOG, NOTIFY
from lmkd.guard.exchange import Exchange
from lmkd.helper.hooks import Hooks
from lmkd.helper.level_file import WIDTH, LevelFile, level_line
from lmkd.helper.notices import AGAIN_MS, Notices, Pace
from lmkd.kernel.process import catches
from lmkd.plan import Notice, Ways
from lmkd.policy.headroom import Headroom
from lmkd.policy.pressure import LEVELS
from lmkd.policy.step import State
from tests.unit.guard.test_exchange import close
from tests.unit.helper.test_tmpfs import FakeScout
from tests.unit.plans import make_plan, make_rule

CATCHES = "import os,signal; signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b'told')); os.write(1, b'r')"
DEAF = "import os; os.write(1, b'r')"
LINE = "level=moderate previous=low t_ms=81234 headroom_kib=8123 exhaustion_ms=850 end=moderate"


class App:
    """A real process that says on its pipe that it was signalled."""

    def __init__(self, body: str) -> None:
        body = f"{body}\nimport signal\nwhile True: signal.pause()"
        self.process = subprocess.Popen([sys.executable, "-c", body], stdout=subprocess.PIPE)
        self.pid = self.process.pid
        assert self.said(1) == b"r"

    def said(self, count: int, wait_s: float = 10.0) -> bytes:
        assert self.process.stdout is not None
        watch = select.poll()
        watch.register(self.process.stdout, select.POLLIN)
        return os.read(self.process.stdout.fileno(), count) if watch.poll(wait_s * 1000) else b""

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Bench:
    """The helper's notices over real processes, with what the guard tells made by hand."""

    def __init__(self, base: Path, *notices: Notice, **changes: Any) -> None:
        self.exchange, self.scout = Exchange(), FakeScout()
        self.hooks = Hooks(self.exchange.post)
        self.file = base / "run" / "level"
        ways = Ways(notices=notices, level_file=str(self.file))
        rules = (make_rule("comm", "a"), make_rule("comm", "b"))
        self.plan = make_plan(base, **({"proc": "/proc", "ways": ways, "rules": rules} | changes))
        self.level = "calm"
        self.notices = self.again()
        self.level_file = LevelFile(str(self.file), self.exchange)

    def again(self) -> Notices:
        return Notices(self.plan, self.exchange, self.scout, self.hooks)  # type: ignore[arg-type]

    def go(self, *levels: str, command: bool = True) -> None:
        """The guard sees these levels, one after the other; then the helper wakes."""
        commands = [(DRAIN_LOG, 0, 0)]
        for level in levels:
            state = State(level=level, room=Headroom(0, 0, 0, 8123), exhaustion_ms=850.0)
            self.exchange.notices.tell_level(self.level, state, 81234.0, "")
            self.level = level
            commands += [(NOTIFY, 0, LEVELS.index(level))] if command else []
        self.notices.take(commands)
        self.level_file.renew()

    def posted(self) -> list[dict[str, Any]]:
        return [dict(fields) for name, fields, _ in self.exchange.posts() if name == "notified"]

    def finish(self) -> None:
        deadline = time.monotonic() + 10
        while self.hooks._running:
            assert time.monotonic() < deadline
            self.hooks.collect()
            time.sleep(0.005)

    def close(self) -> None:
        close(self.exchange)


@pytest.fixture
def app() -> Iterator[App]:
    made = App(CATCHES)
    yield made
    made.end()


@pytest.fixture
def deaf() -> Iterator[App]:
    made = App(DEAF)
    yield made
    made.end()


def notice(rule: int = 0, level: int = 2, number: int = int(signal.SIGUSR1), **changes: Any) -> Notice:
    fields: dict[str, Any] = {"rule": rule, "class_name": "", "level": level, "signal": number, "argv": ()}
    return Notice(**(fields | {"timeout_ms": 2000} | changes))


def test_who_catches_the_signal_gets_it_when_the_level_rises_to_its_own(tmp_path: Path, app: App) -> None:
    bench = Bench(tmp_path, notice())
    bench.scout.add(app.pid, rule=0)
    bench.go("low")
    assert bench.posted() == []
    bench.go("moderate")
    assert app.said(9) == b"told"
    (told,) = bench.posted()
    assert (told["pressure"], told["to"], told["signalled"], told["count"]) == ("moderate", "a rule", (app.pid,), 1)
    bench.go("low")
    assert bench.posted() == [] and app.said(9, 0.05) == b""
    bench.close()


def test_who_would_die_of_it_is_left_alone_and_named(tmp_path: Path, deaf: App) -> None:
    bench = Bench(tmp_path, notice())
    bench.scout.add(deaf.pid, rule=0)
    bench.go("critical")
    (told,) = bench.posted()
    assert (told["signalled"], told["deaf"]) == ((), (deaf.pid,))
    assert deaf.process.poll() is None
    bench.close()


def test_a_process_id_that_is_anothers_now_is_left_alone(tmp_path: Path, app: App) -> None:
    bench = Bench(tmp_path, notice())
    bench.scout.add(app.pid, rule=0).start += 1
    bench.go("critical")
    assert app.said(9, 0.05) == b""
    bench.close()


def test_a_class_means_what_rules_put_there_and_no_process_of_no_rule(tmp_path: Path, app: App) -> None:
    bench = Bench(tmp_path, notice(-1, class_name="cached"))
    entry = bench.scout.add(app.pid, 900, rule=-1)
    bench.scout.add(1, 900, rule=0)
    for rule, priority, means in ((-1, 900, 0), (0, 900, 1), (0, 500, 0), (1, 950, 1)):
        entry.rule, entry.priority = rule, priority
        bench.notices = bench.again()
        bench.go("calm", "moderate")
        assert [told["count"] for told in bench.posted()] == [means]
        assert app.said(4, 10 if means else 0.05) == (b"told" if means else b"")
        bench.go("calm")
    bench.close()


def test_a_rules_own_notice_stands_in_for_its_classes_even_an_empty_one(tmp_path: Path, app: App) -> None:
    bench = Bench(tmp_path, notice(-1, class_name="cached"), notice(0, number=0))
    bench.scout.add(app.pid, 900, rule=0)
    bench.go("critical")
    assert [(told["to"], told["count"]) for told in bench.posted()] == [("cached", 0)]
    bench.close()


def test_a_program_is_run_once_and_told_all(tmp_path: Path, app: App) -> None:
    script = tmp_path / "hook"
    out = tmp_path / "out"
    names = "EVENT LEVEL PREVIOUS HEADROOM_KIB EXHAUSTION_MS T_MS CLASS RULE PIDS"
    script.write_text(f'#!/bin/sh\necho "$1" > {out}\n' + "".join(
        f'echo "{name}=$LMKD_{name}" >> {out}\n' for name in names.split()
    ))
    script.chmod(0o755)
    bench = Bench(tmp_path, notice(number=0, argv=(str(script), "an argument")))
    bench.scout.add(app.pid, rule=0)
    bench.go("low", "moderate")
    bench.finish()
    assert out.read_text().splitlines() == [
        "an argument", "EVENT=level", "LEVEL=moderate", "PREVIOUS=calm", "HEADROOM_KIB=8123", "EXHAUSTION_MS=850",
        "T_MS=81234", "CLASS=", "RULE=a rule", f"PIDS={app.pid}",
    ]  # fmt: skip
    assert [told["ran"] for told in bench.posted()] == [True]
    bench.close()


def test_a_program_that_still_runs_is_not_run_again_and_ends_at_its_limit(tmp_path: Path) -> None:
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\necho x >> {tmp_path}/out\nsleep 60\n")
    script.chmod(0o755)
    bench = Bench(tmp_path, notice(level=1, number=0, argv=(str(script),), timeout_ms=300))
    bench.go("low")
    bench.go("moderate")
    posts = bench.posted()
    assert [told["ran"] for told in posts] == [True, False]
    bench.finish()
    assert (tmp_path / "out").read_text() == "x\n"
    bench.close()


def test_a_rise_whose_command_was_lost_is_seen_at_the_next_one(tmp_path: Path, app: App) -> None:
    bench = Bench(tmp_path, notice())
    bench.scout.add(app.pid, rule=0)
    bench.go("moderate", command=False)
    assert app.said(9) == b"told"
    bench.notices.take([(DRAIN_LOG, 0, 0)])
    assert len(bench.posted()) == 1
    bench.close()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2500)), max_size=30), st.integers(1, 3))
def test_a_notice_follows_rises_only_and_never_crowds(moves: list[tuple[int, int]], level: int) -> None:
    pace, before, t_ms = Pace(level), 0, 0.0
    told: list[tuple[int, float]] = []
    for after, ms in moves:
        t_ms += ms
        if pace.due(before, after, t_ms):
            assert after > before and after >= level
            told.append((after, t_ms))
        elif after > before and after >= level:
            assert any(known >= after and t_ms - then < AGAIN_MS for known, then in told)
        before = after
    for (first, then), (second, later) in pairwise(told):
        assert later - then >= AGAIN_MS or second > first


def test_the_file_tells_the_level_from_the_start_in_one_line(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.file.read_text().startswith("level=calm previous=calm t_ms=0 headroom_kib=0 exhaustion_ms=none ")
    bench.go("low")
    bench.go("moderate")
    data = bench.file.read_bytes()
    assert (len(data), data.decode().rstrip(), data[-1:]) == (WIDTH, LINE, b"\n")
    assert bench.file.stat().st_mode & 0o777 == 0o644
    again = LevelFile(str(bench.file), bench.exchange)
    assert bench.file.read_text().startswith("level=moderate previous=low ")
    again.close()
    assert bench.file.read_text().startswith("level=unknown previous=moderate ")
    bench.close()


def test_who_keeps_the_file_open_goes_on_seeing_it_and_one_that_was_removed_comes_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.file.open() as kept:
        bench.go("critical")
        assert kept.read().startswith("level=critical ")
    bench.file.unlink()
    bench.go("low")
    assert bench.file.read_text().startswith("level=low ")
    bench.close()


@pytest.mark.parametrize("kind", ["link", "folder", "fifo", "long"])
def test_what_stands_in_the_files_place(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "level"
    if kind == "link":
        path.symlink_to(tmp_path / "other")
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_text("x" * 1000)
    exchange = Exchange()
    file = LevelFile(str(path), exchange)
    exchange.notices.tell_level("calm", State(level="low"), 1.0, "")
    file.renew()
    said = [dict(fields)["feature"] for _, fields, _ in exchange.posts()]
    assert said == ([] if kind == "long" else ["level file"])
    assert not (tmp_path / "other").exists()
    if kind == "long":
        assert path.read_bytes() == level_line("low", "calm", 1.0, None, 0)
    file.close()
    close(exchange)


@given(st.sampled_from((*LEVELS, "unknown")), st.floats(0, 1e12), st.integers(-(2**31), 2**31), st.floats(0, 3.6e6))
def test_every_line_is_as_wide_as_any_other(level: str, t_ms: float, headroom_kib: int, lasts_ms: float) -> None:
    line = level_line(level, "moderate", t_ms, lasts_ms, headroom_kib)
    assert (len(line), line.count(b"\n"), line[-1:]) == (WIDTH, 1, b"\n")
    words = dict(word.split("=") for word in line.decode().split())
    assert words["level"] == words["end"] == level


@given(st.binary(max_size=60), st.integers(1, 64))
def test_odd_bytes_of_a_status_catch_nothing(data: bytes, number: int) -> None:
    assert catches(data, number) is False
    assert catches(b"Name:\tx\nSigCgt:\t0000000000000200\n", 10) is True
    assert catches(b"Name:\tx\nSigCgt:\t0000000000000200\n", 11) is False
    assert catches(b"Name:\tx\nSigCgt:\t00000200", 10) is False
