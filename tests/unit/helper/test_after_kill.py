"""After a kill: whose program is run, and what it is told of the kill."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkd.guard.commands import DRAIN_LOG, HOOK, KILLED
from lmkd.guard.exchange import Exchange
from lmkd.guard.notes import kill_note
from lmkd.guard.record import Recorder
from lmkd.helper.after_kill import AfterKill
from lmkd.helper.hooks import Hooks
from lmkd.model import Kill, Victim
from lmkd.plan import Ways
from tests.unit.guard.test_exchange import close
from tests.unit.plans import make_plan, make_rule

DRAIN = (DRAIN_LOG, 0, 0)


class Bench:
    """The helper's part after kills, and scripts that write down their environment."""

    def __init__(self, base: Path, by_class: tuple[str, ...] = (), **changes: Any) -> None:
        self.base = base
        self.exchange = Exchange()
        self.hooks = Hooks(self.exchange.post)
        self.recorder = Recorder(self.exchange)
        rules = (
            make_rule("comm", "a", on_kill=self.script("of-rule"), where="f:1"),
            make_rule("comm", "b", name="b", where="f:2"),
        )
        ways = Ways(on_kill=tuple((name, self.script(f"of-{name}")) for name in by_class), **changes)
        self.plan = make_plan(base, rules=rules, ways=ways)
        self.after = AfterKill(self.plan, self.exchange, self.hooks)

    def script(self, name: str) -> str:
        path = self.base / name
        path.write_text(f"#!/bin/sh\nenv | grep ^LMKD_ > {self.base}/$LMKD_PID.$(basename $0)\n")
        path.chmod(0o755)
        return str(path)

    def record(self, pid: int, priority: int = 900, rule: int = -1, name: str = "app") -> None:
        victim = Victim(pid, 1, name, priority, rule, 4096)
        kill = Kill((victim,), "SIGTERM", "headroom below its floor", (("headroom_kib", 99), ("rate_kib_s", None)))
        self.recorder.write(kill_note(kill, victim, self.plan, 100.0), 5.0)

    def told(self) -> dict[str, dict[str, str]]:
        deadline = time.monotonic() + 10
        while self.hooks._running:
            assert time.monotonic() < deadline
            self.hooks.collect()
            time.sleep(0.005)
        outs = [path for path in self.base.iterdir() if path.name.split(".")[0].isdigit()]
        return {path.name: dict(row.split("=", 1) for row in path.read_text().splitlines()) for path in outs}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, ("cached",))
    yield made
    close(made.exchange)


def test_a_rules_program_is_told_all_of_the_kill(bench: Bench) -> None:
    bench.after.take([(KILLED, 10, 1), (HOOK, 10, 0)])
    assert bench.told() == {}
    bench.record(10, rule=0, name='an "app"\n')
    bench.after.take([DRAIN])
    told = bench.told()
    assert list(told) == ["10.of-rule"]
    expected = {
        "LMKD_EVENT": "kill", "LMKD_PID": "10", "LMKD_NAME": 'an "app"\\u000a', "LMKD_CLASS": "cached",
        "LMKD_PRIORITY": "900", "LMKD_RULE": "a rule", "LMKD_RULE_AT": "f:1", "LMKD_SIGNAL": "SIGTERM",
        "LMKD_REASON": "headroom below its floor", "LMKD_PREDICTED_KIB": "4096", "LMKD_HEADROOM_KIB": "99",
        "LMKD_RATE_KIB_S": "", "LMKD_DRY_RUN": "false",
    }  # fmt: skip
    assert {key: told["10.of-rule"].get(key) for key in expected} == expected
    assert "LMKD_LEVEL" not in told["10.of-rule"], "to who is told of levels it means the pressure"


def test_the_classes_program_is_for_rules_without_one_and_for_no_rule(bench: Bench) -> None:
    bench.record(10, rule=1)
    bench.record(11, rule=-1)
    bench.record(12, 700)
    bench.after.take([(KILLED, 10, 1), (KILLED, 11, 1), (KILLED, 12, 1), DRAIN])
    told = bench.told()
    assert sorted(told) == ["10.of-cached", "11.of-cached"]
    assert [told[name]["LMKD_RULE"] for name in sorted(told)] == ["b", ""]
    assert told["10.of-cached"]["LMKD_RULE_AT"] == "f:2"


def test_a_record_is_looked_for_when_it_has_been_written(bench: Bench) -> None:
    bench.record(10, 500)
    bench.after.take([DRAIN, (KILLED, 10, 1)])  # this drain is an older one's
    bench.record(10, 900)
    bench.after.take([DRAIN])
    assert list(bench.told()) == ["10.of-cached"]


def test_without_its_record_a_rules_program_is_run_all_the_same(bench: Bench) -> None:
    bench.after.take([(KILLED, 10, 1), (HOOK, 10, 0), (KILLED, 11, 1), (HOOK, 12, 99), DRAIN])
    told = bench.told()
    assert list(told) == ["10.of-rule"]
    assert {key: told["10.of-rule"][key] for key in ("LMKD_PID", "LMKD_CLASS")} == {"LMKD_PID": "10", "LMKD_CLASS": ""}


def test_those_who_wait_for_a_record_are_bounded(bench: Bench) -> None:
    bench.after.take([(HOOK, 100 + number, 1) for number in range(1000)])
    assert len(bench.after._waiting) <= 64


def test_it_takes_as_long_as_the_configuration_says(tmp_path: Path) -> None:
    bench = Bench(tmp_path, on_kill_ms=200)
    (tmp_path / "of-rule").write_text("#!/bin/sh\nsleep 60\n")
    bench.after.take([(HOOK, 10, 0), DRAIN])
    bench.told()
    outcomes = [dict(fields)["outcome"] for event, fields, _ in bench.exchange.posts() if event == "hook"]
    assert outcomes == ["ended after 200 ms"]
    close(bench.exchange)
