"""What the answers are made into, pure: the typed results of the requests that change something."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from .codec import level_name
from .errors import OddAnswer

T = TypeVar("T")


class Registration(NamedTuple):
    """What lmkd holds of a registered process: its priority (-1000..1000) and class; ``fields``: all it answered."""

    pid: int
    priority: int
    class_name: str
    fields: dict[str, Any]


class Change(NamedTuple):
    """A priority that was set or cleared: what it is now and what it was; None: lmkd did not say."""

    pid: int
    name: str
    priority: int | None
    previous: int | None


def part(fields: dict[str, Any], key: str, kind: type[T]) -> T:
    """The member ``key`` of an answer; OddAnswer when it is missing or something else."""
    found = fields.get(key)
    if not isinstance(found, kind):
        raise OddAnswer(f"an answer without {key}")
    return found


def rows(replies: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """All rows of an answer that comes in chunks."""
    found = [row for reply in replies for row in part(reply, key, list)]
    if not all(isinstance(row, dict) for row in found):
        raise OddAnswer(f"a row of {key} that is not an object")
    return found


def registration(replies: list[dict[str, Any]]) -> Registration:
    """The answer to ``register``."""
    fields = part(replies[0], "registered", dict)
    return Registration(part(fields, "pid", int), part(fields, "priority", int), part(fields, "class", str), fields)


def change(replies: list[dict[str, Any]], key: str) -> Change:
    """The answer to ``set`` and ``clear``."""
    fields = part(replies[0], key, dict)
    numbers = [found if isinstance(found := fields.get(name), int) else None for name in ("priority", "previous")]
    name = fields.get("name", "")
    return Change(part(fields, "pid", int), name if isinstance(name, str) else "", *numbers)


def subscribed(replies: list[dict[str, Any]]) -> str:
    """The level at the time of the subscription."""
    return level_name(part(replies[0], "subscribed", dict).get("level"))
