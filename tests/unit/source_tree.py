"""What the tests of the tree's own rules share: the modules of lmkd, and what each of them imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "lmkd"


@dataclass(frozen=True)
class Import:
    """One import of ``target`` (a module's full name); ``lazy``: inside a function."""

    target: str
    line: int
    lazy: bool


def modules() -> dict[str, Path]:
    """Every module of lmkd by its full name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(name: str, known: dict[str, Path]) -> list[Import]:
    """What a module imports at run time; what only a type checker sees does not count."""
    found = []
    package = name if known[name].name == "__init__.py" else name.rpartition(".")[0]
    for node, lazy in _runtime_nodes(parse(known[name]), False):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno, lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.append(Import(inner if inner in known else base, node.lineno, lazy))
    return found


def _runtime_nodes(node: ast.AST, lazy: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.If) and _is_type_checking(child.test):
            for other in child.orelse:
                yield other, inside
                yield from _runtime_nodes(other, inside)
            continue
        yield child, inside
        yield from _runtime_nodes(child, inside)


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"
