"""The metrics' file: how often it is made, and when not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lmkd.helper.hooks import Hooks
from lmkd.helper.metrics_file import MetricsFile
from lmkd.plan import Ways
from tests.unit.plans import make_plan

ROOM = b"MemTotal: 241012 kB\nMemAvailable: 150000 kB\n"


class Bench:
    """A metrics file whose program is a script, with a clock of its own."""

    def __init__(self, base: Path, meminfo: bytes = ROOM, body: str = "") -> None:
        script = base / "lmkd"
        script.write_text(f"#!/bin/sh\necho \"$(nice) $@\" >> {base}/runs\n{body}\n")
        script.chmod(0o755)
        (base / "proc").mkdir()
        (base / "proc" / "meminfo").write_bytes(meminfo)
        self.base, self.posts = base, list[str]()
        self.hooks = Hooks(lambda event, fields, level: self.posts.append(str(dict(fields)["outcome"])))
        ways = Ways(metrics_file="/x/lmkd.prom", metrics_ms=30_000)
        self.file = MetricsFile(make_plan(base, ways=ways, reload_argv=(str(script),)), self.hooks, 0.0)

    def finish(self) -> None:
        deadline = time.monotonic() + 10
        while self.hooks._running:
            assert time.monotonic() < deadline
            self.hooks.collect()
            time.sleep(0.005)

    def runs(self) -> list[str]:
        path = self.base / "runs"
        return path.read_text().splitlines() if path.exists() else []


def test_the_command_is_run_at_the_lowest_priority_every_interval(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    t_ms = 0.0
    waits = []
    for _ in range(3):
        waits.append(bench.file.timeout_ms(t_ms))
        t_ms += waits[-1]
        bench.file.turn(t_ms - 1)
        bench.file.turn(t_ms)
        bench.finish()
    assert waits == [10_000.0, 30_000.0, 30_000.0]
    socket = tmp_path / "run" / "control"
    assert bench.runs() == [f"19 metrics --socket {socket} --output /x/lmkd.prom"] * 3


@pytest.mark.parametrize("meminfo", [b"", ROOM.replace(b"150000", b"20000")])
def test_it_is_not_run_where_memory_is_short_or_not_known(tmp_path: Path, meminfo: bytes) -> None:
    bench = Bench(tmp_path, meminfo)
    bench.file.turn(10_000.0)
    assert (bench.runs(), bench.file.timeout_ms(10_000.0)) == ([], 30_000.0)


def test_one_at_a_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, body="sleep 0.5")
    bench.file.turn(10_000.0)
    bench.file.turn(40_000.0)
    bench.finish()
    assert len(bench.runs()) == 1
    bench.file.turn(70_000.0)
    bench.finish()
    assert len(bench.runs()) == 2
