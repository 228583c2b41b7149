"""The live view's picture: what it says, that it fits every terminal, and what the terminal is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.cli.ps import numbered
from lmkd.cli.spans import bar, beside, cells, cut, fitted, line, texts, width
from lmkd.cli.watch import Way, lines_of
from lmkd.cli.watch_frame import frame, framed, plain
from lmkd.cli.watch_parts import SORTS, Look, Seen, candidates
from lmkd.cli.watch_screen import REPAINT_EVERY, Screen
from lmkd.cli.watch_words import words
from lmkd.values import replace
from tests.unit.cli.pictures import PICTURES, picture
from tests.unit.cli.terminal import Terminal
from tests.unit.cli.watch_sample import EVENTS, MEMORY, NOON_S, ROWS, SEEN, STATUS, event, row
from tests.unit.source_tree import ROOT

LOOK = Look(unicode=False, keys=True, utc=True)
NOTHING = Seen({}, None, (), (), 0.0, 0.0)


def shown(seen: Seen = SEEN, look: Look = LOOK, columns: int = 79, rows: int = 24) -> str:
    return "\n".join(texts(frame(seen, look, columns, rows)))


def test_at_80x24_everything_is_there() -> None:
    lines = shown().split("\n")
    assert len(lines) == 24
    assert lines[0].startswith("lmkd  LOW   headroom 71.0 MB, 29% of RAM") and lines[0].endswith("12:00:00")
    squeezed = [" ".join(text.split()) for text in lines]
    assert "anonymous #######....... 116.0 MB 48% used ######........ 31.8 MB 43%" in squeezed
    assert "store ##............ 31.8 MB 13% holds 92.0 MB, 2.9:1" in squeezed
    assert any(text.endswith("waiting some 2.4% full 0.3%") for text in squeezed)
    assert any(text.endswith("consumed 4.2 MB/s, lasts 15.7 s") for text in squeezed)
    assert any(text.endswith("grows indexer[812] 3.9 MB/s") for text in squeezed)
    assert "2 812 indexer 900 cached 24.1 MB 24.1 MB 8.0 MB indexer" in squeezed
    assert "11:59:41 browser[877] died, 58.8 MB of 60.0 MB came back in 44 ms" in squeezed
    assert squeezed[-1] == "q quit p pause s sort"


def test_the_bands_are_all_of_memory() -> None:
    text = shown()
    assert all(name in text for name in ("anonymous", "store", "shmem", "cache", "kernel", "free"))
    kernel = MEMORY.total_kib - sum((MEMORY.free_kib, MEMORY.file_kib, MEMORY.anon_kib, MEMORY.shmem_kib, 32_563))
    assert f"{kernel / 1024:.1f} MB" in text


@pytest.mark.parametrize("sort", SORTS)
def test_the_candidates_can_be_sorted(sort: str) -> None:
    listed = texts(candidates(SEEN, replace(LOOK, sort=sort), 79, 20))[1:]
    first = {"kill order": 911, "returns": 512, "resident": 512, "swapped": 512, "name": 705}[sort]
    assert listed[0].split()[1] == str(first)
    assert len(listed) == 9, "the protected are no candidates"


def test_what_is_not_known_is_not_zero() -> None:
    text = shown(NOTHING)
    assert "unknown" in text and "0.0" not in text and "nobody" in text and "nothing yet" in text


def test_old_figures_say_how_old_they_are() -> None:
    assert "looked" not in shown()
    assert "looked 8.6 s ago" in shown(replace(SEEN, now_ms=STATUS["t_ms"] + 8_600))


def test_trouble_stands_where_the_keys_are_and_the_last_figures_stay() -> None:
    late_ms = STATUS["t_ms"] + 12_000
    text = shown(replace(SEEN, trouble="lmkd is not running here; trying again", now_ms=late_ms))
    assert text.endswith("lmkd is not running here; trying again")
    assert "71.0 MB" in text and "looked 12.0 s ago" in text.split("\n")[0]


def test_no_end_in_sight_is_said_in_words() -> None:
    calm = {**STATUS, "forecast": {"rate_kib_s": 0, "exhaustion_ms": 3_600_000, "grower_pid": None}}
    assert "0 KB/s, no end in sight" in shown(replace(SEEN, status=calm))


@pytest.mark.parametrize(
    ("ms", "said"), [(850, "850 ms"), (15_700, "15.7 s"), (61_000, "1 min"), (1_168_000, "19 min")]
)
def test_how_long_memory_lasts_is_said_as_far_as_it_matters(ms: float, said: str) -> None:
    status = {**STATUS, "forecast": {"rate_kib_s": 17_000, "exhaustion_ms": ms}}
    assert f"consumed  16.6 MB/s, lasts {said}\n" in shown(replace(SEEN, status=status))


def test_a_name_cannot_move_the_cursor_or_break_the_columns() -> None:
    rows = numbered([row(5, "evil\x1b[2J\n", 900, 100), row(6, "\u6f22\u5b57", 900, 200), row(7, "plain", 900, 300)])
    lines = texts(candidates(replace(SEEN, rows=tuple(rows)), LOOK, 60, 9))
    assert all(text.isprintable() for text in lines)
    starts = {cells(text[: text.index("900 cached")]) for text in lines[1:]}
    assert len(starts) == 1


def test_a_terminal_from_before_utf_8_gets_ascii_alone() -> None:
    """0x9b, a byte of the second letter, moves the cursor of such a terminal as ESC [ does."""
    name = "\u6f22\u015b2J"
    rows = numbered([row(812, name, 900, 100, rule=name), *ROWS[2:]])
    records = (event(1, 0, "kill", pid=9, name=name, predicted_kib=2048), event(2, 0, "odd", path=name))
    seen = replace(SEEN, rows=tuple(rows), events=records)
    text = shown(seen)
    assert text.isascii() and text.count("\\u6f22\\u015b2J") >= 4, text
    assert shown(seen, replace(LOOK, unicode=True)).count(name) >= 4


@pytest.mark.parametrize(("columns", "rows"), [(79, 12), (59, 20), (40, 11)])
def test_in_a_low_terminal_one_sees_who_is_next_rather_than_all_of_memory(columns: int, rows: int) -> None:
    text = shown(columns=columns, rows=rows)
    assert "NEXT TO DIE" in text and "thumbnailer" in text and "let browser[933] go on" in text
    assert "lasts 15.7 s" in text and "anonymous" not in text


@pytest.mark.parametrize("rows", [1, 2, 5, 9, 12])
def test_in_a_low_terminal_trouble_is_still_seen(rows: int) -> None:
    text = shown(replace(SEEN, trouble="lmkd is not running here"), rows=rows)
    assert text.endswith("lmkd is not running here") and text.count("\n") < rows


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from((*STATUS, "pid", "name", "event", "order", "gain_kib"))
ODD = st.dictionaries(KEYS, JSON, max_size=6)


@given(st.integers(1, 200), st.integers(1, 60), st.booleans(), st.booleans(), st.sampled_from(SORTS))
def test_it_fits_every_terminal(columns: int, rows: int, keys: bool, unicode: bool, sort: str) -> None:
    look = Look(unicode=unicode, sort=sort, keys=keys)
    made = frame(SEEN, look, columns, rows)
    assert len(made) <= rows
    assert all(width(one) <= columns for one in made)


@given(ODD, st.lists(ODD, max_size=4), st.lists(ODD, max_size=4), st.integers(20, 120))
def test_odd_answers_do_no_harm(
    status: dict[str, Any], rows: list[dict[str, Any]], events: list[dict[str, Any]], columns: int
) -> None:
    seen = Seen(status, MEMORY, tuple(numbered(rows)), tuple(events), 1.0, 1.0)
    made = frame(seen, LOOK, columns, 24)
    assert all(width(one) <= columns for one in made)
    assert all(text.isprintable() for text in plain(seen, LOOK, columns, 24, False))


@pytest.mark.parametrize("record", EVENTS, ids=lambda record: str(record["event"]))
def test_a_record_is_a_sentence_without_names_of_fields(record: dict[str, Any]) -> None:
    text, _ = words(record)
    assert "_" not in text and "unknown" not in text and text


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (event(1, 0, "kill", pid=9, name="app", predicted_kib=2048, reason="why", dry_run=True),
         "would have ended app[9] for 2.0 MB: why"),
        (event(1, 0, "refusal", reason="nobody returns enough"), "ended nobody: nobody returns enough"),
        (event(1, 0, "receipt", pid=9, name="app", victims=3, predicted_kib=2048, returned_kib=0, ms=900.0,
               outcome="stuck"), "app[9] and 2 more is stuck after 900 ms, 0 KB of 2.0 MB came back"),
        (event(1, 0, "renice", pid=9, name="app", nice=19, was=0, reason="it grows"),
         "app[9] yields the processor: it grows"),
        (event(1, 0, "renice", pid=9, name="app", nice=0, reason="calm"),
         "app[9] has its share of the processor back: calm"),
        (event(1, 0, "hold", pid=9, name="app", ms=100, refused="foreground"), "did not stop app[9]: foreground"),
        (event(1, 0, "hook", command="/x/tell", pid=9, outcome="ended after 2000 ms"),
         "the program /x/tell: ended after 2000 ms"),
        (event(1, 0, "notified", pressure="low", to="cached", signal="SIGUSR1", signalled=[9], count=1, deaf=[],
               program=None, ran=False), "told cached that pressure is low: 1 by SIGUSR1"),
        (event(1, 0, "notified", pressure="low", to="ui", signal=None, count=0, program="/x", ran=True),
         "told ui that pressure is low: by /x"),
        (event(1, 0, "notified", pressure="low", to="ui", signal="SIGHUP", count=0, program="/x", ran=False),
         "told ui that pressure is low: 0 by SIGHUP, not by /x"),
        (event(1, 0, "group", pid=9, name="app", group="tree", signal="SIGKILL", pids=[10, 11]),
         "2 more ended with app[9], of the same tree"),
        (event(1, 0, "shield", cgroup="/ui", low_kib=2048), "keeps 2.0 MB of /ui in memory"),
        (event(1, 0, "store_adopted", device="zram0", algorithm="lz4", size_kib=1), "the store was up and is used on: "
         "zram0, lz4"),
        (event(1, 0, "reload", rules=1, files=[]), "read the configuration again, 1 rule"),
        (event(1, 0, "sysctl", name="vm.swappiness", old=60, new=150), "set vm.swappiness to 150, it was 60"),
        (event(1, 0, "set", pid=9, name="app", priority=900, previous=0),
         "priority of app[9] is 900 cached now, it was 0 foreground"),
        (event(1, 0, "odd", name="x", size_kib=1), "odd name x, size 1 KB"),
        (event(1, 0, "brand_new", pid=9, name="app", size_kib=2048), "brand new app[9] size 2.0 MB"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_record(record: dict[str, Any], said: str) -> None:
    assert words(record)[0] == said


def test_a_wide_letter_takes_two_cells() -> None:
    assert (cells("ab"), cells("\u6f22"), cells("e\u0301")) == (2, 2, 1)
    assert (cut("\u6f22\u5b57x", 4), cut("abc", 3), cut("abcd", 3), cut("x", 0)) == ("\u6f22~", "abc", "ab~", "")
    assert width(fitted(line("\u6f22\u5b57"), 3)) == 3


@given(st.text(max_size=30), st.integers(0, 40))
def test_a_line_is_made_as_wide_as_it_shall_be(text: str, room: int) -> None:
    assert width(fitted(line(text), room)) == room


@given(st.floats(allow_nan=False), st.integers(0, 60), st.booleans())
def test_a_bar_has_its_length(share: float, room: int, unicode: bool) -> None:
    made = bar(share, room, "store", unicode)
    assert width(made) == room
    assert (made[0][0] == "") == (share <= 0 or room == 0)


def test_the_shorter_of_two_blocks_is_filled_up() -> None:
    assert texts(beside([line("a")], [line("b"), line("c")], 2, 2)) == ["a   b", "    c"]


def paint_all(pictures: list[list[str]]) -> tuple[Terminal, list[str]]:
    terminal, sent = Terminal(), []

    def write(text: str) -> None:
        terminal.feed(text)
        sent.append(text)

    screen = Screen(write)
    for lines in pictures:
        screen.paint(lines)
    return terminal, sent


LINES = st.lists(st.text("ab \u6f22", max_size=20), min_size=1, max_size=24)


@given(st.lists(LINES, min_size=1, max_size=5))
def test_the_terminal_shows_the_last_picture_whatever_was_before(pictures: list[list[str]]) -> None:
    terminal, _ = paint_all(pictures)
    want = [text.rstrip() for text in pictures[-1]]
    assert terminal.text() == want + [""] * (24 - len(want))
    assert terminal.cursor and not terminal.scrolled


def test_only_changed_lines_are_sent() -> None:
    _, sent = paint_all([["one", "two", "three"], ["one", "2", "three"], ["one", "2", "three"]])
    assert len(sent) == 2, "nothing has changed, nothing is sent"
    assert "2" in sent[1] and "one" not in sent[1] and "three" not in sent[1]


def test_now_and_then_all_is_sent_again_for_what_others_wrote_there() -> None:
    _, sent = paint_all([["one", "two"]] * REPAINT_EVERY)
    assert len(sent) == 2 and "one" in sent[1] and "two" in sent[1]


@pytest.mark.parametrize("way", [Way(True, True, False), Way(True, False, False), Way(True, True, True)])
def test_a_line_of_115200_baud_carries_it_ten_times_a_second(way: Way) -> None:
    """8 data bits, start and stop: 11,520 bytes a second. Every figure changes, and something happens each time."""
    if way.frames:
        pytest.importorskip("rich", reason="rich is not installed: its frames are not counted")
    terminal, sent = Terminal(), []

    def write(text: str) -> None:
        terminal.feed(text)
        sent.append(len(text.encode()))

    screen = Screen(write)
    names = ("\x1b[2J\x1b[31mevil", "\u6f22" * 5, "a name of fifte", "new\nline", "\udcff")
    for turn in range(2 * REPAINT_EVERY):
        rows = [
            {**one, "name": names[(at + turn) % 5], "gain_kib": 1000 * turn + at, "resident_kib": 999 * turn}
            for at, one in enumerate(SEEN.rows)
        ]
        records = [event(9 + turn, turn, "kill", pid=turn, name=names[turn % 5], predicted_kib=turn, reason="x" * 200)]
        status = {**STATUS, "kills": turn, "headroom": {"total_kib": 70_000 - 333 * turn}}
        seen = replace(SEEN, rows=tuple(rows), events=(*EVENTS, *records), status=status, clock_s=NOON_S + turn)
        screen.paint(lines_of(seen, replace(LOOK, unicode=way.frames), way, (80, 24)))
        assert not terminal.scrolled and terminal.cursor
        assert all(cells(text) < 80 for text in terminal.text()), "an old terminal wraps after the last column"
    assert sum(sent) / len(sent) <= 1152 * (2 if way.frames else 1), sum(sent) / len(sent)
    assert max(sent) <= 11_520 / 2, max(sent)


def test_the_cursor_is_hidden_only_while_a_picture_is_sent() -> None:
    _, sent = paint_all([["one"], ["two"]])
    assert all(text.startswith("\x1b[?25l") and text.endswith("\x1b[?25h") for text in sent)


def test_what_was_shown_stays_when_it_is_left_and_the_prompt_comes_below() -> None:
    terminal = Terminal()
    screen = Screen(terminal.feed)
    screen.paint(["one", "two"])
    screen.leave()
    screen.leave()
    terminal.feed("$ ")
    assert terminal.text()[:3] == ["one", "two", "$"] and terminal.cursor


def test_with_colour_and_without_it_says_the_same() -> None:
    terminal = Terminal()
    Screen(terminal.feed).paint(lines_of(SEEN, LOOK, Way(True, True, False), (80, 24)))
    assert "\n".join(terminal.text()) == shown()


def test_rich_frames_say_the_same_and_fit() -> None:
    pytest.importorskip("rich", reason="rich is not installed: frames of the live view are not tested")
    for columns, rows in ((78, 20), (79, 24), (120, 50)):
        lines = framed(SEEN, Look(keys=True, utc=True), columns, rows)
        assert lines is not None and len(lines) == rows
        terminal = Terminal(columns + 1, rows)
        Screen(terminal.feed).paint(lines)
        text = "\n".join(terminal.text())
        assert "71.0 MB" in text and "NEXT TO DIE" in text and "let browser[933] go on" in text
        assert not terminal.scrolled
    assert framed(SEEN, Look(), 60, 24) is None


def test_what_is_cut_off_in_a_frame_is_marked() -> None:
    pytest.importorskip("rich", reason="rich is not installed: frames of the live view are not tested")
    stall = {"some_pct": 1e15, "full_pct": 1e15}
    lines = framed(replace(SEEN, status={**STATUS, "stall": stall}), Look(), 79, 24)
    terminal = Terminal()
    Screen(terminal.feed).paint(lines or [])
    assert any("some 1000000000000000.0%" in text and text.endswith("~ \u2502") for text in terminal.text())


@pytest.mark.parametrize("made", PICTURES, ids=lambda made: str(made[0]))
def test_the_pictures_in_docs_are_what_it_looks_like(made: tuple[str, str, bool, bool]) -> None:
    name, label, rich, unicode = made
    if rich:
        pytest.importorskip("rich", reason=f"rich is not installed: docs/{name} is not compared")
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert page == picture(label, rich, unicode), "run `make docs`"


def test_rows_of_the_sample_are_in_kill_order() -> None:
    order = [(-found["priority"], found["gain_kib"]) for found in ROWS if found["priority"] > -1000]
    assert order == sorted(order)
