"""Every error that lmkd raises on purpose, and the exit code that each stands for."""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CANNOT_WORK = 3


class LmkdError(Exception):
    """Something that a person can act on: the message names where and what. Maps to ``exit_code``."""

    exit_code = EXIT_FAILED


class ConfigError(LmkdError):
    """One or more configuration files are wrong; ``lines`` has one text for each error, all errors at once."""

    exit_code = EXIT_USAGE

    def __init__(self, lines: tuple[str, ...]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class KernelInterfaceError(LmkdError):
    """A kernel file or call is missing, truncated or odd; the message has its path or name."""


class StoreError(LmkdError):
    """The compressed store could not be brought up, taken down or read."""


class CannotWorkError(LmkdError):
    """lmkd cannot do its work here at all (no right to kill, no /proc): exit code 3."""

    exit_code = EXIT_CANNOT_WORK


class ControlError(LmkdError):
    """The control socket is absent, refused a request, or answered something odd."""
