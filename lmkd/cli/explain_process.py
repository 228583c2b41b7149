"""One process explained: why this priority, what its death returns, what stands before it, and when it would die."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lmkd.cli.ps import HEADINGS, RIGHT, cells, numbered
from lmkd.cli.render import HEADING, table, wrapped
from lmkd.log import format_priority, format_value, is_number, paint, printable
from lmkd.model import PRIORITY_FOREGROUND
from lmkd.policy.victim import GAIN_MIN_KIB, GROWTH_SHARE_MIN
from lmkd.units import format_kib, format_ms

LABEL = 10


def explain_all(
    rows: Iterable[Mapping[str, Any]], seen: Mapping[str, Any], is_meant: Callable[[Mapping[str, Any]], bool]
) -> list[dict[str, Any]]:
    """An explanation of each row that is meant. ``seen`` has ``numbers`` and ``status`` as ``explain.observe`` does."""
    ordered = numbered(rows)
    settings = {str(row.get("name")): row.get("value") for row in seen["numbers"]}
    return [_explained(row, ordered, settings, seen["status"]) for row in ordered if is_meant(row)]


def _explained(
    row: Mapping[str, Any], ordered: Sequence[Mapping[str, Any]], settings: Mapping[str, Any],
    status: Mapping[str, Any] | None,
) -> dict[str, Any]:  # fmt: skip
    doomed = [other for other in ordered if other["order"] is not None]
    worth = [other for other in doomed if other is not row and _gain(other) >= GAIN_MIN_KIB]
    first = [other for other in worth if _rank(other) < _rank(row)]
    equal = [other for other in worth if _rank(other) == _rank(row)]
    room = ((status or {}).get("headroom") or {}).get("total_kib")
    floor = settings.get("headroom_floor_kib")
    left = max(0, round(room - floor)) if is_number(room) and is_number(floor) else None
    before = sum(map(_gain, first))
    return {
        **row,
        "candidate": True,
        "of": len(doomed),
        "fate": _fate(row, status),
        "before": {"deaths": len(first), "gain_kib": before},
        "equals": {"deaths": len(equal), "gain_kib": sum(map(_gain, equal))},
        "headroom_kib": room,
        "headroom_floor_kib": floor,
        "left_kib": left,
        "kill_horizon_ms": settings.get("kill_horizon_ms"),
        "consumed_before_kib": None if left is None else left + before,
        "runaway_kib_s": _runaway_rate(row, doomed, settings),
        "runaway_horizon_ms": settings.get("runaway_horizon_ms"),
        "trim_idle_ms": settings.get("trim_idle_ms") if settings.get("trim", True) else None,
    }


def _rank(row: Mapping[str, Any]) -> tuple[int, bool]:
    """Ascends in the order of death: a declared foreground comes after all others of its number."""
    return -int(row.get("priority") or 0), bool(row.get("declared"))


def _gain(row: Mapping[str, Any]) -> int:
    gain = row.get("gain_kib")
    return gain if isinstance(gain, int) else 0


def _fate(row: Mapping[str, Any], status: Mapping[str, Any] | None) -> str:
    """In one word what its place in the order means: never, small, ending, or in turn."""
    if row["order"] is None:
        return "never"
    if row.get("pid") in ((status or {}).get("in_flight") or ()):
        return "ending"
    return "small" if _gain(row) < GAIN_MIN_KIB else "in turn"


def _runaway_rate(
    row: Mapping[str, Any], doomed: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]
) -> int | None:
    """KiB/s of growth from which it is the victim before all others (policy.victim); None: never in this way."""
    priority, horizon = row.get("priority"), settings.get("runaway_horizon_ms")
    if row["order"] is None or not isinstance(priority, int) or priority <= PRIORITY_FOREGROUND:
        return None
    if row.get("declared") or not settings.get("runaway") or not is_number(horizon) or horizon <= 0:
        return None
    below = sum(_gain(other) for other in doomed if int(other.get("priority") or 0) > priority)
    return max(1, round(below * 1000 / horizon)) if below else None


def process_lines(found: Sequence[Mapping[str, Any]], colour: bool, width: int) -> list[str]:
    """One explanation in full; of several a table with a line that says how to go on."""
    strangers = [one for one in found if not one["candidate"]]
    if strangers:
        return [line for one in strangers for line in wrapped(f"{_title(one)}: {one['why']}", width)]
    if len(found) == 1:
        return _full(found[0], colour, width)
    lines = table(HEADINGS, (cells(one) for one in found), RIGHT, colour)
    return [*lines, *wrapped(f"{len(found)} processes are meant: `lmkd explain PID` explains one of them", width)]


def _title(one: Mapping[str, Any]) -> str:
    return f"{format_value(one.get('name'))}[{format_value(one.get('pid'))}]"


def _full(one: Mapping[str, Any], colour: bool, width: int) -> list[str]:
    said = [("priority", _priority(one)), ("gain", _predicted(one)), *_place(one), ("trim", _trim(one)),
            ("freeze", "allowed while it thrashes" if one.get("freeze") else "not allowed"),
            ("signal", _signal(one)), *_death(one)]  # fmt: skip
    lines = [paint(_title(one), HEADING, colour)]
    for label, text in said:
        room = max(16, width - LABEL - 2)
        parts = wrapped(text, room)
        lines += [f"  {label:<{LABEL}}{parts[0]}", *(" " * (LABEL + 2) + part for part in parts[1:])]
    return lines


def _priority(one: Mapping[str, Any]) -> str:
    name = one.get("rule_name")
    where = format_value(one.get("rule"))
    source = f"its {where}: no rule matches it" if where.startswith("own ") else where
    if name is not None:
        source = f'rule "{printable(name)}" at {where}'
    return f"{format_priority(one.get('priority'))}, by {source}"


def _predicted(one: Mapping[str, Any]) -> str:
    sizes = [("resident", one.get("resident_kib")), ("swapped out", one.get("swapped_kib"))]
    parts = [f"{format_kib(size)} {what}" for what, size in sizes if isinstance(size, int)]
    return f"its death is predicted to return {format_kib(_gain(one))} (it has {', '.join(parts) or 'unknown sizes'})"


def _place(one: Mapping[str, Any]) -> list[tuple[str, str]]:
    if one["order"] is None:
        return [("place", "none: it is protected and never ended")]
    before, equals = one["before"], one["equals"]
    said = f"{one['order']} of {one['of']} in the kill order; "
    said += f"{_deaths(before)} of less important ones before it" if before["deaths"] else "none is less important"
    if equals["deaths"]:
        said += f"; as important: {_deaths(equals)}, of these the one that grows dies, else the smallest that suffices"
    return [("place", said)]


def _deaths(some: Mapping[str, Any]) -> str:
    return f"{some['deaths']} {'death' if some['deaths'] == 1 else 'deaths'} ({format_kib(some['gain_kib'])})"


def _trim(one: Mapping[str, Any]) -> str:
    if not one.get("trim"):
        return "not allowed"
    idle = one.get("trim_idle_ms")
    return f"allowed when idle for {format_ms(round(idle))}" if is_number(idle) else "allowed, but policy.trim is false"


def _signal(one: Mapping[str, Any]) -> str:
    if one["order"] is None:
        return "none"
    grace = one.get("grace_ms")
    gentle = isinstance(grace, int) and grace > 0
    how = f"SIGTERM, and SIGKILL after {format_ms(grace or 0)} or when memory will not last" if gentle else "SIGKILL"
    group = {"tree": ", with all that it has started", "cgroup": ", with its whole cgroup"}
    return how + group.get(str(one.get("group")), "")


def _death(one: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What would have to happen for it to die."""
    fate = one["fate"]
    if fate == "never":
        if one.get("pid") == 1:
            return [("dies", "never: the board would stop with it")]
        return [("dies", "never by lmkd; another number in the rule, or in its oom_score_adj, would change that")]
    if fate == "ending":
        return [("dies", "now: it has been signalled")]
    lines = []
    if fate == "small":
        few = format_kib(GAIN_MIN_KIB)
        lines.append(("dies", f"not as it is: a death that returns less than {few} is not worth an application"))
    else:
        lines.append(("dies", _in_turn(one)))
    rate = one.get("runaway_kib_s")
    if rate is not None:
        lasts = f"within {format_ms(round(one['runaway_horizon_ms']))}"
        lines.append(
            ("or before", f"when it grows by {format_kib(rate)}/s or more and causes {GROWTH_SHARE_MIN:.0%} of the "
             f"consumption: it would eat {lasts} what the less important would return (runaway)")
        )  # fmt: skip
    return lines


def _in_turn(one: Mapping[str, Any]) -> str:
    before, left, horizon = one["before"], one["left_kib"], one.get("kill_horizon_ms")
    floor, room = one.get("headroom_floor_kib"), one.get("headroom_kib")
    near = f" or is forecast to be within {format_ms(round(horizon))}" if is_number(horizon) else ""
    limit = f"headroom is at its floor ({format_kib(floor)})" if isinstance(floor, int) else "headroom is at its floor"
    if left is None or not is_number(room):
        deaths = f" and after {_deaths(before)}" if before["deaths"] else ""
        return f"when {limit}{near}{deaths}; headroom is not known without a running lmkd"
    said = f"when {format_kib(one['consumed_before_kib'])} more have been consumed: {format_kib(left)} until {limit}"
    said += f"{near}, it is {format_kib(round(room))} now"
    return f"{said}; then what {_deaths(before)} return" if before["deaths"] else said
