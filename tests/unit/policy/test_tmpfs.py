"""A drain into tmpfs: told from anonymous growth, asked about, tried once, and forgotten when the files are gone."""

from __future__ import annotations

from lmkd.policy.growth import ShmemWatch
from lmkd.policy.tmpfs import ASK_EVERY_MS, LINGERS_MS, Tmpfs, drains, must_ask, notice
from lmkd.policy.victim import Grower
from tests.unit.policy.builders import SETTINGS, make_sample

FILLS = ShmemWatch(0.0, 0, 30_000.0)
STILL = ShmemWatch(0.0, 0, 0.0)
HELD = Tmpfs(-1.0, 0.0, 50_000)
TRIED = Tmpfs(-1.0, 0.0, 50_000, True)


def test_files_that_take_half_of_the_consumption_are_a_drain() -> None:
    sample = make_sample(5.0, shmem_kib=50_000)
    assert notice(Tmpfs(), FILLS, 60_000.0, sample) == Tmpfs(growing_ms=5.0, held_kib=50_000)
    assert notice(Tmpfs(), FILLS, 60_001.0, sample) == Tmpfs()


def test_files_that_grow_by_little_are_no_drain() -> None:
    assert notice(Tmpfs(), ShmemWatch(0.0, 0, 1023.0), 0.0, make_sample()) == Tmpfs()


def test_a_writer_that_waits_for_a_moment_has_not_stopped() -> None:
    growing = Tmpfs(growing_ms=100.0)
    assert drains(growing, 9e9, None, make_sample(100.0 + LINGERS_MS), SETTINGS)
    assert not drains(growing, 9e9, None, make_sample(101.0 + LINGERS_MS), SETTINGS)


def test_a_process_that_takes_half_of_the_consumption_is_no_drain_into_files() -> None:
    growing, sample = Tmpfs(growing_ms=0.0), make_sample(1.0)
    assert not drains(growing, 40_000.0, Grower(5, 1, 1, 20_000.0), sample, SETTINGS)
    assert drains(growing, 40_000.0, Grower(5, 1, 1, 19_999.0), sample, SETTINGS)


def test_files_that_stand_still_are_the_drain_while_all_is_at_rest() -> None:
    sample = make_sample(shmem_kib=50_000)
    assert drains(HELD, 0.0, None, sample, SETTINGS)
    assert not drains(HELD, 3000.0, None, sample, SETTINGS)
    assert not drains(Tmpfs(held_kib=1000), 0.0, None, sample, SETTINGS)


def test_the_holders_are_asked_for_now_and_then_until_a_death_was_tried() -> None:
    assert must_ask(Tmpfs(), make_sample(0.0))
    assert not must_ask(HELD, make_sample(ASK_EVERY_MS))
    assert must_ask(HELD, make_sample(ASK_EVERY_MS + 1))
    assert not must_ask(TRIED, make_sample(ASK_EVERY_MS + 1))


def test_a_new_drain_may_be_tried_once_the_old_files_are_gone() -> None:
    assert notice(TRIED, STILL, 0.0, make_sample(shmem_kib=40_000)) == TRIED
    assert notice(TRIED, STILL, 0.0, make_sample(shmem_kib=39_999)) == Tmpfs()
