"""The records that the code writes, read from its source: where, the event's name, and the names of its fields."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.unit.source_tree import ROOT, modules, parse

WRITERS = frozenset(("Note", "add", "info", "note", "post", "report", "_report"))
"""What a record is written by. ``add`` is the planner's, and ``info`` its logger's."""
OWNERS = {"add": "notes", "info": "log"}
"""These two are common names: of what the call must be a method."""
CONSTANTS = {"KILL_ASKED": ("kill_asked",)}


@dataclass
class Writing:
    """One call that writes a record: ``certain`` fields are in each, ``possible`` in some, ``open`` is not known."""

    place: str
    event: str
    certain: set[str] = field(default_factory=set)
    possible: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)


def writings() -> list[Writing]:
    """All calls of the source that write a record whose name is in the call."""
    found = []
    for path in modules().values():
        for function in _functions(parse(path)):
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                for event in _events(call):
                    one = Writing(f"{path.relative_to(ROOT)}:{call.lineno}", event)
                    _Reader(function, one).read(call)
                    found.append(one)
    return found


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The outermost ones: what is in an inner function is found in it."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from (inner for inner in node.body if isinstance(inner, ast.FunctionDef))


def _events(call: ast.Call) -> tuple[str, ...]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name not in WRITERS or not call.args:
        return ()
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    if name in OWNERS and not (isinstance(owner, ast.Name) and owner.id == OWNERS[name]):
        return ()
    first = call.args[0]
    if isinstance(first, ast.Name):
        return CONSTANTS.get(first.id, ())
    options = (first.body, first.orelse) if isinstance(first, ast.IfExp) else (first,)
    return tuple(one.value for one in options if isinstance(one, ast.Constant) and isinstance(one.value, str))


class _Reader:
    """Follows the expression of the fields through the names of its function."""

    def __init__(self, function: ast.FunctionDef, one: Writing) -> None:
        self._function = function
        self._one = one

    def read(self, call: ast.Call) -> None:
        for keyword in call.keywords:
            if keyword.arg and keyword.arg not in ("level", "fields"):
                self._one.certain.add(keyword.arg)
        if len(call.args) > 1:
            self._take(call.args[1], self._one.certain)

    def _take(self, node: ast.expr, into: set[str]) -> None:
        if isinstance(node, ast.Tuple | ast.List):
            for each in node.elts:
                self._element(each, into)
        elif isinstance(node, ast.Dict):
            into |= {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.DictComp):
            names = node.generators[0].iter
            self._names(names if not isinstance(names, ast.Name) else self._value_of(names.id), into)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tuple":
            self._take(node.args[0], into)
        elif isinstance(node, ast.Name) and self._assignments(node.id):
            for value, certain in self._assignments(node.id):
                self._take(value, into if certain else self._one.possible)
        else:
            self._one.open.add(ast.unparse(node))

    def _element(self, node: ast.expr, into: set[str]) -> None:
        if isinstance(node, ast.Starred):
            self._take(node.value, into)
        elif isinstance(node, ast.Tuple) and node.elts and isinstance(node.elts[0], ast.Constant):
            into.add(str(node.elts[0].value))
        else:
            self._one.open.add(ast.unparse(node))

    def _names(self, node: ast.expr | None, into: set[str]) -> None:
        assert isinstance(node, ast.Tuple)
        into |= {str(each.value) for each in node.elts if isinstance(each, ast.Constant)}

    def _value_of(self, name: str) -> ast.expr | None:
        return next((value for value, _ in self._assignments(name)), None)

    def _assignments(self, name: str) -> list[tuple[ast.expr, bool]]:
        """What the name is given in this function; not certain where that depends on an ``if``."""
        found: list[tuple[ast.expr, bool]] = []
        for parent, node in _with_parents(self._function):
            targets: list[ast.expr] = []
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, ast.AnnAssign | ast.AugAssign):
                targets = [node.target]
            value = getattr(node, "value", None)
            if value is not None and any(isinstance(one, ast.Name) and one.id == name for one in targets):
                found.append((value, not (isinstance(parent, ast.If) and isinstance(node, ast.AugAssign))))
            appended = value if isinstance(node, ast.Expr) and isinstance(value, ast.Call) else None
            if appended is not None and isinstance(appended.func, ast.Attribute) and appended.func.attr == "append":
                of = appended.func.value
                if isinstance(of, ast.Name) and of.id == name:
                    found.append((ast.Tuple([appended.args[0]], ast.Load()), not isinstance(parent, ast.If)))
        return found


def _with_parents(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        yield node, child
        yield from _with_parents(child)
