"""Records in plain words, one short sentence each, for people who do not know the records' names."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from lmkd.log import format_field, format_priority, format_value, is_number
from lmkd.units import format_kib, format_ms

_ENVELOPE = ("event", "level", "timestamp", "seq", "t_ms", "reason", "dry_run")

Fields = Mapping[str, Any]


def clock(timestamp: object, utc: bool = False) -> str:
    """The time of day of a Unix time; dashes for what is none."""
    try:
        whole = (time.gmtime if utc else time.localtime)(float(timestamp))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return "--:--:--"
    return time.strftime("%H:%M:%S", whole)


def words(record: Fields) -> tuple[str, str]:
    """The sentence, and the style that fits it; a record of another name tells its fields."""
    event = record.get("event")
    known = _WORDS.get(event) if isinstance(event, str) else None
    if known is None:
        return _plain(record), _LEVELS.get(str(record.get("level")), "")
    style, tell = known
    return tell(record), style or _LEVELS.get(str(record.get("level")), "")


_LEVELS = {"warning": "warn", "error": "bad", "critical": "bad"}


def _who(record: Fields) -> str:
    return f"{format_value(record.get('name', '?'))}[{format_value(record.get('pid'))}]"


def _kib(record: Fields, key: str) -> str:
    found = record.get(key)
    return format_kib(round(found)) if is_number(found) else "an unknown amount"


def _ms(record: Fields, key: str) -> str:
    found = record.get(key)
    return format_ms(round(found)) if is_number(found) else "some time"


def _why(record: Fields) -> str:
    reason = record.get("reason")
    return f": {format_value(reason)}" if reason else ""


def _plain(record: Fields) -> str:
    named = "pid" in record and "name" in record
    who = f"{_who(record)} " if named else ""
    left_out = (*_ENVELOPE, "pid", "name") if named else _ENVELOPE
    pairs = (format_field(str(key), item) for key, item in record.items() if key not in left_out)
    fields = ", ".join(f"{label} {text}" for label, text in pairs)
    name = format_value(record.get("event", "?")).replace("_", " ")
    return f"{name} {who}{fields}".rstrip() + _why(record)


def _kill(record: Fields) -> str:
    how = "would have ended" if record.get("dry_run") is True else "ended"
    return f"{how} {_who(record)} for {_kib(record, 'predicted_kib')}{_why(record)}"


def _receipt(record: Fields) -> str:
    more = record.get("victims")
    others = f" and {more - 1} more" if isinstance(more, int) and more > 1 else ""
    back = f"{_kib(record, 'returned_kib')} of {_kib(record, 'predicted_kib')}"
    if record.get("outcome") == "dead":
        return f"{_who(record)}{others} died, {back} came back in {_ms(record, 'ms')}"
    outcome = format_value(record.get("outcome"))
    return f"{_who(record)}{others} is {outcome} after {_ms(record, 'ms')}, {back} came back"


def _pressure(record: Fields) -> str:
    rate = record.get("rate_kib_s")
    pace = f", {format_kib(round(rate))}/s consumed" if is_number(rate) and rate > 0 else ""
    return f"pressure is {format_value(record.get('pressure'))}, headroom {_kib(record, 'headroom_kib')}{pace}"


def _trim(record: Fields) -> str:
    if record.get("skipped"):
        return f"did not page out {_who(record)}: it {format_value(record.get('skipped'))}"
    return f"paged out {_kib(record, 'stored_kib')} of {_who(record)}, which is idle, in {_ms(record, 'ms')}"


def _stop(what: str) -> Callable[[Fields], str]:
    def tell(record: Fields) -> str:
        if record.get("refused"):
            return f"did not stop {_who(record)}: {format_value(record.get('refused'))}"
        return f"{what} {_who(record)} for {_ms(record, 'ms')}{_why(record)}"

    return tell


def _renice(record: Fields) -> str:
    if record.get("refused") or record.get("failed"):
        return f"cannot change the nice value of {_who(record)}"
    back = "was" not in record
    return f"{_who(record)} {'has its share of the processor back' if back else 'yields the processor'}{_why(record)}"


def _compact(record: Fields) -> str:
    return f"compacted the store, {_kib(record, 'returned_kib')} came back in {_ms(record, 'ms')}"


def _reload(record: Fields) -> str:
    rules = record.get("rules")
    return f"read the configuration again, {format_value(rules)} {'rule' if rules == 1 else 'rules'}"


def _deleted(record: Fields) -> str:
    would = "would have deleted" if record.get("dry_run") is True else "deleted"
    files = record.get("files")
    many = f"{format_value(files)} {'file' if files == 1 else 'files'}"
    return f"{would} {many} ({_kib(record, 'deleted_kib')}) on {format_value(record.get('mount'))}{_why(record)}"


def _notified(record: Fields) -> str:
    count, program = record.get("count"), record.get("program")
    ways = [f"{format_value(count)} by {format_value(record.get('signal'))}"] if record.get("signal") else []
    if program:
        ways.append(f"{'by' if record.get('ran') is True else 'not by'} {format_value(program)}")
    whom = f"{format_value(record.get('to'))} that pressure is {format_value(record.get('pressure'))}"
    return f"told {whom}: {', '.join(ways) or 'nobody'}"


def _front(record: Fields) -> str:
    many = record.get("processes")
    whom = f"{format_value(many)} processes go first now" if many else "no process goes first any more"
    return f"{whom}{_why(record)}"


def _group(record: Fields) -> str:
    pids = record.get("pids")
    many = len(pids) if isinstance(pids, list | tuple) else 0
    return f"{many} more ended with {_who(record)}, of the same {format_value(record.get('group'))}"


_WORDS: dict[str, tuple[str, Callable[[Fields], str]]] = {
    "kill": ("kill", _kill),
    "escalate": ("bad", lambda record: f"{_who(record)} did not end by itself: SIGKILL{_why(record)}"),
    "receipt": ("", _receipt),
    "refusal": ("", lambda record: f"ended nobody{_why(record)}" if "pid" not in record
                else f"did not end {_who(record)}{_why(record)}"),
    "pressure": ("", _pressure),
    "trim": ("", _trim),
    "compact": ("", _compact),
    "thrash": ("", lambda record: f"{_who(record)} thrashes"),
    "freeze": ("", _stop("stopped")),
    "hold": ("", _stop("held down")),
    "release": ("", lambda record: f"let {_who(record)} go on{_why(record)}"),
    "renice": ("", _renice),
    "front": ("", _front),
    "reap": ("", lambda record: f"freed memory of process {format_value(record.get('pid'))} as it died"),
    "degraded": ("", lambda record: f"without {format_value(record.get('feature'))}: "
                 f"{format_value(record.get('cost'))}"),
    "reload": ("good", _reload),
    "reload_failed": ("", lambda record: f"kept the old configuration{_why(record)}"),
    "ready": ("good", lambda record: f"lmkd is ready, after {_ms(record, 'ms')}"),
    "stop": ("", lambda record: "lmkd stops"),
    "helper_started": ("", lambda record: "the helper is at work, "
                       f"{format_value(record.get('processes'))} processes"),
    "helper_died": ("", lambda record: "the helper died; another one is started"),
    "deleted": ("", _deleted),
    "set": ("", lambda record: f"priority of {_who(record)} is {format_priority(record.get('priority'))} now, "
            f"it was {format_priority(record.get('previous'))}"),
    "kill_asked": ("", lambda record: f"somebody asked to end process {format_value(record.get('pid'))}"),
    "sysctl": ("", lambda record: f"set {format_value(record.get('name'))} to {format_value(record.get('new'))}, "
               f"it was {format_value(record.get('old'))}"),
    "store_up": ("good", lambda record: f"the store is up: {format_value(record.get('device'))}, "
                 f"{format_value(record.get('algorithm'))}"),
    "store_adopted": ("good", lambda record: f"the store was up and is used on: {format_value(record.get('device'))}, "
                      f"{format_value(record.get('algorithm'))}"),
    "shield": ("", lambda record: f"keeps {_kib(record, 'low_kib')} of {format_value(record.get('cgroup'))} in memory"),
    "group": ("", _group),
    "notified": ("", _notified),
    "hook": ("", lambda record: f"the program {format_value(record.get('command'))}: "
             f"{format_value(record.get('outcome'))}"),
    "told": ("", lambda record: f"told {format_value(record.get('program'))} of {format_value(record.get('mount'))}"
             f"{_why(record)}"),
}  # fmt: skip
"""Event: the style (empty: by its level) and the sentence."""
