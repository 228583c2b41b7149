"""A drain into tmpfs: told from anonymous growth, asked about, tried once, and forgotten when the files are gone."""

from __future__ import annotations

from lmkd.policy.growth import ShmemWatch
from lmkd.policy.tmpfs import ASK_EVERY_MS, Tmpfs, drains, forget_when_shrunk, must_ask
from lmkd.policy.victim import Grower
from tests.unit.policy.builders import SETTINGS, make_sample

FILLS = ShmemWatch(0.0, 0, 30_000.0)
STILL = ShmemWatch(0.0, 0, 0.0)
TRIED = Tmpfs(0.0, 50_000)


def test_files_that_take_half_of_the_consumption_are_a_drain() -> None:
    assert drains(Tmpfs(), FILLS, 60_000.0, None, make_sample(), SETTINGS)
    assert not drains(Tmpfs(), FILLS, 60_001.0, None, make_sample(), SETTINGS)


def test_files_that_grow_by_little_are_no_drain() -> None:
    assert not drains(Tmpfs(), ShmemWatch(0.0, 0, 1023.0), 0.0, None, make_sample(), SETTINGS)


def test_a_process_that_takes_half_of_the_consumption_is_no_drain_into_files() -> None:
    sample = make_sample(shmem_kib=50_000)
    assert not drains(TRIED, FILLS, 40_000.0, Grower(5, 1, 1, 20_000.0), sample, SETTINGS)
    assert drains(TRIED, FILLS, 40_000.0, Grower(5, 1, 1, 19_999.0), sample, SETTINGS)


def test_files_that_stand_after_a_death_was_tried_still_are_the_drain_while_all_is_at_rest() -> None:
    held, freed = make_sample(shmem_kib=40_000), make_sample(shmem_kib=39_999)
    assert drains(TRIED, STILL, 0.0, None, held, SETTINGS)
    assert not drains(TRIED, STILL, 3000.0, None, held, SETTINGS)
    assert not drains(TRIED, STILL, 0.0, None, freed, SETTINGS)
    assert not drains(Tmpfs(), STILL, 0.0, None, held, SETTINGS)


def test_the_holders_are_asked_for_now_and_then_until_a_death_was_tried() -> None:
    assert must_ask(Tmpfs(), make_sample(0.0))
    assert not must_ask(Tmpfs(0.0), make_sample(ASK_EVERY_MS))
    assert must_ask(Tmpfs(0.0), make_sample(ASK_EVERY_MS + 1))
    assert not must_ask(TRIED, make_sample(ASK_EVERY_MS + 1))


def test_a_new_drain_may_be_tried_once_the_old_files_are_gone() -> None:
    assert forget_when_shrunk(TRIED, make_sample(shmem_kib=40_000)) == TRIED
    assert forget_when_shrunk(TRIED, make_sample(shmem_kib=39_999)) == Tmpfs()
