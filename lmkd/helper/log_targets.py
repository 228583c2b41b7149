"""Where records can go besides standard error: the journal, syslog, the kernel's log; none of them is waited for."""

from __future__ import annotations

import _socket
import errno
import os
import time

from lmkd.helper.record_text import members, sentence, variables

JOURNAL = "/run/systemd/journal/socket"
SYSLOG = "/dev/log"
KMSG = "/dev/kmsg"
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}
"""syslog(3)."""
DAEMON = 3 << 3
TAG = "lmkd"
SYSLOG_BYTES = 1024
"""RFC 3164, 4.1."""
KMSG_BYTES = 900
"""LOG_LINE_MAX of kernel/printk/printk.c is 1024 with the prefix; what is longer is refused."""
LAST_WORDS = ("kill", "escalate")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
BUSY = (errno.EAGAIN, errno.ENOBUFS)


def journal_entry(line: bytes) -> bytes:
    """The datagram of a record in the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

    No value has a newline (``record_text.members``), so each field is one ``NAME=text`` line.
    """
    fields = members(line)
    named = variables(fields)
    whole = {"MESSAGE": sentence(fields), "PRIORITY": str(_priority(fields)), "SYSLOG_IDENTIFIER": TAG, **named}
    return "".join([f"{key}={text}\n" for key, text in whole.items()]).encode("utf-8", "replace")


def syslog_line(line: bytes, pid: int) -> bytes:
    """A record as syslog(3) sends it to the local daemon: RFC 3164 without the host's name; cut to ``SYSLOG_BYTES``."""
    fields = members(line)
    stamp = next((text for key, text in fields if key == "timestamp"), "")
    try:
        when = time.localtime(float(stamp))
    except (ValueError, OverflowError, OSError):
        when = time.localtime()
    clock = f"{when.tm_hour:02}:{when.tm_min:02}:{when.tm_sec:02}"
    head = f"<{DAEMON | _priority(fields)}>{MONTHS[when.tm_mon - 1]} {when.tm_mday:2} {clock} {TAG}[{pid}]: "
    return _cut(head + sentence(fields), SYSLOG_BYTES)


def kmsg_line(line: bytes) -> bytes | None:
    """A record for the kernel's log (Documentation/ABI/testing/dev-kmsg); None for one that it is not bothered with."""
    fields = members(line)
    event = next((text for key, text in fields if key == "event"), "")
    if event not in LAST_WORDS and _priority(fields) > PRIORITIES["error"]:
        return None
    return _cut(f"<{DAEMON | _priority(fields)}>{TAG}: {sentence(fields)}", KMSG_BYTES - 1) + b"\n"


def _priority(fields: list[tuple[str, str]]) -> int:
    level = next((text for key, text in fields if key == "level"), "")
    return PRIORITIES.get(level, PRIORITIES["warning"])


def _cut(text: str, limit: int) -> bytes:
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore").encode()


class Target:
    """An open way for records. OSError from the constructor: it is not there."""

    def __init__(self, name: str, path: str = "") -> None:
        self.name = name
        self._socket: _socket.socket | None = None
        if name == "kmsg":
            self._descriptor = os.open(path or KMSG, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            return
        kind = _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
        self._socket = _socket.socket(_socket.AF_UNIX, kind)
        try:
            self._socket.connect(path or (JOURNAL if name == "journald" else SYSLOG))
        except OSError:
            self._socket.close()
            raise
        self._descriptor = self._socket.fileno()

    def write(self, line: bytes) -> bool:
        """Write one record; False when there is no room for it just now. OSError: the way is closed.

        What this target does not want, or cannot take at any time, counts as written.
        """
        if self.name == "kmsg":
            data = kmsg_line(line)
        else:
            data = journal_entry(line) if self.name == "journald" else syslog_line(line, os.getppid())
        try:
            if data is not None:
                os.write(self._descriptor, data)
        except OSError as error:
            if error.errno in BUSY:
                return False
            if error.errno not in (errno.EMSGSIZE, errno.EINVAL):
                raise
        return True

    def close(self) -> None:
        """Let go of it."""
        if self._socket is not None:
            self._socket.close()
        elif self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
