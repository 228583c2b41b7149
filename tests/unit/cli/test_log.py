"""Events for people and programs: fields with units, golden lines, the planner's JSON."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from lmkd.guard.record import encode
from lmkd.log import EventLine, event_printer, format_field, format_value, paint, planner_log, printable

PROPER_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KILL: dict[str, Any] = {
    "event": "kill",
    "level": "warning",
    "timestamp": 1700000000.1234,
    "seq": 12,
    "t_ms": 81234.5,
    "pid": 421,
    "name": "browser",
    "priority": 900,
    "rule": "/etc/lmkd/lmkd.yaml:7",
    "signal": "SIGKILL",
    "reason": "headroom lasts 130 ms",
    "predicted_kib": 12595,
    "rate_kib_s": 30720.4,
    "exhaustion_ms": 130,
    "decide_us": 850,
}


def line(record: dict[str, Any], colour: bool = False) -> str:
    return EventLine(colour, time.gmtime)(None, "info", record)


@pytest.mark.parametrize(
    ("record", "meant"),
    [
        (
            KILL,
            "22:13:20.123  warning   kill            browser[421]  headroom lasts 130 ms  "
            "priority 900 cached, rule /etc/lmkd/lmkd.yaml:7, signal SIGKILL, predicted 12.3 MB, "
            "rate 30.0 MB/s, exhaustion 130 ms, decide 850 us",
        ),
        (
            {"event": "ready", "level": "info", "timestamp": 0.0, "seq": 1, "t_ms": 1.0},
            "00:00:00.000  info      ready",
        ),
        (
            {"event": "futile", "level": "error", "timestamp": 59.5, "reason": "tmpfs", "who": ["a", "b"]},
            "00:00:59.500  error     futile          tmpfs  who a, b",
        ),
        (
            {"event": "degraded", "level": "warning", "timestamp": None, "feature": "psi", "cost_pct": None},
            "--:--:--.---  warning   degraded        feature psi, cost unknown",
        ),
        (
            {"event": "helper_started", "level": "info", "timestamp": 0, "pid": 12, "processes": 3},
            "00:00:00.000  info      helper_started  pid 12, processes 3",
        ),
        ({}, "--:--:--.---  info      ?"),
        (
            {"event": "kill", "timestamp": "soon", "pid": 1, "name": "\x1b[2J\n", "ok": True},
            "--:--:--.---  info      kill            \\x1b[2J\\n[1]  ok yes",
        ),
        (
            {"event": "x", "timestamp": 1e300, "level": "info", "holders": [{"pid": 3, "size_kib": 2048}]},
            "--:--:--.---  info      x               holders pid 3; size 2.0 MB",
        ),
    ],
)
def test_an_event_is_one_aligned_line(record: dict[str, Any], meant: str) -> None:
    assert line(record) == meant


def test_colour_changes_nothing_but_the_colour() -> None:
    coloured = line(KILL, colour=True)
    assert "\x1b[33mwarning \x1b[0m" in coloured
    for sequence in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[33m"):
        coloured = coloured.replace(sequence, "")
    assert coloured == line(KILL)


@given(st.dictionaries(st.text() | st.sampled_from(tuple(KILL)), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5
)))
def test_whatever_an_event_holds_becomes_one_printable_line(record: dict[str, Any]) -> None:
    assert line(record).isprintable()


@pytest.mark.parametrize(
    ("key", "thing", "meant"),
    [
        ("headroom_kib", 512, ("headroom", "512 KB")),
        ("headroom_kib", -2048, ("headroom", "-2.0 MB")),
        ("rate_kib_s", 30720.2, ("rate", "30.0 MB/s")),
        ("decide_us", 850, ("decide", "850 us")),
        ("decide_us", 8500, ("decide", "8 ms")),
        ("uptime_ms", 11_520_000, ("uptime", "3 h 12 min")),
        ("uptime_ms", 183_600_000, ("uptime", "2 d 3 h")),
        ("exhaustion_ms", 3_600_000, ("exhaustion", "not in sight")),
        ("exhaustion_ms", 0, ("exhaustion", "0 ms")),
        ("age_s", 90, ("age", "1 min 30 s")),
        ("refaults_s", 1234.5, ("refaults", "1234/s")),
        ("some_pct", 12.5, ("some", "12.5%")),
        ("swap_used_kib", None, ("swap used", "unknown")),
        ("size_kib", True, ("size", "yes")),
        ("size_kib", "big", ("size", "big")),
        ("size_kib", 2**70, ("size", str(2**70))),
        ("size_kib", float("inf"), ("size", "inf")),
        ("ratio", 2.666, ("ratio", "2.67")),
        ("degraded", [], ("degraded", "none")),
        ("last_kill", {"pid": 3, "predicted_kib": 1024}, ("last kill", "pid 3; predicted 1.0 MB")),
    ],
)
def test_a_field_shows_its_unit(key: str, thing: object, meant: tuple[str, str]) -> None:
    assert format_field(key, thing) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("plain", "plain"),
        ("ümlaut", "ümlaut"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("new\nline\ttab\0", "new\\nline\\ttab\\x00"),
        ("\udcff", "\\udcff"),
        ("right\u202eleft", "right\\u202eleft"),
    ],
)
def test_a_hostile_name_cannot_command_the_terminal(text: str, meant: str) -> None:
    assert printable(text) == meant
    assert format_value(text) == meant


def test_no_colour_leaves_text_alone() -> None:
    assert paint("x", "31", False) == "x"
    assert paint("x", "", True) == "x"


def test_the_printer_writes_one_line_an_event_through_structlog() -> None:
    out = io.StringIO()
    show = event_printer(out, colour=False, to_time=time.gmtime)
    show(KILL)
    show({"event": "stop", "level": "unheard-of", "timestamp": 1.0})
    show({"seq": 3})
    shown = out.getvalue().splitlines()
    assert shown[0] == line(KILL)
    assert shown[1].split() == ["00:00:01.000", "unheard-of", "stop"]
    assert len(shown) == 3


def test_the_planners_json_has_the_keys_of_the_guards_lines() -> None:
    out = io.StringIO()
    before_s = time.time()
    planner_log(out, as_json=True).warning("degraded", feature="psi", cost="slower")
    record = json.loads(out.getvalue())
    assert before_s - 1 < record.pop("timestamp") < before_s + 60
    assert record == {"event": "degraded", "level": "warning", "feature": "psi", "cost": "slower"}


def test_the_planners_lines_for_people_look_as_those_of_events() -> None:
    out = io.StringIO()
    planner_log(out, as_json=False).info("store_up", size_kib=131072)
    assert out.getvalue().partition("  ")[2] == "info      store_up        size 128.0 MB\n"


@given(st.dictionaries(st.text(min_size=1), st.none() | st.booleans() | st.integers() | PROPER_TEXT))
def test_the_guards_own_encoder_says_what_structlogs_renderer_says(record: dict[str, Any]) -> None:
    renderer = structlog.processors.JSONRenderer()
    assert json.loads(encode(record)) == json.loads(renderer(None, "info", dict(record)))
