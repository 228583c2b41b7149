"""Rules of applications: YAML nodes to AppRule, each complete and able to match something on its own."""

from __future__ import annotations

import yaml

from lmkd.config.model import PRIORITY_MIN, AppRule, Matcher, NoticeConfig, priority_of_class
from lmkd.config.notices import read_notice
from lmkd.config.patterns import pattern_text, read_matcher
from lmkd.config.problems import Place, shown
from lmkd.config.scalars import LABEL_MAX, Setting
from lmkd.config.schema import APP, MATCH, Field
from lmkd.config.sections import Item, Reader, described, is_null
from lmkd.values import replace

RULES_MAX = 1000

_RULE_EXAMPLE = "- name: ui (and below it match and priority)"
_MATCH_EXAMPLE = "match: {exe: /usr/bin/ui}"


def read_apps(node: yaml.Node, reader: Reader) -> list[tuple[AppRule, Place]]:
    """The valid rules of the list ``node`` in its order; everything else is a problem of ``reader``."""
    if isinstance(node, yaml.MappingNode):
        reader.wrong(node, "apps", f"is a mapping, not a list: begin each rule with a dash, {_RULE_EXAMPLE}")
        return []
    if is_null(node):
        reader.wrong(node, "apps", "has no rules below it: indent them, or write [] for none")
        return []
    if not isinstance(node, yaml.SequenceNode):
        reader.wrong(node, "apps", f"is {described(node)}, not a list: write {_RULE_EXAMPLE}")
        return []
    if len(node.value) > RULES_MAX:
        reader.wrong(node, "apps", f"has {len(node.value)} rules: at most {RULES_MAX}")
        return []
    rules: list[tuple[AppRule, Place]] = []
    first_places: dict[str, Place] = {}
    for number, entry in enumerate(node.value, 1):
        rule = _read_rule(entry, number, reader)
        if rule is None:
            continue
        place = reader.place(entry)
        first = first_places.setdefault(rule.name, place)
        if first != place and rule.name != made_name(rule.matchers):
            message = f"duplicate name: the rule at line {first.line} has it too"
            reader.wrong(entry, f"apps[{rule.name}].name", message)
        rules.append((rule, place))
    return rules


def _read_rule(node: yaml.Node, number: int, reader: Reader) -> AppRule | None:
    where = _where(node, number)
    items = reader.mapping(node, where, _RULE_EXAMPLE)
    if items is None:
        return None
    settings: dict[str, Setting] = {}
    matchers: tuple[Matcher, ...] | None = None
    notice: NoticeConfig | None = None
    for field, item in reader.known(items, APP, where):
        if field.key == "match":
            matchers = _read_match(item, where, reader)
        elif field.key == "notify":
            notice = read_notice(item, f"{where}.notify", reader)
        else:
            settings[field.key] = reader.setting(field, item, where)
    present = {item.key: item for item in items}
    if "match" not in present:
        reader.wrong(node, f"{where}.match", f"is missing: the rule matches nothing, write {_MATCH_EXAMPLE}")
    priority = _priority(node, settings, present, where, reader)
    if not matchers or priority is None or None in settings.values():
        return None
    return replace(_made(settings, matchers, priority, reader.place(node)), notify=notice)


def _made(settings: dict[str, Setting], matchers: tuple[Matcher, ...], priority: tuple[int, str | None],
          place: Place) -> AppRule:
    name, on_kill, grace_ms, group = (settings.get(key) for key in ("name", "on_kill", "grace", "group"))
    return AppRule(
        name=name if isinstance(name, str) else made_name(matchers),
        matchers=matchers,
        priority=priority[0],
        class_name=priority[1],
        protect=priority[0] == PRIORITY_MIN,
        on_kill=on_kill if isinstance(on_kill, str) else None,
        grace_ms=grace_ms if isinstance(grace_ms, int) else None,
        group=group if isinstance(group, str) else "process",
        trim=_flag(settings.get("trim")),
        freeze=_flag(settings.get("freeze")),
        file=place.file,
        line=place.line,
    )


def _flag(setting: Setting) -> bool | None:
    return setting if isinstance(setting, bool) else None


def _where(node: yaml.Node, number: int) -> str:
    """How messages name the rule: by its name if that is usable, else by its number in the list, from 1."""
    for key, named in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value == "name" and isinstance(named, yaml.ScalarNode) and named.value.strip():
            return f"apps[{shown(named.value, limit=LABEL_MAX)}]"
    return f"apps[{number}]"


def made_name(matchers: tuple[Matcher, ...]) -> str:
    """The name of a rule that was given none; the same patterns always make the same name."""
    name = ",".join(f"{matcher.field}={pattern_text(matcher)}" for matcher in matchers)
    return shown(name, limit=None)


def _read_match(item: Item, where: str, reader: Reader) -> tuple[Matcher, ...] | None:
    """The matchers of a rule in the order of the schema; None if one is wrong or there is none."""
    key = f"{where}.match"
    items = reader.mapping(item.node, key, _MATCH_EXAMPLE)
    if items is None:
        return None
    if not items:
        reader.wrong(item.node, key, f"is empty: the rule would match nothing, write {_MATCH_EXAMPLE}")
        return None
    known: list[tuple[Field, Item]] = reader.known(items, MATCH, key)
    matchers = [read_matcher(field, part, f"{key}.{field.key}", reader) for field, part in known]
    found = tuple(matcher for matcher in matchers if matcher is not None)
    return tuple(sorted(found, key=_field_order)) if len(found) == len(items) else None


def _field_order(matcher: Matcher) -> int:
    order = ("comm", "user", "exe", "unit", "cgroup", "cmdline")
    return order.index(matcher.field)


def _priority(node: yaml.Node, settings: dict[str, Setting], present: dict[str, Item], where: str,
              reader: Reader) -> tuple[int, str | None] | None:
    """(number, class or None) from priority and protect; None, and a problem, if they do not fit."""
    given, protect = settings.get("priority"), settings.get("protect")
    if any(key in settings and settings[key] is None for key in ("priority", "protect")):
        return None
    if given is None:
        if protect is True:
            return PRIORITY_MIN, "protected"
        message = "is missing: write a class such as cached, or a number from -1000 to 1000"
        reader.wrong(node, f"{where}.priority", message)
        return None
    number = priority_of_class(given) if isinstance(given, str) else given
    if not isinstance(number, int):
        return None
    if protect is not None and bool(protect) != (number == PRIORITY_MIN):
        says = f"{'true' if protect else 'false'} contradicts priority {given}: remove one of the two"
        reader.wrong(present["protect"].node, f"{where}.protect", says)
        return None
    return number, given if isinstance(given, str) else None
