"""Where in which file something is, and the collection of everything that is wrong there."""

from __future__ import annotations

from lmkd.errors import ConfigError
from lmkd.values import value

_SHOWN_MAX = 60
_ELLIPSIS = "..."


@value
class Place:
    """A position in a file; line and column count from 1, line 0 stands for the file as a whole."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        file = shown(self.file, limit=None)
        return f"{file}:{self.line}:{self.column}" if self.line else file


class Problems:
    """Gathers every error, so that all are reported at once, in the order of the files and of their lines."""

    def __init__(self) -> None:
        self._found: list[tuple[Place, str]] = []
        self._files: list[str] = []

    def add(self, place: Place, key: str, message: str) -> None:
        """Record that ``key`` at ``place`` is wrong; ``key`` may be "" where there is none."""
        if place.file not in self._files:
            self._files.append(place.file)
        self._found.append((place, f"{place}: {shown(key)}: {message}" if key else f"{place}: {message}"))

    def lines(self) -> tuple[str, ...]:
        """One text for each error, sorted by file (in order of appearance), line and column."""
        def position(found: tuple[Place, str]) -> tuple[int, int, int]:
            place = found[0]
            return self._files.index(place.file), place.line, place.column

        return tuple(dict.fromkeys(text for _, text in sorted(self._found, key=position)))

    def raise_if_any(self) -> None:
        """ConfigError with all errors, if there are any."""
        lines = self.lines()
        if lines:
            raise ConfigError(lines)


def shown(text: str, limit: int | None = _SHOWN_MAX) -> str:
    """``text`` as it can stand in a message of one line: cut to ``limit``, control characters escaped."""
    if limit is not None and len(text) > limit:
        text = text[: limit - len(_ELLIPSIS)] + _ELLIPSIS
    return text if text.isprintable() else ascii(text)[1:-1]
