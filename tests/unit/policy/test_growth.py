"""Who grows: two looks at a suspect's size tell growth from refaults; one is enough for the obvious."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.model import Sample
from lmkd.policy.growth import (
    APART_MIN_MS,
    BALLAST_KEPT_MS,
    FORGET_AFTER_MS,
    REST_MS,
    SHARE_SURE,
    SHMEM_WINDOW_MS,
    STEADY_MS,
    SURE_RAM_PCT,
    Ballast,
    ShmemWatch,
    Watch,
    watch,
    watch_shmem,
    weigh,
)
from lmkd.values import replace
from tests.unit.policy.builders import RAM_KIB, SETTINGS, Run, growing, make_sample

BIG_KIB = RAM_KIB * SURE_RAM_PCT // 100 + 1


def look(t_ms: float, size_kib: int, pid: int = 7, **changes: Any) -> Sample:
    """A sample that names a suspect of this size."""
    return growing(t_ms, 50_000, pid, size_kib, **changes)


def watched(*samples: Sample, ratio: float = 2.0) -> Watch:
    """The watch after these."""
    state = Watch()
    for sample in samples:
        state = watch(state, sample, SETTINGS, ratio)
    return state


def grower_rate(state: Watch) -> float | None:
    """The confirmed growth, None when nobody grows."""
    return None if state.grower is None else state.grower.rate_kib_s


def test_one_look_at_a_small_process_tells_nothing() -> None:
    assert watched(look(0, 5000)).grower is None


def test_two_looks_tell_how_fast_it_grows() -> None:
    assert grower_rate(watched(look(0, 5000), look(50, 6000))) == pytest.approx(20_000)


def test_what_only_refaults_has_the_same_size_and_does_not_grow() -> None:
    moved = look(50, 2000, grower_swapped_kib=3000)
    assert watched(look(0, 5000), moved).grower is None


def test_two_looks_too_close_wait_for_a_third() -> None:
    early = watched(look(0, 5000), look(APART_MIN_MS - 1, 6000))
    assert early.grower is None
    assert grower_rate(watch(early, look(100, 7000), SETTINGS, 2.0)) == pytest.approx(20_000)


def test_the_grower_returns_what_is_resident_and_its_share_of_the_store() -> None:
    state = watched(look(0, 5000), look(50, 6000, grower_swapped_kib=3000), ratio=3.0)
    assert state.grower is not None
    assert (state.grower.size_kib, state.grower.gain_kib) == (9000, 7000)


@pytest.mark.parametrize(
    ("size", "share", "sure"), [(BIG_KIB, SHARE_SURE, True), (BIG_KIB - 2000, 1.0, False), (BIG_KIB, 0.7, False)]
)
def test_one_look_is_enough_for_who_holds_much_and_takes_nearly_all_faults(size: int, share: float, sure: bool) -> None:
    state = watched(look(0, size, grower_share=share, grower_kib_s=10_000.0))
    assert grower_rate(state) == (10_000.0 * share if sure else None)


def test_a_growth_that_falters_is_steadied_by_what_it_was_before() -> None:
    measured = watched(look(0, 5000), look(100, 7000))
    faltered = watch(measured, look(200, 7100), SETTINGS, 2.0)
    weight = 100 / STEADY_MS
    assert grower_rate(faltered) == pytest.approx(20_000 * (1 - weight) + 1000 * weight)
    assert grower_rate(watch(measured, look(100 + STEADY_MS, 7300), SETTINGS, 2.0)) == pytest.approx(1000)


def test_a_growth_that_quickens_counts_at_once() -> None:
    assert grower_rate(watched(look(0, 5000), look(100, 5100), look(150, 9100))) == pytest.approx(80_000)


def test_a_provisional_rate_does_not_steady_what_is_measured_after_it() -> None:
    sure: dict[str, Any] = {"grower_share": 1.0, "grower_kib_s": 900_000.0}
    state = watched(look(0, BIG_KIB, **sure), look(100, BIG_KIB + 100, **sure))
    assert grower_rate(state) == pytest.approx(1000)
    assert state.measured


def test_the_rate_of_one_grower_does_not_steady_that_of_another() -> None:
    first = watched(look(0, 5000), look(100, 90_000))
    second = watch(watch(first, look(110, 3000, pid=8), SETTINGS, 2.0), look(210, 3100, pid=8), SETTINGS, 2.0)
    assert second.grower is not None and second.grower.pid == 8
    assert grower_rate(second) == pytest.approx(1000)


def test_a_growth_that_was_forgotten_does_not_steady_a_later_one() -> None:
    late_ms = 100 + FORGET_AFTER_MS + 1
    state = watched(look(0, 5000), look(100, 90_000))
    assert grower_rate(watch(state, look(late_ms, 91_000), SETTINGS, 2.0)) == pytest.approx(
        1000 / (late_ms - 100) * 1000
    )


@given(st.lists(st.tuples(st.floats(0, 500), st.integers(0, 100_000)), max_size=20))
def test_a_measured_rate_lies_between_zero_and_the_fastest_that_was_seen(looks: list[tuple[float, int]]) -> None:
    state, t_ms, fastest = Watch(), 0.0, 0.0
    for apart, size in looks:
        t_ms += apart
        if state.pid and t_ms - state.t_ms >= APART_MIN_MS:
            fastest = max(fastest, (size - state.size_kib) / (t_ms - state.t_ms) * 1000)
        state = watch(state, look(t_ms, size, grower_share=0.0), SETTINGS, 2.0)
        rate = grower_rate(state)
        assert rate is None or 0 < rate <= fastest * 1.000001


def test_a_new_suspect_does_not_clear_the_old_one() -> None:
    state = watched(look(0, 5000), look(50, 6000), look(60, 900, pid=8))
    assert state.grower is not None and (state.grower.pid, state.pid) == (7, 8)


def test_a_grower_that_rests_between_bursts_is_kept_and_one_that_rests_longer_is_not() -> None:
    grown = watched(look(0, 5000), look(50, 6000))
    assert watch(grown, look(50 + REST_MS, 6000), SETTINGS, 2.0).grower == grown.grower
    assert watch(grown, look(51 + REST_MS, 6000), SETTINGS, 2.0).grower is None


def test_a_grower_that_is_not_seen_again_is_forgotten() -> None:
    grown = watched(look(0, 5000), look(50, 6000))
    assert watch(grown, make_sample(50 + FORGET_AFTER_MS), SETTINGS, 2.0).grower == grown.grower
    assert watch(grown, make_sample(51 + FORGET_AFTER_MS), SETTINGS, 2.0).grower is None


def test_a_grower_that_died_is_forgotten() -> None:
    assert watch(watched(look(0, 5000), look(50, 6000)), make_sample(60, gone=(7,)), SETTINGS, 2.0).grower is None


@pytest.mark.parametrize("field", ["grower_pid", "grower_resident_kib", "grower_swapped_kib"])
def test_a_size_that_cannot_be_read_changes_nothing(field: str) -> None:
    first, unread = watched(look(0, 5000)), replace(look(50, 9000), **{field: None})
    assert watch(first, unread, SETTINGS, 2.0) == first


def test_shared_memory_is_measured_over_a_window() -> None:
    first = watch_shmem(ShmemWatch(), make_sample(0, shmem_kib=1000))
    assert first == ShmemWatch(0, 1000, 0.0, 61_000)
    assert watch_shmem(first, make_sample(SHMEM_WINDOW_MS - 1, shmem_kib=9000)) == first
    assert watch_shmem(first, make_sample(200, shmem_kib=3000)).rate_kib_s == pytest.approx(10_000)


def test_a_sampled_grower_weighs_on_while_other_samples_name_somebody_else() -> None:
    seen = weigh(Ballast(), make_sample(0.0, grower_pid=5, grower_resident_kib=9000, grower_ratio=1.0))
    assert seen == Ballast(5, 0.0, 9000, 1.0)
    assert weigh(seen, make_sample(10.0)) == seen
    assert weigh(seen, make_sample(10.0, grower_pid=6, grower_resident_kib=1)) == seen


def test_ballast_goes_with_its_process_and_with_time() -> None:
    seen = Ballast(5, 0.0, 9000, 1.0)
    assert weigh(seen, make_sample(10.0, gone=(5,))) == Ballast()
    assert weigh(seen, make_sample(BALLAST_KEPT_MS + 1)) == Ballast()


def test_who_is_sampled_next_is_no_consumption() -> None:
    """As it happened: of two that do not compress the larger was sampled after the smaller, which gave 205 MB/s."""
    run = Run()
    for number, (pid, resident_kib) in enumerate([(122, 5_000), (122, 5_000), (242, 38_000), (242, 38_000)]):
        run.feed(make_sample(number * 50.0, grower_pid=pid, grower_resident_kib=resident_kib, grower_ratio=1.0))
    assert run.state.forecast.rate_kib_s == 0


def test_what_one_that_does_not_compress_grows_by_is_consumption() -> None:
    run = Run()
    for number in range(4):
        grown = {"grower_resident_kib": 5_000 * number, "anon_kib": 60_000 + 5_000 * number}
        grown |= {"free_kib": 120_000 - 5_000 * number}
        run.feed(make_sample(number * 50.0, grower_pid=122, grower_ratio=1.0, **grown))
    assert run.state.forecast.rate_kib_s >= 100_000
