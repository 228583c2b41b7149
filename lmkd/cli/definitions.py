"""The command line as data: what completion and man pages are made from is what argparse itself goes by."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from typing import cast

from lmkd.cli.main import COMMANDS, Command, new_parser
from lmkd.model import CLASSES
from lmkd.values import value

FILES, PROCESSES = "@files", "@processes"
"""What a value may be besides plain words."""


@value
class Option:
    """``flags`` such as --socket; ``metavar`` is empty for one without a value."""

    flags: tuple[str, ...]
    metavar: str
    help: str
    words: tuple[str, ...]
    """What can be completed: words, or one of the kinds above; empty: nothing is known."""


@value
class Operand:
    """An argument that is known by its place; ``many``: it may be repeated."""

    metavar: str
    help: str
    words: tuple[str, ...]
    optional: bool
    many: bool


@value
class Definition:
    """One command: ``path`` is all its words, from ``lmkd`` on."""

    path: tuple[str, ...]
    summary: str
    description: str
    epilog: str
    options: tuple[Option, ...]
    operands: tuple[Operand, ...]
    below: tuple[Definition, ...]

    def everything(self) -> Iterator[Definition]:
        """This one and all below it."""
        yield self
        for one in self.below:
            yield from one.everything()


def definitions() -> Definition:
    """All of ``lmkd``."""
    parser, subparsers = new_parser()
    for entry in COMMANDS:
        cast(Command, importlib.import_module(entry.module)).add_parser(subparsers)
    return _definition(parser, ("lmkd",), "low-memory manager for boards without swap disks")


def _definition(parser: argparse.ArgumentParser, path: tuple[str, ...], summary: str) -> Definition:
    options, operands, below = [], [], []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        if isinstance(action, argparse._SubParsersAction):
            helps = {str(choice.dest): choice.help or "" for choice in action._choices_actions}
            below += [
                _definition(one, (*path, name), helps.get(name, "")) for name, one in action.choices.items()
            ]
        elif action.option_strings:
            options.append(_option(action))
        else:
            many, optional = action.nargs in ("*", "+"), action.nargs in ("*", "?")
            operands.append(Operand(_metavar(action), _help(action), words_of(action), optional, many))
    description, epilog = parser.description or summary, parser.epilog or ""
    return Definition(path, summary, description, epilog, tuple(options), tuple(operands), tuple(below))


def _option(action: argparse.Action) -> Option:
    takes = action.nargs != 0
    value_name, words = (_metavar(action), words_of(action)) if takes else ("", ())
    return Option(tuple(action.option_strings), value_name, _help(action), words)


def _metavar(action: argparse.Action) -> str:
    if action.choices:
        return "|".join(map(str, action.choices))
    return str(action.metavar or action.dest.upper())


def _help(action: argparse.Action) -> str:
    return (action.help or "") % {**vars(action), "prog": "lmkd"}


def words_of(action: argparse.Action) -> tuple[str, ...]:
    """What can be completed here, by the choices, else by what stands for the value: ``policy|PID|NAME``, ``FILE``."""
    if action.choices:
        return tuple(map(str, action.choices))
    parts = _metavar(action).split("|")
    if parts in (["FILE"], ["PATH"]):
        return (FILES,)
    found = [part for part in parts if part.islower()]
    found += [name for name, _ in CLASSES] if "CLASS" in parts else []
    return (*found, *((PROCESSES,) if "PID" in parts else ()))
