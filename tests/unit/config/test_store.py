"""The store's keys: a limit and its maximum, a backing device, and what is written to it."""

from __future__ import annotations

import pytest

from lmkd.config import parse_text
from lmkd.config.model import Amount
from lmkd.errors import ConfigError


def wrong(text: str) -> str:
    """The one error of this configuration."""
    with pytest.raises(ConfigError) as caught:
        parse_text(text, "f")
    (line,) = caught.value.lines
    return line


def test_by_default_nothing_is_written_and_the_limit_may_double() -> None:
    store = parse_text("").store
    assert (store.mem_limit, store.mem_limit_max) == (Amount(30, None), Amount(60, None))
    assert (store.backing_dev, store.backing_dev_force, store.recompress) == ("", False, "")
    assert (store.writeback.idle, store.writeback.huge) == (False, False)
    assert (store.writeback.idle_age_ms, store.writeback.daily_limit) == (600_000, Amount(None, 65536))


def test_what_is_given_is_taken() -> None:
    store = parse_text(
        "store: {backing_dev: /dev/mmcblk0p7, recompress: zstd, mem_limit_max: 80M,\n"
        "        writeback: {huge: true, idle: true, idle_age: 1h, daily_limit: 10M}}"
    ).store
    assert (store.backing_dev, store.recompress, store.mem_limit_max) == ("/dev/mmcblk0p7", "zstd", Amount(None, 81920))
    assert (store.writeback.idle, store.writeback.huge, store.writeback.idle_age_ms) == (True, True, 3_600_000)


@pytest.mark.parametrize(
    "limits", ["mem_limit: 40%, mem_limit_max: 30%", "mem_limit: 40M, mem_limit_max: 30M", "mem_limit_max: 20%"]
)
def test_a_maximum_below_the_limit_is_an_error_with_its_place(limits: str) -> None:
    line = wrong(f"store: {{{limits}}}")
    assert line.startswith("f:1:") and "store.mem_limit_max: is below store.mem_limit" in line


@pytest.mark.parametrize("limits", ["mem_limit: 40%", "mem_limit: 70%", "mem_limit: 40%, mem_limit_max: 40%"])
def test_the_same_as_the_limit_is_none(limits: str) -> None:
    parse_text(f"store: {{{limits}}}")


@pytest.mark.parametrize("key", ["idle", "huge"])
def test_writing_to_nowhere_is_an_error(key: str) -> None:
    assert wrong(f"store:\n  writeback: {{{key}: true}}").startswith(f"f:2:{17 + len(key)}: store.writeback.{key}: ")
    parse_text(f"store:\n  writeback: {{{key}: false}}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("store: {writeback: true}", "store.writeback: is the single value 'true', not a mapping: write writeback: {"),
        ("store: {writeback: {huje: true}}", "store.writeback.huje: unknown key: did you mean huge?"),
        ("store: {writeback: {idle_age: 10}}", "store.writeback.idle_age: '10' has no unit"),
        ("store: {backing_dev: mmcblk0p7}", "store.backing_dev: 'mmcblk0p7' is not absolute"),
        ("store: {daily_limit: 3M}", "store.daily_limit: unknown key here: it belongs into store.writeback"),
        ("store: {recompress: 'z std'}", "store.recompress: 'z std' is not a name"),
    ],
)
def test_a_mistake_is_named_with_its_key(text: str, said: str) -> None:
    assert said.replace("'", "") in wrong(text).replace("'", "").replace('"', "")
