"""Several zram devices as one store: what they hold is added up, and room counts only where the kernel gets to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.model import StoreSample
from lmkd.policy.devices import combined
from lmkd.policy.headroom import DISK_KIB_S, DISK_MS, headroom
from tests.unit.policy.builders import SETTINGS, make_sample, make_store

OWN = StoreSample(20_000, 8_000, 10_000, 60_000, 100)
FOREIGN = StoreSample(30_000, 9_000, 12_000, 0, 50)
SIZE = 200_000


def test_none_is_no_store() -> None:
    assert combined((), -1, 0) is None


def test_one_device_is_what_it_says() -> None:
    found = combined(((OWN, SIZE),), 0, 150_000)
    assert found == StoreSample(20_000, 8_000, 10_000, 60_000, 100, SIZE - 20_000, False, 10_000, 60_000)


def test_somebody_elses_has_no_limit_that_lmkd_could_move() -> None:
    found = combined(((FOREIGN, SIZE),), -1, 150_000)
    assert found is not None and (found.limit_kib, found.own_limit_kib, found.slots_free_kib) == (0, 0, 170_000)


def test_what_they_hold_is_added_up() -> None:
    found = combined(((OWN, SIZE), (FOREIGN, SIZE)), 0, 150_000)
    assert found is not None
    assert (found.orig_kib, found.compressed_kib, found.used_kib, found.huge_kib) == (50_000, 17_000, 22_000, 150)
    assert found.limit_kib == 22_000 + 50_000 + 170_000
    assert (found.own_used_kib, found.own_limit_kib) == (10_000, 60_000)


def test_behind_one_that_closes_at_its_limit_with_slots_left_nothing_is_reached() -> None:
    found = combined(((OWN, SIZE), (FOREIGN, SIZE)), 0, 60_000)
    assert found is not None and found.closes
    assert found.limit_kib == 22_000 + 50_000
    assert found.slots_free_kib == SIZE - 20_000


def test_in_front_of_it_somebody_elses_is_filled_first() -> None:
    found = combined(((FOREIGN, SIZE), (OWN, SIZE)), 1, 60_000)
    assert found is not None and found.slots_free_kib == 170_000 + 180_000


def test_a_size_that_is_not_known_leaves_the_slots_to_swapfree() -> None:
    found = combined(((OWN, 0),), 0, 0)
    assert found is not None and found.slots_free_kib is None


DEVICES = st.lists(
    st.tuples(
        st.builds(
            StoreSample, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)
        ),
        st.integers(0, 10**6),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@given(devices=DEVICES, own=st.integers(-1, 5), most=st.integers(0, 10**6))
def test_never_more_than_each_for_itself(devices: list[tuple[StoreSample, int]], own: int, most: int) -> None:
    found = combined(devices, own, most)
    assert found is not None
    assert found.used_kib == sum(stat.used_kib for stat, _ in devices)
    rooms = [stat.limit_kib - stat.used_kib if stat.limit_kib else size - stat.orig_kib for stat, size in devices]
    if found.limit_kib:
        assert found.limit_kib - found.used_kib <= sum(max(0, room) for room in rooms)


def test_a_disk_counts_what_it_takes_in_a_moment_however_large_it_is() -> None:
    slots = make_sample().swap_free_kib
    store = make_store(slots_free_kib=slots)
    plain = headroom(make_sample(store=store), SETTINGS, 2.0)
    disk = headroom(make_sample(store=store, swap_free_kib=slots + 4_000_000, anon_kib=900_000), SETTINGS, 2.0)
    assert plain.disk_kib == 0
    assert disk.disk_kib == DISK_KIB_S * DISK_MS // 1000
    assert disk.total_kib == disk.free_kib + disk.cache_kib + disk.store_kib + disk.disk_kib


def test_a_disk_that_is_nearly_full_counts_what_is_left_and_no_more_than_there_is_to_write() -> None:
    base = make_sample(store=None, swap_total_kib=10_000, swap_free_kib=700)
    assert headroom(base, SETTINGS, 2.0).disk_kib == 700
    assert headroom(make_sample(store=None, swap_free_kib=10**6, anon_kib=400), SETTINGS, 2.0).disk_kib == 300


@pytest.mark.parametrize("closes", [True, False])
def test_a_disk_behind_a_store_that_closes_is_never_reached(closes: bool) -> None:
    slots = make_sample().swap_free_kib
    store = make_store(slots_free_kib=slots, closes=closes)
    sample = make_sample(store=store, swap_free_kib=slots + 1_000_000, anon_kib=900_000)
    assert bool(headroom(sample, SETTINGS, 2.0).disk_kib) is not closes
