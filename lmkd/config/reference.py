"""The reference page of the configuration file, written from the schema."""

from __future__ import annotations

from lmkd.config.model import PRIORITY_OF_CLASS
from lmkd.config.schema import APP, MATCH, MOUNT, NOTICE, TOP, Field, fields_of
from lmkd.units import format_kib, format_ms

_INTRODUCTION = """\
# Configuration reference

Generated from the schema (`lmkd.config.reference_markdown`).

Read are `/etc/lmkd/lmkd.yaml` and then `/etc/lmkd/lmkd.d/*.yaml` in the order of their names. No file and no
key is required. `lmkd check FILE...` reports every error with file, line, column and key. Durations need a
unit (`ms`, `s`, `min`, `h`), so do sizes (`K`, `M`, `G`, powers of 1024) and percentages (`%`, of RAM).
`auto` means that lmkd derives the value from the machine.

Of single values, the one in the latest file wins, key by key.
"""

_RULES = """\
**The first rule that matches wins.** Rules are tried in the order of the file; the rules of
drop-ins come before those of the main file, those of later drop-ins first, and a drop-in's rule replaces an
earlier file's rule of the same name. A rule that could never be reached, because an earlier one matches all
that it would, is an error. A process that no rule matches keeps its own `oom_score_adj`.

A priority is a class or a number from -1000 (never killed) to 1000 (killed first), on the scale of
`oom_score_adj`:
"""

_FILES = """\
Files on a tmpfs are memory that no death returns as long as they have a name. Nothing is deleted that is not listed
here. Of what is listed, regular files go, oldest first, until memory is no longer short, or the mount is below its
`limit`; never folders, links, files with a second name, and files that somebody has open (that would return nothing).
No symbolic link is followed and no other mount entered. In a pattern `*`, `?` and `[a-z]` stay within a part of the
path, `**` stands for any number of folders; none of them stands for the dot that a name begins with. `tell` gets
`LMKD_EVENT=tmpfs`, `LMKD_REASON` (`limit` or `short`), `LMKD_MOUNT`, `LMKD_USED_KIB` and `LMKD_LIMIT_KIB` in its
environment, and is ended after 10 s. A tmpfs that is mounted without a limit of its own (`size=0`) does not tell what
it holds: `limit` does nothing there. In a drop-in an entry replaces the earlier one of the same mount.
"""

_PATTERNS = """\
All conditions given must hold. A pattern without wildcards must equal the whole value. `*`
stands for any text (also with `/`), `?` for one character, `[a-z]` and `[!a-z]` for one of a set. Quote a
pattern that begins with `*`: YAML takes it for an alias. `re:` makes it a regular expression (Python's) that
is searched anywhere in the value: use `^` and `$` for its ends. A value that cannot be read matches nothing.
"""

_DERIVED = """\
`auto` follows from `stall_budget` and the board; `lmkd explain policy` shows for each number its value here, the rule
that it follows from, and the file and line where it was given. What follows from a number that is given follows it.
Two numbers that contradict each other are an error. Which to touch, and which not: [tuning](tuning.md).
"""

_NOTICES = """\
For applications that link nothing. When the pressure rises to `level` or above it, each process that a rule gives the
class (or the rule's own, with `notify` in the rule, which replaces the class's) gets the signal, if it catches that
signal: others, process 1 and processes of no rule are left alone. `exec` is run once for the class or the rule, not
while an earlier one still runs, with `LMKD_EVENT=level`, `LMKD_LEVEL`, `LMKD_PREVIOUS`, `LMKD_HEADROOM_KIB`,
`LMKD_EXHAUSTION_MS` (empty: not in sight), `LMKD_T_MS` (milliseconds on the monotonic clock), `LMKD_CLASS` or
`LMKD_RULE`, and `LMKD_PIDS` (the processes it is about, with spaces between) in its environment. What was told of this
level or a higher one less than a second ago is not told again. In a drop-in a class replaces the earlier one.

Whoever can open a file needs none of it: `control.level_file` always has one line of 160 bytes, written in place with
one write (so `inotify` on the file and reading it again from time to time both do), padded with spaces:

    level=moderate previous=low t_ms=81234 headroom_kib=8123 exhaustion_ms=850 end=moderate

`exhaustion_ms` is `none` when it is not in sight. Where `end` is not `level`, the line was read while it was written:
read it again. `level=unknown`: lmkd has stopped.
"""

