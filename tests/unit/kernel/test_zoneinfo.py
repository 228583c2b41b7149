"""Watermarks: sums over the zones that have pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.kernel.zoneinfo import Watermarks, parse_zoneinfo

BOARD = """\
Node 0, zone   Normal
  per-node stats
      nr_inactive_anon 6847
      nr_active_anon 89
      nr_dirtied   31
  pages free     22885
        boost    0
        min      486
        low      607
        high     728
        spanned  65536
        present  65536
        managed  59023
        cma      4096
        protection: (0, 0, 0)
      nr_free_pages 22885
  pagesets
    cpu: 0
              count: 217
              high:  378
              batch: 63
  vm stats threshold: 8
  node_unreclaimable:  0
  start_pfn:           262144
Node 0, zone  HighMem
  pages free     0
        boost    0
        min      32
        low      32
        high     32
        spanned  0
        present  0
        managed  0
        cma      0
        protection: (0, 0, 0)
Node 0, zone  Movable
  pages free     0
        boost    0
        min      32
        low      32
        high     32
        spanned  0
        present  0
        managed  0
        cma      0
        protection: (0, 0, 0)
"""
NORMAL = BOARD[: BOARD.index("Node 0, zone  HighMem")]
SECOND = NORMAL.replace("managed  59023", "managed  100").replace("486", "14")


def test_zones_without_pages_do_not_count() -> None:
    assert parse_zoneinfo(BOARD) == Watermarks(486, 607, 728)


def test_zones_with_pages_are_summed() -> None:
    assert parse_zoneinfo(BOARD + SECOND) == Watermarks(500, 1214, 1456)


@pytest.mark.parametrize("text", ["", "\n", "Node 0, zone Normal\n", BOARD.replace("59023", "0"), BOARD[:200]])
def test_no_zone_with_pages_is_no_answer(text: str) -> None:
    assert parse_zoneinfo(text) is None


@pytest.mark.parametrize("line", ["        min      486\n", "        low      607\n", "        managed  59023\n"])
def test_a_zone_whose_line_is_missing_is_no_answer(line: str) -> None:
    assert parse_zoneinfo(BOARD.replace(line, "")) is None


@given(st.text())
def test_no_text_makes_parsing_fail(text: str) -> None:
    parse_zoneinfo(text)
