"""``lmkd explain``: the policy's table, one process explained, odd names and narrow terminals."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.cli.explain import is_meant, strangers
from lmkd.cli.explain_policy import policy_lines
from lmkd.cli.explain_process import explain_all, process_lines
from lmkd.cli.main import main
from lmkd.model import FLAG_DECLARED_FOREGROUND, Candidate, Victim
from lmkd.policy.derive import NUMBERS, derive_numbers, explained, stem
from lmkd.policy.table import kill_order, table_of
from lmkd.policy.victim import Grower, choose
from lmkd.values import replace
from tests.unit.control.fakes import FakeSource, listening, serve_connection
from tests.unit.plans import FakeProc
from tests.unit.policy.builders import SETTINGS, make_app

FACTS = {
    "ram_kib": 249856, "watermark_min_kib": 1024, "watermark_low_kib": 2048, "stall_budget_ms": 33,
    "fault_meter": True, "psi_step_us": 1000, "page_kib": 4,
}  # fmt: skip
STATUS: dict[str, Any] = {
    "level": "low",
    "headroom": {"free_kib": 20_000, "total_kib": 44_997},
    "forecast": {"rate_kib_s": 4096, "exhaustion_ms": 9765},
    "learned": {"kill_ms": 41.5, "gain_factor": 0.9},
    "in_flight": [],
    "cost": {"guard": {"pid": 70}, "helper": {"pid": 71}},
}


def seen_with(status: dict[str, Any] | None = None, rows: Any = (), **overrides: Any) -> dict[str, Any]:
    given = {"policy.headroom_floor": "/etc/lmkd/lmkd.yaml:3:19"} if "headroom_floor_kib" in overrides else {}
    numbers = explained(derive_numbers(FACTS, overrides), given)
    return {"source": "lmkd", "numbers": numbers, "candidates": list(rows), "status": status}


def row(pid: int, priority: int = 900, gain_kib: int = 4096, **more: Any) -> dict[str, Any]:
    plain = {
        "pid": pid, "name": f"app{pid}", "priority": priority, "rule": "own oom_score_adj", "rule_name": None,
        "resident_kib": gain_kib, "swapped_kib": 0, "gain_kib": gain_kib, "never": priority <= -1000,
        "declared": False, "trim": priority > 600, "freeze": False, "grace_ms": 0, "group": "process",
    }  # fmt: skip
    return plain | more


def one(rows: list[dict[str, Any]], pid: int, status: dict[str, Any] | None = STATUS, **more: Any) -> dict[str, Any]:
    (found,) = explain_all(rows, seen_with(status, **more), lambda other: other["pid"] == pid)
    return found


def text_of(explanation: dict[str, Any], width: int = 80) -> str:
    return " ".join(" ".join(process_lines([explanation], False, width)).split())


def test_the_table_has_every_number_with_its_rule_and_its_key() -> None:
    lines = policy_lines(seen_with(), False, 80)
    assert all(len(line) <= 80 for line in lines)
    names = [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("   ")]
    assert sorted(names) == sorted(stem(number.name) for number in NUMBERS)
    squeezed = [" ".join(line.split()) for line in lines]
    assert "kill_horizon 99 ms 3 x stall_budget" in squeezed
    assert "headroom_floor 4.9 MB 2% of ram, at least 3.0 MB" in squeezed
    assert lines[0].startswith("the knob") and "No lmkd was asked" in lines[-1]


def test_what_was_given_says_where_and_what_it_would_be_else() -> None:
    text = " ".join(" ".join(policy_lines(seen_with(headroom_floor_kib=8192), False, 80)).split())
    assert "8.0 MB given at /etc/lmkd/lmkd.yaml:3:19; else 4.9 MB: 2% of ram, at least 3.0 MB" in text


def test_of_a_running_lmkd_what_it_learned_and_its_forecast_are_shown() -> None:
    text = "\n".join(policy_lines(seen_with(STATUS), False, 100))
    for said in (
        "kill_ms", "42 ms", "gain_factor", "0.90", "39.1 MB above headroom_floor", "4.0 MB/s",
        "9.8 s  a kill is decided at kill_horizon, 99 ms",
    ):  # fmt: skip
        assert said in text


@pytest.mark.parametrize("status", [{}, {"learned": 1, "headroom": None, "forecast": {}}, {"truncated": True}])
def test_an_odd_status_does_no_harm(status: dict[str, Any]) -> None:
    assert policy_lines(seen_with(status), False, 80)
    assert process_lines([one([row(5)], 5, status)], False, 80)


@given(st.integers(30, 200), st.booleans())
def test_no_line_is_wider_than_the_terminal(width: int, running: bool) -> None:
    lines = policy_lines(seen_with(STATUS if running else None, headroom_floor_kib=8192), False, width)
    rows = [row(5, rule="/etc/x:1", rule_name="a rule"), row(6, 0, grace_ms=500, declared=True), row(7, -1000)]
    for pid in (5, 6, 7):
        lines += process_lines([one(rows, pid, STATUS if running else None)], False, width)
    narrow = max(map(len, lines))
    assert narrow <= max(width, 45)
    assert all(line.isprintable() and line == line.rstrip() for line in lines)


def test_one_process_is_explained_in_full() -> None:
    rows = [row(5, gain_kib=8192), row(6, 700, 100), row(7, 700, 12_288, rule_name="indexer", rule="l.yaml:7"),
            row(8, 700, 2048), row(9, 100)]  # fmt: skip
    explanation = one(rows, 7)
    assert (explanation["order"], explanation["of"], explanation["fate"]) == (3, 5, "in turn")
    assert (explanation["before"], explanation["equals"]) == (
        {"deaths": 1, "gain_kib": 8192},
        {"deaths": 1, "gain_kib": 2048},
    )
    assert explanation["consumed_before_kib"] == 40_000 + 8192
    text = text_of(explanation)
    for said in (
        "app7[7]", '700 background, by rule "indexer" at l.yaml:7', "return 12.0 MB", "3 of 5 in the kill order",
        "1 death (8.0 MB) of less important ones before it", "as important: 1 death (2.0 MB)",
        "allowed when idle for 1.0 s", "SIGKILL", "when 47.1 MB more have been consumed: 39.1 MB until headroom is at "
        "its floor (4.9 MB) or is forecast to be within 99 ms, it is 43.9 MB now; then what 1 death (8.0 MB) return",
    ):  # fmt: skip
        assert said in text, text


def test_why_a_rule_matched_is_said_by_its_conditions() -> None:
    match = [["exe", "glob", "/usr/*/app"], ["user", "exact", "kiosk"], ["cmdline", "re", "x\x1b"]]
    ruled = row(7, rule_name="app", rule="l.yaml:7", rule_match=match)
    said = 'by rule "app" at l.yaml:7, because its exe is like "/usr/*/app" and user is "kiosk" and cmdline matches'
    assert said in text_of(one([ruled], 7)) and "\x1b" not in text_of(one([ruled], 7))
    for odd in (None, 3, [3], [["exe"]]):
        assert "because" not in text_of(one([{**ruled, "rule_match": odd}], 7))


def test_a_priority_that_was_set_says_so_and_what_else_would_be() -> None:
    found = row(7, 900, registered=True, rule_name="app", rule="l.yaml:7")
    assert '900 cached, set over the control socket; when that is cleared: rule "app"' in text_of(one([found], 7))


def test_growth_from_which_it_is_the_victim_itself_is_that_of_the_policy() -> None:
    rows = [row(5, gain_kib=30_000), row(6, 0, 9000), row(7, 200, 50_000)]
    assert one(rows, 7)["runaway_kib_s"] == 1000
    assert "grows by 1000 KB/s or more and causes 50% of the consumption" in text_of(one(rows, 7))
    assert one(rows, 5)["runaway_kib_s"] is None  # nobody is less important
    assert one(rows, 6)["runaway_kib_s"] is None  # a foreground never is
    assert one(rows, 7, runaway=False)["runaway_kib_s"] is None
    assert one([*rows[:2], replace_in(rows[2], declared=True)], 7)["runaway_kib_s"] is None


APPS = st.lists(
    st.tuples(st.sampled_from((0, 100, 700, 900)), st.integers(0, 20_000), st.booleans()), min_size=1, max_size=8
)


def as_rows(apps: list[tuple[int, int, bool]]) -> tuple[list[Candidate], list[dict[str, Any]]]:
    """The same applications as the policy's table has them, and as the control socket tells them, in kill order."""
    made = [
        make_app(pid, priority, gain, flags=FLAG_DECLARED_FOREGROUND if own and priority == 0 else 0)
        for pid, (priority, gain, own) in enumerate(apps, start=10)
    ]
    ordered = sorted(made, key=kill_order)
    rows = [row(app.pid, app.priority, app.gain_kib, declared=bool(app.flags)) for app in ordered]
    return made, rows


