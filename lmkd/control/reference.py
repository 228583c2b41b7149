"""The reference page of the native protocol, written from its schema."""

from __future__ import annotations

from lmkd.control.connection import Limits
from lmkd.control.protocol import DEFAULT_SOCKET, REPLY_LIMIT_BYTES, REQUEST_LIMIT_BYTES, VERSION
from lmkd.control.schema import NAMES_MAX, NOTICES, OPS, TEXT_MAX, Field, NoticeKind, Op
from lmkd.helper.registry import SLOTS, SLOTS_OF_USER, SLOTS_OF_USERS
from lmkd.model import CLASSES

_LIMITS = Limits()
_INTRODUCTION = f"""\
# The native control protocol, version {VERSION}

Generated from the schema (`lmkd.control.schema`).

A `SOCK_SEQPACKET` Unix socket, by default `{DEFAULT_SOCKET}` (`control.socket`). Each message is one JSON
object. A request has `"v":{VERSION}` and `"op"`, has at most {REQUEST_LIMIT_BYTES} bytes, and may have an
`"id"` (a whole number, or text of at most {TEXT_MAX} characters), which is echoed in its replies. A reply has
`"v":{VERSION}` and `"ok":true`, and at most {REPLY_LIMIT_BYTES} bytes. Whatever is wrong is answered by
`{{"v":{VERSION},"ok":false,"error":"..."}}`, and the connection stays usable. Requests of one connection are
answered one after the other. A field that a request does not know is an error; a reply may get more fields in
the same version, so ignore those that you do not know.

    {{"v":1,"op":"set","pid":412,"priority":"cached","id":1}}
    {{"v":1,"ok":true,"set":{{"pid":412,"name":"player","priority":900,"class":"cached","previous":0}},"id":1}}

## Who may do what

The kernel says who a client is (`SO_PEERCRED`, `SO_PEERGROUPS`) at the moment when it connects. root and the members
of the group `control.group`, where that group exists, may do all. Everybody may read, register processes of his own
user, and make them less important than they are; what a rule of the configuration says of a process, and what root
set for it, only root and the group can change. A process is of the user that all its user ids name; when it becomes
another's (a setuid program, a login), what its former user had set for it is forgotten.

Process ids are those of lmkd's pid namespace. A client in another one, such as in a container, can mean only itself:
it leaves `pid` out. A container's root that is the host's (no user namespace) is root here, if it gets at the socket.

## Limits

At most `control.clients` clients ({_LIMITS.clients} by default). An eighth of them is kept for root and the group; of
one user without their rights {_LIMITS.clients_of_user} are served. One more is turned away by closing. A client is left
after {_LIMITS.idle_ms // 1000} s of silence, unless it has subscribed or registered, and when it does not take the
reply to its own request for {_LIMITS.write_ms // 1000} s. root and the group may ask as fast as they like: a program
that registers all applications of the system at boot is not held up. Others may ask {_LIMITS.burst} times at once and
{_LIMITS.per_s} times a second, and fewer times for what takes long; after that they wait: lmkd does not read on until
it is time, and loses nothing.
Of notices at most {_LIMITS.notices} wait for a client that does not read, beside what the
kernel's buffer holds; those that find no room are dropped, and the next one that finds room says how many:
`"dropped":N`. When levels were dropped the last one always follows.

A reload leaves the connections as they are, with all that they have subscribed to. Only one that changes
`control.socket`, `control.android_socket` or `control.android_release` ends them all, and one that changes
`control.group` those of others than root: connect again. So do when lmkd was started anew, or its helper, which
happens when it has died. What was registered stays until its process ends, or lmkd.

{SLOTS} processes can be registered, {SLOTS_OF_USERS} of them by users without rights, {SLOTS_OF_USER} by one of these.
"""
_PRIORITIES = """\
## Priorities

On the scale of `oom_score_adj`: what has the highest number is ended first.
"""
_NOTICES = """\
# Notices

What comes unasked to who has subscribed, without an `id`. After `"text":true` each is one line in place of JSON:
`key=value` with single spaces, a value that is not plain quoted as JSON.
"""


def protocol_page() -> str:
    """The whole page: every request, field, limit, reply and notice."""
    classes = [f"| {name} | {number} |" for name, number in CLASSES]
    table = "\n".join(["| class | number |", "|---|---|", *classes, ""])
    parts = [_INTRODUCTION, _PRIORITIES, table, "# Requests\n", *map(_op, OPS), _NOTICES, *map(_notice, NOTICES)]
    return "\n".join(parts)


def _op(op: Op) -> str:
    parts = [f"## `{op.name}`\n", f"{op.doc}\n", f"Who: {op.who}.\n"]
    if op.fields:
        rows = [f"| `{one.name}` | {_kind(one)} | {_default(one)} | {one.doc} |" for one in op.fields]
        parts.append("\n".join(["| field | type | default | meaning |", "|---|---|---|---|", *rows, ""]))
    parts.append(f"Reply: `{op.reply}`\n")
    return "\n".join([*parts, *([_rows(op.rows)] if op.rows else [])])


def _notice(kind: NoticeKind) -> str:
    shown = [f"    {kind.example}", f"    {kind.text}", ""]
    return "\n".join([f"## `{kind.name}`\n", f"{kind.doc}\n", *shown, _rows(kind.rows)])


def _rows(fields: tuple[Field, ...]) -> str:
    rows = [f"| `{one.name}` | {one.kind} | {one.doc} |" for one in fields]
    return "\n".join(["| of the reply | type | meaning |", "|---|---|---|", *rows, ""])


def _kind(field: Field) -> str:
    if field.kind == "int":
        return f"number, {field.low} to {field.high}"
    return {
        "bool": "true, false",
        "text": f"text, at most {field.high} bytes",
        "names": f"list of at most {NAMES_MAX} texts",
        "priority": "class or number",
    }[field.kind]


def _default(field: Field) -> str:
    if field.required:
        return "required"
    if field.default is None:
        return "-"
    if isinstance(field.default, tuple):
        return "`[" + ",".join(f'"{one}"' for one in field.default) + "]`"
    return f"`{str(field.default).lower()}`"
