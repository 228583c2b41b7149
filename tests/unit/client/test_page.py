"""The page for authors: what it shows compiles, and names what there is."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

import lmkd.client
from lmkd.client import Client, Retry
from lmkd.client.aio import AsyncClient
from lmkd.config import parse_text
from lmkd.policy.pressure import CRITICAL_MS, LOW_PCT, MODERATE_MS, MODERATE_PCT
from tests.unit.client.compiled import C_DIR, WARNINGS, compiler
from tests.unit.source_tree import ROOT

PAGE = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def test_its_python_imports_and_calls_what_there_is() -> None:
    blocks = [ast.parse(block) for language, block in BLOCKS if language == "python"]
    nodes = [node for block in blocks for node in ast.walk(block)]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "lmkd.client":
            assert all(hasattr(lmkd.client, alias.name) for alias in node.names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "client":
            assert hasattr(Client, node.attr)
    assert len(blocks) == 2


def test_both_clients_have_the_methods_it_names() -> None:
    named = re.search(r"All other\nrequests \((.*?)\)", PAGE, re.DOTALL)
    assert named is not None
    for name in re.findall(r"\w+", named[1]):
        assert hasattr(Client, name) and hasattr(AsyncClient, name)


def test_its_numbers_are_those_of_the_code() -> None:
    assert f"under {LOW_PCT} % of RAM" in PAGE and f"under {MODERATE_PCT} %" in PAGE
    assert f"within {MODERATE_MS / 1000:g} s" in PAGE and f"within {CRITICAL_MS / 1000:g} s" in PAGE
    delays = Retry()
    assert f"after {delays.next_ms():.0f} ms, then twice as long" in PAGE
    assert f"{max(delays.next_ms() for _ in range(30)) / 1000:.0f} s at most" in PAGE


@pytest.mark.parametrize("code", [block for language, block in BLOCKS if language == "c"], ids=("loop", "request"))
def test_its_c_compiles(code: str, tmp_path: Path) -> None:
    source = tmp_path / "page.c"
    source.write_text(code, encoding="utf-8")
    command = [compiler(), *WARNINGS, "-I", str(C_DIR), "-c", str(source), "-o", str(tmp_path / "page.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_its_configuration_is_one() -> None:
    config = parse_text(next(block for language, block in BLOCKS if language == "yaml"))
    assert config.apps[0].notify is not None and dict(config.notify)["background"].timeout_ms == 2000


@pytest.mark.parametrize("name", re.findall(r"\]\(\.\./(.*?)\)", PAGE))
def test_files_that_it_points_to_are_there(name: str) -> None:
    assert (ROOT / name).is_file()
