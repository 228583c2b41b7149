"""JSON by the interpreter's own C functions alone: the package json brings re, enum and collections, 0.7 MB.

From Python 3.13 on a text that is no JSON loads it after all, for its error. Where the interpreter has no such
functions it serves instead.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SPACE = " \t\n\r"


class _Options:
    """What the scanner asks for, as ``json.JSONDecoder`` has it."""

    strict, object_hook = True, None
    parse_float, parse_int = float, int

    def __init__(self, pairs: Callable[..., Any] | None, constant: Callable[[str], Any]) -> None:
        self.object_pairs_hook, self.parse_constant = pairs, constant


def loads(
    text: str, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None, constant: Callable[[str], Any] = float
) -> Any:
    """What the text stands for. ``pairs`` makes an object, ``constant`` is given NaN and the like; ValueError."""
    try:
        from _json import make_scanner
    except ImportError:
        from json import loads as load

        return load(text, object_pairs_hook=pairs, parse_constant=constant)
    start = len(text) - len(text.lstrip(SPACE))
    try:
        found, end = make_scanner(_Options(pairs, constant))(text, start)  # type: ignore[arg-type]
    except StopIteration as stop:
        raise ValueError(f"a value is missing at character {stop.value}") from None
    except SystemError:  # until 3.12: it has an error to raise, of json.decoder, and does not load that for it
        raise ValueError("a string, an array or an object has no end, or an escape is none") from None
    if text[end:].strip(SPACE):
        raise ValueError(f"more than one value: at character {end}")
    return found


def dumps(
    thing: object,
    separators: tuple[str, str] = (", ", ": "),
    nan: bool = True,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """The thing as a text in ASCII; ``default`` makes what JSON can tell of what it cannot. TypeError, ValueError."""
    try:
        from _json import encode_basestring_ascii, make_encoder
    except ImportError:
        from json import dumps as dump

        return dump(thing, separators=separators, allow_nan=nan, default=default)
    between, after_key = separators
    encode = make_encoder({}, default or _refuse, encode_basestring_ascii, None, after_key, between, False, False, nan)
    return "".join(encode(thing, 0))


def _refuse(thing: object) -> None:
    raise TypeError(f"{type(thing).__name__} is not JSON")
