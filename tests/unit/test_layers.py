"""Imports point one way: a module imports its own layer and those before it, never a later one."""

from __future__ import annotations

import pytest

from tests.unit.source_tree import imports, modules

# The design's order. Names in one tuple are one layer; config and kernel do not see each other (see APART).
LAYERS = (
    ("__init__", "values", "errors", "units", "model", "held", "matching", "slim", "lean", "plain_json"),
    ("config", "kernel", "plan"),
    ("store",),
    ("policy",),
    ("guard",),
    ("helper",),
    ("client",),
    ("control", "log", "dbus"),
    ("resident",),
    ("notes",),
    ("planner",),
    ("cli",),
    ("__main__",),
)
APART = {("config", "kernel"), ("kernel", "config"), ("plan", "config"), ("plan", "kernel")}
EXCEPTIONS = {
    # The desk's forked child turns into the talker and imports it then; nobody else in the helper does.
    ("lmkd.helper.desk", "lmkd.control.talk"),
}
OF_CONTROL_FOR_COMMANDS = {"lmkd.control.client", "lmkd.control.protocol", "lmkd.control.metrics"}

MODULES = modules()
RANKS = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}


def part_of(module: str) -> str:
    """The second component of a module's name: its layer's name."""
    return [*module.split("."), "__init__"][1]


def own_imports(module: str) -> list[tuple[int, str]]:
    found = imports(module, MODULES)
    return [(each.line, each.target) for each in found if each.target.split(".")[0] == "lmkd"]


def offence(module: str, target: str) -> str:
    """Why ``module`` must not import ``target``; empty when it may."""
    mine, theirs = part_of(module), part_of(target)
    if (module, target) in EXCEPTIONS or mine == theirs:
        return ""
    if (mine, theirs) in APART:
        return f"{mine} and {theirs} do not see each other"
    if RANKS[theirs] > RANKS[mine]:
        return f"{theirs} comes after {mine}"
    if mine == "cli" and theirs == "control" and target not in OF_CONTROL_FOR_COMMANDS:
        return "commands see the client of the control socket, not its server"
    return ""


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_has_a_layer(module: str) -> None:
    assert part_of(module) in RANKS, f"{module}: name its layer in LAYERS"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_earlier_layers_only(module: str) -> None:
    found = own_imports(module)
    wrong = [f"line {line}: {target}: {why}" for line, target in found if (why := offence(module, target))]
    assert not wrong, f"{module}: " + "; ".join(wrong)


def test_exceptions_are_still_needed() -> None:
    used = {(module, target) for module in MODULES for _, target in own_imports(module)}
    assert {pair for pair in EXCEPTIONS if pair[0] in MODULES} <= used


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("lmkd.policy.step", "lmkd.guard.loop"),
        ("lmkd.config.load", "lmkd.kernel.files"),
        ("lmkd.kernel.zram", "lmkd.config"),
        ("lmkd.helper.scout", "lmkd.control.talker"),
        ("lmkd.cli.ps", "lmkd.control.talker"),
        ("lmkd.values", "lmkd.plan"),
    ],
)
def test_what_points_the_wrong_way_is_an_offence(module: str, target: str) -> None:
    assert offence(module, target)


@pytest.mark.parametrize(
    ("module", "target"),
    [("lmkd.units", "lmkd.model"), ("lmkd.cli.ps", "lmkd.control.client"), ("lmkd.helper.scout", "lmkd")],
)
def test_what_points_the_right_way_is_none(module: str, target: str) -> None:
    assert not offence(module, target)
