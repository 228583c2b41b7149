"""Records made before there is a guard; they travel in the plan and become its first ones."""

from __future__ import annotations


class Notes:
    """Collects them: event, fields, level."""

    def __init__(self) -> None:
        self.items: list[tuple[str, tuple[tuple[str, object], ...], str]] = []

    def add(self, event: str, fields: dict[str, object]) -> None:
        """One record, as the store reports it."""
        level = "warning" if event in ("degraded", "store_reset") else "info"
        self.items.append((event, tuple((key, _plain(item)) for key, item in fields.items()), level))


def _plain(item: object) -> object:
    """What marshal takes: anything else (a path) as text."""
    return item if item is None or isinstance(item, (bool, int, float, str)) else str(item)