@given(APPS, st.data())
def test_the_deaths_before_one_are_those_that_the_policy_would_choose_first(
    apps: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    made, rows = as_rows(apps)
    explanation = one(rows, data.draw(st.sampled_from(rows))["pid"])
    settings = replace(SETTINGS, set_limit=1)
    died: list[Victim] = []
    while True:
        ended = {(victim.pid, victim.start_ticks) for victim in died}
        choice = choose(table_of(made), settings, 1, 0.0, None, ended, 1.0)
        if choice is None or choice.victims[0].pid == explanation["pid"]:
            break
        died += choice.victims
    if explanation["fate"] == "small":
        assert choice is None
        return
    assert choice is not None
    before, equals = explanation["before"], explanation["equals"]
    assert before["deaths"] <= len(died) <= before["deaths"] + equals["deaths"]
    assert sum(victim.predicted_kib for victim in died[: before["deaths"]]) == before["gain_kib"]


@given(APPS, st.data())
def test_the_growth_that_makes_it_a_runaway_is_the_policys(
    apps: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    made, rows = as_rows(apps)
    explanation = one(rows, data.draw(st.sampled_from(rows))["pid"])
    rate = explanation["runaway_kib_s"]
    for grows, runs in ((1e9, rate is not None), (None if rate is None or rate <= 1 else rate - 1, False)):
        if grows is None:
            continue
        grower = Grower(explanation["pid"], 50_000, 50_000, grows)
        choice = choose(table_of(made), SETTINGS, 1, grows, grower, (), 1.0)
        ran = choice is not None and choice.reason.startswith("runaway")
        below = any(other["priority"] > explanation["priority"] and other["gain_kib"] for other in rows)
        assert ran is runs or not below


def replace_in(fields: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**fields, **changes}


def test_a_declared_foreground_comes_after_others_of_its_number() -> None:
    rows = [row(5, 0, 9000, declared=True), row(6, 0, 10_000)]
    assert one(rows, 5)["before"]["deaths"] == 1
    assert one(rows, 6)["before"]["deaths"] == 0


@pytest.mark.parametrize(
    ("explained_row", "said"),
    [
        (row(5, -1000), "place none: it is protected and never ended"),
        (row(1, -1000, rule="process 1"), "never: the board would stop with it"),
        (row(5, gain_kib=255), "a death that returns less than 256 KB is not worth an application"),
        (row(5, 0), "by its own oom_score_adj: no rule matches it"),
        (row(5, grace_ms=200, group="tree"), "SIGKILL after 200 ms or when memory will not last, with all"),
        (row(5, group="cgroup"), "SIGKILL, with its whole cgroup"),
        (row(5, freeze=True), "allowed while it thrashes"),
        (row(5, swapped_kib=None), "it has 4.0 MB resident)"),
    ],
)
def test_what_is_particular_is_said(explained_row: dict[str, Any], said: str) -> None:
    assert said in text_of(one([explained_row], explained_row["pid"]))


def test_one_that_has_been_signalled_is_said_to_be() -> None:
    assert "now: it has been signalled" in text_of(one([row(5)], 5, {**STATUS, "in_flight": [5]}))


def test_without_a_daemon_the_headroom_is_not_made_up() -> None:
    explanation = one([row(5), row(6, 100)], 6, None)
    assert (explanation["left_kib"], explanation["consumed_before_kib"]) == (None, None)
    assert "after 1 death (4.0 MB); headroom is not known without a running lmkd" in text_of(explanation)


def test_trim_that_is_turned_off_is_said_to_be() -> None:
    assert "allowed, but policy.trim is false" in text_of(one([row(5)], 5, trim=False))


def test_of_several_a_table_is_shown_with_their_places() -> None:
    rows = [row(5), row(6), row(7, 100), row(8, -1000)]
    found = explain_all(rows, seen_with(STATUS), lambda other: other["pid"] > 5)
    lines = process_lines(found, False, 80)
    assert [line.split()[:2] for line in lines[1:4]] == [["2", "6"], ["3", "7"], ["never", "8"]]
    assert "3 processes are meant" in lines[-1]


@pytest.mark.parametrize(
    ("what", "pid", "name", "meant"),
    [
        ("12", 12, "x", True),
        ("12", 13, "12", True),
        ("12", 123, "x", False),
        ("012", 12, "x", True),
        ("9" * 30, 12, "x", False),
        ("x", 12, "x", True),
        ("x", 12, "xy", False),
        ("x*", 12, "xy", True),
        ("[ab]", 12, "[ab]", True),
        ("[ab]", 12, "a", True),
        ("long-name-of-more-than-15", 12, "long-name-of-mo", True),
        ("ääääääää", 12, "äääääää", True),
        ("a b", 12, "a b", True),
        ("", 12, "", False),
        ("*", 12, "", False),
        ("x", 12, None, False),
    ],
)
def test_a_process_is_meant_by_its_id_its_name_or_a_pattern(what: str, pid: int, name: Any, meant: bool) -> None:
    assert is_meant(what, {"pid": pid, "name": name}) is meant


def test_names_that_would_spoil_a_terminal_are_shown_escaped() -> None:
    lines = process_lines([one([row(5, name="evil\x1b[2J\nname", rule_name="r\x07", rule="a\tb")], 5)], False, 80)
    assert all(line.isprintable() for line in lines)
    assert lines[0] == "evil\\x1b[2J\\nname[5]"


def test_what_is_no_candidate_says_why(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path)
    proc.add(1, b"init")
    proc.add(2, b"kthreadd", kernel=True)
    proc.add(70, b"lmkd")
    proc.add(90, b"fresh) Z")
    seen = seen_with(STATUS)
    why = {str(pid): strangers(str(pid), str(proc.root), seen) for pid in (1, 2, 70, 90, 91)}
    said = {pid: found[0]["why"] if found else "" for pid, found in why.items()}
    assert "process 1 is never ended" in said["1"]
    assert "kernel thread" in said["2"]
    assert "lmkd itself" in said["70"]
    assert "does not know it yet" in said["90"]
    assert said["91"] == ""
    proc.add(71, b"python3")
    itself = [one["pid"] for one in strangers("lmkd", str(proc.root), seen)]
    assert itself == [70, 71], "what it is called depends on how it was started"
    proc.add(os.getpid(), b"lmkd")
    assert [one["pid"] for one in strangers("lmkd", str(proc.root), seen)] == itself, "who asks is not asked about"
    found = strangers("fresh*", str(proc.root), seen_with())
    assert process_lines(found, False, 30)[0] == "fresh) Z[90]: lmkd does not"


def ask(tmp_path: Path, source: FakeSource, *arguments: str) -> tuple[int, str]:
    stderr = io.StringIO()
    with listening(tmp_path / "c", lambda connection: serve_connection(connection, source)) as path:
        code = main(["explain", *arguments, "--socket", path], stderr)
    return code, stderr.getvalue()


@pytest.fixture
def source() -> FakeSource:
    made = FakeSource()
    made.state = STATUS
    made.numbers = seen_with(headroom_floor_kib=8192)["numbers"]
    made.rows = [row(5), row(6, 700)]
    return made


def test_the_policy_is_asked_of_the_daemon(
    tmp_path: Path, source: FakeSource, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(tmp_path, source, "policy", "--json") == (0, "")
    shown = json.loads(capsys.readouterr().out)
    assert (shown["source"], shown["status"]) == ("lmkd", STATUS)
    assert shown["numbers"] == source.numbers and "candidates" not in shown


def test_a_process_is_asked_of_the_daemon(
    tmp_path: Path, source: FakeSource, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(tmp_path, source, "app6") == (0, "")
    assert "2 of 2 in the kill order" in capsys.readouterr().out


def test_a_process_as_json_has_all_that_it_is_explained_by(
    tmp_path: Path, source: FakeSource, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(tmp_path, source, "app*", "--json") == (0, "")
    assert [(found["pid"], found["order"]) for found in json.loads(capsys.readouterr().out)] == [(5, 1), (6, 2)]


def test_a_process_that_is_not_there_is_a_clear_error(tmp_path: Path, source: FakeSource) -> None:
    code, said = ask(tmp_path, source, "no such name")
    assert code == 1
    assert said.startswith("lmkd: no process has the id or the name no such name")


def test_without_a_daemon_the_numbers_are_those_of_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("stall_budget: 50ms\npolicy: {hold_base: 2s}\n")
    assert main(["explain", "policy", "--json", "--config", str(mine)]) == 0
    shown = json.loads(capsys.readouterr().out)
    rows = {found["name"]: found for found in shown["numbers"]}
    assert (shown["source"], shown["status"]) == ("configuration", None)
    assert rows["kill_horizon_ms"]["value"] == 150
    assert (rows["hold_base_ms"]["value"], rows["hold_base_ms"]["given"]) == (2000, f"{mine}:2:21")
    assert main(["explain", "policy", "--socket", str(tmp_path / "none")]) == 0
    captured = capsys.readouterr()
    assert "not running here" in captured.err and captured.out.startswith("the knob")


def test_without_a_daemon_a_process_is_looked_at_in_proc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("apps: []\n")
    assert main(["explain", str(os.getpid()), "--json", "--config", str(mine)]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["pid"], found["candidate"], found["left_kib"]) == (os.getpid(), True, None)


def test_a_wrong_file_is_exit_2(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("policy: {psi_some: 2s, psi_window: 1s}")
    stderr = io.StringIO()
    assert main(["explain", "policy", "--config", str(wrong)], stderr) == 2
    assert stderr.getvalue().startswith(f"lmkd: {wrong}:1:20: policy.psi_some: 2.0 s is longer than")


def test_a_number_of_a_newer_lmkd_is_shown_as_it_is() -> None:
    newer = replace(NUMBERS[0], name="patience_ms", key="policy.patience", fact="", fixed=5)
    seen = seen_with()
    seen["numbers"].append({"name": newer.name, "value": 5, "text": "5 ms", "rule": "fixed", "key": newer.key})
    assert any("patience" in line and "5 ms  fixed" in line for line in policy_lines(seen, False, 80))
