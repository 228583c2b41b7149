"""Compiles the C client and its example for this machine, with every warning an error and the sanitizers there are."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.unit.source_tree import ROOT

C_DIR = ROOT / "clients/c"
EXAMPLES = ROOT / "clients/examples"
WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wstrict-prototypes")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@cache
def compiler() -> str:
    """The host's compiler; without one the test is skipped, and says what is not tested."""
    found = shutil.which("gcc") or shutil.which("cc")
    if found is None:
        pytest.skip("NOT TESTED HERE: the C client (there is neither gcc nor cc)")
    return found


@cache
def sanitizers() -> tuple[str, ...]:
    """The options, where their libraries are installed."""
    command = [compiler(), *SANITIZERS, "-x", "c", "-", "-o", "/dev/null"]
    works = subprocess.run(command, input="int main(void){return 0;}", text=True, capture_output=True, check=False)
    return SANITIZERS if works.returncode == 0 else ()


def build(sources: list[Path], program: Path, *options: str) -> Path:
    """Compile them into a program; a warning fails the test."""
    command = [compiler(), *WARNINGS, *sanitizers(), *options, "-g", "-O1", "-I", str(C_DIR), "-o", str(program)]
    done = subprocess.run([*command, *map(str, sources)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program
