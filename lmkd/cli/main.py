"""Finds and runs one command; the one place that maps errors to exit codes and to one line on stderr.

Only the command that was asked for is imported: on a 500 MIPS core each import is felt.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol, TextIO, cast

from lmkd import __version__
from lmkd.errors import EXIT_CANNOT_WORK, EXIT_FAILED, LmkdError
from lmkd.values import value

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells count."""
EXIT_BROKEN_PIPE = 141
"""128 + SIGPIPE, as shells count."""


class Command(Protocol):
    """What each command's module offers."""

    def add_parser(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> object:
        """Add the command's parser."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code. Raises LmkdError."""


@value
class Entry:
    """A command's name, the module that has it, and what it is for."""

    name: str
    module: str
    summary: str


COMMANDS = (
    Entry("run", "lmkd.cli.run_command", "bring up the store and guard the memory of this board"),
    Entry("status", "lmkd.cli.status", "what the running lmkd sees: headroom, forecast, store, kills"),
    Entry("ps", "lmkd.cli.ps", "every process in the order in which it would be killed"),
    Entry("explain", "lmkd.cli.explain", "how the policy's numbers came about; when and why a process would die"),
    Entry("events", "lmkd.cli.events", "what lmkd did and why, as it happens with --follow"),
    Entry("set", "lmkd.cli.priority", "give a process another priority until it ends"),
    Entry("clear", "lmkd.cli.clear", "take back a priority that was set"),
    Entry("trim", "lmkd.cli.trim", "have idle memory paged out to the store now"),
    Entry("kill", "lmkd.cli.kill", "end a process as lmkd would, after asking"),
    Entry("reload", "lmkd.cli.reload", "have the configuration read again"),
    Entry("metrics", "lmkd.cli.metrics", "the running lmkd's figures as OpenMetrics text"),
    Entry("check", "lmkd.cli.check", "check configuration files, all errors at once"),
    Entry("store", "lmkd.cli.store", "bring the compressed store up or down, or look at it"),
    Entry("completion", "lmkd.cli.completion", "print completion for a shell: bash, zsh or fish"),
    Entry("dbus", "lmkd.cli.dbus", "tell the level of pressure on the system bus (GMemoryMonitor)"),
    Entry("doctor", "lmkd.cli.doctor", "what this kernel offers and what is degraded without it"),
)


def entry() -> NoReturn:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        # A process may call itself anything, and a board's locale may be plain ASCII.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str], stderr: TextIO | None = None) -> int:
    """Run one command line (without the program's name) and return its exit code.

    Usage errors leave through SystemExit(2), ``--help`` and ``--version`` through SystemExit(0): argparse.
    """
    stderr = sys.stderr if stderr is None else stderr
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _abandon_stdout()
        return EXIT_BROKEN_PIPE
    except (LmkdError, ModuleNotFoundError, OSError) as error:
        code, lines = explain(error)
        for line in lines:
            print(f"lmkd: {line}", file=stderr)
        return code


def explain(error: LmkdError | ModuleNotFoundError | OSError) -> tuple[int, list[str]]:
    """The exit code of an error and the lines that tell a person of it, at least one."""
    if isinstance(error, LmkdError):
        return error.exit_code, str(error).splitlines() or [type(error).__name__]
    if isinstance(error, ModuleNotFoundError):
        return EXIT_CANNOT_WORK, [f"the Python module {error.name} is missing here"]
    where = f"{error.filename}: " if error.filename is not None else ""
    return EXIT_FAILED, [f"{where}{error.strerror or error}"]


def new_parser() -> tuple[argparse.ArgumentParser, argparse._SubParsersAction[argparse.ArgumentParser]]:
    """The parser without any command, and where commands are added."""
    parser = argparse.ArgumentParser(
        prog="lmkd", description="Low-memory manager: compressed swap store, early killer, YAML priorities."
    )
    parser.add_argument("--version", action="version", version=f"lmkd {__version__}")
    return parser, parser.add_subparsers(dest="command", required=True, metavar="COMMAND")


def _dispatch(arguments: Sequence[str]) -> int:
    parser, subparsers = new_parser()
    chosen = next((known for known in COMMANDS if arguments and known.name == arguments[0]), None)
    if chosen is None:
        for known in COMMANDS:
            subparsers.add_parser(known.name, help=known.summary)
        parser.parse_args(arguments)
        parser.error("COMMAND comes first")
    command = cast(Command, importlib.import_module(chosen.module))
    command.add_parser(subparsers)
    return command.run(parser.parse_args(arguments))


def _abandon_stdout() -> None:
    """Give the reader's closed pipe a sink: the interpreter's last flush would complain once more."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)
