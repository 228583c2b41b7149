"""Units: exact, strict, and with an error that says what to write."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.units import format_kib, format_ms, parse_duration_ms, parse_percent, parse_size_kib


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("33ms", 33),
        ("0ms", 0),
        ("1.5s", 1500),
        ("0.001s", 1),
        ("2min", 120_000),
        ("1h", 3_600_000),
        (" 33 ms ", 33),
        ("0.5min", 30_000),
        ("007ms", 7),
    ],
)
def test_duration_is_whole_milliseconds(text: str, duration_ms: int) -> None:
    assert parse_duration_ms(text) == duration_ms


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("33", "33 has no unit: write 33ms or 33s"),
        ("1.5ms", "not a whole number of milliseconds"),
        ("33 m", "unknown unit 'm': write ms, s, min or h"),
        ("33MS", "unknown unit"),
        ("-5ms", "negative"),
        ("ms", "write a number and a unit, such as 33ms"),
        ("", "not a duration"),
        (".5s", "not a duration"),
        ("1.s", "not a duration"),
        ("1.2.3s", "not a duration"),
        ("1e3s", "unknown unit 'e3s'"),
        ("٣ms", "not a duration"),
        ("9" * 5000 + "s", "too many digits"),
        ("33\x00ms", "unknown unit"),
    ],
)
def test_wrong_duration_says_what_was_meant(text: str, meant: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_duration_ms(text)
    assert meant in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "size_kib"),
    [
        ("12M", 12 * 1024),
        ("64 MiB", 64 * 1024),
        ("1G", 1 << 20),
        ("512K", 512),
        ("1kB", 1),
        ("4096B", 4),
        ("1.5M", 1536),
        ("12.3 MB", 12595),
        ("0K", 0),
        ("2gib", 2 << 20),
    ],
)
def test_size_is_kib_in_powers_of_1024(text: str, size_kib: int) -> None:
    assert parse_size_kib(text) == size_kib


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("4096", "4096 has no unit: write 4096K, 4096M or 4096G"),
        ("100B", "less than 1K"),
        ("12X", "unknown unit 'X': write K, M or G"),
        ("12Mi", "unknown unit"),
        ("60%", "unknown unit '%'"),
        ("-1M", "negative"),
        ("M", "not a size"),
    ],
)
def test_wrong_size_says_what_was_meant(text: str, meant: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_size_kib(text)
    assert meant in str(caught.value)


def test_percent_is_whole() -> None:
    assert parse_percent("60%") == 60
    assert parse_percent("100 %") == 100
    for text, meant in (("60", "60 has no unit: write 60%"), ("0.5%", "whole"), ("6 pct", "unknown unit")):
        with pytest.raises(ValueError, match=meant):
            parse_percent(text)


@pytest.mark.parametrize(
    ("size_kib", "shown"),
    [
        (0, "0 KB"),
        (1023, "1023 KB"),
        (1024, "1.0 MB"),
        (12595, "12.3 MB"),
        (1_048_575, "1.0 GB"),
        (1_572_864, "1.5 GB"),
        (-2048, "-2.0 MB"),
    ],
)
def test_size_for_a_person(size_kib: int, shown: str) -> None:
    assert format_kib(size_kib) == shown


@pytest.mark.parametrize(
    ("duration_ms", "shown"),
    [
        (0, "0 ms"),
        (33, "33 ms"),
        (999, "999 ms"),
        (1500, "1.5 s"),
        (59_960, "1 min 0 s"),
        (125_000, "2 min 5 s"),
        (3_840_000, "1 h 4 min"),
        (-33, "-33 ms"),
    ],
)
def test_duration_for_a_person(duration_ms: int, shown: str) -> None:
    assert format_ms(duration_ms) == shown


@given(st.text())
def test_any_text_gives_a_number_or_a_value_error(text: str) -> None:
    for parse in (parse_duration_ms, parse_size_kib, parse_percent):
        try:
            number = parse(text)
        except ValueError as error:
            assert str(error).isprintable()
        else:
            assert number >= 0


@given(st.integers(min_value=0, max_value=10**12))
def test_exact_spellings_are_read_back(number: int) -> None:
    assert parse_duration_ms(f"{number}ms") == number
    assert parse_size_kib(f"{number}K") == number
    assert parse_percent(f"{number}%") == number


def test_resident_modules_import_nothing_heavy() -> None:
    program = (
        "import sys; before = set(sys.modules); import lmkd.units, lmkd.matching; "
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == ["__future__", "lmkd", "lmkd.matching", "lmkd.units"]
