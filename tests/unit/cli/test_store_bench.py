"""``lmkd store bench``: its parts and options, what a person and a program see, what cannot be measured."""

from __future__ import annotations

import argparse
import json
from typing import Any

import pytest

from lmkd.cli import store, store_bench
from lmkd.errors import StoreError
from lmkd.store.bench_process import ProcessEndedError
from lmkd.store.state import NO_STORE
from lmkd.values import replace
from tests.unit.store.bench_fakes import ZRAM, ZSWAP, FakeBench


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lmkd")
    store.add_parser(parser.add_subparsers(dest="command", required=True))
    return parser.parse_args(["store", "bench", *words])


def survey() -> tuple[dict[str, Any], list[str]]:
    return {"algorithms": ["lz4"]}, ["the algorithms"]


def test_the_options_are_understood() -> None:
    args = parse("--only", "pages", "--only", "deaths", "--size", "4M", "--apps", "4", "--json")
    assert (args.only, args.size, args.apps, args.json) == (["pages", "deaths"], 4096, 4, True)
    assert (parse().only, parse().size, parse().apps, parse().pages) == ([], 16384, 8, 256)


@pytest.mark.parametrize(
    "words", [("--only", "x"), ("--size", "4"), ("--size", "512K"), ("--size", "1G"), ("--apps", "1"), ("--apps", "y")]
)
def test_anything_else_is_a_usage_error(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 2


def test_a_person_sees_the_store_the_way_the_deaths_and_the_algorithms(capsys: pytest.CaptureFixture[str]) -> None:
    port = FakeBench()
    assert store_bench.run(parse(), port, survey) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert port.least and all(len(line) <= 80 for line in lines), text
    three = next(line for line in lines if line.startswith("ratio 3")).split()
    assert three == ["ratio", "3", "4096", "50.0", "23.0", "23.0", "21.0", "200.0", "400.0", "169.8"]
    assert any(line.startswith("two at once, one processor: ") for line in lines)
    assert any(line.split() == ["at", "once", "4.3", "MB", "2.0", "MB", "75%"] for line in lines), text
    assert any(line.startswith("after compaction") and line.endswith("100%") for line in lines)
    assert lines[-1] == "the algorithms"


def test_a_person_sees_what_zswap_refuses_and_that_it_is_not_compacted(capsys: pytest.CaptureFixture[str]) -> None:
    assert store_bench.run(parse("--only", "pages", "--only", "deaths"), FakeBench(ZSWAP), survey) == 0
    text = capsys.readouterr().out
    assert "zswap (dm-0, zbud), lz4" in text and "incompressible: 256 of 256 pages did not go out" in text
    assert "after compaction" not in text and "cannot be told to compact" in text.replace("\n", " ")
    assert max(map(len, text.splitlines())) <= 80


def test_a_program_sees_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert store_bench.run(parse("--json"), FakeBench(), survey) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["store"]["device"] == "zram0" and found["algorithms"] == ["lz4"] and found["not_measured"] == {}
    assert [way["kind"] for way in found["pages"]["ways"]] == ["ratio 3", "incompressible"]
    assert found["pages"]["two_at_once"][0]["each_mb_s"] and found["deaths"]["predicted_kib"] == 2731


def test_only_what_is_asked_for_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    port = FakeBench()
    assert store_bench.run(parse("--only", "algorithms", "--json"), port, survey) == 0
    assert port.started == [] and set(json.loads(capsys.readouterr().out)) == {"algorithms", "not_measured"}


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_without_a_store_the_algorithms_are_tried_and_the_rest_is_an_error_at_the_end(
    option: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StoreError, match="pages: store: there is none to measure: `lmkd store up` makes one\ndeaths: "):
        store_bench.run(parse(*option), FakeBench(NO_STORE), survey)
    text = capsys.readouterr().out
    if option:
        assert set(json.loads(text)["not_measured"]) == {"pages", "deaths"}
    else:
        assert text == "the algorithms\n"


def test_when_memory_is_short_nothing_is_taken() -> None:
    port = FakeBench(available_kib=20_000)
    with pytest.raises(StoreError, match="memory is short"):
        store_bench.run(parse("--only", "pages", "--only", "deaths"), port, survey)
    assert port.started == []


def test_when_the_guard_ends_a_process_the_whole_command_ends() -> None:
    class Short(FakeBench):
        def start(self, task: Any) -> Any:
            raise ProcessEndedError

    with pytest.raises(ProcessEndedError):
        store_bench.run(parse(), Short(), lambda: pytest.fail("no further part may begin"))


def test_read_ahead_and_a_store_without_room_are_mentioned(capsys: pytest.CaptureFixture[str]) -> None:
    class Clustered(FakeBench):
        def page_cluster(self) -> int:
            return 3

    port = Clustered(replace(ZRAM, mem_limit_kib=2000))
    assert store_bench.run(parse("--only", "pages"), port, survey) == 0
    text = capsys.readouterr().out
    assert "vm.page-cluster is 3" in text and "not measured: incompressible" in text
