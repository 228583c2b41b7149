"""``notify``, ``on_kill``, the files that tell, and the log's target: what they take, and each error with its place."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from lmkd.config import load, parse_text
from lmkd.config.model import NoticeConfig
from lmkd.config.notices import notice_rows
from lmkd.errors import ConfigError

RULE = "apps:\n  - {name: a, match: {comm: a}, priority: cached, notify: %s}\n"


def error(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_text(text, "f")
    assert all(line.isprintable() for line in caught.value.lines)
    return caught.value.lines[0]


def test_a_rule_says_what_is_told_and_how() -> None:
    full = "{signal: SIGRTMIN+3, level: critical, exec: [/bin/x, 7, a b], timeout: 500ms}"
    assert parse_text(RULE % full).apps[0].notify == NoticeConfig("critical", "SIGRTMIN+3", ("/bin/x", "7", "a b"), 500)
    short = parse_text(RULE % "{exec: /bin/x}").apps[0].notify
    assert short == NoticeConfig("moderate", "", ("/bin/x",), 2000)
    none = parse_text(RULE % "none").apps[0].notify
    assert none is not None and (none.signal, none.command) == ("", ())
    assert parse_text("apps: [{match: {comm: a}, priority: cached}]").apps[0].notify is None


def test_a_class_says_it_for_all_of_its_rules_and_a_drop_in_replaces_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("notify: {cached: {signal: SIGUSR1}, service: {signal: SIGHUP}}")
    (tmp_path / "b").write_text("notify: {cached: {signal: SIGUSR2, level: low}}")
    found = dict(load([tmp_path / "a", tmp_path / "b"]).notify)
    assert {name: (one.signal, one.level) for name, one in found.items()} == {
        "cached": ("SIGUSR2", "low"),
        "service": ("SIGHUP", "moderate"),
    }


def test_the_plan_has_a_row_for_each_notice_and_one_for_a_rule_that_wants_none() -> None:
    rules = "apps: [{match: {comm: a}, priority: cached, notify: none}, {match: {comm: b}, priority: cached}]\n"
    config = parse_text(rules + "notify: {cached: {signal: SIGRTMIN+2, level: critical, exec: /x}, service: none}")
    assert notice_rows(config) == [(0, "", 2, 0, (), 0), (-1, "cached", 3, signal.SIGRTMIN + 2, ("/x",), 2000)]


def test_programs_after_a_kill_by_class() -> None:
    config = parse_text("on_kill: {background: /bin/a, cached: /bin/b, timeout: 3s}")
    assert (config.on_kill, config.on_kill_ms) == ((("background", "/bin/a"), ("cached", "/bin/b")), 3000)
    assert (parse_text("").on_kill, parse_text("").on_kill_ms) == ((), 10_000)


def test_files_and_the_target_of_the_log() -> None:
    config = parse_text("")
    assert (config.control.level_file, config.control.metrics_file, config.log.to) == ("/run/lmkd/level", "", "auto")
    config = parse_text("control: {level_file: none, metrics_file: /x/m.prom, metrics_interval: 30s}\nlog: {to: kmsg}")
    assert (config.control.level_file, config.log.to) == ("", "kmsg")
    assert (config.control.metrics_file, config.control.metrics_interval_ms) == ("/x/m.prom", 30_000)


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("notify: 1", "f:1:9: notify:", "not a mapping"),
        ("notify: {cashed: {signal: SIGUSR1}}", "f:1:10: notify.cashed:", "did you mean cached?"),
        ("notify: {cached: SIGUSR1}", "f:1:18: notify.cached:", "not a mapping: write {signal"),
        ("notify: {cached: {}}", "f:1:18: notify.cached:", "does nothing"),
        ("notify: {cached: {level: low}}", "f:1:18: notify.cached:", "does nothing"),
        ("notify: {cached: {signal: SIGKILL}}", "f:1:27: notify.cached.signal:", "not known"),
        ("notify: {cached: {signal: SIGUSR1, timeout: 1s}}", "f:1:45: notify.cached.timeout:", "never used"),
        ("notify: {cached: {signal: SIGUSR1, level: calm}}", "f:1:43: notify.cached.level:", "low or moderate"),
        ("notify: {cached: {exec: x}}", "f:1:25: notify.cached.exec:", "not absolute"),
        ("notify: {cached: {exec: /x y}}", "f:1:25: notify.cached.exec:", "write arguments apart"),
        ("notify: {cached: {exec: }}", "f:1:24: notify.cached.exec:", "has no value"),
        ("notify: {cached: {exec: {a: b}}}", "f:1:25: notify.cached.exec:", "is a mapping"),
        ("notify: {cached: {exec: []}}", "f:1:25: notify.cached.exec:", "has 0 parts"),
        ("notify: {cached: {exec: [/x, [y]]}}", "f:1:30: notify.cached.exec[2]:", "one value"),
        ('notify: {cached: {exec: [/x, "a\\tb"]}}', "f:1:30: notify.cached.exec[2]:", "no argument"),
        ("notify: {cached: {exec: /x, timeout: 2h}}", "f:1:38: notify.cached.timeout:", "out of range"),
        (RULE % "{signal: TERM}", "f:2:68: apps[a].notify.signal:", "not known"),
        (RULE % "{exec: /x, levle: low}", "f:2:70: apps[a].notify.levle:", "did you mean level?"),
        ("on_kill: {background: x}", "f:1:23: on_kill.background:", "not absolute"),
        ("on_kill: {protected: /x}", "f:1:11: on_kill.protected:", "unknown key"),
        ("on_kill: /bin/x", "f:1:10: on_kill:", "write on_kill: {background: /usr/libexec/note-it}"),
        ("control: {level_file: level}", "f:1:23: control.level_file:", "not absolute"),
        ("control: {level_file: /run/lmkd/control}", "f:1:23: control.level_file:", "path of control.socket"),
        ("control: {metrics_file: /run/lmkd/level}", "f:1:25: control.metrics_file:", "path of control.level_file"),
        ("control: {metrics_interval: 30s}", "f:1:29: control.metrics_interval:", "never used"),
        ("control: {metrics_file: /x, metrics_interval: 1s}", "f:1:47: control.metrics_interval:", "5.0 s to"),
        ("log: {to: journal}", "f:1:11: log.to:", "did you mean journald?"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, where: str, said: str) -> None:
    line = error(text)
    assert line.startswith(where) and said in line, line
