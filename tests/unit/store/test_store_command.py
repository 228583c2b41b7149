"""``lmkd store``: its options and how a store looks to a person and to a program."""

from __future__ import annotations

import argparse
import json

import pytest

from lmkd.cli import store
from lmkd.store.state import NO_STORE, StoreState

UP = StoreState(
    kind="zram", device="zram0", algorithm="lz4", size_kib=144608, orig_kib=65324, compressed_kib=5288,
    used_kib=6000, used_max_kib=6000, same_pages=11, huge_pages=5, swap_used_kib=65536, swap_priority=100,
    ratio=65324 / 6000,
)  # fmt: skip


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lmkd")
    store.add_parser(parser.add_subparsers(dest="command", required=True))
    return parser.parse_args(["store", *words])


def test_the_three_actions_and_their_options_are_understood() -> None:
    assert parse("up", "--config", "a.yaml", "--config", "b.yaml", "--dry-run").dry_run is True
    assert parse("down", "--json").json is True
    assert (parse("move").if_better, parse("move", "--if-better").if_better) == (False, True)
    assert parse("status").action == "status"


@pytest.mark.parametrize("words", [(), ("sideways",), ("status", "--dry-run"), ("down", "--force")])
def test_anything_else_is_a_usage_error(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 2
    assert "usage: lmkd" in capsys.readouterr().err


def test_a_person_sees_aligned_lines_with_units() -> None:
    lines = store.render(UP, as_json=False).splitlines()
    assert lines[0] == "store             zram, lmkd's own"
    assert "size              141.2 MiB" in lines
    assert "memory limit      none" in lines
    assert "ratio             10.89" in lines


def test_a_store_of_somebody_else_is_said_to_be_so() -> None:
    foreign = StoreState(kind="zram", device="zram0", foreign=True, adopted=True)
    assert "set up by somebody else" in store.render(foreign, as_json=False)
    assert "stored            -" in store.render(foreign, as_json=False)


def test_a_program_sees_every_field_and_null_for_what_is_not_known() -> None:
    assert json.loads(store.render(UP, as_json=True))["used_kib"] == 6000
    assert json.loads(store.render(NO_STORE, as_json=True))["used_kib"] is None
    assert store.render(NO_STORE, as_json=False) == "no store is up"


def test_a_zswap_store_shows_what_it_refused_and_what_stands_behind_it() -> None:
    state = StoreState(
        kind="zswap", device="dm-0", algorithm="lz4", size_kib=1024, orig_kib=512, used_kib=256, pool="zsmalloc",
        backing="device-mapper over zram0", rejected_pages=7, limit_hits=0, written_back_pages=0,
    )  # fmt: skip
    lines = store.render(state, as_json=False).splitlines()
    assert "pool              zsmalloc" in lines
    assert "behind it         device-mapper over zram0" in lines
    assert "rejected pages    7" in lines
    assert not [line for line in lines if line.startswith("compressed")]
