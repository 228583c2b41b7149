"""The native protocol's one definition: every request, its fields and limits, who may ask, every reply and notice.

Requests are validated by it, and docs/protocol.md is made from it (``lmkd.control.reference``).
"""

from __future__ import annotations

from lmkd.errors import ControlError
from lmkd.helper.registry import NAME_BYTES
from lmkd.model import CLASSES
from lmkd.plain_json import dumps
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SEQUENCE_LIMIT = 2**63
PID_MAX = 2**22
KIB_MAX = 2**31 - 1
TEXT_MAX = 64
NAMES_MAX = 32
ALL = "*"
"""Among the names of events: every one."""
ANYONE, OWN, ROOT = "anyone", "anyone, for processes of his own user; root and the group: for all", "root and the group"
_PRIORITIES = dict(CLASSES)


@value
class Field:
    """One field of a request or a reply. Only of requests: ``required``, ``default``, ``low`` and ``high``."""

    name: str
    kind: str
    doc: str
    required: bool = False
    default: object = None
    low: int = 0
    high: int = 0


@value
class Op:
    """One request: ``reply`` is an example of the reply (without v, ok, id), ``rows`` the fields within it."""

    name: str
    doc: str
    who: str
    fields: tuple[Field, ...]
    reply: str
    rows: tuple[Field, ...] = ()


@value
class NoticeKind:
    """One message that comes unasked."""

    name: str
    doc: str
    example: str
    text: str
    rows: tuple[Field, ...]


def _pid(required: bool, doc: str = "The process.") -> Field:
    return Field("pid", "int", doc, required=required, low=1, high=PID_MAX)


_PRIORITY = Field("priority", "priority", "A class, or a number from -1000 (never ended) to 1000 (first).")
_NAMES = "the records' names; `*` for all"
_CHANGED = (
    Field("pid", "int", "The process."),
    Field("name", "text", "Its name, as the kernel has it."),
    Field("priority", "int", "Its priority from now on."),
    Field("class", "text", "The class of that priority."),
    Field("previous", "int", "Its priority before."),
)

