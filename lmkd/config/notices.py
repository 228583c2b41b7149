"""What applications are told: the mapping ``notify`` of a rule or a class, and files that tell without being asked."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping

import yaml

from lmkd.config.model import Config, NoticeConfig
from lmkd.config.problems import Place, Problems, shown
from lmkd.config.scalars import PATH_MAX_BYTES, Setting, default_of
from lmkd.config.schema import NONE, NOTICE, NOTICE_LEVELS, fields_of
from lmkd.config.sections import Item, Reader, described, is_null

ARGUMENTS_MAX = 32

_EXAMPLE = "{signal: SIGUSR1, level: moderate}"
_COMMAND_EXAMPLE = "[/usr/bin/x, argument]"
_DEFAULTS = {field.key: default_of(field) for field in fields_of(NOTICE) if field.default}


def read_notices(node: yaml.Node, reader: Reader) -> dict[str, NoticeConfig]:
    """The notice of each class of the mapping ``node``; everything wrong is a problem of ``reader``."""
    items = reader.mapping(node, "notify", f"notify: {{background: {_EXAMPLE}}}")
    found: dict[str, NoticeConfig] = {}
    for field, item in reader.known(items or [], "notify", "notify"):
        notice = read_notice(item, f"notify.{field.key}", reader)
        if notice is not None:
            found[field.key] = notice
    return found


def read_notice(item: Item, where: str, reader: Reader) -> NoticeConfig | None:
    """One notice; None, and a problem, if it is wrong. ``none`` is one that tells nothing."""
    if isinstance(item.node, yaml.ScalarNode) and item.node.value == NONE:
        return NoticeConfig("moderate", "", (), 0)
    items = reader.mapping(item.node, where, f"{_EXAMPLE}, or {NONE}")
    if items is None:
        return None
    settings: dict[str, Setting] = dict(_DEFAULTS)
    command: tuple[str, ...] | None = ()
    for field, part in reader.known(items, NOTICE, where):
        if field.key == "exec":
            command = _read_command(part, f"{where}.exec", reader)
        else:
            settings[field.key] = reader.setting(field, part, where)
    present = {part.key: part for part in items}
    if "signal" not in present and "exec" not in present:
        reader.wrong(item.node, where, "does nothing: write signal, exec, or both")
        return None
    if "timeout" in present and "exec" not in present:
        reader.wrong(present["timeout"].node, f"{where}.timeout", "is never used without exec: remove it")
    if None in settings.values() or command is None:
        return None
    level, name, timeout = (settings.get(key, "") for key in ("level", "signal", "timeout"))
    return NoticeConfig(str(level), str(name), command, timeout if isinstance(timeout, int) else 0)


def _read_command(item: Item, key: str, reader: Reader) -> tuple[str, ...] | None:
    """A program with its arguments; None, and a problem, if it is wrong."""
    node = item.node
    if isinstance(node, yaml.MappingNode) or is_null(node):
        what = "has no value" if is_null(node) else f"is {described(node)}"
        reader.wrong(node, key, f"{what}: write {_COMMAND_EXAMPLE}")
        return None
    parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if not 1 <= len(parts) <= ARGUMENTS_MAX:
        message = f"has {len(parts)} parts: write a program and at most {ARGUMENTS_MAX - 1} arguments"
        reader.wrong(node, key, message)
        return None
    found: list[str] = []
    for number, part in enumerate(parts, 1):
        name = f"{key}[{number}]" if isinstance(node, yaml.SequenceNode) else key
        scalar = reader.scalar(part, name)
        if scalar is None:
            continue
        wrong = _fault(scalar.text, program=number == 1)
        if wrong:
            reader.wrong(part, name, wrong)
        else:
            found.append(scalar.text)
    return tuple(found) if len(found) == len(parts) else None


def _fault(text: str, program: bool) -> str:
    """Why this may not stand in a command; empty when it may."""
    if not text.isprintable() or len(text.encode()) > PATH_MAX_BYTES:
        return f"{shown(text)} is no argument: at most {PATH_MAX_BYTES} printable bytes"
    if program and not text.startswith("/"):
        return f"{shown(text)} is not absolute: write the program's path from /, arguments as {_COMMAND_EXAMPLE}"
    if program and " " in text:
        return f"{shown(text)} has a space: write arguments apart, {_COMMAND_EXAMPLE}"
    return ""


def notice_rows(config: Config) -> list[tuple[int, str, int, int, tuple[str, ...], int]]:
    """(rule or -1, class, level from 1, signal or 0, command, timeout in ms) of each notice, rules' own first.

    A rule of a class is in the class's notice unless it has one of its own, also an empty one.
    """
    given = [(index, "", rule.notify) for index, rule in enumerate(config.apps) if rule.notify is not None]
    given += [(-1, name, notice) for name, notice in config.notify if notice.signal or notice.command]
    levels = {name: number for number, name in enumerate(NOTICE_LEVELS, 1)}
    return [
        (rule, name, levels[notice.level], signal_number(notice.signal), notice.command, notice.timeout_ms)
        for rule, name, notice in given
    ]


def signal_number(name: str) -> int:
    """The number of one of the schema's signals on this machine, 0 for the empty name."""
    base, _, offset = name.partition("+")
    return int(getattr(signal, base)) + int(offset or 0) if name else 0


def report_files(place: Callable[[str], Place | None], values: Mapping[str, Setting], problems: Problems) -> None:
    """Two things at one path, and an interval of nothing."""
    seen: dict[Setting, str] = {}
    for key in ("control.socket", "control.level_file", "control.metrics_file"):
        path = values[key]
        if path and path in seen:
            at = place(key) or place(seen[path])
            if at is not None:
                problems.add(at, key, f"is the path of {seen[path]} as well: write another")
        seen[path] = key
    interval = place("control.metrics_interval")
    if interval is not None and not values["control.metrics_file"]:
        problems.add(interval, "control.metrics_interval", "is never used: give control.metrics_file a path, or "
                     "remove it")
