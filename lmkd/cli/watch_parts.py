"""The parts of the live view, pure: what was seen, in lines of at most so many cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmkd.cli.spans import Line, bar, cells, cut, ends, fitted, line, width
from lmkd.cli.watch_words import clock, words
from lmkd.kernel.meminfo import Meminfo
from lmkd.log import format_field, format_priority, format_value, is_number
from lmkd.policy.forecast import NEVER_MS
from lmkd.units import format_kib, format_ms
from lmkd.values import value

SORTS = ("kill order", "returns", "resident", "swapped", "name")
_SORT_KEYS = {"returns": "gain_kib", "resident": "resident_kib", "swapped": "swapped_kib"}
LABEL, SIZE, SHARE = 9, 9, 5
OLD_MS = 3000.0
"""Figures that are older than this say so."""


@value
class Seen:
    """What there is to show at ``now_ms`` (CLOCK_MONOTONIC) and ``clock_s`` (Unix time).

    ``rows`` are candidates with their ``order``, in kill order; ``events`` records, oldest first; ``trouble`` is why
    the figures are not fresh (empty: they are).
    """

    status: Mapping[str, Any]
    memory: Meminfo | None
    rows: tuple[Mapping[str, Any], ...]
    events: tuple[Mapping[str, Any], ...]
    now_ms: float
    clock_s: float
    trouble: str = ""


@value
class Look:
    """How to show it: what the terminal can, and what the person chose."""

    unicode: bool = True
    sort: str = SORTS[0]
    paused: bool = False
    keys: bool = False
    utc: bool = False


def group(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A group of the status; empty where there is none."""
    found = status.get(name)
    return found if isinstance(found, Mapping) else {}


def number(fields: Mapping[str, Any], key: str) -> float | None:
    """A number of a group, None where it is not known."""
    found = fields.get(key)
    return found if is_number(found) else None


def legible(text: str, look: Look) -> str:
    """Names as this terminal can show them: one from before UTF-8 takes some of its bytes for commands (0x9b: CSI)."""
    return text if look.unicode else text.encode("ascii", "backslashreplace").decode()


def title(seen: Seen, look: Look, room: int) -> Line:
    """Level, headroom, how old the figures are, and the time; as much of it as there is room for."""
    level = format_value(seen.status.get("level"))
    left = [("lmkd ", "heading"), (f" {level.upper()} ", level)]
    if look.paused:
        left.append(("  PAUSED", "warn"))
    total = number(group(seen.status, "headroom"), "total_kib")
    if total is not None:
        left.append((f"  headroom {format_kib(round(total))}", "heading"))
        ram = number(group(seen.status, "settings"), "ram_kib")
        if ram:
            left.append((f", {total / ram:.0%} of RAM", ""))
    if seen.status.get("dry_run") is True:
        left.append(("  dry run", "warn"))
    age = _age(seen)
    looked = (f"looked {age} ago  " if age else "", "warn" if seen.trouble else "dim")
    right = [looked, (clock(seen.clock_s, look.utc), "")]
    while len(left) > 2 and width(line(*left)) + 2 + width(line(*right)) > room:
        if right:
            right.pop(0)
        else:
            left.pop()
    return ends(line(*left), line(*right), room)


def _age(seen: Seen) -> str:
    t_ms = number(seen.status, "t_ms")
    age_ms = seen.now_ms - t_ms if t_ms is not None else 0.0
    return format_ms(round(age_ms)) if age_ms >= OLD_MS else ""


def memory_heading(seen: Seen) -> Line:
    """Its name, and how much RAM there is."""
    total = f"  {format_kib(seen.memory.total_kib)} of RAM" if seen.memory is not None else ""
    return line(("MEMORY", "heading"), (total, "dim"))


def memory(seen: Seen, look: Look, room: int) -> list[Line]:
    """A band for each use of RAM. What is neither applications' nor files' nor free is the kernel's."""
    if seen.memory is None:
        return [line("unknown: /proc/meminfo cannot be read")]
    info = seen.memory
    store = round(number(group(seen.status, "store"), "used_kib") or 0)
    kernel = info.total_kib - info.free_kib - info.file_kib - info.anon_kib - info.shmem_kib - store
    bands = (("anonymous", info.anon_kib), ("store", store), ("shmem", info.shmem_kib), ("cache", info.file_kib),
             ("kernel", max(0, kernel)), ("free", info.free_kib))  # fmt: skip
    return [_band(name, kib, info.total_kib, look, room) for name, kib in bands]


