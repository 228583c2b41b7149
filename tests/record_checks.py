"""How records are held against their definition, in unit tests and on the board."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmkd.control.records import ENVELOPE, TRUNCATED
from lmkd.control.records_work import RECORDS


def odd_fields(record: Mapping[str, Any]) -> list[str]:
    """How a record differs from its definition (docs/events.md); one that was cut to fit may lack fields."""
    event = str(record.get("event"))
    kind = next((one for one in RECORDS if one.name == event), None)
    if kind is None:
        return [f"{event}: not defined"]
    known = {field.name: field for field in kind.fields}
    beside = {field.name for field in (*ENVELOPE, TRUNCATED)}
    odd = [f"{event}.{name}: not defined" for name in record if name not in known and name not in beside]
    if not record.get("truncated"):
        odd += [f"{event}.{name}: missing" for name, field in known.items() if not field.when and name not in record]
        odd += [
            f"{event}.{name}: {record[name]} is no {field.kind}"
            for name, field in known.items()
            if name in record and not _fits(field.kind, record[name])
        ]
    return odd


def _fits(kind: str, item: object) -> bool:
    if item is None:
        return kind.endswith("?")
    kinds: dict[str, tuple[type, ...]] = {
        "text": (str,), "int": (int,), "number": (int, float), "bool": (bool,), "list": (list, tuple),
    }  # fmt: skip
    plain = kind.removesuffix("?")
    return isinstance(item, kinds[plain]) and (plain == "bool" or not isinstance(item, bool))
