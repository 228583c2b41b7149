"""Android's lmkd wire protocol, pure: any bytes to a request or to why it is none, and replies and notices to bytes.

A message of a SOCK_SEQPACKET socket is 32-bit integers in network byte order, the command first. Layouts by Android's
system/memory/lmkd: include/lmkd.h, statslog.cpp and, for lengths, ctrl_command_handler() of lmkd.cpp; each ``->`` is a
reply. Counts of fields differ by release, and only these pairs of length and command are taken:

     0 TARGET            (minfree in pages, adj) up to 6 times; not answered
     1 PROCPRIO          pid, uid, adj; then the type (Android 11); then "not into oom_score_adj" (17)
     2 PROCREMOVE        pid
     3 PROCPURGE
     4 GETKILLCNT        lowest adj, highest adj -> 4, count
     5 SUBSCRIBE         0: kills, 1: statistics
     6 PROCKILL          (notice) pid, uid; then RSS in KiB (16)
     7 UPDATE_PROPS      -> 7, 0 or -1
     8 STAT_KILL_OCCURRED (notice) see ``encode_statistics``
     9 START_MONITORING
    10 BOOT_COMPLETED    -> 10, 0 done, 1 done before, -1 failed
    11 PROCS_PRIO        up to 3 times what PROCPRIO has, all of four fields or (17) all of five

Two differences from Android, for messages that no client of its own sends: there the bytes after the last whole
integer and after the largest packet are passed over, here such a message is refused whole; and there SUBSCRIBE takes
any number for an event.
"""

from __future__ import annotations

import struct

from lmkd.values import value

TARGET, PROCPRIO, PROCREMOVE, PROCPURGE, GETKILLCNT, SUBSCRIBE = 0, 1, 2, 3, 4, 5
PROCKILL, UPDATE_PROPS, STAT_KILL_OCCURRED, START_MONITORING, BOOT_COMPLETED, PROCS_PRIO = 6, 7, 8, 9, 10, 11

TARGETS_MAX = 6
BATCH_MAX = 3
REQUEST_BYTES_MAX = 4 * (1 + BATCH_MAX * 5)
ADJ_MIN, ADJ_MAX = -1000, 1000
APPLICATION, SERVICE = 0, 1
"""Process types. A service's own limits are not touched, in Android's daemon; lmkd only keeps the type."""
EVENT_KILL, EVENT_STATISTICS = 0, 1
DONE, DONE_BEFORE, FAILED = 0, 1, -1

_NAME_BYTES_MAX = 127
_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1
_INT64_MAX = 2**63 - 1
_BARE = (PROCPURGE, UPDATE_PROPS, START_MONITORING, BOOT_COMPLETED)


@value
class Level:
    """One pair of TARGET: below ``minfree_pages`` Android's first daemon ended what had at least ``adj``."""

    minfree_pages: int
    adj: int


@value
class Registration:
    """One process with its place on the oom_score_adj scale.

    ``uid``: whose it is by the client's word. ``kernel``: its oom_score_adj shall be set as well. ``recent``: it came
    in a layout that only Android 17 and later have.
    """

    pid: int
    uid: int
    adj: int
    kind: int = APPLICATION
    kernel: bool = True
    recent: bool = False


@value
class Request:
    """One valid request. Which fields mean something follows from ``command``."""

    command: int
    levels: tuple[Level, ...] = ()
    processes: tuple[Registration, ...] = ()
    pid: int = 0
    lowest: int = 0
    highest: int = 0
    event: int = EVENT_KILL


@value
class Refusal:
    """What is no request, and why: Android's daemon logs it and answers nothing."""

    reason: str


@value
class Statistics:
    """What is known of a kill, for STAT_KILL_OCCURRED; None: not known. ``cause`` is one of ``CAUSES``' numbers."""

    uid: int
    name: str
    adj: int
    lowest_adj: int
    cause: int
    faults: int | None = None
    major_faults: int | None = None
    resident_bytes: int | None = None
    cache_bytes: int | None = None
    swapped_bytes: int | None = None
    started_ns: int | None = None
    free_kib: int | None = None
    swap_free_kib: int | None = None
    thrashing_pct: int | None = None
    thrashing_max_pct: int | None = None


