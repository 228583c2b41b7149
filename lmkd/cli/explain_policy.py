"""The policy for a person: every number, the rule that it follows from, and what the running lmkd makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmkd.cli.render import DIM, HEADING, wrapped
from lmkd.log import format_field, format_value, is_number, paint, printable
from lmkd.policy.forecast import NEVER_MS
from lmkd.units import format_kib, format_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Line = tuple[str, str, str]
"""A name, its value, and what is said of it."""
WORDS_MIN = 24
"""Narrower than this the words stand below their number, not beside it."""
INDENT = "  "


def policy_lines(seen: Mapping[str, Any], colour: bool, width: int) -> list[str]:
    """The tables for a terminal of ``width`` columns; ``seen`` is what ``explain.observe`` returns."""
    numbers = seen["numbers"]
    status = seen["status"]
    sections = [
        ("the knob: the one number for people", [_line(row) for row in numbers if row.get("key") == "stall_budget"]),
        ("this board", [_line(row) for row in numbers if row.get("key") is None]),
        (
            "derived; each can be given in the configuration, by this name below policy:",
            [_line(row) for row in numbers if str(row.get("key")).startswith("policy.")],
        ),
    ]
    if status is not None:
        sections += [("learned from what happened here", _learned(status)), ("now", _now(status, numbers))]
    lines = list(_laid_out([(title, rows) for title, rows in sections if rows], colour, width))
    if status is None:
        lines += wrapped("No lmkd was asked: nothing is learned yet, and there is no forecast.", width)
    return lines


def _line(row: Mapping[str, Any]) -> Line:
    name = str(row.get("key") or _stem(str(row.get("name")))).removeprefix("policy.")
    rule, given = format_value(row.get("rule")), row.get("given")
    if given is None:
        return name, format_value(row.get("text")), rule
    said = f"given at {printable(given)}"
    if row.get("derived") is not None:
        same = row["derived"] == row.get("value")
        said += f"; else {'the same' if same else format_value(row.get('derived_text'))}: {rule}"
    return name, format_value(row.get("text")), said


def _stem(name: str) -> str:
    from lmkd.policy.derive import stem

    return stem(name)


def _learned(status: Mapping[str, Any]) -> list[Line]:
    learned = status.get("learned")
    if not isinstance(learned, dict):
        return []
    return [(str(key), format_field(str(key), item)[1], "") for key, item in learned.items()]


def _now(status: Mapping[str, Any], numbers: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Level, headroom above its floor, and the forecast against the horizon of a kill."""
    value_of = {row.get("name"): row.get("value") for row in numbers}
    lines: list[Line] = [("level", format_value(status.get("level")), "")]
    room = (status.get("headroom") or {}).get("total_kib")
    floor, horizon = value_of.get("headroom_floor_kib"), value_of.get("kill_horizon_ms")
    if is_number(room):
        left = f"{format_kib(round(room - floor))} above headroom_floor" if is_number(floor) else ""
        lines.append(("headroom", format_kib(round(room)), left))
    forecast = status.get("forecast") or {}
    rate, lasts = forecast.get("rate_kib_s"), forecast.get("exhaustion_ms")
    if is_number(rate):
        lines.append(("consumption", f"{format_kib(round(rate))}/s", ""))
    if is_number(lasts):
        kill = f"a kill is decided at kill_horizon, {format_ms(round(horizon))}" if is_number(horizon) else ""
        lines.append(("exhaustion", "not in sight" if lasts >= NEVER_MS else format_ms(round(lasts)), kill))
    return lines


def _laid_out(sections: Iterable[tuple[str, list[Line]]], colour: bool, width: int) -> Iterable[str]:
    sections = list(sections)
    every = [line for _, lines in sections for line in lines]
    names = max((len(name) for name, _, _ in every), default=0)
    values = max((len(value) for _, value, _ in every), default=0)
    beside = len(INDENT) + names + 2 + values + 2
    for title, lines in sections:
        yield from (paint(part, HEADING, colour) for part in wrapped(title, width))
        for name, value, words in lines:
            head = f"{INDENT}{name:<{names}}  {value:>{values}}"
            if width - beside >= WORDS_MIN:
                parts = wrapped(words, width - beside)
                yield f"{head}  {paint(parts[0], DIM, colour)}".rstrip() if parts else head.rstrip()
                yield from (" " * beside + paint(part, DIM, colour) for part in parts[1:])
            else:
                yield head.rstrip()
                room = max(8, width - 2 * len(INDENT))
                yield from (2 * INDENT + paint(part, DIM, colour) for part in wrapped(words, room))
        yield ""
