"""Records as lines: one JSON object each, with the keys that structlog's JSON renderer gives, without its memory."""

from __future__ import annotations

import time

from lmkd.guard.exchange import RECORD_BYTES_MAX
from lmkd.model import Note, class_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.guard.exchange import Exchange

LARGEST = 1e300
"""Infinity and not-a-number have no JSON form: null, as for any missing reading."""
SHORT_CHARS = 160
"""What is left of each text in a record that is too large as it is."""
_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\"} | {code: f"\\u{code:04x}" for code in (*range(32), 127)}


def encode(item: object) -> str:
    """JSON text of plain values (str, int, float, bool, None, list, tuple, dict); anything else as its str()."""
    if item is None:
        return "null"
    if item is True or item is False:
        return "true" if item else "false"
    if isinstance(item, int):
        return str(item)
    if isinstance(item, float):
        return repr(round(item, 3)) if abs(item) < LARGEST else "null"
    if isinstance(item, (list, tuple)):
        return "[" + ",".join([encode(one) for one in item]) + "]"
    if isinstance(item, dict):
        return "{" + ",".join([f"{encode(str(key))}:{encode(one)}" for key, one in item.items()]) + "}"
    text = str(item).translate(_ESCAPES)
    return '"' + text.encode("utf-8", "replace").decode("utf-8") + '"'


class Recorder:
    """Numbers the records and writes them into the shared ring; the helper brings them to the log and the clients."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.sequence = 0
        self._records: dict[str, int] = {}
        self._killed: dict[str, int] = {}
        self._counts = ""

    def write(self, note: Note, t_ms: float) -> None:
        """Append one record."""
        self.sequence += 1
        head = (
            f'{{"event":{encode(note.event)},"level":{encode(note.level)},"timestamp":{time.time():.3f},'
            f'"seq":{self.sequence},"t_ms":{t_ms:.3f}'
        )
        for fields in (note.fields, shortened(note.fields), (("truncated", True),)):
            line = f"{head}{_members(fields)}}}".encode()
            if len(line) < RECORD_BYTES_MAX:
                break
        self._exchange.write_record(line)
        self._count(note)

    @property
    def counts(self) -> str:
        """How many records of each name, and kills of each class, there were, as members of the status.

        Made when it is asked for and has changed: a kill is recorded while somebody waits for memory.
        """
        self._counts = self._counts or f'"records":{encode(self._records)},"killed":{encode(self._killed)}'
        return self._counts

    def _count(self, note: Note) -> None:
        self._records[note.event] = self._records.get(note.event, 0) + 1
        if note.event == "kill":
            name = next((class_of(item) for key, item in note.fields if key == "priority" and type(item) is int), "?")
            self._killed[name] = self._killed.get(name, 0) + 1
        self._counts = ""


def shortened(fields: tuple[tuple[str, object], ...]) -> tuple[tuple[str, object], ...]:
    """The fields with long texts cut, and one more that says so."""
    short = [(key, item[:SHORT_CHARS] if isinstance(item, str) else item) for key, item in fields]
    return (*short, ("truncated", True))


def _members(fields: tuple[tuple[str, object], ...]) -> str:
    return "".join([f",{encode(key)}:{encode(item)}" for key, item in fields])