def _band(name: str, kib: int, total_kib: int, look: Look, room: int, style: str = "") -> Line:
    share = kib / total_kib if total_kib > 0 else 0.0
    length = room - LABEL - 1 - SIZE - SHARE
    drawn = bar(share, length, style or name, look.unicode) if length >= 4 else ()
    return (*line(f"{name:<{LABEL}} "), *drawn, *line(f"{format_kib(kib):>{SIZE}}", (f"{share:>{SHARE}.0%}", "dim")))


def store_heading(seen: Seen) -> Line:
    """Its name and its kind."""
    store = group(seen.status, "store")
    limit = number(store, "limit_kib")
    said = format_value(store.get("kind")) if store else "none"
    said += f", may take {format_kib(round(limit))}" if limit else ""
    return line(("STORE", "heading"), (f"  {said}", "dim"))


def store(seen: Seen, look: Look, room: int) -> list[Line]:
    """What it takes of its limit, and what it holds for that."""
    held = group(seen.status, "store")
    used, limit, orig = (number(held, key) for key in ("used_kib", "limit_kib", "orig_kib"))
    if used is None:
        return [line(("nothing is compressed", "dim")), ()]
    if limit:
        first = _band("used", round(used), round(limit), look, room, "store")
    else:
        first = line(f"{'used':<{LABEL}} {format_kib(round(used))}, no limit")
    ratio = f", {orig / used:.1f}:1" if orig is not None and used > 0 else ""
    return [first, line(f"{'holds':<{LABEL}} {format_kib(round(orig or 0))}{ratio}")]


def pressure(seen: Seen, look: Look, room: int) -> list[Line]:
    """How much of the time somebody, and everybody, waited for memory."""
    stall = group(seen.status, "stall")
    some, full = number(stall, "some_pct"), number(stall, "full_pct")
    refaults = number(stall, "refaults_s")
    parts = [f"{name} {_percent(pct)}" for name, pct in (("some", some), ("full", full))]
    again = f"refaults {refaults:.0f}/s" if refaults is not None else ""
    if again and LABEL + 1 + len("  ".join((*parts, again))) <= room:
        parts.append(again)
    style = "bad" if (full or 0) >= 5 else "warn" if (some or 0) >= 10 else ""
    return [line(f"{'waiting':<{LABEL}} ", ("  ".join(parts), style))]


def _percent(pct: float | None) -> str:
    return "unknown" if pct is None else f"{pct:.1f}%"


def forecast(seen: Seen, look: Look, room: int) -> list[Line]:
    """How fast headroom goes, how long it lasts, and who takes most of it."""
    known = group(seen.status, "forecast")
    rate, lasts = number(known, "rate_kib_s"), number(known, "exhaustion_ms")
    consumed = "unknown" if rate is None else f"{format_kib(round(rate))}/s"
    if lasts is None or lasts >= NEVER_MS:
        text, style = "no end in sight", ""
    else:
        # Above a minute nobody reads seconds, nor milliseconds above a second; below it, they are what counts.
        left = f"{lasts / 60_000:.0f} min" if lasts >= 60_000 else format_field("left_ms", lasts)[1]
        text, style = f"lasts {left}", "bad" if lasts < 2000 else "warn"
    pid, pace = known.get("grower_pid"), number(known, "grower_kib_s")
    if pid is None:
        who = "nobody"
    else:
        name = next((legible(format_value(row.get("name")), look) for row in seen.rows if row.get("pid") == pid), "?")
        fast = f"  {format_kib(round(pace))}/s" if pace is not None else ""
        who = f"{cut(name, max(4, room - LABEL - 1 - len(str(pid)) - 2 - len(fast)))}[{format_value(pid)}]{fast}"
    return [line(f"{'consumed':<{LABEL}} {consumed}, ", (text, style)), line(f"{'grows':<{LABEL}} {who}")]


