"""Patterns of match: text to Matcher; a pattern that could never match any process is an error."""

from __future__ import annotations

import re
import warnings

from lmkd.config.model import Matcher
from lmkd.config.problems import shown
from lmkd.config.scalars import Scalar
from lmkd.config.schema import Field
from lmkd.config.sections import Item, Reader
from lmkd.matching import UNIT_SUFFIXES, glob_tokens, is_glob

COMM_MAX_BYTES = 15  # TASK_COMM_LEN in linux/sched.h is 16, one of them for the NUL
PATTERN_MAX = 1024
UID_MAX = 2**32 - 2  # (uid_t)-1 is "no user" for the kernel

_REGEX_MARK = "re:"


def read_matcher(field: Field, item: Item, key: str, reader: Reader) -> Matcher | None:
    """The matcher of one key of match; None, and a problem, if it is wrong or could never match."""
    scalar = reader.scalar(item.node, key)
    if scalar is None:
        return None
    try:
        _check_type(field.key, scalar)
        matcher = _made(field.key, scalar.text)
        _check_possible(matcher)
    except ValueError as error:
        reader.wrong(item.node, key, str(error))
        return None
    return matcher


def pattern_text(matcher: Matcher) -> str:
    """The pattern as it is written in a file."""
    return _REGEX_MARK + matcher.pattern if matcher.kind == "regex" else matcher.pattern


def _check_type(field: str, scalar: Scalar) -> None:
    text = scalar.text
    if scalar.tag == "null" or not text.strip():
        raise ValueError("is empty: a rule with an empty pattern matches nothing")
    if scalar.quoted:
        return
    if scalar.tag == "bool":
        raise ValueError(f'{text} is a boolean in YAML: write "{text}" if the pattern is this word')
    if scalar.tag in ("int", "float") and field != "user":
        raise ValueError(f'{shown(text)} is a number: write "{shown(text)}" if the pattern is these digits')


def _made(field: str, text: str) -> Matcher:
    if len(text) > PATTERN_MAX:
        raise ValueError(f"the pattern is longer than {PATTERN_MAX} characters")
    if not text.startswith(_REGEX_MARK):
        return Matcher(field, "glob" if is_glob(text) else "exact", text)
    pattern = text.removeprefix(_REGEX_MARK)
    if not pattern:
        raise ValueError("is empty after re: a rule with an empty pattern says nothing")
    _check_regex(pattern)
    return Matcher(field, "regex", pattern)


def _check_regex(pattern: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
    except re.error as error:
        at = f" at character {error.pos + 1}" if error.pos is not None else ""
        raise ValueError(f"bad regex {shown(pattern)}{at}: {shown(error.msg)}") from None
    except (OverflowError, RecursionError, MemoryError) as error:
        raise ValueError(f"bad regex {shown(pattern)}: {shown(str(error))}") from None
    except Warning as warning:
        raise ValueError(f"bad regex {shown(pattern)}: ambiguous, {shown(str(warning))}") from None


def _check_possible(matcher: Matcher) -> None:
    if matcher.kind == "regex":
        return
    match matcher.field:
        case "comm":
            _check_comm(matcher)
        case "exe" | "cgroup":
            _check_absolute(matcher)
        case "unit":
            _check_unit(matcher)
        case "user":
            _check_user(matcher)


def _check_comm(matcher: Matcher) -> None:
    wildcards = ("*", "")
    fewest = [token for token in glob_tokens(matcher.pattern) if token != wildcards]
    size_bytes = sum(len(body.encode()) if kind == "=" else 1 for kind, body in fewest)
    if size_bytes > COMM_MAX_BYTES:
        cut = matcher.pattern.encode()[:COMM_MAX_BYTES].decode(errors="ignore")
        hint = f"{shown(cut)!r}, or cmdline or exe" if matcher.kind == "exact" else "cmdline or exe"
        raise ValueError(f"{shown(matcher.pattern)} can never match: the kernel keeps {COMM_MAX_BYTES} bytes "
                         f"of comm, this has {size_bytes}: match {hint}")


def _check_absolute(matcher: Matcher) -> None:
    pattern = matcher.pattern
    if pattern.startswith(("/", "*")):
        return
    what = "the absolute path of a program" if matcher.field == "exe" else "a path from /"
    hint = f'write "/..." or "*/{shown(pattern)}"'
    raise ValueError(f"{shown(pattern)} can never match: {matcher.field} is {what}: {hint}")


def _check_unit(matcher: Matcher) -> None:
    pattern = matcher.pattern
    if "/" in pattern:
        raise ValueError(f"{shown(pattern)} can never match: a unit has no /, match cgroup for a path")
    tail = _literal_tail(pattern)
    if not tail.endswith(UNIT_SUFFIXES) and not (matcher.kind == "glob" and _begins_inside_suffix(tail)):
        raise ValueError(f"{shown(pattern)} can never match: a unit has a type: {shown(pattern)}.service")


def _literal_tail(pattern: str) -> str:
    """What follows the last wildcard of a glob."""
    tail = ""
    for kind, body in reversed(glob_tokens(pattern)):
        if kind != "=":
            break
        tail = body + tail
    return tail


def _begins_inside_suffix(tail: str) -> bool:
    return any(suffix.endswith(tail) for suffix in UNIT_SUFFIXES)


def _check_user(matcher: Matcher) -> None:
    pattern = matcher.pattern
    if matcher.kind == "exact" and pattern.strip() != pattern:
        raise ValueError(f'"{shown(pattern)}" can never match: no user has a space in the name')
    if pattern.startswith(("+", "-")):
        raise ValueError(f"{shown(pattern)} can never match: a user is a name, or a uid from 0 to {UID_MAX}")
    if pattern.isascii() and pattern.isdigit() and pattern != str(min(int(pattern[:11]), UID_MAX)):
        raise ValueError(f"{shown(pattern)} can never match: a uid is a plain number, 0 to {UID_MAX}")
