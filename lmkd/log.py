"""Events as structured records: the planner's logger, and their rendering for people, with units.

structlog costs 8.6 MB and its import takes long on a small core: what needs it imports it itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TextIO, TypeGuard

from lmkd.model import class_of
from lmkd.policy.forecast import NEVER_MS
from lmkd.units import format_kib, format_ms

if TYPE_CHECKING:
    import structlog

LEVELS = ("debug", "info", "warning", "error", "critical")
NAME_WIDTH = 14
_SHOWN_LIMIT = 2**63
_MS_PER_HOUR = 3_600_000
_MS_PER_DAY = 24 * _MS_PER_HOUR
_LEVEL_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
_ENVELOPE = ("event", "level", "timestamp", "seq", "t_ms")


STDERR = 2
_NULL_DEVICE = os.makedev(1, 3)
_TARGETS = {
    "stderr": ("stderr",), "journald": ("journald", "syslog", "stderr"), "syslog": ("syslog", "stderr"),
    "kmsg": ("kmsg", "stderr"),
}  # fmt: skip
_NOBODY_READS = ("journald", "syslog", "kmsg")


def log_targets(to: str, stderr: int, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The targets that ``log.to`` means, the best first, for a service whose standard error is this descriptor."""
    if to != "auto":
        return _TARGETS[to]
    try:
        found = os.fstat(stderr)
    except OSError:
        return _NOBODY_READS
    # systemd tells so what it has connected standard error to (systemd.exec(5)).
    if environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}":
        return _TARGETS["journald"]
    return _NOBODY_READS if found.st_rdev == _NULL_DEVICE else _TARGETS["stderr"]


def printable(thing: object) -> str:
    """Text that is safe on a terminal: control characters and undecodable bytes become escapes."""
    text = str(thing)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def paint(text: str, colour: str, on: bool) -> str:
    """``text`` in an ANSI colour (the SGR parameters, such as ``1;31``) when ``on``."""
    return f"\x1b[{colour}m{text}\x1b[0m" if on and colour else text


def format_field(key: str, thing: object) -> tuple[str, str]:
    """A field as (label, text): the unit that ends its name goes into the text. None reads ``unknown``."""
    if key == "exhaustion_ms" and is_number(thing) and thing >= NEVER_MS:
        return "exhaustion", "not in sight"
    if key == "refaults_s" and is_number(thing):
        return "refaults", f"{thing:.0f}/s"
    for suffix, form in _UNIT_FORMS:
        if key.endswith(suffix):
            text = form(thing) if is_number(thing) else format_value(thing)
            return key.removesuffix(suffix).replace("_", " "), text
    return key.replace("_", " "), format_value(thing)


def is_number(thing: object) -> TypeGuard[float]:
    """Whether this is a number that can be a size or a time: no truth value, not absurdly large."""
    return isinstance(thing, int | float) and not isinstance(thing, bool) and abs(thing) < _SHOWN_LIMIT


def format_value(thing: object) -> str:
    """A value without a unit, on one line."""
    if thing is None:
        return "unknown"
    if isinstance(thing, bool):
        return "yes" if thing else "no"
    if isinstance(thing, float):
        return f"{thing:.2f}"
    if isinstance(thing, Mapping):
        return "; ".join(" ".join(format_field(str(key), item)) for key, item in thing.items())
    if isinstance(thing, list | tuple):
        return ", ".join(format_value(item) for item in thing) or "none"
    return printable(thing)


def format_priority(priority: object) -> str:
    """A priority as its number on the kernel's scale and the class that holds it: ``900 cached``."""
    if isinstance(priority, int) and not isinstance(priority, bool):
        return f"{priority} {class_of(priority)}"
    return format_value(priority)


def _format_duration(duration_ms: float) -> str:
    days, rest_ms = divmod(round(duration_ms), _MS_PER_DAY)
    return f"{days} d {rest_ms // _MS_PER_HOUR} h" if days > 0 else format_ms(round(duration_ms))


_UNIT_FORMS: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("_kib_s", lambda rate: f"{format_kib(round(rate))}/s"),
    ("_kib", lambda size: format_kib(round(size))),
    ("_ms", _format_duration),
    ("_us", lambda duration: f"{duration:.0f} us" if duration < 1000 else format_ms(round(duration / 1000))),
    ("_pct", lambda share: f"{share:.4g}%"),
    ("_s", lambda duration: _format_duration(duration * 1000)),
)


class EventLine:
    """The last processor of the chain for people: one aligned line an event, its reason first."""

    def __init__(self, colour: bool, to_time: Callable[[float], time.struct_time] = time.localtime) -> None:
        self._colour = colour
        self._to_time = to_time

    def __call__(self, _logger: object, _method: str, record: MutableMapping[str, Any]) -> str:
        """The line, without its end. What is not a number where one is meant is shown as it is."""
        level = printable(record.get("level", "info"))
        name = printable(record.get("event", "?"))
        fields = {key: item for key, item in record.items() if key not in _ENVELOPE}
        head = "  ".join(
            (
                paint(self._clock(record.get("timestamp")), "2", self._colour),
                paint(f"{level:<8}", _LEVEL_COLOURS.get(level, ""), self._colour),
                paint(f"{name:<{NAME_WIDTH}}", "1", self._colour),
            )
        )
        return f"{head}  {self._story(fields)}".rstrip()

    def _clock(self, timestamp: object) -> str:
        try:
            whole = self._to_time(float(timestamp))  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError, OSError):
            return "--:--:--.---"
        return f"{time.strftime('%H:%M:%S', whole)}.{int(float(timestamp) % 1 * 1000):03d}"  # type: ignore[arg-type]

    def _story(self, fields: dict[str, Any]) -> str:
        parts = []
        if "pid" in fields and "name" in fields:
            parts.append(f"{printable(fields.pop('name'))}[{format_value(fields.pop('pid'))}]")
        if "reason" in fields:
            parts.append(format_value(fields.pop("reason")))
        if "priority" in fields:
            fields["priority"] = format_priority(fields["priority"])
        pairs = (format_field(key, item) for key, item in fields.items())
        parts.append(", ".join(f"{printable(label)} {text}" for label, text in pairs))
        return "  ".join(part for part in parts if part)


def event_printer(
    stream: TextIO, colour: bool, to_time: Callable[[float], time.struct_time] = time.localtime
) -> Callable[[Mapping[str, Any]], None]:
    """A function that prints one recorded event to ``stream`` for people, through structlog."""
    import structlog

    logger = _wrap(structlog.PrintLogger(stream), (EventLine(colour, to_time),))

    def show(record: Mapping[str, Any]) -> None:
        fields = {str(key): item for key, item in record.items() if key != "event"}
        level = fields.get("level")
        method = level if isinstance(level, str) and level in LEVELS else "info"
        getattr(logger, method)(printable(record.get("event", "?")), **fields)

    return show


def planner_log(stream: TextIO, as_json: bool, colour: bool = False) -> structlog.BoundLogger:
    """The planner's logger: JSON lines with the keys of the guard's own, or lines for people.

    The keys are event, level and timestamp (Unix time in seconds).
    """
    import structlog

    last = structlog.processors.JSONRenderer() if as_json else EventLine(colour)
    stamps = (structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt=None, utc=True))
    return _wrap(structlog.PrintLogger(stream), (*stamps, last))


def _wrap(logger: structlog.PrintLogger, processors: Iterable[Any]) -> structlog.BoundLogger:
    import structlog

    wrapped: structlog.BoundLogger = structlog.wrap_logger(
        logger, processors=list(processors), wrapper_class=structlog.BoundLogger, context_class=dict
    )
    return wrapped
