"""What lmkd tells collectors: one table of metrics, from the status and recent records to text, pure.

The text is OpenMetrics 1.0 (prometheus.io/docs/specs/om/open_metrics_spec), or the older Prometheus text format 0.0.4,
which is what node_exporter's textfile collector reads. Labels have few values and never a process: what a fleet
collects must not grow with what runs. A counter comes from what the guard itself counts, never from the records that
happen to be left: it must not fall. What is not known has no sample; it is not zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from lmkd import __version__
from lmkd.policy.forecast import NEVER_MS
from lmkd.policy.pressure import LEVELS
from lmkd.values import value

EVENTS_MAX = 64
"""Names of events that get a series of their own; what is beyond counts as ``other``."""

Status = Mapping[str, Any]
Records = Sequence[Mapping[str, Any]]
Sample = tuple[tuple[tuple[str, str], ...], float | None]
"""Labels and the number; None: not known."""


@value
class Metric:
    """One family. ``name`` without ``_total``; ``unit`` is its suffix, or empty; ``read`` makes the samples."""

    name: str
    kind: str
    unit: str
    help: str
    read: Callable[[Status, Records], Iterable[Sample]]
    labels: tuple[str, ...] = ()


def openmetrics(status: Status, records: Records = ()) -> str:
    """OpenMetrics text of a status, as the control socket tells it, and of records, oldest first."""
    return "".join(_family(metric, status, records, True) for metric in METRICS) + "# EOF\n"


def prometheus_text(status: Status, records: Records = ()) -> str:
    """The same for node_exporter's textfile collector, which knows no UNIT, info, stateset and EOF."""
    return "".join(_family(metric, status, records, False) for metric in METRICS)


def metrics_markdown() -> str:
    """The reference page (docs/metrics.md)."""
    rows = [
        f"| `{_sample_name(metric)}` | {metric.kind} | {metric.unit or '-'} | "
        f"{', '.join(f'`{label}`' for label in metric.labels) or '-'} | {metric.help} |"
        for metric in METRICS
    ]
    return "\n".join([_INTRODUCTION, "| name | type | unit | labels | meaning |", "|---|---|---|---|---|", *rows, ""])


_INTRODUCTION = """\
# Metrics

Generated from the table in `lmkd/control/metrics.py` (`make docs`).

`lmkd metrics` prints them as OpenMetrics text, asked over the control socket; nothing listens on the network. The same
names go into the file for node_exporter's textfile collector, where an info and a stateset are gauges. Counters count
from the start of lmkd. What a board does not tell is left out, never zero. No label names a process: the number of
series stays the same whatever runs.
"""


def _family(metric: Metric, status: Status, records: Records, modern: bool) -> str:
    samples = [(labels, number) for labels, number in metric.read(status, records) if number is not None]
    if not samples:
        return ""
    name = metric.name if modern or metric.kind != "info" else _sample_name(metric)
    kind = metric.kind
    if not modern:
        name, kind = _sample_name(metric), "counter" if kind == "counter" else "gauge"
    head = [f"# TYPE {name} {kind}"]
    if modern and metric.unit:
        head.append(f"# UNIT {name} {metric.unit}")
    head.append(f"# HELP {name} {_escaped(metric.help)}")
    lines = [f"{_sample_name(metric)}{_labels(labels)} {_number(number)}" for labels, number in samples]
    return "\n".join([*head, *lines, ""])


def _sample_name(metric: Metric) -> str:
    suffix = {"counter": "_total", "info": "_info"}.get(metric.kind, "")
    return metric.name + suffix


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels) + "}" if labels else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(number: float) -> str:
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    return str(int(number)) if number == int(number) and abs(number) < 2**53 else repr(round(float(number), 6))


