"""Who is about to be killed is told first: its grace is running."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmkd.control.connection import Connection, Limits
from lmkd.kernel.process import read_stat
from lmkd.model import Kill, Victim
from lmkd.policy.flight import Flight
from lmkd.policy.step import State
from tests.unit.control.talking import Talking
from tests.unit.guard.children import child


@pytest.fixture
def victim() -> Iterator[Victim]:
    with child() as process:
        assert isinstance(process, subprocess.Popen)
        stat = read_stat("/proc", process.pid)
        assert stat is not None
        yield Victim(process.pid, stat.start_ticks, "app", 900, -1, 4096)


def registered(talking: Talking, victim: Victim) -> Connection:
    """Its only connection, once the helper has said that this process is registered."""
    connection = next(iter(talking.talker.connections.values()))
    connection.session._registered[victim.pid] = victim.start_ticks  # type: ignore[attr-defined]
    connection.session.processes.add(victim.pid)  # type: ignore[attr-defined]
    talking.talker._subscribers.ask(connection)
    return connection


def kill(talking: Talking, victim: Victim, level: str) -> None:
    """As the guard does: the signal, then the level that it was for."""
    flight = Flight((victim,), "SIGTERM", 5.0, 205.0, 0, 0, 5.0)
    victims = (victim,)
    talking.exchange.notices.tell_kill(Kill(victims, "SIGTERM", "priority", ()), victims, State(flight=flight), 5.0)
    talking.exchange.notices.tell_level("calm", State(level=level), 5.0, "because")


def test_before_the_level_for_which_it_dies(tmp_path: Path, victim: Victim) -> None:
    talking = Talking(tmp_path, proc="/proc")
    client = talking.client()
    client.ask("subscribe")
    registered(talking, victim)
    kill(talking, victim, "critical")
    first = client.receive()
    assert (first["about_to_kill"]["pid"], first["about_to_kill"]["grace_ms"]) == (victim.pid, 200)
    assert client.receive()["level"]["level"] == "critical"
    talking.close()


def test_before_all_that_it_has_not_read_yet_and_though_there_is_no_room_for_more(
    tmp_path: Path, victim: Victim
) -> None:
    talking = Talking(tmp_path, Limits(notices=4), proc="/proc")
    client = talking.client()
    client.ask("subscribe")
    connection = registered(talking, victim)
    levels = ("low", "calm")
    for turn in range(600):
        talking.exchange.notices.tell_level(levels[turn - 1 & 1], State(level=levels[turn & 1]), 5.0, "because")
        talking.turns(1)
    assert connection.dropped > 0
    kill(talking, victim, "critical")
    talking.turns(1)
    assert b"about_to_kill" in connection._out[0][0]
    waiting = len(connection._out)
    for _ in range(20):
        kill(talking, victim, "critical")
        talking.turns(1)
    assert waiting < len(connection._out) <= 8, "and that has an end too"
    talking.close()
