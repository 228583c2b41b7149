"""The alarm when zswap refuses pages."""

from __future__ import annotations

from pathlib import Path

from lmkd.helper.rejects import EVERY_MS, Rejects


def test_growth_is_recorded_once_in_a_while_and_by_how_much(tmp_path: Path) -> None:
    told: list[tuple[str, tuple[tuple[str, object], ...], str]] = []
    (tmp_path / "pool_limit_hit").write_text("5\n")
    (tmp_path / "reject_alloc_fail").write_text("0\n")
    alarm = Rejects(str(tmp_path), "", lambda *record: told.append(record))
    alarm.look(0.0)
    assert told == []
    (tmp_path / "pool_limit_hit").write_text("8\n")
    alarm.look(EVERY_MS - 1)
    assert told == []
    alarm.look(EVERY_MS)
    alarm.look(2 * EVERY_MS)
    assert told == [("store_rejects", (("pool_limit_hit", 3),), "warning")]


def test_what_is_refused_after_the_last_look_is_told_by_one_more(tmp_path: Path) -> None:
    told: list[tuple[str, tuple[tuple[str, object], ...], str]] = []
    limit_hit = tmp_path / "pool_limit_hit"
    limit_hit.write_text("5\n")
    alarm = Rejects(str(tmp_path), "", lambda *record: told.append(record))
    assert alarm.wait_ms(0.0) is None
    alarm.look(0.0)
    limit_hit.write_text("9\n")
    assert alarm.wait_ms(100.0) == EVERY_MS - 100
    alarm.turn(EVERY_MS - 1)
    assert told == []
    alarm.turn(EVERY_MS)
    assert told == [("store_rejects", (("pool_limit_hit", 4),), "warning")]
    assert alarm.wait_ms(EVERY_MS) == EVERY_MS
    alarm.turn(2 * EVERY_MS)
    assert alarm.wait_ms(2 * EVERY_MS) is None, "nothing more was refused: no more looks"


def test_without_debugfs_there_is_no_alarm_and_no_failure(tmp_path: Path) -> None:
    told: list[object] = []
    for folder in ("", str(tmp_path / "nowhere")):
        Rejects(folder, folder, lambda *record: told.append(record)).look(1.0)
    (tmp_path / "pool_limit_hit").write_text("odd\n")
    Rejects(str(tmp_path), "", lambda *record: told.append(record)).look(1.0)
    assert told == []


def test_what_no_counter_of_zswap_tells_shows_as_a_write_to_the_device(tmp_path: Path) -> None:
    told: list[tuple[str, tuple[tuple[str, object], ...], str]] = []
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("pswpin 1\npswpout 7\n")
    alarm = Rejects("", str(vmstat), lambda *record: told.append(record))
    vmstat.write_text("pswpin 1\npswpout 1007\n")
    alarm.look(1.0)
    assert told == [("store_rejects", (("pswpout", 1000),), "warning")]