OPS: tuple[Op, ...] = (
    Op("status", "The state of the service: level, headroom, forecast, store, what was learned, what it costs.", ANYONE,
       (), '{"status":{...}}', (Field("status", "object", "Keys with their units; as `lmkd status --json`."),)),
    Op("candidates", "Every process, in the order in which it would be ended. Measured anew when that was long ago.",
       ANYONE, (), '{"candidates":[{...},...]} with at most 64 rows each, then {"end":true}',
       (Field("candidates", "list", "Rows: order, pid, name, priority, class, rule, sizes, what may be done."),)),
    Op("policy", "Every number of the policy, how it follows, and where it was given.", ANYONE, (),
       '{"policy":[{...},...]}', (Field("policy", "list", "Rows: name, value, rule, key, given."),)),
    Op("tmpfs", "Who holds memory in files.", ANYONE, (), '{"tmpfs":{...}}',
       (Field("tmpfs", "object", "mounts, files, holders."),)),
    Op("metrics", "The service in numbers, as OpenMetrics text.", ANYONE, (),
       '{"metrics":"..."} with at most 60000 bytes each, then {"end":true}',
       (Field("metrics", "text", "A piece of the text."),)),
    Op("events", "The records of what lmkd did, oldest first; about the last 64 KiB of them are kept.", ANYONE,
       (Field("since", "int", "The sequence number to begin with.", default=0, high=SEQUENCE_LIMIT - 1),
        Field("follow", "bool", "Also those that come, until the next request; that is answered after the end.",
              default=False),
        Field("names", "names", f"Only these: {_NAMES}.", default=(ALL,))),
       '{"event":{...}} each, then {"end":true}',
       (Field("event", "object", "event, level, timestamp, seq, t_ms, and what this one has."),)),
    Op("subscribe", "Be told of changes unasked. Replaces what this connection had subscribed to.", ANYONE,
       (Field("levels", "bool", "Each change of the pressure level.", default=True),
        Field("events", "names", f"Records: {_NAMES}.", default=()),
        Field("text", "bool", "Notices as lines of text in place of JSON.", default=False)),
       '{"subscribed":{"level":"calm"}}', (Field("level", "text", "The level now: calm, low, moderate or critical."),)),
    Op("unsubscribe", "Be told nothing more, but of the end of processes that this connection registered.", ANYONE, (),
       '{"unsubscribed":true}'),
    Op("register", "Make a process known, and have this connection told before it is ended. What is left out stays as "
       "it was. It ends with the process, not with the connection.", OWN,
       (_pid(False, "The process; the peer itself if left out."),
        Field("name", "text", f"A name for people, at most {NAME_BYTES} bytes of UTF-8.", high=NAME_BYTES),
        _PRIORITY,
        Field("group", "text", "Those of one user with the same group are ended together; empty: in none.",
              high=TEXT_MAX),
        Field("trim", "bool", "Whether it may be paged out when it is idle."),
        Field("freeze", "bool", "Whether it may be stopped for a while when it thrashes.")),
       '{"registered":{"pid":412,"name":"player","priority":500,"class":"service","previous":0}}',
       (*_CHANGED, Field("trim", "bool", "As it was said; null: nobody has."),
        Field("freeze", "bool", "As it was said; null: nobody has."))),
    Op("unregister", "Forget all that was set for a process.", OWN,
       (_pid(False, "The process; the peer itself if left out."),), '{"unregistered":{"pid":412,...}}', _CHANGED),
    Op("set", "Set a process's priority. Lower in importance is for everybody, where no rule names the process; "
       "higher, and over a rule, for root and the group.", OWN,
       (_pid(True), Field("priority", "priority", _PRIORITY.doc, required=True)),
       '{"set":{"pid":412,"name":"player","priority":900,"class":"cached","previous":0}}', _CHANGED),
    Op("clear", "Forget all that was set for a process.", OWN, (_pid(True),), '{"cleared":{"pid":412,...}}', _CHANGED),
    Op("trim", "Page memory out to the store. The records (`trim`) tell what came of it. Users without rights: once a "
       "second, all of them together.", OWN,
       (_pid(False, "The process, idle or not; if left out all that are idle, for root and the group."),
        Field("kib", "int", "How much, in KiB; 0: all of it.", default=0, high=KIB_MAX)),
       '{"trim":{"asked":true}}', (Field("asked", "bool", "It was passed on."),)),
    Op("kill", "End a process, as lmkd ends one: the guard does it in its next step. The records (`kill`, `receipt`) "
       "tell what came of it. What is protected is not ended.", ROOT, (_pid(True),),
       '{"kill":{"pid":412,"name":"player","accepted":true}}',
       (Field("pid", "int", "The process."), Field("name", "text", "Its name."),
        Field("accepted", "bool", "It was passed on to the guard."))),
    Op("reload", "Read the configuration anew. The records (`reload`, `reload_failed`) tell what came of it. "
       "Connections stay, see the limits above.", ROOT, (), '{"reload":{"asked":true}}',
       (Field("asked", "bool", "It was passed on."),)),
)  # fmt: skip

