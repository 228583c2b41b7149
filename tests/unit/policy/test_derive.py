"""The policy's numbers: what follows from what, what is set by hand, and words that say what is computed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.config.schema import fields_of
from lmkd.model import Settings
from lmkd.policy.derive import NUMBERS, Number, derive, derive_numbers, explained, settings_of, stem
from lmkd.units import parse_duration_ms, parse_size_kib
from lmkd.values import as_dict, field_names

BY_NAME = {number.name: number for number in NUMBERS}
BY_STEM = {stem(number.name): number for number in NUMBERS}
FACTS = {
    "ram_kib": 249856, "watermark_min_kib": 1024, "watermark_low_kib": 2048, "stall_budget_ms": 33,
    "fault_meter": True, "psi_step_us": 1000, "page_kib": 4,
}  # fmt: skip
RULED = [number for number in NUMBERS if number.of or type(number.fixed) is int]
BUDGETS = st.integers(5, 1000)
RAMS_KIB = st.integers(16 << 10, 64 << 20)
SETTABLE = st.fixed_dictionaries(
    {},
    optional={
        "kill_horizon_ms": st.integers(1, 60_000), "stall_window_ms": st.integers(100, 10_000),
        "psi_some_us": st.integers(1, 10_000).map(lambda ms: ms * 1000), "hold_base_ms": st.integers(100, 60_000),
        "psi_full_us": st.integers(1, 10_000).map(lambda ms: ms * 1000), "hold_max_ms": st.integers(100, 3_600_000),
        "psi_window_us": st.integers(500, 10_000).map(lambda ms: ms * 1000), "trim": st.booleans(),
        "headroom_floor_kib": st.integers(0, 8 << 20),
    },
)  # fmt: skip


def numbers_of(overrides: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    return derive_numbers({**FACTS, **facts}, overrides or {})


@pytest.mark.parametrize(
    ("ram_kib", "floor_kib", "file_kib"), [(65536, 3072, 3276), (249856, 4997, 12492), (1048576, 20971, 52428)]
)
def test_floors_follow_the_memory_of_the_board(ram_kib: int, floor_kib: int, file_kib: int) -> None:
    settings = derive(ram_kib, 100, 200, 33, True, {})
    assert (settings.headroom_floor_kib, settings.file_floor_kib) == (floor_kib, file_kib)
    assert (settings.ram_kib, settings.watermark_min_kib, settings.watermark_low_kib) == (ram_kib, 100, 200)


def test_without_zoneinfo_the_watermarks_are_a_share_of_the_memory() -> None:
    settings = derive(200_000, None, None, 33, True, {})
    assert (settings.watermark_min_kib, settings.watermark_low_kib) == (1000, 2000)


@pytest.mark.parametrize(
    ("budget_ms", "horizon_ms", "window_ms", "psi"),
    [
        (5, 15, 100, (5000, 2500, 500_000)),
        (33, 99, 198, (33_000, 16_500, 500_000)),
        (100, 300, 600, (100_000, 50_000, 1_500_000)),
        (1000, 3000, 6000, (1_000_000, 500_000, 10_000_000)),
    ],
)
def test_horizon_windows_and_triggers_follow_the_stall_budget(
    budget_ms: int, horizon_ms: int, window_ms: int, psi: tuple[int, int, int]
) -> None:
    numbers = numbers_of(stall_budget_ms=budget_ms)
    assert (numbers["kill_horizon_ms"], numbers["stall_window_ms"]) == (horizon_ms, window_ms)
    assert tuple(numbers[f"psi_{part}_us"] for part in ("some", "full", "window")) == psi


@given(BUDGETS, st.sampled_from((1000, 2_000_000)), SETTABLE)
def test_a_trigger_that_was_not_given_is_one_that_the_kernel_takes(
    budget_ms: int, step_us: int, overrides: dict[str, Any]
) -> None:
    """kernel/sched/psi.c, psi_trigger_create: windows of 0.5 to 10 s, no threshold of 0 or above the window."""
    numbers = numbers_of(overrides, stall_budget_ms=budget_ms, psi_step_us=step_us)
    window_us = numbers["psi_window_us"]
    assert 500_000 <= window_us <= 10_000_000
    assert "psi_window_us" in overrides or window_us % step_us == 0
    for name in ("psi_some_us", "psi_full_us"):
        assert numbers[name] > 0
        if not {"psi_window_us", name} <= set(overrides) and name != "psi_full_us":
            assert numbers[name] <= window_us


@given(BUDGETS, SETTABLE)
def test_what_is_set_by_hand_stands_and_the_rest_follows_its_rule(budget_ms: int, overrides: dict[str, Any]) -> None:
    numbers = numbers_of(overrides, stall_budget_ms=budget_ms)
    assert {name: numbers[name] for name in overrides} == overrides
    for number in NUMBERS:
        if number.name not in overrides and number.derived(numbers) is not None and not number.fact:
            assert numbers[number.name] == number.derived(numbers), number.name


def test_a_number_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(TypeError, match="no such number: horizon"):
        numbers_of({"horizon": 1})
    with pytest.raises(KeyError, match="psi_step_us"):
        numbers_of(psi_step_us=None)


def test_every_setting_and_every_key_has_its_number() -> None:
    assert set(field_names(Settings)) <= set(BY_NAME)
    keys = {f"policy.{field.key}" for field in fields_of("policy")} | {"stall_budget"}
    assert {number.key for number in NUMBERS if number.key} == keys
    assert all(number.key in ("", stem(number.name), f"policy.{stem(number.name)}") for number in NUMBERS)


def test_the_settings_are_the_numbers_of_their_names() -> None:
    numbers = numbers_of()
    assert as_dict(settings_of(numbers)) == {name: numbers[name] for name in field_names(Settings)}


# The words are checked by reading them as a person would: what they name, and what they compute.

TERM = re.compile(r"(?:(\d+) x |(\d+)% of |(\d+)/(\d+) of )?([a-z_]+)$")


def named_in(words: str) -> set[str]:
    """The numbers that these words name."""
    return {BY_STEM[word].name for word in re.findall(r"[a-z_]+", words) if word in BY_STEM}


def computed(number: Number, numbers: dict[str, Any]) -> int:
    """What the words come to."""
    words = number.words()
    rule, *bounds = words.removeprefix(f"{number.fact}, else ").split(", ")
    term = TERM.match(rule)
    if rule == "fixed":
        amount = numbers_of()[number.name]
    else:
        assert term, words
        times, pct, over, under, name = term.groups()
        scale = 1000 if name == "stall_budget" and number.name.endswith("_us") else 1
        base = numbers[BY_STEM[name].name] * scale
        amount = base * int(times or pct or over or 1) // (100 if pct else int(under or 1))
    for bound in bounds:
        how, _, rest = bound.removeprefix("in ").partition(" of " if bound.startswith("in ") else " ")
        if bound.startswith("in steps"):
            step = numbers[BY_STEM[rest].name]
            amount = (amount + step - 1) // step * step
            continue
        _least_or_most, _, parts = rest.partition(" ") if how == "at" else ("", "", rest)
        for part in parts.split(" and "):
            limit = numbers[BY_STEM[part].name] if part in BY_STEM else size(part, number.name)
            amount = max(amount, limit) if bound.startswith("at least") else min(amount, limit)
    return int(amount)


def size(text: str, name: str) -> int:
    if name.endswith("_kib"):
        return parse_size_kib(text)
    return parse_duration_ms(text) * (1000 if name.endswith("_us") else 1)


@pytest.mark.parametrize("number", RULED, ids=lambda number: stem(number.name))
@given(BUDGETS, RAMS_KIB, st.sampled_from((1000, 2_000_000)))
def test_the_words_come_to_the_value(number: Number, budget_ms: int, ram_kib: int, step_us: int) -> None:
    facts = {"watermark_min_kib": None, "watermark_low_kib": None}
    numbers = numbers_of(stall_budget_ms=budget_ms, ram_kib=ram_kib, psi_step_us=step_us, **facts)
    assert computed(number, numbers) == numbers[number.name]


def changes_with(fact: str, values: tuple[int, ...]) -> set[str]:
    """The numbers that differ for some of these values of one fact."""
    unknown: dict[str, Any] = {"watermark_min_kib": None, "watermark_low_kib": None}
    several = [numbers_of(None, **unknown, **{fact: value}) for value in values]
    return {name for name in several[0] if len({numbers[name] for numbers in several}) > 1}


def said_to_follow(fact: str) -> set[str]:
    """The numbers whose words name this fact, or a number that follows it."""
    found = {fact}
    while True:
        more = {number.name for number in NUMBERS if named_in(rule_of(number)) & found} | found
        if more == found:
            return found
        found = more


def rule_of(number: Number) -> str:
    return number.words().removeprefix(number.fact).partition(", at ")[0]


@pytest.mark.parametrize(
    ("fact", "values"), [("stall_budget_ms", (5, 33, 60, 100, 300, 1000)), ("ram_kib", (65536, 249856, 1 << 22))]
)
def test_a_change_of_the_knob_or_the_board_changes_what_the_words_say_and_nothing_else(
    fact: str, values: tuple[int, ...]
) -> None:
    assert changes_with(fact, values) == said_to_follow(fact)


def test_a_row_says_value_rule_key_and_where_it_was_given() -> None:
    numbers = numbers_of({"headroom_floor_kib": 8192})
    rows = {row["name"]: row for row in explained(numbers, {"policy.headroom_floor": "/etc/lmkd/lmkd.yaml:3:19"})}
    assert list(rows) == [number.name for number in NUMBERS]
    assert rows["headroom_floor_kib"] == {
        "name": "headroom_floor_kib",
        "value": 8192,
        "text": "8.0 MB",
        "rule": "2% of ram, at least 3.0 MB",
        "derived": 4997,
        "derived_text": "4.9 MB",
        "key": "policy.headroom_floor",
        "given": "/etc/lmkd/lmkd.yaml:3:19",
    }
    ram = rows["ram_kib"]
    assert (ram["key"], ram["given"], ram["derived"], ram["rule"]) == (None, None, None, "the board's MemTotal")


def test_what_an_older_lmkd_does_not_tell_has_no_row() -> None:
    rows = {row["name"]: row for row in explained({"stall_budget_ms": 33, "psi_window_us": 500_000}, {})}
    assert list(rows) == ["stall_budget_ms", "psi_window_us"]
    assert rows["psi_window_us"]["derived"] is None


@pytest.mark.parametrize(
    ("name", "amount", "text"),
    [
        ("psi_full_us", 16_500, "16.5 ms"),
        ("psi_window_us", 2_000_000, "2.0 s"),
        ("trim", True, "true"),
        ("runaway", False, "false"),
        ("set_limit", 8, "8"),
        ("hold_max_ms", 60_000, "1 min 0 s"),
    ],
)
def test_a_value_is_shown_with_its_unit(name: str, amount: int, text: str) -> None:
    assert BY_NAME[name].shown(amount) == text
