"""Starting a program as an ordinary process: hooks, and a trial of the store's algorithms."""

from __future__ import annotations

import _signal
import errno
import os
import sys

SIGNALS = (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT, _signal.SIGPIPE)


def spawn(argv: tuple[str, ...], environment: dict[str, str], adj: int = 0, nice: int = 0) -> int:
    """Start ``argv`` in a session of its own; its pid, or OSError when it cannot be run.

    What it prints is lost: our standard error may be a file in memory, which it could fill. By fork, not posix_spawn:
    what lmkd starts must inherit neither its oom_score_adj of -1000 nor its niceness.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        child = os.fork()
        if child == 0:
            _become(argv, environment, adj, nice, writer)
        os.close(writer)
        writer = -1
        failure = os.read(reader, 16)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if failure:
        os.waitpid(child, 0)
        raise OSError(int(failure), os.strerror(int(failure)))
    return child


def own_environment() -> dict[str, str]:
    """A copy of ours, as ``os.environ`` has it; what would make that here is left out (see ``lmkd.lean``)."""
    encoding = sys.getfilesystemencoding()
    rows = os.environb.items()
    return {name.decode(encoding, "surrogateescape"): item.decode(encoding, "surrogateescape") for name, item in rows}


def _become(
    argv: tuple[str, ...], environment: dict[str, str], adj: int, nice: int, writer: int
) -> None:
    """The child: tells through the pipe why it could not become the program. Never returns."""
    number = errno.EINVAL
    try:
        os.setsid()
        for each in SIGNALS:
            _signal.signal(each, _signal.SIG_DFL)
        _be_ordinary(adj, nice)
        sink = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(sink, descriptor)
        os.execve(argv[0], list(argv), environment)
    except OSError as error:
        number = error.errno or number
    finally:
        os.write(writer, b"%d" % number)
        os._exit(127)


def _be_ordinary(adj: int, nice: int) -> None:
    try:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"%d" % adj)
        finally:
            os.close(descriptor)
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except OSError:
        return  # no /proc, or no right to a better priority: it runs as we do