NOTICES: tuple[NoticeKind, ...] = (
    NoticeKind("level", "The pressure level has changed. Subscribe with `levels`.",
               '{"level":{"level":"moderate","previous":"low","t_ms":81250.1,"headroom_kib":8123,"exhaustion_ms":850.0,'
               '"reason":"headroom below 15% of RAM"}}',
               "level=moderate previous=low headroom_kib=8123 exhaustion_ms=850 dropped=0",
               (Field("level", "text", "calm, low, moderate or critical: the level that lmkd itself goes by; less than "
                      "moderate when it has lasted 2 s."),
                Field("previous", "text", "The one told before."),
                Field("t_ms", "float", "When, on the monotonic clock."),
                Field("headroom_kib", "int", "Memory left above what the kernel and the foreground need, in KiB."),
                Field("exhaustion_ms", "float", "How long it lasts at its present slope; null: it does not shrink."),
                Field("reason", "text", "Why."))),
    NoticeKind("event", "A record was written. Subscribe with `events`.",
               '{"event":{"event":"kill","seq":17,"pid":412,"name":"player",...}}',
               "event=kill seq=17 pid=412 name=player ...",
               (Field("event", "text", "The record's name; its other keys depend on it."),)),
    NoticeKind("about_to_kill", "A process is ended now: to the connection that registered it, and to its own. With "
               "SIGTERM that was sent just before, and whoever neither handles nor blocks it dies of it without having "
               "read this. With SIGKILL (its class has no grace, or memory does not last so long) the process itself "
               "reads nothing any more; who else has registered it, such as its launcher, is told.",
               '{"about_to_kill":{"pid":412,"name":"player","signal":"SIGTERM","grace_ms":200,"reason":"..."}}',
               "about_to_kill pid=412 name=player signal=SIGTERM grace_ms=200 dropped=0",
               (Field("pid", "int", "The process."), Field("name", "text", "Its name."),
                Field("signal", "text", "SIGTERM or SIGKILL: it was sent just now."),
                Field("grace_ms", "int", "The time until SIGKILL; 0 if that was the signal."),
                Field("reason", "text", "Why this one."))),
)  # fmt: skip

_BY_NAME = {op.name: op for op in OPS}


def validate(op: object, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request, with defaults; ControlError says what is wrong. Priorities become numbers."""
    if not isinstance(op, str) or op not in _BY_NAME:
        raise ControlError(f"unknown op {shown(op)}: {', '.join(_BY_NAME)} are known")
    known = {field.name: field for field in _BY_NAME[op].fields}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ControlError(f"unknown field {shown(unknown[0])} in a request for {op}")
    checked: dict[str, Any] = {}
    for name, field in known.items():
        if name in given:
            checked[name] = _checked(field, given[name])
        elif field.required:
            raise ControlError(f"a request for {op} needs the field {name}")
        else:
            checked[name] = field.default
    return checked


def _checked(field: Field, given: object) -> object:
    name = field.name
    if field.kind == "bool":
        if type(given) is not bool:
            raise ControlError(f"{name} is {shown(given)}: true or false is meant")
    elif field.kind == "int":
        if type(given) is not int or not field.low <= given <= field.high:
            raise ControlError(f"{name} is {shown(given)}: a number from {field.low} to {field.high} is meant")
    elif field.kind == "text":
        if not isinstance(given, str) or len(given.encode("utf-8", "replace")) > field.high or not _plain(given):
            raise ControlError(f"{name} is {shown(given)}: text of at most {field.high} bytes is meant")
    elif field.kind == "names":
        if not isinstance(given, list) or len(given) > NAMES_MAX or not all(_is_name(one) for one in given):
            raise ControlError(f"{name} is {shown(given)}: a list of at most {NAMES_MAX} names is meant")
        return tuple(given)
    elif field.kind == "priority":
        return _priority(name, given)
    return given


def _priority(name: str, given: object) -> int:
    if isinstance(given, str) and given in _PRIORITIES:
        return _PRIORITIES[given]
    if type(given) is int and -1000 <= given <= 1000:
        return given
    raise ControlError(f"{name} is {shown(given)}: {', '.join(_PRIORITIES)} or -1000 to 1000 is meant")


def _is_name(given: object) -> bool:
    return isinstance(given, str) and 0 < len(given) <= TEXT_MAX


def _plain(text: str) -> bool:
    return text.isprintable()


def shown(thing: object) -> str:
    """What was given, for a message about it."""
    if isinstance(thing, list | dict):
        return "a list" if isinstance(thing, list) else "an object"
    text = dumps(thing)
    return text if len(text) <= 60 else f"{text[:60]}..."