_ON_KILL = """\
A rule's own `on_kill` comes before that of the class. The program gets no arguments. In its environment are
`LMKD_EVENT=kill` and the fields of the record of the kill as `lmkd events` shows it, in capitals: `LMKD_PID`,
`LMKD_NAME`, `LMKD_PRIORITY`, `LMKD_SIGNAL`, `LMKD_REASON`, `LMKD_PREDICTED_KIB`, `LMKD_HEADROOM_KIB` and so on; besides
`LMKD_RULE` (the rule's name, empty for none), `LMKD_RULE_AT` (its file and line) and `LMKD_CLASS`. Control characters
in a value stay escaped (`\\u000a`). What it prints is lost: the log may be a file in memory. Four run at a time at
most; nothing is run in a dry run. One that takes longer than `timeout`, or still runs when lmkd ends, is ended with all
that it started in its session.

An application that comes back by itself within a minute of its kill is stopped for `policy.hold_base`, each further
time for twice as long, up to `policy.hold_max`: by SIGSTOP, or with its cgroup where it has one for itself, as
services of systemd do. Who starts it again does not matter, systemd's `Restart=`, an inittab's `respawn` or a shell:
command, user and command line tell that it is the same. Both take the stopped one for running and start no other. A
unit of `Type=notify` or with `WatchdogSec=` needs a `TimeoutStartSec=` and a `WatchdogSec=` above `policy.hold_max`,
else systemd ends it in its turn.
"""

_LOG = """\
`journald`: each field of a record as a field of the journal, in capitals with `LMKD_` before it (`journalctl
LMKD_EVENT=kill`), with `MESSAGE` and `PRIORITY`. `syslog`: one line to /dev/log (RFC 3164, facility daemon). `kmsg`: to
the kernel's log, kills and errors only, for a board that has nothing else. `stderr`: JSON lines. What cannot be reached
is replaced by the next of journald, syslog, stderr, which is said once. That the guard has died is told to the kernel's
log in any case.
"""

_SECTIONS = (
    ("store", "The compressed store: `store`"),
    ("store.writeback", "Writing idle and incompressible pages out: `store.writeback`"),
    ("sysctls", "Kernel settings: `sysctls`"),
    ("grace", "Grace by class: `grace`"),
    ("trim", "Paging out before pressure, by class: `trim`"),
    ("freeze", "Stopping what thrashes, by class: `freeze`"),
    ("on_kill", "Programs after a kill: `on_kill`"),
    ("policy", "Derived numbers: `policy`"),
    ("control", "Control socket: `control`"),
    ("log", "Log: `log`"),
)

_TEXTS = (("policy", _DERIVED), ("on_kill", _ON_KILL), ("log", _LOG))

_TYPES = (
    ("duration", "duration"), ("amount", "% of RAM, or size"), ("int", "whole number"),
    ("bool", "true, false"), ("word", "word"), ("name", "name"), ("path", "absolute path"),
    ("label", "text"), ("pattern", "pattern"), ("priority", "class or number"), ("section", "mapping"),
    ("rules", "list of rules"), ("mounts", "list of mappings"), ("globs", "list of patterns"),
    ("notices", "mapping"), ("notice", "mapping"), ("command", "path, or list"),
)


def reference_markdown() -> str:
    """The whole page, with every key, its type, default, limits and meaning."""
    parts = [_INTRODUCTION, "## Top level\n", _table(TOP)]
    for section, title in _SECTIONS:
        parts += [f"## {title}\n", *(text for name, text in _TEXTS if name == section), _table(section)]
    parts += ["## Memory in files: `tmpfs`\n", _FILES, _table(MOUNT)]
    parts += ["## Notices: `notify`\n", _NOTICES, _table("notify"), "### What a notice is\n", _table(NOTICE)]
    parts += ["## Rules: `apps`\n", _RULES, _classes(), _table(APP)]
    parts += ["## Conditions: `match`\n", _PATTERNS, _table(MATCH)]
    return "\n".join(parts)


def _table(section: str) -> str:
    rows = [f"| `{field.key}` | {type_of(field)} | {_default(field)} | {limits_of(field)} | {field.doc} |"
            for field in fields_of(section)]
    return "\n".join(["| key | type | default | limits | meaning |", "|---|---|---|---|---|", *rows, ""])


def _classes() -> str:
    rows = [f"| {name} | {number} |" for name, number in PRIORITY_OF_CLASS]
    return "\n".join(["| class | number |", "|---|---|", *rows, ""])


def type_of(field: Field) -> str:
    """What kind of value a key takes, in words."""
    return next(text for kind, text in _TYPES if kind == field.kind)


def _default(field: Field) -> str:
    return f"`{field.default}`" if field.default else "-"


def limits_of(field: Field) -> str:
    """Which values a key takes, in words; ``-`` where nothing more is to be said."""
    if field.allowed:
        return ", ".join(f"`{word}`" for word in field.allowed)
    if field.low is None or field.high is None:
        return "-"
    if field.kind == "duration":
        return f"{format_ms(field.low)} to {format_ms(field.high)}"
    if field.kind != "amount":
        return f"{field.low} to {field.high}"
    least = f"; as a size at least {format_kib(field.low_kib)}" if field.low_kib else ""
    return f"{field.low}% to {field.high}%{least}"
