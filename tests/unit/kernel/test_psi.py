"""PSI: totals are whole or absent; a trigger is one write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.kernel.psi import Psi, open_trigger, parse_psi

SOME = b"some avg10=0.12 avg60=0.00 avg300=0.00 total=123456\n"
FULL = b"full avg10=0.00 avg60=0.00 avg300=0.00 total=654\n"


@pytest.mark.parametrize("data", [SOME + FULL, FULL + SOME, SOME + b"odd total=9\n\n" + FULL])
def test_both_totals_are_read(data: bytes) -> None:
    assert parse_psi(data) == Psi(123456, 654)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SOME,
        FULL,
        SOME + b"full avg10=0.00\n",
        SOME + FULL.replace(b"654", b"-1"),
        SOME + FULL.replace(b"654", b""),
        SOME + FULL.replace(b"654", b"6 5 4"),
        SOME.replace(b"some", b"SOME") + FULL,
    ],
)
def test_a_missing_or_odd_total_is_no_answer_and_never_zero(data: bytes) -> None:
    assert parse_psi(data) is None


def test_a_number_that_is_cut_off_is_no_smaller_number() -> None:
    for length in range(len(SOME + FULL)):
        assert parse_psi((SOME + FULL)[:length]) is None


@given(st.binary())
def test_no_bytes_make_parsing_fail(data: bytes) -> None:
    parse_psi(data)


def test_a_trigger_is_written_with_its_stall_and_window(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    path.write_bytes(b"")
    descriptor = open_trigger(str(path), "some", 33000, 500000)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)
    assert path.read_bytes() == b"some 33000 500000\0"


def test_a_refused_trigger_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="No space"):
        open_trigger("/dev/full", "some", 1, 2)
    with pytest.raises(FileNotFoundError):
        open_trigger(str(tmp_path / "memory"), "some", 1, 2)
    assert os.listdir("/proc/self/fd") == before
