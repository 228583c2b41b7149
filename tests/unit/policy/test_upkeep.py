"""When the store is compacted and when the helper may write back: after deaths, and in calm."""

from __future__ import annotations

from lmkd.model import Compact, Limit, Maintain, Note, Settings
from lmkd.policy.headroom import StoreRatio
from lmkd.policy.upkeep import CALM_MS, COMPACT_EVERY_MS, COMPACT_MIN_KIB, Upkeep, keep_up
from lmkd.values import replace
from tests.unit.policy.builders import SETTINGS, make_sample, make_store

HOLEY = make_store(orig_kib=40_000, compressed_kib=10_000, used_kib=14_000)
DENSE = make_store(orig_kib=40_000, compressed_kib=10_000, used_kib=11_500)
TENDS = replace(SETTINGS, tend_ms=600_000)


class Run:
    """Upkeep fed with one sample after another."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.settings, self.upkeep = settings, Upkeep()

    def at(
        self, t_ms: float, store: object = HOLEY, level: str = "calm", landed: bool = False
    ) -> tuple[Limit | Compact | Maintain | Note, ...]:
        sample = make_sample(t_ms, store=store)
        self.upkeep, actions = keep_up(self.upkeep, sample, self.settings, StoreRatio(), None, level, landed)
        return actions


def test_holes_are_closed_after_a_death_whatever_the_level() -> None:
    assert Run().at(0.0, level="critical", landed=True) == (Compact(4000),)


def test_in_calm_a_store_that_is_all_holes_is_compacted_without_a_death_and_not_often() -> None:
    run = Run()
    assert run.at(0.0) == ()
    assert run.at(CALM_MS) == (Compact(4000),)
    assert run.at(CALM_MS + COMPACT_EVERY_MS - 1) == ()
    assert run.at(CALM_MS + COMPACT_EVERY_MS) == (Compact(4000),)


def test_its_own_bookkeeping_is_no_reason_and_a_little_is_none_either() -> None:
    run = Run()
    run.at(0.0, DENSE)
    assert run.at(CALM_MS, DENSE) == ()
    few = make_store(orig_kib=1000, compressed_kib=10, used_kib=10 + COMPACT_MIN_KIB - 1)
    assert run.at(CALM_MS, few) == run.at(CALM_MS, None) == ()


def test_unrest_begins_the_waiting_anew() -> None:
    run = Run()
    run.at(0.0)
    run.at(CALM_MS - 1, level="low")
    assert run.at(CALM_MS) == ()
    assert run.at(2 * CALM_MS) == (Compact(4000),)


def test_the_helper_writes_back_in_calm_and_stops_as_soon_as_it_is_over() -> None:
    run = Run(TENDS)
    assert run.at(0.0, DENSE) == ()
    assert run.at(CALM_MS, DENSE) == (Maintain(True),)
    assert run.at(CALM_MS + 10, DENSE) == ()
    assert run.at(CALM_MS + 20, DENSE, "low") == (Maintain(False),)
    assert run.at(CALM_MS + 30, DENSE, "low") == ()
    assert run.at(3 * CALM_MS, DENSE) == run.at(5 * CALM_MS, DENSE) == ()
    assert run.at(CALM_MS + 600_000, DENSE) == (Maintain(True),)


def test_without_anything_to_write_the_helper_is_not_woken() -> None:
    run = Run()
    run.at(0.0, DENSE)
    assert run.at(1e9, DENSE) == ()
