"""Valid configurations: what they mean, what is derived, and how several files become one."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmkd.config import (
    Amount,
    Config,
    Matcher,
    default_paths,
    load,
    load_default,
    parse_text,
    priority_of_class,
    rule_table,
)
from lmkd.model import CLASSES, class_of

ISSUE_EXAMPLE = """\
stall_budget: 33ms
store: {kind: zram, algorithm: auto, size: 60%, mem_limit: 30%}
apps:
  - name: ui
    match: {exe: /usr/bin/ui}          # comm, exe, cmdline, user, cgroup, unit; glob, or re: for a regex
    priority: foreground               # a class, or a number on the kernel's scale
  - name: indexer
    match: {cmdline: "*indexer*"}
    priority: cached
    on_kill: /usr/libexec/note-it
"""


def write(folder: Path, **files: str) -> list[Path]:
    paths = []
    for name, text in files.items():
        path = folder / f"{name}.yaml"
        path.write_text(text)
        paths.append(path)
    return paths


def only_rule(text: str) -> tuple[int, str | None, bool]:
    rule = parse_text(text).apps[0]
    return rule.priority, rule.class_name, rule.protect


def test_the_shape_of_the_issue_is_read() -> None:
    config = parse_text(ISSUE_EXAMPLE, "lmkd.yaml")
    ui, indexer = config.apps
    assert (ui.name, ui.priority, ui.class_name, ui.line) == ("ui", 0, "foreground", 4)
    assert ui.matchers == (Matcher("exe", "exact", "/usr/bin/ui"),)
    assert indexer.matchers == (Matcher("cmdline", "glob", "*indexer*"),)
    assert (indexer.on_kill, indexer.file) == ("/usr/libexec/note-it", "lmkd.yaml")
    assert rule_table(config)[1] == (
        "indexer",
        (("cmdline", "glob", "*indexer*"),),
        900,
        "cached",
        False,
        "/usr/libexec/note-it",
        -1,
        "process",
        "lmkd.yaml:7",
        None,
        None,
    )


@pytest.mark.parametrize(
    "text", ["", "\n", "# only a comment\n", "---\n", "{}", "\ufeff", b"\xef\xbb\xbf", "--- {}\n...\n"]
)
def test_empty_file_is_all_defaults(text: str | bytes) -> None:
    config = parse_text(text, "empty.yaml")
    assert (config.stall_budget_ms, config.apps, config.sysctls) == (33, (), ())
    assert config.store.size is None
    assert config.policy.kill_horizon_ms is None
    assert config.sources == ("empty.yaml",)


def test_no_file_is_the_built_in_defaults(tmp_path: Path) -> None:
    assert load_default(tmp_path) == load([])
    assert load([]).sources == ()


def test_every_value_can_be_given() -> None:
    config = parse_text("""
stall_budget: 1s
store: {kind: none, algorithm: 842, size: 64M, mem_limit: 1.5G, swap_priority: 0, on_exit: down}
sysctls: {vm.swappiness: 0, vm.page-cluster: 3}
mirror_oom_score_adj: no
grace: {cached: 1min}
policy: {headroom_floor: 4M, file_floor: 5%, kill_horizon: 2s, runaway_horizon: auto, runaway: off}
control: {socket: /tmp/s}
log: {level: debug}
""")
    assert config.stall_budget_ms == 1000
    assert config.store.size is not None
    assert (config.store.algorithm, config.store.size.kib, config.store.mem_limit.kib) == (
        "842",
        65536,
        1572864,
    )
    assert config.sysctls == (("vm.swappiness", 0), ("vm.page-cluster", 3))
    assert not config.mirror_oom_score_adj
    assert config.policy.headroom_floor == Amount(None, 4096)
    assert (config.policy.kill_horizon_ms, config.policy.runaway_horizon_ms, config.policy.runaway) == (
        2000,
        None,
        False,
    )
    assert dict(config.grace)["cached"] == 60_000
    assert dict(config.grace)["service"] == 200


def test_amount_is_a_share_of_ram_or_a_size() -> None:
    assert Amount(60, None).kib_of(1000) == 600
    assert Amount(None, 4096).kib_of(1000) == 4096
    with pytest.raises(ValueError, match="neither"):
        Amount(None, None).kib_of(1)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("priority: cached", (900, "cached", False)),
        ("priority: -17", (-17, None, False)),
        ("priority: 1000", (1000, None, False)),
        ("priority: protected", (-1000, "protected", True)),
        ("priority: -1000", (-1000, None, True)),
        ("protect: true", (-1000, "protected", True)),
        ("protect: yes, priority: protected", (-1000, "protected", True)),
        ("protect: false, priority: service", (500, "service", False)),
    ],
)
def test_priority_is_a_class_or_a_number(keys: str, expected: tuple[int, str | None, bool]) -> None:
    assert only_rule(f"apps: [{{match: {{comm: a}}, {keys}}}]") == expected


def test_classes_and_numbers_agree() -> None:
    for name, number in CLASSES:
        assert priority_of_class(name) == number
        assert class_of(number) == name
    assert class_of(-999) == class_of(99) == "foreground"
    assert class_of(1000) == "cached"


def test_kind_of_pattern_is_told_from_its_text() -> None:
    config = parse_text('apps: [{match: {comm: "re:^a b$", exe: "/x[", cmdline: "a?"}, priority: 0}]')
    kinds = {matcher.field: (matcher.kind, matcher.pattern) for matcher in config.apps[0].matchers}
    assert kinds == {"comm": ("regex", "^a b$"), "exe": ("exact", "/x["), "cmdline": ("glob", "a?")}


def test_anchors_aliases_and_merges_are_fine() -> None:
    config = parse_text("""
