"""The list ``tmpfs``: what it takes, and each error with file, line, column and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmkd.config import load, parse_text
from lmkd.config.model import Amount
from lmkd.errors import ConfigError


def error(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_text(text, "f")
    assert all(line.isprintable() for line in caught.value.lines)
    return caught.value.lines[0]


def test_an_entry_has_all_that_it_says() -> None:
    text = 'tmpfs:\n  - {mount: /tmp, limit: 40%, delete: ["*.log", "cache/**"], tell: /bin/x}\n'
    (one,) = parse_text(text, "f").tmpfs
    assert (one.mount, one.limit, one.delete, one.tell) == ("/tmp", Amount(40, None), ("*.log", "cache/**"), "/bin/x")
    assert (one.file, one.line) == ("f", 2)


def test_nothing_is_deleted_and_told_unless_listed() -> None:
    assert parse_text("").tmpfs == parse_text("tmpfs: []").tmpfs == ()
    (one,) = parse_text("tmpfs: [{mount: /run, tell: /bin/x}]").tmpfs
    assert (one.delete, one.limit) == ((), None)


def test_a_drop_in_replaces_the_entry_of_the_same_mount(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("tmpfs: [{mount: /tmp, tell: /a}, {mount: /run, tell: /b}]")
    (tmp_path / "b").write_text("tmpfs: [{mount: /tmp, tell: /c}]")
    found = load([tmp_path / "a", tmp_path / "b"]).tmpfs
    assert [(one.mount, one.tell) for one in found] == [("/tmp", "/c"), ("/run", "/b")]


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("tmpfs: /tmp", "f:1:8: tmpfs:", "the single value /tmp, not a list"),
        ("tmpfs:", "f:1:7: tmpfs:", "has no entries below it"),
        ("tmpfs: [/tmp]", "f:1:9: tmpfs[1]:", "not a mapping"),
        ("tmpfs: [{tell: /x}]", "f:1:9: tmpfs[1].mount:", "is missing"),
        ("tmpfs: [{mount: /tmp}]", "f:1:9: tmpfs[1]:", "does nothing: write delete, tell"),
        ("tmpfs: [{mount: /tmp, limit: 40%}]", "f:1:9: tmpfs[1]:", "does nothing"),
        ("tmpfs: [{mount: tmp, tell: /x}]", "f:1:17: tmpfs[1].mount:", "not absolute"),
        ("tmpfs: [{mount: /tmp/, tell: /x}]", "f:1:17: tmpfs[1].mount:", "write /tmp"),
        ("tmpfs: [{mount: /a/../tmp, tell: /x}]", "f:1:17: tmpfs[1].mount:", "write /tmp"),
        ("tmpfs: [{mount: /t, limit: 40, tell: /x}]", "f:1:28: tmpfs[1].limit:", "no unit: write 40%"),
        ("tmpfs: [{mount: /t, limit: 0%, tell: /x}]", "f:1:28: tmpfs[1].limit:", "1% to 100%"),
        ("tmpfs: [{mount: /t, delete: '*'}]", "f:1:29: tmpfs[1].delete:", "not a list: write"),
        ("tmpfs: [{mount: /t, delete: []}]", "f:1:29: tmpfs[1].delete:", "has 0 patterns"),
        ("tmpfs: [{mount: /t, delete: [/t/x]}]", "f:1:30: tmpfs[1].delete[1]:", "write t/x"),
        ("tmpfs: [{mount: /t, delete: [a, ../x]}]", "f:1:33: tmpfs[1].delete[2]:", "no . and no .."),
        ("tmpfs: [{mount: /t, delete: [a//b]}]", "f:1:30: tmpfs[1].delete[1]:", "no empty part"),
        ("tmpfs: [{mount: /t, delete: [cache/]}]", "f:1:30: tmpfs[1].delete[1]:", "write cache/**"),
        ("tmpfs: [{mount: /t, delete: [a**]}]", "f:1:30: tmpfs[1].delete[1]:", "between slashes"),
        ("tmpfs: [{mount: /t, delete: ['']}]", "f:1:30: tmpfs[1].delete[1]:", "is empty"),
        ("tmpfs: [{mount: /t, delete: [~]}]", "f:1:30: tmpfs[1].delete[1]:", "is empty"),
        ("tmpfs: [{mount: /t, delete: [[a]]}]", "f:1:30: tmpfs[1].delete[1]:", "one value"),
        ("tmpfs: [{mount: /t, tell: x}]", "f:1:27: tmpfs[1].tell:", "not absolute"),
        ("tmpfs: [{mount: /t, tell: /x, remove: [x]}]", "f:1:31: tmpfs[1].remove:", "unknown key"),
        ("tmpfs: [{mount: /t, tell: /x},\n {mount: /t, tell: /x}]", "f:2:2: tmpfs[2].mount:", "already at line 1"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, where: str, said: str) -> None:
    line = error(text)
    assert line.startswith(where) and said in line, line
