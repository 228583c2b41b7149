"""The shipped files, the schema and the reference page say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmkd.config import check, load, reference_markdown
from lmkd.config.scalars import default_of
from lmkd.config.schema import AUTO, FIELDS, Field
from lmkd.values import replace

CONFIGS = Path(__file__).parents[3] / "configs"
EXPECTED = ("board-64mb", "default", "headless-gateway", "kiosk", "media-box")


def test_all_files_are_there() -> None:
    assert tuple(sorted(path.stem for path in CONFIGS.glob("*.yaml"))) == EXPECTED


@pytest.mark.parametrize("name", EXPECTED)
def test_shipped_file_is_valid_and_commented(name: str) -> None:
    path = CONFIGS / f"{name}.yaml"
    assert check([path]) == ()
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "default"])
def test_shipped_file_has_rules_that_protect_and_that_give_way(name: str) -> None:
    apps = load([CONFIGS / f"{name}.yaml"]).apps
    assert any(rule.protect for rule in apps)
    assert any(rule.class_name == "foreground" for rule in apps)
    assert any(rule.class_name == "cached" for rule in apps)


def test_default_file_says_the_same_as_no_file() -> None:
    config = load([CONFIGS / "default.yaml"])
    assert replace(config, sources=(), given=()) == load([])


def test_default_file_shows_every_key() -> None:
    words = {word.strip("#- {") for line in _lines() for word in line.replace("{", " ").split()}
    assert [field.path() for field in FIELDS if f"{field.key}:" not in words] == []


def test_examples_in_comments_of_the_default_file_are_valid(tmp_path: Path) -> None:
    lines = [
        line[1:] if line.startswith("#  ") and not line.startswith("#   p") else line for line in _lines()
    ]
    text = "\n".join(lines)
    for key, empty in (("sysctls", "{}"), ("notify", "{}"), ("tmpfs", "[]"), ("apps", "[]")):
        text = text.replace(f"{key}: {empty}", f"{key}:")
    path = tmp_path / "all.yaml"
    path.write_text(text, encoding="utf-8")
    config = load([path])
    assert len(config.apps) == 5
    assert len(config.sysctls) == 6
    assert [name for name, _ in config.notify] == ["protected", "background", "cached"]
    assert config.on_kill == (("background", "/usr/libexec/note-it"),)
    assert [mount.delete for mount in config.tmpfs] == [("*.log", "cache/**")]


@pytest.mark.parametrize("field", FIELDS, ids=Field.path)
def test_default_of_every_key_is_valid_and_documented(field: Field) -> None:
    assert field.doc.endswith(".")
    assert f"| `{field.key}` |" in reference_markdown()
    if field.kind not in ("section", "rules", "mounts", "notices", "notice") and field.default:
        assert (default_of(field) is None) == (field.default == AUTO and field.kind != "name")


def test_reference_page_states_limits_and_order_of_rules() -> None:
    page = reference_markdown()
    assert "| `stall_budget` | duration | `33ms` | 5 ms to 1.0 s |" in page
    assert "The first rule that matches wins." in page
    assert "| protected | -1000 |" in page


def test_every_section_has_its_table_in_the_reference_page() -> None:
    page = reference_markdown()
    sections = {field.section for field in FIELDS if field.section}
    assert [name for name in sections if f"`{name.removeprefix('apps[].').removesuffix('[]')}`\n" not in page] == []


def _lines() -> list[str]:
    return (CONFIGS / "default.yaml").read_text(encoding="utf-8").splitlines()