def _sorted(seen: Seen, sort: str) -> list[Mapping[str, Any]]:
    rows = [row for row in seen.rows if row.get("order") is not None]
    if sort in _SORT_KEYS:
        return sorted(rows, key=lambda row: -(number(row, _SORT_KEYS[sort]) or 0))
    return sorted(rows, key=lambda row: str(row.get("name"))) if sort == "name" else rows


def candidates_heading(seen: Seen, look: Look) -> Line:
    """Its name, and by what it is sorted."""
    doomed = sum(row.get("order") is not None for row in seen.rows)
    said = f"  {doomed} of {len(seen.rows)} processes may be ended"
    said += f", sorted by {look.sort}" if look.sort != SORTS[0] else ""
    return line(("NEXT TO DIE", "heading"), (said, "dim"))


def candidates(seen: Seen, look: Look, room: int, count: int) -> list[Line]:
    """A heading and the first ``count`` - 1 rows, with as many columns as there is room for."""
    rows = _sorted(seen, look.sort)[: max(0, count - 1)]
    if not rows:
        return [line(("nobody", "dim"))][:count]
    table: list[tuple[str, str, bool, list[str]]] = [
        ("order", "#", True, [format_value(row.get("order")) for row in rows]),
        ("pid", "PID", True, [format_value(row.get("pid")) for row in rows]),
        ("name", "NAME", False, [legible(format_value(row.get("name")), look) for row in rows]),
        ("priority", "PRIORITY", False, [format_priority(row.get("priority")) for row in rows]),
        ("returns", "RETURNS", True, [_size(row.get("gain_kib")) for row in rows]),
        ("resident", "RESIDENT", True, [_size(row.get("resident_kib")) for row in rows]),
        ("swapped", "SWAPPED", True, [_size(row.get("swapped_kib")) for row in rows]),
        ("rule", "RULE", False, [legible(_rule(row), look) for row in rows]),
    ]
    for optional in ("resident", "swapped"):
        if sum(2 + max(map(cells, (column[1], *column[3]))) for column in table) - 2 > room and optional != look.sort:
            table = [column for column in table if column[0] != optional]
    return _laid_out(table, room, len(rows))


def _laid_out(table: Sequence[tuple[str, str, bool, list[str]]], room: int, count: int) -> list[Line]:
    """Columns from the left as long as there is room; the last one is cut, the heading is dim."""
    made: list[list[str]] = [[] for _ in range(count + 1)]
    left = room
    for _, heading, right, texts in table:
        column = [heading, *(line(text)[0][0] if text else "" for text in texts)]
        wide = min(max(map(cells, column)), left)
        if wide < min(8, max(map(cells, column))):
            break
        for at, text in enumerate(column):
            fit = cut(text, wide)
            pad = " " * (wide - cells(fit))
            made[at].append(pad + fit if right else fit + pad)
        left -= wide + 2
    joined = ["  ".join(parts).rstrip() for parts in made]
    return [fitted(line((text, "" if at else "dim")), room) for at, text in enumerate(joined)]


def _size(kib: object) -> str:
    return format_kib(kib) if isinstance(kib, int) else "?"


def _rule(row: Mapping[str, Any]) -> str:
    """The rule's own name says more than its place; without a rule its own number decides."""
    name = row.get("rule_name")
    return format_value(name) if name else format_value(row.get("rule"))


def events_heading(seen: Seen) -> Line:
    """Its name, and how many have died so far."""
    kills = number(seen.status, "kills")
    said = "" if kills is None else "  nobody was ended so far" if not kills else f"  {kills:.0f} ended so far"
    return line(("LATELY", "heading"), (said, "dim"))


def events(seen: Seen, look: Look, room: int, count: int) -> list[Line]:
    """The last ``count`` records in plain words, newest last; those of no interest to a person are left out."""
    told = [(record, words(record)) for record in seen.events if record.get("level") != "debug"]
    lines = []
    for record, (text, style) in told[-count:] if count > 0 else ():
        when = clock(record.get("timestamp"), look.utc)
        said = legible(" ".join(text.split()), look)
        lines.append(fitted(line((f"{when} ", "dim"), (said, style)), room))
    return lines or [line(("nothing yet", "dim"))][:count]