def _known(found: object) -> float | None:
    """A number that can be told: no truth value, no NaN."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return None if isinstance(found, float) and math.isnan(found) else min(max(found, -1e300), 1e300)


def _at(status: Status, *path: str) -> float | None:
    found: object = status
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return _known(found)


def _scaled(factor: float, *path: str) -> Callable[[Status, Records], Iterable[Sample]]:
    def read(status: Status, _records: Records) -> Iterator[Sample]:
        number = _at(status, *path)
        yield (), None if number is None else number * factor

    return read


def _each(label: str, factor: float, *places: tuple[str, tuple[str, ...]]) -> Callable[[Status, Records], list[Sample]]:
    """A sample for each (value of the label, path in the status)."""

    def read(status: Status, _records: Records) -> list[Sample]:
        found = [(text, _at(status, *path)) for text, path in places]
        return [(((label, text),), None if number is None else number * factor) for text, number in found]

    return read


def _info(status: Status, _records: Records) -> Iterator[Sample]:
    store = status.get("store")
    kind = store.get("kind") if isinstance(store, Mapping) else "none"
    dry_run = "true" if status.get("dry_run") is True else "false"
    yield (("version", __version__), ("store", str(kind)[:16]), ("dry_run", dry_run)), 1


def _level(status: Status, _records: Records) -> Iterator[Sample]:
    now = status.get("level")
    if now in LEVELS:
        for level in LEVELS:
            yield (("lmkd_pressure_level", level),), int(level == now)


def _uptime(status: Status, _records: Records) -> Iterator[Sample]:
    now, started = _at(status, "t_ms"), _at(status, "started_ms")
    yield (), None if now is None or started is None else max(0.0, (now - started) / 1000)


def _exhaustion(status: Status, _records: Records) -> Iterator[Sample]:
    lasts = _at(status, "forecast", "exhaustion_ms")
    yield (), None if lasts is None else math.inf if lasts >= NEVER_MS else lasts / 1000


def _in_flight(status: Status, _records: Records) -> Iterator[Sample]:
    flying = status.get("in_flight")
    yield (), len(flying) if isinstance(flying, list | tuple) else None


def _counts(key: str, label: str) -> Callable[[Status, Records], Iterable[Sample]]:
    """A sample for each name that the guard counts; names beyond ``EVENTS_MAX`` together."""

    def read(status: Status, _records: Records) -> Iterator[Sample]:
        counted = status.get(key)
        rows = sorted(counted.items()) if isinstance(counted, Mapping) else []
        known = [(str(name), number) for name, item in rows if (number := _known(item)) is not None]
        for name, number in known[:EVENTS_MAX]:
            yield ((label, name),), number
        if known[EVENTS_MAX:]:
            yield ((label, "other"),), sum(number for _, number in known[EVENTS_MAX:])

    return read


def _last(event: str, key: str, factor: float) -> Callable[[Status, Records], Iterable[Sample]]:
    """A field of the last record of this name."""

    def read(_status: Status, records: Records) -> Iterator[Sample]:
        last = next((record for record in reversed(records) if record.get("event") == event), {})
        number = _known(last.get(key))
        yield (), None if number is None else number * factor

    return read


_KIB, _MS, _PCT = 1024.0, 0.001, 0.01
_PROCESSES = ("guard", "helper", "talker")
_PARTS = ("free", "cache", "store", "disk")

METRICS = (
    Metric("lmkd_build", "info", "", "This lmkd: its version, its kind of store, whether it only pretends.", _info,
           ("version", "store", "dry_run")),
    Metric("lmkd_uptime_seconds", "gauge", "seconds", "Time from lmkd's start to the guard's last look.", _uptime),
    Metric("lmkd_pressure_level", "stateset", "", "The pressure level: 1 for the one that it is.", _level,
           ("lmkd_pressure_level",)),
    Metric("lmkd_ram_bytes", "gauge", "bytes", "RAM of this board.", _scaled(_KIB, "settings", "ram_kib")),
    Metric("lmkd_headroom_bytes", "gauge", "bytes", "How much more applications can take before the kernel stalls.",
           _scaled(_KIB, "headroom", "total_kib")),
    Metric("lmkd_headroom_part_bytes", "gauge", "bytes",
           "The parts of the headroom; free is above the watermark, and may be negative.",
           _each("part", _KIB, *((part, ("headroom", f"{part}_kib")) for part in _PARTS)), ("part",)),
    Metric("lmkd_headroom_floor_bytes", "gauge", "bytes", "Below this headroom applications are ended.",
           _scaled(_KIB, "settings", "headroom_floor_kib")),
    Metric("lmkd_consumption_bytes_per_second", "gauge", "bytes_per_second", "How fast headroom is consumed.",
           _scaled(_KIB, "forecast", "rate_kib_s")),
    Metric("lmkd_exhaustion_seconds", "gauge", "seconds", "When headroom is forecast to end; +Inf: not in sight.",
           _exhaustion),
    Metric("lmkd_stall_ratio", "gauge", "ratio", "Share of the last window in which some task, or all, waited.",
           _each("kind", _PCT, ("some", ("stall", "some_pct")), ("full", ("stall", "full_pct"))), ("kind",)),
    Metric("lmkd_refaults_per_second", "gauge", "per_second", "Pages read again soon after they were reclaimed.",
           _scaled(1, "stall", "refaults_s")),
    Metric("lmkd_store_original_bytes", "gauge", "bytes", "What the store holds, before compression.",
           _scaled(_KIB, "store", "orig_kib")),
    Metric("lmkd_store_used_bytes", "gauge", "bytes", "RAM that the store takes.", _scaled(_KIB, "store", "used_kib")),
    Metric("lmkd_store_limit_bytes", "gauge", "bytes", "RAM that the store may take; 0: no limit.",
           _scaled(_KIB, "store", "limit_kib")),
    Metric("lmkd_store_incompressible_bytes", "gauge", "bytes", "What the store holds as it is.",
           _scaled(_KIB, "store", "huge_kib")),
    Metric("lmkd_store_marginal_ratio", "gauge", "ratio", "Compression of the last pages that went in: original to "
           "occupied.", _scaled(1, "learned", "store_ratio")),
    Metric("lmkd_kills", "counter", "", "Processes that lmkd ended.", _scaled(1, "kills")),
    Metric("lmkd_kills_by_class", "counter", "", "Processes that lmkd ended, by the class of their priority.",
           _counts("killed", "class"), ("class",)),
    Metric("lmkd_victims", "gauge", "", "Processes that have been signalled and whose memory is not back yet.",
           _in_flight),
    Metric("lmkd_kill_typical_seconds", "gauge", "seconds",
           "From the signal until half of the memory is back, as learned.", _scaled(_MS, "learned", "kill_ms")),
    Metric("lmkd_gain_truth_ratio", "gauge", "ratio", "Memory that deaths returned to what was predicted, as learned.",
           _scaled(1, "learned", "gain_factor")),
    Metric("lmkd_last_kill_timestamp_seconds", "gauge", "seconds", "When lmkd last ended a process, in Unix time.",
           _last("kill", "timestamp", 1)),
    Metric("lmkd_last_receipt_predicted_bytes", "gauge", "bytes", "What the last death was to return.",
           _last("receipt", "predicted_kib", _KIB)),
    Metric("lmkd_last_receipt_returned_bytes", "gauge", "bytes", "What the last death returned.",
           _last("receipt", "returned_kib", _KIB)),
    Metric("lmkd_last_receipt_seconds", "gauge", "seconds", "From the last kill until its memory was back.",
           _last("receipt", "ms", _MS)),
    Metric("lmkd_records", "counter", "", "Records that lmkd wrote, by their name.", _counts("records", "event"),
           ("event",)),
    Metric("lmkd_guard_wakeups", "counter", "", "How often the guard looked.", _scaled(1, "wakeups")),
    Metric("lmkd_process_memory_bytes", "gauge", "bytes", "Memory of lmkd's own processes (PSS).",
           _each("process", _KIB, *((name, ("cost", name, "pss_kib")) for name in _PROCESSES)), ("process",)),
    Metric("lmkd_process_locked_bytes", "gauge", "bytes", "Memory that lmkd's own processes have locked.",
           _each("process", _KIB, *((name, ("cost", name, "locked_kib")) for name in _PROCESSES)), ("process",)),
    Metric("lmkd_clients", "gauge", "", "Clients of the control socket.", _scaled(1, "clients", "connected")),
    Metric("lmkd_clients_dropped_messages", "counter", "", "Notifications that slow clients did not get.",
           _scaled(1, "clients", "dropped")),
    Metric("lmkd_registered_processes", "gauge", "", "Processes whose priority was set or registered.",
           _scaled(1, "clients", "registered")),
)  # fmt: skip
"""All of them, in the order of the text. ``killed``, ``records``: counted by the guard; ``clients``: by the talker."""
