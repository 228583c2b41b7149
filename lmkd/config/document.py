"""Bytes to YAML nodes that know their line and column: decoding, syntax errors in plain words, limits.

Only nodes are made, never Python objects: what a scalar means is decided by the schema, from its raw text, so
YAML's own surprises (octal, sexagesimal, yes and no) do not reach a value unseen.
"""

from __future__ import annotations

import codecs

import yaml
from yaml.reader import Reader

from lmkd.config.problems import Place, Problems, shown

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

# What PyYAML says, and what a person can do about it; the first whose text is contained wins.
_PLAIN_WORDS = (
    ("'\\t'", "a tab: YAML wants spaces"),
    ("expected alphabetic or numeric character", 'a value that begins with * must be quoted: write "*..."'),
    ("undefined alias", 'a value that begins with * must be quoted: write "*..." (no such alias)'),
    ("expected <block end>", "the indentation does not fit: keys that belong together begin in one column"),
    ("mapping values are not allowed", "a second ': ' here, or indented too far: quote or unindent it"),
    ("could not find expected ':'", "a line without ':' after its key"),
    ("expected a single document", "a second document: only one in a file, remove the line ---"),
    ("expected '<document start>'", "text after the end of the document"),
    ("expected ',' or", "a bracket is not closed, or a value in brackets needs quotes"),
    ("while scanning a quoted scalar", "a quote is not closed"),
    ("that cannot start any token", "a value that begins with this character must be quoted"),
)


class _BoundedLoader(yaml.SafeLoader):
    """Composes nodes, never deeper than MAX_DEPTH: it is recursive, and a file must not exhaust the stack."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        """One node and what is below it."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {MAX_DEPTH} levels", mark)
        try:
            return super().compose_node(parent, index)  # type: ignore[arg-type]
        finally:
            self.depth -= 1


def read_document(data: bytes | str, file: str, problems: Problems) -> yaml.Node | None:
    """The root node of a file's content; None for an empty one, and for an unreadable one, a problem."""
    if len(data) > MAX_BYTES:
        problems.add(Place(file, 0, 0), "", f"larger than {MAX_BYTES // 1024} KiB: this is no configuration")
        return None
    text = _decode(data, file, problems) if isinstance(data, bytes) else data
    if text is None:
        return None
    text = text.removeprefix("\ufeff")
    if _report_characters(text, file, problems) or _report_tabs(text, file, problems):
        return None
    return _compose(text, file, problems)


def place_of(node: yaml.Node, file: str) -> Place:
    """Where ``node`` begins."""
    return Place(file, node.start_mark.line + 1, node.start_mark.column + 1)


def _decode(data: bytes, file: str, problems: Problems) -> str | None:
    if data.startswith(_UTF16_MARKS):
        problems.add(Place(file, 1, 1), "encoding", "this is UTF-16: save the file as UTF-8")
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8").removeprefix("\ufeff")
        line = data[data.rfind(b"\n", 0, error.start) + 1 :].split(b"\n", 1)[0].decode("utf-8", "replace")
        problems.add(_place_after(before, file), _key_in(line),
                     f"byte 0x{data[error.start]:02x} (offset {error.start}) is not UTF-8: save it as UTF-8")
        return None


def _report_characters(text: str, file: str, problems: Problems) -> bool:
    """Report the first character that YAML forbids (NUL, other control characters, lone surrogates)."""
    found = Reader.NON_PRINTABLE.search(text)
    if found is None:
        return False
    at = found.start()
    line = text[text.rfind("\n", 0, at) + 1 : at]
    problems.add(_place_after(text[:at], file), _key_in(line),
                 f"character U+{ord(found.group()):04X} is not allowed: remove it")
    return True


def _report_tabs(text: str, file: str, problems: Problems) -> bool:
    """Report every line that is indented with a tab."""
    found = False
    for number, line in enumerate(text.splitlines(), 1):
        content = line.lstrip(" \t")
        indent = line[: len(line) - len(content)]
        if content and "\t" in indent:
            found = True
            problems.add(Place(file, number, indent.index("\t") + 1), _key_in(content),
                         "a tab is used for indentation: write spaces")
    return found


def _compose(text: str, file: str, problems: Problems) -> yaml.Node | None:
    loader = None
    try:
        loader = _BoundedLoader(text)
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 0, 0)
        problems.add(place, _key_at(text, place.line), _in_plain_words(error))
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # PyYAML lets chr() fail on an escape such as "\UFFFFFFFF".
        mark = loader.get_mark() if loader else None
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 0, 0)
        problems.add(place, _key_at(text, place.line), f"not YAML: {shown(str(error))}")
    finally:
        if loader is not None:
            loader.dispose()
    return None


def _in_plain_words(error: yaml.MarkedYAMLError) -> str:
    problem = " ".join(str(error.problem or error.context or "syntax error").split())
    said = f"{problem} {error.context or ''}"
    meant = next((words for text, words in _PLAIN_WORDS if text in said), None)
    return f"{meant} (YAML: {shown(problem)})" if meant else f"not YAML: {shown(problem)}"


def _place_after(before: str, file: str) -> Place:
    return Place(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _key_at(text: str, line: int) -> str:
    lines = text.splitlines()
    return _key_in(lines[line - 1]) if 0 < line <= len(lines) else "yaml"


def _key_in(line: str) -> str:
    """The key that a line seems to be about, for messages about a line that is no valid YAML."""
    key, colon, _ = line.strip().removeprefix("- ").partition(":")
    return key.strip() if colon and key.replace("_", "").strip().isalnum() else "yaml"