apps:
  - &base {name: a, match: {comm: a}, priority: cached, on_kill: &hook /bin/true}
  - {<<: *base, name: b, match: {comm: b}, priority: 100}
  - {name: c, match: {comm: c}, priority: 1, on_kill: *hook}
""")
    assert [(rule.name, rule.priority, rule.on_kill) for rule in config.apps] == [
        ("a", 900, "/bin/true"),
        ("b", 100, "/bin/true"),
        ("c", 1, "/bin/true"),
    ]


def test_several_mappings_can_be_merged_the_first_wins() -> None:
    config = parse_text("""
apps:
  - &one {name: a, match: {comm: a}, priority: cached}
  - &two {name: b, match: {comm: b}, priority: service, on_kill: /bin/true}
  - {<<: [*one, *two], name: c, match: {comm: c}}
""")
    assert (config.apps[2].class_name, config.apps[2].on_kill) == ("cached", "/bin/true")


def test_carriage_returns_change_nothing() -> None:
    assert parse_text(ISSUE_EXAMPLE.replace("\n", "\r\n")) == parse_text(ISSUE_EXAMPLE)
    assert parse_text("\ufeff" + ISSUE_EXAMPLE) == parse_text(ISSUE_EXAMPLE.encode())


def test_names_are_made_from_patterns_when_left_out() -> None:
    config = parse_text('apps: [{match: {exe: /a, comm: "re:x"}, priority: 0}]')
    assert config.apps[0].name == "comm=re:x,exe=/a"


def test_later_file_wins_key_by_key(tmp_path: Path) -> None:
    paths = write(
        tmp_path,
        a="store: {size: 50%, mem_limit: 20%}\nstall_budget: 50ms",
        b="store: {size: 70%}\npolicy: {kill_horizon: 1s}",
        c="policy: {kill_horizon: auto}",
    )
    config = load(paths)
    assert config.store.size is not None
    assert (config.store.size.pct, config.store.mem_limit.pct, config.stall_budget_ms) == (70, 20, 50)
    assert config.policy.kill_horizon_ms is None
    assert config.sources == tuple(str(path) for path in paths)


def test_rules_of_later_files_come_first_and_replace_by_name(tmp_path: Path) -> None:
    paths = write(
        tmp_path,
        main="apps: [{name: a, match: {comm: a}, priority: 1}, {name: b, match: {comm: b}, priority: 2}]",
        one="apps: [{name: c, match: {comm: c}, priority: 3}]",
        two="apps: [{name: b, match: {comm: b}, priority: 4}, {name: d, match: {comm: d}, priority: 5}]",
    )
    assert [(rule.name, rule.priority) for rule in load(paths).apps] == [
        ("b", 4),
        ("d", 5),
        ("c", 3),
        ("a", 1),
    ]


def test_default_location_reads_drop_ins_by_name(tmp_path: Path) -> None:
    (tmp_path / "lmkd.d").mkdir()
    write(tmp_path, lmkd="stall_budget: 10ms")
    write(
        tmp_path / "lmkd.d", **{"20": "stall_budget: 20ms", "10": "stall_budget: 30ms", ".hidden": "nonsense"}
    )
    (tmp_path / "lmkd.d" / "30.yaml~").write_text("nonsense")
    assert [path.name for path in default_paths(tmp_path)] == ["lmkd.yaml", "10.yaml", "20.yaml"]
    assert load_default(tmp_path).stall_budget_ms == 20


def test_drop_ins_work_without_a_main_file(tmp_path: Path) -> None:
    (tmp_path / "lmkd.d").mkdir()
    write(tmp_path / "lmkd.d", x="stall_budget: 20ms")
    assert load_default(tmp_path).stall_budget_ms == 20


def test_numbers_that_were_given_say_where(tmp_path: Path) -> None:
    paths = write(
        tmp_path,
        a="stall_budget: 50ms\npolicy: {kill_horizon: 1s, psi_some: 40ms, trim: false}",
        b="policy:\n  psi_some: auto\n  kill_horizon: 2s\n  psi_window: 1s",
    )
    config = load(paths)
    a, b = paths
    assert dict(config.given) == {
        "stall_budget": f"{a}:1:15",
        "policy.trim": f"{a}:2:50",
        "policy.kill_horizon": f"{b}:3:17",
        "policy.psi_window": f"{b}:4:15",
    }
    policy = config.policy
    assert (policy.kill_horizon_ms, policy.psi_some_ms, policy.psi_window_ms) == (2000, None, 1000)
    assert load([]).given == ()


def test_configuration_is_frozen() -> None:
    config: Config = parse_text("")
    with pytest.raises(AttributeError):
        config.stall_budget_ms = 1  # type: ignore[misc]
