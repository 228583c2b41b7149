"""What the documents say that can be checked: commands of lmkd with their options, keys, examples of configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lmkd.cli.definitions import Definition, definitions
from lmkd.config.schema import FIELDS

HELP = ("-h", "--help")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"^(?:[#$] )?lmkd +(.+)$")
BETWEEN = re.compile(r"; | && | \|\| | \| | & | > | 2>|  +#| &$")
KEYS = frozenset(field.path() for field in FIELDS)
TOP = frozenset(field.key for field in FIELDS if not field.section)
SECTIONS = {path.rpartition(".")[0] for path in KEYS} - {""}
ALL = {one.path: one for one in definitions().everything()}


def fenced(text: str, language: str) -> list[str]:
    """The blocks that are marked as of this language."""
    return [block for name, block in FENCE.findall(text) if name == language]


def code(text: str) -> Iterator[str]:
    """Each piece of code: within a line, and each line of a block, fenced or set in by four."""
    for _, block in FENCE.findall(text):
        yield from block.splitlines()
    for line in FENCE.sub("", text).splitlines():
        if line.startswith("    "):
            yield line.strip()
        else:
            yield from INLINE.findall(line.replace("\\|", "|"))  # in a table


def commands(text: str) -> list[str]:
    """What stands after ``lmkd`` where it is a command line: ``run --dry-run``."""
    parts = (part.strip() for piece in code(text) for part in BETWEEN.split(piece))
    return [found[1] for part in parts if (found := COMMAND.match(part))]


def wrong_words(line: str) -> list[str]:
    """The words of a command line that lmkd does not know: commands, actions and options. ``a|b`` is a choice."""
    words = [part for word in re.split(r"[\s\[\]()]+", line) if (part := word.strip(",.'\""))]
    meant: list[Definition] = [ALL[("lmkd",)]]
    at = 0
    while at < len(words) and any(one.below for one in meant) and not words[at].startswith("-"):
        names = words[at].split("|")
        below = [part for one in meant for part in one.below if part.path[-1] in names]
        unknown = set(names) - {one.path[-1] for one in below}
        if unknown:
            return sorted(unknown)
        meant, at = below, at + 1
    flags = {flag for one in meant for option in one.options for flag in option.flags} | {*HELP}
    asked = [part.partition("=")[0] for word in words[at:] for part in word.split("|") if part.startswith("-")]
    return [flag for flag in asked if flag not in flags]


def wrong_keys(text: str) -> list[str]:
    """Keys with their section (`store.kind`, `policy.trim: false`) that the configuration does not have."""
    found = []
    for piece in INLINE.findall(text):
        key = piece.partition(":")[0]
        section = key.rpartition(".")[0]
        if re.fullmatch(r"[a-z_]+(\.[a-z_-]+)+", key) and section in SECTIONS and not key.endswith(".md"):
            found += [] if key in KEYS else [key]
    return found


def examples(text: str) -> list[str]:
    """What is an example of a configuration: blocks of YAML, and `store: {kind: none}` within a line."""
    short = [piece for piece in INLINE.findall(text) if (key := piece.partition(": {"))[1] and key[0] in TOP]
    return fenced(text, "yaml") + short
