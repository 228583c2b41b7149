"""Rules that could never match because an earlier rule always matches first.

Sound, not complete: what is reported is certain; a pair of regular expressions is only compared by their
text.
"""

from __future__ import annotations

from collections.abc import Sequence

from lmkd.config.model import AppRule, Matcher
from lmkd.config.problems import Place, Problems
from lmkd.matching import glob_match, glob_tokens, in_set

Token = tuple[str, str]

_STAR: Token = ("*", "")
_ANYTHING = ("^.*$", ".*", ".*$", "^.*", "^", "$")
# Every process has these two; the others may be unreadable or absent, and then match nothing.
_ALWAYS_THERE = ("comm", "user")


def report_shadowed(rules: Sequence[tuple[AppRule, Place]], problems: Problems) -> None:
    """Report each rule that an earlier one (in matching order) covers, naming the first that does."""
    for index, (rule, place) in enumerate(rules):
        earlier = next((known for known, _ in rules[:index] if covers(known, rule)), None)
        if earlier is None:
            continue
        why = "has the same match" if earlier.matchers == rule.matchers else "matches all that it would"
        problems.add(place, f"apps[{rule.name}].match", f"can never match: the rule {earlier.name} "
                     f"({earlier.file}:{earlier.line}) comes first and {why}: remove or reorder one of them")


def covers(earlier: AppRule, later: AppRule) -> bool:
    """Whether every process that ``later`` matches is certainly matched by ``earlier``."""
    return all(
        _is_universal(general) or any(_implies(special, general) for special in later.matchers)
        for general in earlier.matchers
    )


def _is_universal(matcher: Matcher) -> bool:
    return matcher.field in _ALWAYS_THERE and _takes_anything(matcher)


def _takes_anything(matcher: Matcher) -> bool:
    if matcher.kind == "regex":
        return matcher.pattern in _ANYTHING
    return matcher.kind == "glob" and glob_tokens(matcher.pattern) == [_STAR]


def _implies(special: Matcher, general: Matcher) -> bool:
    """Whether what matches ``special`` certainly matches ``general``."""
    if special.field != general.field:
        return False
    if special == general or _takes_anything(general):
        return True
    if general.kind != "glob" or special.kind == "regex":
        return False
    if special.kind == "exact":
        return glob_match(general.pattern, special.pattern)
    return _glob_covers(glob_tokens(general.pattern), glob_tokens(special.pattern))


def _glob_covers(general: Sequence[Token], special: Sequence[Token]) -> bool:
    """Match the pieces of ``general`` against the pieces of ``special`` as if those were text."""
    at = place = resume = 0
    star = -1
    while place < len(special):
        if at < len(general) and general[at] == _STAR:
            star, resume = at, place
            at += 1
        elif at < len(general) and _piece_covers(general[at], special[place]):
            at += 1
            place += 1
        elif star >= 0:
            resume += 1
            at, place = star + 1, resume
        else:
            return False
    return all(token == _STAR for token in general[at:])


def _piece_covers(general: Token, special: Token) -> bool:
    if special == _STAR:
        return False
    if general == special or general[0] == "?":
        return True
    return general[0] == "[" and special[0] == "=" and in_set(general[1], special[1])
