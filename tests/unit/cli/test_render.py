"""Tables, groups and the views of ps and status, as golden lines."""

from __future__ import annotations

import io
import os
import termios
from pathlib import Path
from typing import Any

import pytest

from lmkd.cli.ps import numbered, ps_lines
from lmkd.cli.render import COLUMNS, groups, table, terminal_width, use_colour, wrapped
from lmkd.cli.status import status_lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def row(pid: int, name: str, priority: int, **more: Any) -> dict[str, Any]:
    sizes = {"resident_kib": 12595, "swapped_kib": 0, "gain_kib": 900}
    return {"pid": pid, "name": name, "priority": priority, "rule": "own oom_score_adj", **sizes, **more}


@pytest.mark.parametrize(
    ("stream", "environment", "coloured"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    stream: io.StringIO, environment: dict[str, str], coloured: bool
) -> None:
    assert use_colour(stream, environment) is coloured


def test_columns_are_straight_beside_wide_letters() -> None:
    lines = table(("NAME", "SIZE"), [("\u6f22\u5b57", "1"), ("plain", "22")], (1,))
    assert lines == ["NAME   SIZE", "\u6f22\u5b57      1", "plain    22"]


@pytest.mark.parametrize(("columns", "width"), [(0, COLUMNS), (1, 30), (48, 48), (80, 80), (300, 300)])
def test_the_width_is_the_terminals_where_it_knows_it(columns: int, width: int) -> None:
    ours, theirs = os.openpty()
    try:
        termios.tcsetwinsize(theirs, (24, columns))
        with open(theirs, "w", closefd=False) as stream:
            assert terminal_width(stream) == width
    finally:
        os.close(ours)
        os.close(theirs)


def test_what_is_no_terminal_has_80_columns(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as stream:
        assert terminal_width(stream) == 80
    assert terminal_width(io.StringIO()) == 80


def test_a_number_stays_with_its_unit_when_a_line_is_wrapped() -> None:
    assert wrapped("at least 3.0 MB, at most 10.0 s", 13) == ["at least", "3.0 MB, at", "most 10.0 s"]
    assert wrapped("", 10) == []
    assert wrapped("a word-with-hyphens", 12) == ["a word-with-", "hyphens"]


def test_a_table_is_aligned_and_its_numbers_to_the_right() -> None:
    assert table(("A", "NUMBER", "C"), [("long cell", "1", "x"), ("b", "1000", "")], right=(1,)) == [
        "A          NUMBER  C",
        "long cell       1  x",
        "b            1000",
    ]


def test_a_table_without_rows_is_its_heading() -> None:
    assert table(("A", "B"), [], colour=True) == ["\x1b[1mA  B\x1b[0m"]


def test_ps_shows_the_kill_order_and_the_protected_at_the_end() -> None:
    rows = [
        row(812, "indexer", 900, rule="/etc/lmkd/lmkd.yaml:7", swapped_kib=2048),
        row(1, "init", -1000, rule="process 1"),
        row(77, "evil\nname", 0, gain_kib=None),
    ]
    assert ps_lines(rows, colour=False) == [
        "ORDER  PID  NAME        PRIORITY         RULE                   RESIDENT  SWAPPED     GAIN",
        "    1  812  indexer     900 cached       /etc/lmkd/lmkd.yaml:7   12.3 MB   2.0 MB   900 KB",
        "    2   77  evil\\nname  0 foreground     own oom_score_adj       12.3 MB     0 KB  unknown",
        "never    1  init        -1000 protected  process 1               12.3 MB     0 KB   900 KB",
    ]


def test_ps_numbers_as_json_are_the_order_or_none() -> None:
    rows = [row(5, "kept", 100, never=True, order=1), row(6, "doomed", 100, order=2), {}]
    assert [(found.get("pid"), found["order"]) for found in numbered(rows)] == [(6, 1), (None, 2), (5, None)]


def test_groups_nest_and_show_their_total_on_the_groups_line() -> None:
    fields = {
        "level": "low",
        "headroom": {"free_kib": 1024, "store_kib": None, "total_kib": 4096},
        "degraded": [{"feature": "psi", "cost": "slow"}],
        "nothing": {},
    }
    assert groups(fields) == [
        "level     low",
        "headroom  4.0 MB",
        "  free    1.0 MB",
        "  store   unknown",
        "degraded",
        "  -       feature psi; cost slow",
        "nothing   none",
    ]


STATUS: dict[str, Any] = {
    "t_ms": 61_000.0,
    "started_ms": 1_000.0,
    "wakeups": 12,
    "settings": {"ram_kib": 250_000},
    "store": {"kind": "zram", "orig_kib": 4096, "used_kib": 1024},
    "forecast": {"rate_kib_s": 0, "exhaustion_ms": 3_600_000},
    "level": "calm",
    "headroom": {"free_kib": 2048, "total_kib": 2048},
}


def test_status_begins_with_what_matters_and_ends_with_the_settings() -> None:
    assert status_lines(STATUS, colour=False, now_ms=71_000.0) == [
        "level         calm",
        "headroom      2.0 MB",
        "  free        2.0 MB",
        "forecast",
        "  rate        0 KB/s",
        "  exhaustion  not in sight",
        "store",
        "  kind        zram",
        "  orig        4.0 MB",
        "  used        1.0 MB",
        "  ratio       4.00",
        "uptime        1 min 10 s",
        "last look     10.0 s",
        "wakeups       12",
        "settings",
        "  ram         244.1 MB",
    ]


def test_the_level_is_coloured_on_a_terminal() -> None:
    assert status_lines({"level": "calm"}, True, 0.0) == ["\x1b[1mlevel\x1b[0m  \x1b[32mcalm\x1b[0m"]


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"level": None, "store": None},
        {"t_ms": "x", "store": {"orig_kib": 1, "used_kib": 0}},
        {"level": ["calm"], "\x1b": {"\n": "\x07"}},
    ],
)
def test_an_odd_status_is_shown_nevertheless(status: dict[str, Any]) -> None:
    assert all(line.isprintable() for line in status_lines(status, False, 0.0))
