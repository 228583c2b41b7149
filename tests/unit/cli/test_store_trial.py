"""``lmkd store trial`` and ``bench``: options, what a person and a program see, what ``store status`` shows of it."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import pytest

from lmkd import config as configs
from lmkd.cli import main as cli
from lmkd.cli import store, store_trial
from lmkd.store.remembered import lasting_path, remember
from tests.unit.store.fakes import Board, Reports
from tests.unit.store.test_remembered import RAM_KIB, found_on


@pytest.fixture
def board(tmp_path: Path) -> Board:
    made = Board(tmp_path)
    made.memory(RAM_KIB, 150_000)
    return made


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lmkd")
    store.add_parser(parser.add_subparsers(dest="command", required=True))
    return parser.parse_args(["store", *words])


def shown(board: Board, text: str = "") -> dict[str, Any]:
    return store_trial.described(found_on(board), configs.parse_text(text, "f"), RAM_KIB)


def test_the_options_are_understood() -> None:
    args = parse("bench", "--pages", "64", "--process", "bg-*", "--algorithm", "lz4", "--algorithm", "zstd", "--json")
    assert (args.pages, args.process, args.algorithm, args.json) == (64, "bg-*", ["lz4", "zstd"], True)
    assert parse("trial", "--clear").clear is True


@pytest.mark.parametrize(
    "words",
    [
        ("bench", "--pages", "0"),
        ("bench", "--pages", "99999999999999999999"),
        ("trial", "--pages", "x"),
        ("bench", "--clear"),
    ],
)
def test_anything_else_is_a_usage_error(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 2


def test_a_person_sees_each_algorithm_what_auto_takes_and_why_not_the_others(board: Board) -> None:
    lines = store_trial.lines(shown(board) | {"failed": {"842": "EINVAL"}, "lz4_package_ratio": 2.07})
    text = " ".join(line.strip() for line in lines)
    assert "lzo-rle: taken" in lines and "zstd: not taken: a fetch takes 171.9 us, more than" in text
    assert "842: not tried: EINVAL" in lines
    assert "auto: lzo-rle, with a size of 317.7 MB" in text
    assert all(len(line) <= 80 for line in lines)
    rows = {line.split()[0]: line for line in lines if line.endswith(" MB")}
    assert len({rows[name].index("2.0") for name in ("lzo", "lzo-rle")}) == 1


def test_a_program_sees_figures_bounds_and_choice(board: Board) -> None:
    found = json.loads(json.dumps(shown(board, "stall_budget: 500ms")))
    assert (found["auto"], found["auto_size_kib"], found["entry_bytes"]) == ("zstd", 325364, 16)
    assert [row["name"] for row in found["algorithms"]] == ["lzo", "lzo-rle", "lz4", "lz4hc", "zstd"]
    assert found["bounds"]["fetch_us"] > 171.9


def test_status_shows_what_was_remembered_and_that_nothing_was(board: Board) -> None:
    reports = Reports()
    assert store_trial.last_trial(board.roots, reports) is None
    remember(board.roots, found_on(board), reports)
    found = store_trial.last_trial(board.roots, reports)
    assert found is not None and found["auto"] == "lzo-rle" and reports.events == []


def test_status_shows_it_also_beside_a_configuration_that_is_wrong_and_a_file_that_is_damaged(board: Board) -> None:
    remember(board.roots, found_on(board), Reports())
    board.put(board.roots.etc / "lmkd.yaml", "stall_budget: 33\n")
    reports = Reports()
    found = store_trial.last_trial(board.roots, reports)
    assert found is not None and reports.of("degraded")["feature"] == "configuration"
    board.put(lasting_path(board.roots), "{")
    assert store_trial.last_trial(board.roots, Reports()) is None


def test_a_machine_that_cannot_is_told_so_in_one_line(
    board: Board, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    board.memory(RAM_KIB, 10_000)
    monkeypatch.setattr("lmkd.kernel.files.system_roots", lambda: board.roots)
    monkeypatch.setattr(store_trial, "_leave_cleanly", lambda: None)
    stderr = io.StringIO()
    assert cli.main(["store", "trial"], stderr) == 1
    assert stderr.getvalue() == "lmkd: store: no trial while memory is short: 10000 KiB are available\n"
    assert capsys.readouterr().out == ""
