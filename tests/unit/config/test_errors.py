"""Invalid configurations: every error at once, each with file, line, column, key and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmkd.config import check, load, load_default, parse_text
from lmkd.errors import ConfigError


def errors(text: str | bytes, name: str = "f") -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_text(text, name)
    lines = caught.value.lines
    assert lines
    assert all(line.isprintable() for line in lines)
    return lines


def rule(text: str) -> str:
    return f"apps:\n  - name: r\n    {text}\n"


# text, where and which key, what was meant
ROWS = [
    ("stall-budget: 33ms", "f:1:1: stall-budget:", "did you mean stall_budget?"),
    ("stal: 33ms", "f:1:1: stal:", "unknown key"),
    ("swap_priority: 1", "f:1:1: swap_priority:", "it belongs into store"),
    ("store: {swappiness: 1}", "f:1:9: store.swappiness:", "vm.swappiness"),
    ("store: {apps: 1}", "f:1:9: store.apps:", "to the top level"),
    ("stall_budget: 33", "f:1:15: stall_budget:", "33 has no unit: write 33ms or 33s"),
    ("stall_budget: 33m", "f:1:15: stall_budget:", "unknown unit 'm'"),
    ("stall_budget: 4ms", "f:1:15: stall_budget:", "out of range: 5 ms to 1.0 s"),
    ("stall_budget: fast", "f:1:15: stall_budget:", "not a duration"),
    ("stall_budget: yes", "f:1:15: stall_budget:", "a boolean in YAML, not a duration"),
    ("stall_budget: [33ms]", "f:1:15: stall_budget:", "is a list"),
    ("stall_budget:", "f:1:14: stall_budget:", "has no value"),
    ("stall_budget: ''", "f:1:15: stall_budget:", "is empty"),
    ("stall_budget: !ms 33", "f:1:15: stall_budget:", "the tag !ms means nothing"),
    ("stall_budget: 33ms\nstall_budget: 34ms", "f:2:1: stall_budget:", "already at line 1"),
    ("store: zram", "f:1:8: store:", "write store: {kind: zram"),
    ("store:", "f:1:7: store:", "has no value"),
    ("store: {kind: zcache}", "f:1:15: store.kind:", "write zram or zswap or none"),
    ("store: {pool: slab}", "f:1:15: store.pool:", "zsmalloc or zbud or z3fold"),
    ("store: {kind: zrm}", "f:1:15: store.kind:", "did you mean zram?"),
    ("store: {size: 60}", "f:1:15: store.size:", "write 60% (of RAM) or 60M"),
    ("store: {size: 60 percent}", "f:1:15: store.size:", "unknown unit"),
    ("store: {size: 0%}", "f:1:15: store.size:", "out of range: 1% to 400%"),
    ("store: {size: 1K}", "f:1:15: store.size:", "at least 1.0 MB"),
    ("store: {size: 99999G}", "f:1:15: store.size:", "at most"),
    ("store: {mem_limit: 101%}", "f:1:20: store.mem_limit:", "1% to 100%"),
    ("store: {algorithm: 'lz4 '}", "f:1:20: store.algorithm:", "not a name"),
    ("store: {swap_priority: 010}", "f:1:24: store.swap_priority:", "octal: write 10"),
    ("store: {swap_priority: '10'}", "f:1:24: store.swap_priority:", "text because of its quotes"),
    ("store: {swap_priority: 0x10}", "f:1:24: store.swap_priority:", "plain decimal"),
    ("store: {swap_priority: 1_0}", "f:1:24: store.swap_priority:", "plain decimal"),
    ("store: {swap_priority: 1:30}", "f:1:24: store.swap_priority:", "plain decimal"),
    ("store: {swap_priority: 1.0}", "f:1:24: store.swap_priority:", "plain decimal"),
    ("store: {swap_priority: -1}", "f:1:24: store.swap_priority:", "0 to 32767"),
    ("store: {swap_priority: " + "9" * 5000 + "}", "f:1:24: store.swap_priority:", "too many digits"),
    ("manage_sysctls: 1", "f:1:17: manage_sysctls:", "neither true nor false"),
    ("manage_sysctls: 'true'", "f:1:17: manage_sysctls:", "quotes: write true"),
    ("manage_sysctls: !!bool maybe", "f:1:17: manage_sysctls:", "neither true nor false"),
    ("sysctls: {swappiness: 100}", "f:1:11: sysctls.swappiness:", "did you mean vm.swappiness"),
    ("sysctls: {vm.swappiness: 201}", "f:1:26: sysctls.vm.swappiness:", "0 to 200"),
    ("manage_sysctls: false\nsysctls: {vm.swappiness: 1}", "f:2:26: sysctls.vm.swappiness:", "never set"),
    ("policy: {psi_some: 2s, psi_window: 1s}", "f:1:20: policy.psi_some:", "2.0 s is longer than policy.psi_window (1"),
    ("policy: {psi_full: 2s, psi_window: 1s}", "f:1:20: policy.psi_full:", "(1.0 s, f:1:36): write at most 1000ms"),
    ("policy: {psi_full: 50ms, psi_some: 40ms}", "f:1:20: policy.psi_full:", "longer than policy.psi_some (40 ms"),
    ("policy: {psi_window: 400ms}", "f:1:22: policy.psi_window:", "out of range: 500 ms to 10.0 s"),
    ("policy: {hold_base: 5s, hold_max: 4s}", "f:1:21: policy.hold_base:", "longer than policy.hold_max (4.0 s"),
    ("stall_budget: 300ms\npolicy: {stall_window: 200ms}", "f:1:15: stall_budget:", "than policy.stall_window (200 ms"),
    ("policy: {runaway: false, runaway_horizon: 9s}", "f:1:43: policy.runaway_horizon:", "runaway is false (f:1:19)"),
    ("policy: {trim: no, trim_free: 5%}", "f:1:31: policy.trim_free:", "never used: policy.trim is false"),
    ("policy: {respawn_hold: no, hold_max: 9s}", "f:1:38: policy.hold_max:", "never used: policy.respawn_hold is"),
    ("policy: {headroom_floor: 40%, file_floor: 60%}", "f:1:26: policy.headroom_floor:", "40% and file_floor's 60%"),
    ("grace: {protected: 1s}", "f:1:9: grace.protected:", "never killed"),
    ("grace: {cached: 0}", "f:1:17: grace.cached:", "no unit: write 0ms"),
    ("control: {socket: run/x}", "f:1:19: control.socket:", "not absolute"),
    (f"control: {{socket: /{'x' * 107}}}", "f:1:19: control.socket:", "longer than 107 bytes"),
    ("control: {android_socket: dev/socket/lmkd}", "f:1:27: control.android_socket:", "not absolute"),
    (f"control: {{android_socket: /{'x' * 107}}}", "f:1:27: control.android_socket:", "longer than 107 bytes"),
    ("control: {android_release: 8}", "f:1:28: control.android_release:", "9"),
    ("control: {android_socket: /run/lmkd/control}", "f:1:27: control.android_socket:", "is control.socket"),
    ("log: {level: warn}", "f:1:14: log.level:", "did you mean warning?"),
    ("apps: {ui: {match: {comm: a}}}", "f:1:7: apps:", "not a list: begin each rule with a dash"),
    ("apps: ui", "f:1:7: apps:", "not a list"),
    ("apps:\n  # - name: x\n", "f:1:6: apps:", "has no rules below it"),
    ("apps: [ui]", "f:1:8: apps[1]:", "the single value ui, not a mapping"),
    ("apps: [[a]]", "f:1:8: apps[1]:", "a list, not a mapping"),
    ("apps: [{match: {comm: a}, priority: 1, grace: 5}]", "f:1:47: apps[1].grace:", "write 5ms"),
    ("[1, 2]", "f:1:1: (top level):", "is a list, not a mapping"),
    ("just text", "f:1:1: (top level):", "the single value just text"),
    ("~", "f:1:1: (top level):", "has no value"),
    ("? {a: b}\n: c", "f:1:3: (top level):", "a mapping stands where a key is expected"),
    ("match: {comm: a}", "f:1:1: match:", "it belongs to a rule of apps, indent it"),
    ("<<: 3", "f:1:5:", "<< takes an alias"),
    ("&a {<<: *a}", "f:1:1:", "merges too much, or itself"),
]

RULE_ROWS = [
    ("priority: cached", "f:2:5: apps[r].match:", "is missing"),
    ("match: {comm: a}", "f:2:5: apps[r].priority:", "is missing: write a class such as cached"),
    ("match: {}\n    priority: 1", "f:3:12: apps[r].match:", "is empty"),
    ("match: /usr/bin/ui\n    priority: 1", "f:3:12: apps[r].match:", "write match: {exe: /usr/bin/ui}"),
    ("match: [a]\n    priority: 1", "f:3:12: apps[r].match:", "is a list"),
    ("match: 7\n    priority: 1", "f:3:12: apps[r].match:", "the single value 7"),
    (
        "match:\n    exe: /a\n    priority: 1",
        "f:4:5: apps[r].exe:",
        "belongs into match, write match: {exe: ...}",
    ),
    ("match: {comm: a, priority: 1}", "f:3:22: apps[r].match.priority:", "unindent it"),
    ("match: {pid: 1}\n    priority: 1", "f:3:13: apps[r].match.pid:", "known are comm"),
    ("match: {comm: ''}\n    priority: 1", "f:3:19: apps[r].match.comm:", "is empty"),
    ("match: {user: }\n    priority: 1", "f:3:18: apps[r].match.user:", "is empty"),
    ("match: {comm: yes}\n    priority: 1", "f:3:19: apps[r].match.comm:", 'write "yes" if'),
    ("match: {comm: 7}\n    priority: 1", "f:3:19: apps[r].match.comm:", 'write "7" if'),
    ("match: {comm: 1e3}\n    priority: 1", None, ""),
    ("match: {comm: [a]}\n    priority: 1", "f:3:19: apps[r].match.comm:", "is a list"),
    ("match: {comm: sixteen-bytes-xy}\n    priority: 1", "f:3:19: apps[r].match.comm:", "15 bytes"),
    (
        "match: {comm: ääääääää}\n    priority: 1",
        "f:3:19: apps[r].match.comm:",
        "this has 16: match 'äääääää'",
    ),
    ("match: {comm: 'sixteen-bytes-x?*'}\n    priority: 1", "f:3:19: apps[r].match.comm:", "can never match"),
    ("match: {exe: ui}\n    priority: 1", "f:3:18: apps[r].match.exe:", 'write "/..." or "*/ui"'),
    ("match: {exe: 'u*'}\n    priority: 1", "f:3:18: apps[r].match.exe:", "absolute path"),
    ("match: {cgroup: system.slice}\n    priority: 1", "f:3:21: apps[r].match.cgroup:", "a path from /"),
    (
        "match: {unit: nginx}\n    priority: 1",
        "f:3:19: apps[r].match.unit:",
        "a unit has a type: nginx.service",
    ),
    ("match: {unit: 'nginx?'}\n    priority: 1", None, ""),
    ("match: {unit: 'n*x'}\n    priority: 1", "f:3:19: apps[r].match.unit:", "can never match"),
    ("match: {unit: /a/b.service}\n    priority: 1", "f:3:19: apps[r].match.unit:", "match cgroup"),
    ("match: {user: 007}\n    priority: 1", "f:3:19: apps[r].match.user:", "a uid is a plain number"),
    ("match: {user: 4294967295}\n    priority: 1", "f:3:19: apps[r].match.user:", "a uid is a plain number"),
    ("match: {user: -1}\n    priority: 1", "f:3:19: apps[r].match.user:", "can never match"),
    (
        "match: {comm: 're:a[b'}\n    priority: 1",
        "f:3:19: apps[r].match.comm:",
        "bad regex a[b at character 2",
    ),
    ("match: {comm: 're:'}\n    priority: 1", "f:3:19: apps[r].match.comm:", "is empty after re:"),
    ("match: {comm: 're:a{99999999999999}'}\n    priority: 1", "f:3:19: apps[r].match.comm:", "bad regex"),
    ("match: {comm: 're:[[a]'}\n    priority: 1", "f:3:19: apps[r].match.comm:", "ambiguous"),
    (
        f"match: {{cmdline: {'x' * 1025}}}\n    priority: 1",
        "f:3:22: apps[r].match.cmdline:",
        "longer than 1024",
    ),
    ('match: {cmdline: "a\\0b"}\n    priority: 1', "f:3:22: apps[r].match.cmdline:", "NUL"),
    ('match: {cmdline: "a\\uD800b"}\n    priority: 1', "f:3:22: apps[r].match.cmdline:", "UTF-8"),
    ("match: {comm: a}\n    priority: forground", "f:4:15: apps[r].priority:", "did you mean foreground?"),
    ("match: {comm: a}\n    priority: 1001", "f:4:15: apps[r].priority:", "-1000 to 1000"),
    ("match: {comm: a}\n    priority: 0900", "f:4:15: apps[r].priority:", "octal: write 900"),
    ("match: {comm: a}\n    priority: '900'", "f:4:15: apps[r].priority:", "text because of its quotes"),
    ("match: {comm: a}\n    priority: -0100", "f:4:15: apps[r].priority:", "write -100"),
    ("match: {comm: a}\n    priority: +5", "f:4:15: apps[r].priority:", "plain decimal"),
    ("match: {comm: a}\n    priority: ''", "f:4:15: apps[r].priority:", "plain decimal"),
    ("match: {comm: a}\n    priority:", "f:4:14: apps[r].priority:", "has no value"),
    ("match: {comm: a}\n    priority: 1\n    on_kill: no", "f:5:14: apps[r].on_kill:", "leave the key out"),
    ("match: {comm: a}\n    priority: 1\n    on_kill: note", "f:5:14: apps[r].on_kill:", "not absolute"),
    ("match: {comm: a}\n    priority: 1\n    on_kill: /a -b", "f:5:14: apps[r].on_kill:", "no arguments"),
    (
        "match: {comm: a}\n    priority: 1\n    group: family",
        "f:5:12: apps[r].group:",
        "process or tree or cgroup",
    ),
    ("match: {comm: a}\n    protect: true\n    priority: cached", "f:4:14: apps[r].protect:", "contradicts"),
    ("match: {comm: a}\n    protect: false\n    priority: -1000", "f:4:14: apps[r].protect:", "contradicts"),
    ("match: {comm: a}\n    priority: 1\n    priority: 2", "f:5:5: apps[r].priority:", "already at line 4"),
]


@pytest.mark.parametrize(("text", "where", "meant"), ROWS)
def test_wrong_file_is_told_where_and_what(text: str, where: str, meant: str) -> None:
    lines = errors(text)
    assert any(line.startswith(where) and meant in line for line in lines), lines


@pytest.mark.parametrize(("text", "where", "meant"), RULE_ROWS)
def test_wrong_rule_is_told_where_and_what(text: str, where: str | None, meant: str) -> None:
    if where is None:
        assert parse_text(rule(text)).apps
        return
    lines = errors(rule(text))
    assert any(line.startswith(where) and meant in line for line in lines), lines


def test_all_errors_come_at_once_in_the_order_of_lines() -> None:
    lines = errors(
        "grace: {cached: 5}\nx: 1\nstore: {size: 1, kind: a}\napps: [{priority: 1}, {match: {exe: u}}]"
    )
    assert [line.split(": ")[0] for line in lines] == [
        "f:1:17",
        "f:2:1",
        "f:3:15",
        "f:3:24",
        "f:4:8",
        "f:4:23",
        "f:4:37",
    ]


def test_errors_of_all_files_come_at_once(tmp_path: Path) -> None:
    one, two, gone = tmp_path / "one.yaml", tmp_path / "two.yaml", tmp_path / "gone.yaml"
    one.write_text("a: 1")
    two.write_bytes(b"\xff")
    with pytest.raises(ConfigError) as caught:
        load([one, two, gone])
    assert [line.split(": ")[0] for line in caught.value.lines] == [f"{one}:1:1", f"{two}:1:1", str(gone)]
    assert caught.value.lines[2].endswith("cannot be read: No such file or directory")
    assert caught.value.exit_code == 2


def test_folder_and_device_are_no_configuration(tmp_path: Path) -> None:
    assert "cannot be read" in check([tmp_path])[0]
    assert "larger than 256 KiB" in check([Path("/dev/zero")])[0]


def test_link_to_nowhere_and_yml_are_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "lmkd.yaml").symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_default(tmp_path)
    (tmp_path / "lmkd.yaml").unlink()
    (tmp_path / "lmkd.d").mkdir()
    (tmp_path / "lmkd.d" / "x.yml").touch()
    with pytest.raises(ConfigError, match="rename it to"):
        load_default(tmp_path)


def test_check_looks_at_each_file_and_at_all_together(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("apps: [{match: {comm: ab}, priority: 1}]")
    two.write_text("apps: [{match: {comm: a*}, priority: 1}]")
    assert check([one]) == check([two]) == ()
    (line,) = check([one, two])
    assert line.startswith(f"{one}:1:8: apps[comm=ab].match: can never match: the rule comm=a* ({two}:1)")


def test_numbers_of_two_files_that_contradict_are_told_with_both_places(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("policy:\n  hold_base: 20s\n")
    two.write_text("policy: {hold_max: 10s}")
    assert check([one]) == check([two]) == ()
    (line,) = check([one, two])
    assert line.startswith(f"{one}:2:14: policy.hold_base: 20.0 s is longer than policy.hold_max (10.0 s, {two}:1:20)")


def test_a_default_that_is_too_long_for_what_was_given_is_told_at_what_was_given() -> None:
    (line,) = errors("policy: {stall_window: 100ms}\nstall_budget: 101ms")
    assert line.startswith("f:2:15: stall_budget:")


def test_a_drop_in_may_turn_off_what_the_main_file_has_set_up(tmp_path: Path) -> None:
    main, drop_in = tmp_path / "main.yaml", tmp_path / "off.yaml"
    main.write_text("policy: {trim_idle: 9s, hold_base: 2s, runaway_horizon: 3s}")
    drop_in.write_text("policy: {trim: false, respawn_hold: false, runaway: false}")
    assert check([main, drop_in]) == ()
