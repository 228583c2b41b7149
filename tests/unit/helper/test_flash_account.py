"""The day's budget for flash: kept across restarts and boots, and not given twice by a clock that goes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.helper.flash_account import DAY_S, NAME, FlashAccount

DAY = 20_000


class Bench:
    def __init__(self, base: Path) -> None:
        self.folders: tuple[str, ...] = (str(base / "run"), str(base / "lib"))
        self.now_s = float(DAY * DAY_S + 100)

    def account(self) -> FlashAccount:
        return FlashAccount(self.folders, 1000, lambda: self.now_s)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_was_charged_is_gone_for_the_day(bench: Bench) -> None:
    account = bench.account()
    assert account.left_kib() == 1000
    account.charge(600)
    assert (account.left_kib(), bench.account().left_kib()) == (400, 400)
    account.charge(-100)
    assert bench.account().left_kib() == 500
    bench.now_s += DAY_S
    assert account.left_kib() == bench.account().left_kib() == 1000


def test_either_folder_is_enough(bench: Bench) -> None:
    bench.account().charge(600)
    (Path(bench.folders[0]) / NAME).unlink()
    assert bench.account().left_kib() == 400


def test_a_folder_that_cannot_be_written_is_left_out(bench: Bench) -> None:
    bench.folders = ("/proc/nowhere", *bench.folders)
    bench.account().charge(600)
    assert bench.account().left_kib() == 400


def test_a_clock_that_goes_back_gives_no_second_budget(bench: Bench) -> None:
    account = bench.account()
    account.left_kib()
    account.charge(1000)
    bench.now_s -= 30 * DAY_S
    assert account.left_kib() == bench.account().left_kib() == 0


@given(data=st.binary(max_size=80))
def test_a_damaged_account_is_none(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    base = tmp_path_factory.mktemp("account")
    (base / "run").mkdir()
    (base / "run" / NAME).write_bytes(data)
    assert 0 <= Bench(base).account().left_kib() <= 1000
