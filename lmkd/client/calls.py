"""Every request as a value, pure: its fields, and how its answer is read. Both clients make their methods of these."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

from . import results
from .results import Change, Registration, part

T = TypeVar("T")


class Call(NamedTuple, Generic[T]):
    """One request; ``in_parts``: the answer is any number of messages, then one with ``end``."""

    op: str
    fields: dict[str, Any]
    read: Callable[[list[dict[str, Any]]], T]
    in_parts: bool = False


def status() -> Call[dict[str, Any]]:
    return Call("status", {}, lambda replies: part(replies[0], "status", dict))


def policy() -> Call[list[dict[str, Any]]]:
    return Call("policy", {}, lambda replies: results.rows(replies, "policy"))


def tmpfs() -> Call[dict[str, Any]]:
    return Call("tmpfs", {}, lambda replies: part(replies[0], "tmpfs", dict))


def candidates() -> Call[list[dict[str, Any]]]:
    return Call("candidates", {}, lambda replies: results.rows(replies, "candidates"), in_parts=True)


def events(since: int, names: Iterable[str] | None, follow: bool = False) -> Call[list[dict[str, Any]]]:
    fields: dict[str, Any] = {"since": since, "follow": follow}
    if names is not None:
        fields["names"] = list(names)
    return Call("events", fields, lambda replies: [part(each, "event", dict) for each in replies], in_parts=True)


def metrics() -> Call[str]:
    return Call("metrics", {}, lambda replies: "".join(part(each, "metrics", str) for each in replies), in_parts=True)


def subscribe(levels: bool, names: Iterable[str]) -> Call[str]:
    return Call("subscribe", {"levels": levels, "events": list(names)}, results.subscribed)


def unsubscribe() -> Call[None]:
    return Call("unsubscribe", {}, _nothing)


def register(
    pid: int | None,
    name: str | None,
    priority: int | str | None,
    group: str | None,
    trim: bool | None,
    freeze: bool | None,
) -> Call[Registration]:
    fields = given(pid=pid, name=name, priority=priority, group=group, trim=trim, freeze=freeze)
    return Call("register", fields, results.registration)


def unregister(pid: int | None) -> Call[None]:
    return Call("unregister", given(pid=pid), _nothing)


def set_priority(pid: int, priority: int | str) -> Call[Change]:
    return Call("set", {"pid": pid, "priority": priority}, lambda replies: results.change(replies, "set"))


def clear(pid: int) -> Call[Change]:
    return Call("clear", {"pid": pid}, lambda replies: results.change(replies, "cleared"))


def trim(pid: int | None, kib: int | None) -> Call[None]:
    return Call("trim", given(pid=pid, kib=kib), _nothing)


def kill(pid: int) -> Call[None]:
    return Call("kill", {"pid": pid}, _nothing)


def reload() -> Call[None]:
    return Call("reload", {}, _nothing)


def given(**fields: Any) -> dict[str, Any]:
    """The fields that were given: one that is None is left out."""
    return {key: item for key, item in fields.items() if item is not None}


def _nothing(replies: list[dict[str, Any]]) -> None:
    """Nothing in the answer matters but that it is no refusal."""
