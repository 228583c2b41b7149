"""Which rule a process falls under: the first rule all of whose matchers match.

Rules arrive as plain tuples (``lmkd.config.rule_table``), so that they can be marshalled from the planner to
the helper. This module imports nothing until a regular expression is met, which keeps the helper small.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

FIELDS = ("comm", "exe", "cmdline", "user", "cgroup", "unit")
UNIT_SUFFIXES = (".service", ".scope", ".slice", ".socket", ".mount", ".swap")

# Backtracking over a hostile command line must end: what is beyond this is not looked at by a regular
# expression.
REGEX_SUBJECT_MAX = 4096

_DELETED = " (deleted)"


def match_rule(rules: Sequence[tuple[Any, ...]], facts: Mapping[str, str | int | None]) -> int | None:
    """The index of the first rule that matches ``facts``, or None.

    ``rules`` are rows of ``rule_table``: element 1 is a tuple of (field, kind, pattern). ``facts`` has the
    fields of ``FIELDS`` and ``uid``: a matcher on ``user`` is compared with the name and with the decimal
    uid. A fact that is absent or None (it could not be read) matches nothing. A mapping that reads facts when
    asked for them is fine.
    """
    for index, rule in enumerate(rules):
        matchers = rule[1]
        if matchers and all(_matches(field, kind, pattern, facts) for field, kind, pattern in matchers):
            return index
    return None


def fields_used(rules: Sequence[tuple[Any, ...]]) -> frozenset[str]:
    """The fields that some rule looks at, so that the others need not be read."""
    return frozenset(matcher[0] for rule in rules for matcher in rule[1])


def unit_of_cgroup(path: str) -> str | None:
    """The systemd unit of a cgroup path: ``/system.slice/a.service/x`` is in ``a.service``; None outside any
    unit.

    As systemd's cg_path_get_unit and cg_path_get_user_unit (basic/cgroup-util.c): slices are passed over, the
    next component is the unit, what is below it is the unit's own business. Below ``user@UID.service`` the
    same holds once more, and the user's unit is the answer. systemd escapes a name that could be an attribute
    with ``_``.
    """
    found = None
    for component in path.removesuffix(_DELETED).split("/"):
        name = component.removeprefix("_")
        if not name or name.endswith(".slice"):
            continue
        if not name.endswith(UNIT_SUFFIXES):
            break
        found = name
        if not (name.startswith("user@") and name.endswith(".service")):
            break
    return found


def glob_match(pattern: str, text: str) -> bool:
    """Whether the whole of ``text`` matches ``pattern``: ``*``, ``?``, ``[a-z]``, ``[!a-z]``, all else
    literal.

    ``*`` also crosses ``/``. Never slower than len(pattern) x len(text).
    """
    if "?" in pattern or "[" in pattern:
        return match_tokens(glob_tokens(pattern), text)
    return _match_pieces(pattern.split("*"), text)


def is_glob(pattern: str) -> bool:
    """Whether ``pattern`` has a wildcard (a ``[`` without its ``]`` is none)."""
    return any(token[0] != "=" for token in glob_tokens(pattern))


def glob_tokens(pattern: str) -> list[tuple[str, str]]:
    """``pattern`` in pieces: ``("*", "")``, ``("?", "")``, ``("=", character)``, ``("[", body of a set)``."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "*":
            if not tokens or tokens[-1][0] != "*":
                tokens.append(("*", ""))
        elif char == "?":
            tokens.append(("?", ""))
        else:
            end = _set_end(pattern, at) if char == "[" else None
            tokens.append(("=", char) if end is None else ("[", pattern[at + 1 : end]))
            at = at if end is None else end
        at += 1
    return tokens


def match_tokens(tokens: Sequence[tuple[str, str]], text: str) -> bool:
    """Whether the whole of ``text`` matches the pieces: two pointers, back to the last ``*`` only."""
    at = place = resume = 0
    star = -1
    while place < len(text):
        if at < len(tokens) and tokens[at][0] == "*":
            star, resume = at, place
            at += 1
        elif at < len(tokens) and _one(tokens[at], text[place]):
            at += 1
            place += 1
        elif star >= 0:
            resume += 1
            at, place = star + 1, resume
        else:
            return False
    return all(kind == "*" for kind, _ in tokens[at:])


def in_set(body: str, char: str) -> bool:
    """Whether ``char`` is in the set ``[body]`` of a glob."""
    negated = body.startswith("!")
    at = 1 if negated else 0
    found = False
    while at < len(body) and not found:
        if at + 2 < len(body) and body[at + 1] == "-":
            found = body[at] <= char <= body[at + 2]
            at += 3
        else:
            found = body[at] == char
            at += 1
    return found != negated


def _one(token: tuple[str, str], char: str) -> bool:
    kind, body = token
    if kind == "=":
        return body == char
    return kind == "?" or in_set(body, char)


def _set_end(pattern: str, start: int) -> int | None:
    """Where the ``]`` of the set that opens at ``start`` is; a ``]`` that comes first is a member."""
    first = start + 1
    if pattern[first : first + 1] == "!":
        first += 1
    end = pattern.find("]", first + 1)
    return None if end < 0 else end


def _match_pieces(pieces: list[str], text: str) -> bool:
    if len(pieces) == 1:
        return pieces[0] == text
    first, last = pieces[0], pieces[-1]
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in pieces[1:-1]:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _matches(field: str, kind: str, pattern: str, facts: Mapping[str, str | int | None]) -> bool:
    fact = facts.get(field)
    if fact is not None and _text_matches(field, kind, pattern, str(fact)):
        return True
    if field != "user":
        return False
    uid = facts.get("uid")
    return uid is not None and _text_matches(field, kind, pattern, str(uid))


def _text_matches(field: str, kind: str, pattern: str, text: str) -> bool:
    if field in ("exe", "cgroup"):
        # The kernel appends this when a running program's file was replaced: an upgrade must not end a rule.
        text = text.removesuffix(_DELETED)
    if kind == "exact":
        return pattern == text
    if kind == "glob":
        return glob_match(pattern, text)
    import re  # noqa: PLC0415 - most configurations have no regular expression, and re costs the helper memory

    return re.search(pattern, text[:REGEX_SUBJECT_MAX]) is not None
