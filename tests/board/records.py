"""Owns how tests and reports read a run: a figure or a record that is missing is an error, never a zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .scenario import Result
from .vm import Outcome


class MissingFigure(AssertionError):
    """A run did not say what it must say."""


def figure(result: Result, name: str) -> Any:
    """The figure of that name."""
    value = result.figures.get(name)
    if value is None:
        raise MissingFigure(f"{result.scenario.name}: no {name}")
    return value


def events(outcome: Outcome, *names: str) -> list[dict[str, Any]]:
    """lmkd's records of these names (all without any), in the order in which it wrote them."""
    found = [record["event"] for record in outcome.of_kind("lmkd_event")]
    return [event for event in found if not names or event["event"] in names]


def one_event(outcome: Outcome, name: str) -> dict[str, Any]:
    """The first of lmkd's records of that name."""
    found = events(outcome, name)
    if not found:
        raise MissingFigure(f"lmkd wrote no record named {name}")
    return found[0]


def record_of(outcome: Outcome, kind: str, **fields: object) -> dict[str, Any]:
    """The one record of that kind that has these fields."""
    for record in outcome.of_kind(kind):
        if all(record.get(name) == value for name, value in fields.items()):
            return dict(record)
    raise MissingFigure(f"no record of kind {kind} with {fields}")


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent of all are not above (nearest rank)."""
    if not values:
        raise MissingFigure("no values")
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