def decode_request(message: bytes) -> Request | Refusal:
    """What a client sent, whatever the bytes are. Never raises."""
    if len(message) < 4 or len(message) % 4 or len(message) > REQUEST_BYTES_MAX:
        return Refusal(f"{len(message)} bytes: whole 32-bit integers are meant, {REQUEST_BYTES_MAX} bytes at most")
    command, *fields = struct.unpack(f"!{len(message) // 4}i", message)
    if command == TARGET:
        return _target(fields)
    if command in (PROCPRIO, PROCS_PRIO):
        return _registrations(command, fields)
    if command in _BARE and not fields:
        return Request(command)
    if command == PROCREMOVE and len(fields) == 1:
        return Request(command, pid=fields[0])
    if command == GETKILLCNT and len(fields) == 2:
        return Request(command, lowest=fields[0], highest=fields[1])
    if command == SUBSCRIBE and len(fields) == 1:
        known = fields[0] in (EVENT_KILL, EVENT_STATISTICS)
        return Request(command, event=fields[0]) if known else Refusal(f"event {fields[0]} is not known")
    if command in (*_BARE, PROCREMOVE, GETKILLCNT, SUBSCRIBE):
        return Refusal(f"command {command} with {len(fields)} fields")
    return Refusal(f"command {command} is not one that clients send")


def _target(fields: list[int]) -> Request | Refusal:
    if not fields or len(fields) % 2 or len(fields) > 2 * TARGETS_MAX:
        return Refusal(f"command {TARGET} with {len(fields)} fields")
    return Request(TARGET, levels=tuple(map(Level, fields[::2], fields[1::2])))


def _registrations(command: int, fields: list[int]) -> Request | Refusal:
    """Each is judged for itself by ``fault_of``: one bad record of a batch does not spoil the others."""
    count = len(fields)
    if command == PROCPRIO:
        if count not in (3, 4, 5):
            return Refusal(f"command {command} with {count} fields")
        size = count
    else:
        size = 5 if count and count % 5 == 0 else 4
        if not count or count % size or count // size > BATCH_MAX:
            return Refusal(f"command {command} with {count} fields")
    rows = (fields[at : at + size] for at in range(0, count, size))
    return Request(command, processes=tuple(_registration(*row) for row in rows))


def _registration(pid: int, uid: int, adj: int, kind: int = APPLICATION, apart: int | None = None) -> Registration:
    return Registration(pid, uid & 0xFFFFFFFF, adj, kind, kernel=not apart, recent=apart is not None)


def fault_of(process: Registration) -> str:
    """Why Android refuses such a record before it looks at the process; empty when it does not."""
    if process.pid <= 0:
        return f"process {process.pid}"
    if not ADJ_MIN <= process.adj <= ADJ_MAX:
        return f"adj {process.adj} of process {process.pid}"
    if process.kind not in (APPLICATION, SERVICE):
        return f"type {process.kind} of process {process.pid}"
    return ""


def encode_reply(command: int, result: int) -> bytes:
    """The reply to GETKILLCNT (a count), UPDATE_PROPS and BOOT_COMPLETED (``DONE`` ...)."""
    return struct.pack("!2i", command, _int32(result))


def encode_kill(pid: int, uid: int, resident_kib: int | None, with_rss: bool) -> bytes:
    """PROCKILL. Android's framework takes 12 bytes and no others, and 16, with the RSS, from release 16 on."""
    notice = struct.pack("!iiI", PROCKILL, _int32(pid), uid & 0xFFFFFFFF)
    return notice + struct.pack("!i", _int32(resident_kib)) if with_rss else notice


def encode_statistics(seen: Statistics) -> bytes:
    """STAT_KILL_OCCURRED: the command, six 64-bit and eight 32-bit integers, and the name.

    Faults, major faults, RSS, cache and swap in bytes, start in ns; uid, adj, lowest adj that was asked for, free
    memory and free swap in KiB, cause, thrashing and its limit in %. The name has its length as 16 bits before it and
    a zero after it that the length leaves out. -1 for what is not known, as Android has it.
    """
    wide = (
        seen.faults, seen.major_faults, seen.resident_bytes, seen.cache_bytes, seen.swapped_bytes, seen.started_ns,
    )  # fmt: skip
    narrow = (
        seen.adj, seen.lowest_adj, seen.free_kib, seen.swap_free_kib, seen.cause, seen.thrashing_pct,
        seen.thrashing_max_pct,
    )  # fmt: skip
    # Java's readUTF() takes no lone bytes of a character that was cut, and a zero ends the name for C.
    name = seen.name.split("\0", 1)[0].encode("ascii", "replace")[:_NAME_BYTES_MAX]
    return struct.pack(
        f"!i6qI7iH{len(name) + 1}s",
        STAT_KILL_OCCURRED,
        *(-1 if number is None else max(-1, min(number, _INT64_MAX)) for number in wide),
        seen.uid & 0xFFFFFFFF,
        *map(_int32, narrow),
        len(name),
        name,
    )


def _int32(number: int | None) -> int:
    return -1 if number is None else max(_INT32_MIN, min(number, _INT32_MAX))
