"""Process events by the netlink connector: births, execs and deaths without a scan (include/uapi/linux/cn_proc.h)."""

from __future__ import annotations

import errno
import os
import struct

from lmkd.values import value

NETLINK_CONNECTOR = 11
CN_IDX_PROC = 1
CN_VAL_PROC = 1
PROC_CN_MCAST_LISTEN = 1
NLMSG_DONE = 3

_NLMSG = struct.Struct("=IHHII")
_CN_MSG = struct.Struct("=IIIIHH")
_EVENT = struct.Struct("=IIQ")
_TWO = struct.Struct("=ii")
_FOUR = struct.Struct("=iiii")
_WHAT = {0x1: "fork", 0x2: "exec", 0x4: "id", 0x200: "comm", 0x80000000: "exit"}
RECEIVE_BYTES = 262144
ANSWER_MS = 200
_ANSWER = 0
"""PROC_EVENT_NONE: the kernel's answer to a subscription, with its errno instead of process ids."""


@value
class ProcEvent:
    """What happened to which process: fork (``pid`` is the child), exec, id (of user), comm, exit."""

    what: str
    pid: int


def subscription(own_pid: int) -> bytes:
    """The message that asks the kernel to send process events."""
    body = struct.pack("=I", PROC_CN_MCAST_LISTEN)
    message = _CN_MSG.pack(CN_IDX_PROC, CN_VAL_PROC, 0, 0, len(body), 0) + body
    return _NLMSG.pack(_NLMSG.size + len(message), NLMSG_DONE, 0, 0, own_pid) + message


def parse_events(data: bytes) -> list[ProcEvent]:
    """Every process event of one datagram; threads, unknown kinds and truncated messages are passed over."""
    events = []
    start = 0
    while start + _NLMSG.size <= len(data):
        length = _NLMSG.unpack_from(data, start)[0]
        if length < _NLMSG.size or start + length > len(data):
            break
        event = _parse_one(data[start + _NLMSG.size : start + length])
        if event is not None:
            events.append(event)
        start += (length + 3) & ~3
    return events


def open_proc_events() -> int:
    """A non-blocking descriptor that reads datagrams for ``parse_events``. OSError: not built in, or not permitted.

    A kernel with CONFIG_CONNECTOR but without CONFIG_PROC_EVENTS, and any kernel for who lives in a pid namespace of
    its own, takes the subscription and never sends a thing: only an answer counts (ENOTSUP without).
    """
    # The C module: socket.py brings in enum and selectors, half a megabyte for each resident process.
    import _socket

    connection = _socket.socket(
        _socket.AF_NETLINK, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC, NETLINK_CONNECTOR
    )
    try:
        connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, RECEIVE_BYTES)
        connection.bind((0, CN_IDX_PROC))
        connection.send(subscription(os.getpid()))
        connection.setblocking(False)
        _await_answer(connection.fileno())
    except OSError:
        connection.close()
        raise
    return connection.detach()


def parse_answer(data: bytes) -> int | None:
    """The errno (0: accepted) in the kernel's answer to a subscription; None for any other datagram."""
    offset = _NLMSG.size + _CN_MSG.size
    if len(data) < offset + _EVENT.size + 4 or _EVENT.unpack_from(data, offset)[0] != _ANSWER:
        return None
    return int(struct.unpack_from("=I", data, offset + _EVENT.size)[0])


def _await_answer(descriptor: int) -> None:
    """Events that come before the answer are lost: who subscribes looks at all processes afterwards anyway."""
    import select
    import time

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    until_ms = time.monotonic() * 1000 + ANSWER_MS
    while (left_ms := until_ms - time.monotonic() * 1000) > 0 and poll.poll(left_ms):
        answer = parse_answer(os.read(descriptor, 65536))
        if answer == 0:
            return
        if answer is not None:
            raise OSError(answer, os.strerror(answer))
    raise OSError(errno.ENOTSUP, "the kernel does not answer: CONFIG_PROC_EVENTS, or a pid namespace")


def _parse_one(message: bytes) -> ProcEvent | None:
    offset = _CN_MSG.size
    if len(message) < offset + _EVENT.size + _TWO.size:
        return None
    what = _WHAT.get(_EVENT.unpack_from(message, offset)[0])
    offset += _EVENT.size
    if what is None:
        return None
    if what == "fork":
        if len(message) < offset + _FOUR.size:
            return None
        pid, group = _FOUR.unpack_from(message, offset)[2:]
    else:
        pid, group = _TWO.unpack_from(message, offset)
    # Threads have ids of their own; only whole processes are of interest.
    return ProcEvent(what, group) if pid == group else None
