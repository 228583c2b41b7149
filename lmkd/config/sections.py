"""YAML mappings against the schema: known keys, no duplicates, every value of its type."""

from __future__ import annotations

import yaml

from lmkd.config.document import place_of
from lmkd.config.problems import Place, Problems, shown
from lmkd.config.scalars import Scalar, Setting, nearest, parse_scalar, scalar_of
from lmkd.config.schema import APP, FIELDS, MATCH, TOP, Field, fields_of, sections_with
from lmkd.values import value

_MERGE_TAG = "tag:yaml.org,2002:merge"
_MERGES_MAX = 64


@value
class Item:
    """A key of a mapping with its value's node; duplicates are reported, merges (``<<``) resolved before."""

    key: str
    key_place: Place
    node: yaml.Node


class Reader:
    """What reading one file needs everywhere: its name, and where problems go."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.file = file
        self.problems = problems

    def wrong(self, node: yaml.Node, key: str, message: str) -> None:
        """Report ``message`` about ``key`` at the position of ``node``."""
        self.problems.add(place_of(node, self.file), key, message)

    def place(self, node: yaml.Node) -> Place:
        """Where ``node`` begins in this file."""
        return place_of(node, self.file)

    def mapping(self, node: yaml.Node, where: str, example: str) -> list[Item] | None:
        """The items of a mapping; None, and a problem, for any other node. ``where`` names it in messages."""
        if isinstance(node, yaml.MappingNode):
            budget = [_MERGES_MAX]
            return list(self._items(node, where, budget).values())
        what = "has no value" if is_null(node) else f"is {described(node)}, not a mapping"
        self.wrong(node, where or "(top level)", f"{what}: write {example}")
        return None

    def scalar(self, node: yaml.Node, key: str) -> Scalar | None:
        """The scalar of ``node``; None, and a problem, for a list or a mapping."""
        if not isinstance(node, yaml.ScalarNode):
            self.wrong(node, key, f"is {described(node)}: one value is expected here")
            return None
        try:
            return scalar_of(node)
        except ValueError as error:
            self.wrong(node, key, str(error))
            return None

    def setting(self, field: Field, item: Item, where: str) -> Setting:
        """The value of ``item`` for ``field``; None (also for "auto"), and a problem, if it is wrong."""
        key = f"{where}.{field.key}" if where else field.key
        scalar = self.scalar(item.node, key)
        if scalar is None:
            return None
        try:
            return parse_scalar(field, scalar)
        except ValueError as error:
            self.wrong(item.node, key, str(error))
            return None

    def known(self, items: list[Item], section: str, where: str) -> list[tuple[Field, Item]]:
        """The items whose keys the section has; the others are problems that say where the key belongs."""
        fields = {field.key: field for field in fields_of(section)}
        for item in items:
            if item.key not in fields:
                key = f"{where}.{item.key}" if where else item.key
                self.problems.add(item.key_place, key, _unknown(item.key, section))
        return [(fields[item.key], item) for item in items if item.key in fields]

    def _items(self, node: yaml.MappingNode, where: str, budget: list[int]) -> dict[str, Item]:
        own: dict[str, Item] = {}
        merged: dict[str, Item] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE_TAG:
                for name, item in self._merged(value_node, where, budget).items():
                    merged.setdefault(name, item)
                continue
            key = self._key(key_node, where)
            if key is None:
                continue
            if key in own:
                first = own[key].key_place
                name = f"{where}.{key}" if where else key
                self.wrong(key_node, name, f"duplicate key: it is already at line {first.line}")
                continue
            own[key] = Item(key, self.place(key_node), value_node)
        return {**merged, **own}

    def _merged(self, node: yaml.Node, where: str, budget: list[int]) -> dict[str, Item]:
        """What ``<<: *anchor`` (or a list of them) brings; the budget ends an anchor that merges itself."""
        budget[0] -= 1
        if budget[0] < 0:
            self.wrong(node, where, "<< merges too much, or itself")
            return {}
        if isinstance(node, yaml.MappingNode):
            return self._items(node, where, budget)
        if not isinstance(node, yaml.SequenceNode):
            self.wrong(node, where, "<< takes an alias of a mapping, such as <<: *common")
            return {}
        found: dict[str, Item] = {}
        for part in node.value:
            for name, item in self._merged(part, where, budget).items():
                found.setdefault(name, item)
        return found

    def _key(self, node: yaml.Node, where: str) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self.wrong(node, where or "(top level)", f"{described(node)} stands where a key is expected")
            return None
        return str(node.value)


def is_null(node: yaml.Node) -> bool:
    """Whether ``node`` is a key's missing value (``key:`` with nothing after it, or null)."""
    return isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")


def described(node: yaml.Node) -> str:
    """What kind of thing a node is, for a message."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return f"the single value {shown(str(node.value))}"


def _unknown(key: str, section: str) -> str:
    here = tuple(field.key for field in fields_of(section))
    elsewhere = sections_with(key)
    if section == TOP and (APP in elsewhere or MATCH in elsewhere):
        return "unknown key at the top level: it belongs to a rule of apps, indent it below its `- name:`"
    if section == APP and MATCH in elsewhere:
        return f"unknown key in a rule: it belongs into match, write match: {{{key}: ...}}"
    if section == MATCH and APP in elsewhere:
        return "unknown key in match: it belongs to the rule, unindent it to the column of match"
    if section == "grace" and key == "protected":
        return "protected applications are never killed: they have no grace"
    if elsewhere:
        home = elsewhere[0]
        return f"unknown key here: it belongs {f'into {home}' if home else 'to the top level'}"
    meant = nearest(key, here)
    if meant:
        return f"unknown key: did you mean {meant}?"
    far = nearest(key, tuple(field.key for field in FIELDS))
    if far:
        return f"unknown key: did you mean {far} (in {sections_with(far)[0] or 'the top level'})?"
    return f"unknown key: known are {', '.join(here)}"
