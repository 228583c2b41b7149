"""The house's rules on files, functions and docstrings, and on what the resident processes may import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.unit.source_tree import ROOT, imports, modules, parse

FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 40

RESIDENT_ROOTS = frozenset(
    ("values", "model", "held", "errors", "units", "matching", "plan", "policy", "guard", "helper", "resident")
)
# Each costs at most some tens of KiB, or nothing (io is there before the first line of ours runs): measured.
LIGHT = frozenset(
    ("__future__", "_operator", "_signal", "_socket", "ctypes", "errno", "fcntl", "gc", "io", "marshal", "math", "mmap")
) | {"os", "select", "signal", "stat", "struct", "sys", "time"}
EFFECTS = frozenset(("os", "time", "socket", "_socket", "select", "signal", "_signal"))
# Imported by the desk's forked child alone, which may use all of Python and ends with its client.
NOT_RESIDENT = frozenset(("lmkd.helper.source", "lmkd.helper.survey"))
HEAVY = frozenset(
    ("asyncio", "dataclasses", "inspect", "json", "logging", "pathlib", "re", "socket", "subprocess")
) | {"typing"}

MODULES = modules()


def resident_modules() -> dict[str, str]:
    """Each module that the guard or the helper loads, with the module that brings it in."""
    waiting = [(name, "the list") for name in MODULES if RESIDENT_ROOTS.intersection(name.split(".")[1:2])]
    found: dict[str, str] = {}
    while waiting:
        name, because = waiting.pop()
        if name in found or name in NOT_RESIDENT:
            continue
        found[name] = because
        eager = (each.target for each in imports(name, MODULES) if not each.lazy)
        waiting += [(target, name) for target in eager if target in MODULES]
    return found


RESIDENT = resident_modules()


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the signature to the end, without the docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_file_is_short(module: str) -> None:
    lines = MODULES[module].read_text(encoding="utf-8").count("\n")
    assert lines < FILE_LINES_MAX, f"{MODULES[module].relative_to(ROOT)} has {lines} lines"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_function_is_short(module: str) -> None:
    long = [
        f"{function.name} (line {function.lineno}): {lines} lines"
        for function in functions(parse(MODULES[module]))
        if (lines := code_lines(function)) >= FUNCTION_LINES_MAX
    ]
    assert not long, f"{MODULES[module].relative_to(ROOT)}: " + "; ".join(long)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_the_first_line_of_a_module_says_what_it_owns(module: str) -> None:
    tree = parse(MODULES[module])
    docstring = ast.get_docstring(tree)
    assert docstring and tree.body[0].lineno == 1, f"{MODULES[module].relative_to(ROOT)} has no docstring"


@pytest.mark.parametrize("module", sorted(RESIDENT))
def test_a_resident_module_imports_light_modules_only(module: str) -> None:
    heavy = [
        f"line {found.line}: {found.target}"
        for found in imports(module, MODULES)
        if not found.lazy and found.target.split(".")[0] not in (*LIGHT, "lmkd")
    ]
    assert not heavy, f"{module} (imported by {RESIDENT[module]}): " + "; ".join(heavy)


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("lmkd.policy")))
def test_the_policy_sees_no_clock_no_file_and_no_socket(module: str) -> None:
    found = imports(module, MODULES)
    seen = [f"line {each.line}: {each.target}" for each in found if each.target in EFFECTS]
    assert not seen, f"{module}: " + "; ".join(seen)


def test_loading_the_resident_processes_brings_in_nothing_heavy() -> None:
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
before = set(sys.modules)
for name in {sorted(RESIDENT)!r}:
    __import__(name)
print(*sorted(set({sorted(HEAVY)!r}) & (set(sys.modules) - before)))
"""
    command = [sys.executable, "-I", "-S", "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == []
