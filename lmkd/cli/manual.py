"""Man pages, made from the commands and from the configuration's schema: ``python -m lmkd.cli.manual FOLDER``.

The macros are those of man(7), which groff, mandoc and BusyBox's man all know.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from lmkd import __version__
from lmkd.cli.definitions import Definition, Operand, Option, definitions
from lmkd.config.reference import limits_of, type_of
from lmkd.config.schema import APP, MATCH, MOUNT, TOP, Field, fields_of
from lmkd.control.protocol import DEFAULT_SOCKET
from lmkd.errors import EXIT_CANNOT_WORK, EXIT_FAILED, EXIT_OK, EXIT_USAGE
from lmkd.model import CLASSES

COMMANDS_SECTION, FILES_SECTION = 8, 5
CONFIG_PAGE = f"lmkd.yaml.{FILES_SECTION}"
EXITS = (
    (EXIT_OK, "Done."),
    (EXIT_FAILED, "It failed; one line on standard error says why."),
    (EXIT_USAGE, "Wrong usage or configuration."),
    (EXIT_CANNOT_WORK, "lmkd cannot work here at all."),
)
FILES = (
    ("/etc/lmkd/lmkd.yaml", "The configuration; see lmkd.yaml(5)."),
    ("/etc/lmkd/lmkd.d/*.yaml", "Drop-ins, read after it in the order of their names."),
    (DEFAULT_SOCKET, "The control socket."),
)


def pages() -> dict[str, str]:
    """Every page by the name of its file. A command's own commands stand on its page."""
    tree = definitions()
    made = {f"lmkd.{COMMANDS_SECTION}": _main_page(tree)}
    for one in tree.below:
        made[f"{'-'.join(one.path)}.{COMMANDS_SECTION}"] = _command_page(one)
    made[CONFIG_PAGE] = _config_page()
    return made


def main(folder: str) -> None:
    """Write all pages into a folder, which is made if need be."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (place / name).write_text(text, encoding="ascii")


def escaped(text: str) -> str:
    """Text for roff: nothing in it is a request or an escape. `Words in backticks` are bold."""
    safe = text.replace("\\", "\\e").replace("-", "\\-")
    safe = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in safe)
    parts = safe.split("`")
    marked = "".join(f"\\fB{part}\\fR" if at % 2 else part for at, part in enumerate(parts))
    return "\n".join("\\&" + row if row.startswith((".", "'")) else row for row in marked.split("\n"))


def _head(name: str, section: int, summary: str) -> list[str]:
    title = f'.TH {name.upper()} {section} "" "lmkd {__version__}" "lmkd"'
    return [title, ".SH NAME", f"{escaped(name)} \\- {escaped(summary)}"]


def _main_page(tree: Definition) -> str:
    rows = [*_head("lmkd", COMMANDS_SECTION, tree.summary), ".SH SYNOPSIS", *_synopsis(tree, " \\fICOMMAND\\fR ...")]
    rows += [".SH DESCRIPTION", escaped(tree.description), ".SH COMMANDS"]
    for one in tree.below:
        rows += [".TP", f"\\fB{escaped(' '.join(one.path))}\\fR({COMMANDS_SECTION})", escaped(_sentence(one.summary))]
    rows += [*_options(tree.options), ".SH FILES"]
    for path, said in FILES:
        rows += [".TP", f"\\fI{escaped(path)}\\fR", escaped(said)]
    rows += [*_exits(), ".SH SEE ALSO", _also([f"{'-'.join(one.path)}({COMMANDS_SECTION})" for one in tree.below])]
    return "\n".join([*rows, ""])


def _command_page(one: Definition) -> str:
    rows = [*_head("-".join(one.path), COMMANDS_SECTION, one.summary), ".SH SYNOPSIS"]
    for number, each in enumerate(each for each in one.everything() if not each.below):
        rows += [*([".br"] if number else []), *_synopsis(each)]
    rows += [".SH DESCRIPTION", escaped(_sentence(one.description)), *_arguments(one.operands), *_options(one.options)]
    for lower in one.below:
        rows += [f".SH {escaped(' '.join(lower.path).upper())}", escaped(_sentence(lower.description))]
        rows += _listed([*map(_operand, lower.operands), *map(_option, lower.options)])
    if one.epilog:
        rows += [".SH EXAMPLES", escaped(one.epilog.removeprefix("Example: "))]
    rows += [*_exits(), ".SH SEE ALSO", _also([f"lmkd({COMMANDS_SECTION})", f"lmkd.yaml({FILES_SECTION})"])]
    return "\n".join([*rows, ""])


def _synopsis(one: Definition, more: str = "") -> list[str]:
    parts = [f".B {escaped(' '.join(one.path))}"]
    for option in one.options:
        if "--help" not in option.flags:
            value = f" \\fI{escaped(option.metavar)}\\fR" if option.metavar else ""
            parts.append(f"[\\fB{escaped(option.flags[0])}\\fR{value}]")
    for operand in one.operands:
        shown = f"\\fI{escaped(operand.metavar)}\\fR{' ...' if operand.many else ''}"
        parts.append(f"[{shown}]" if operand.optional else shown)
    return [*parts, *([more.strip()] if more else [])]


def _sentence(text: str) -> str:
    first = text.partition(" ")[0]
    if first.isalpha() and first not in ("lmkd", "true", "false"):
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "`")) else text + "."


def _operand(operand: Operand) -> tuple[str, str]:
    return f"\\fI{escaped(operand.metavar)}\\fR", operand.help


def _option(option: Option) -> tuple[str, str]:
    value = f" \\fI{escaped(option.metavar)}\\fR" if option.metavar else ""
    return ", ".join(f"\\fB{escaped(flag)}\\fR{value}" for flag in option.flags), option.help


def _listed(rows: Iterable[tuple[str, str]]) -> list[str]:
    made = []
    for term, said in rows:
        made += [".TP", term, escaped(_sentence(said)) if said else "\\&"]
    return made


def _arguments(operands: Iterable[Operand]) -> list[str]:
    rows = _listed(_operand(operand) for operand in operands if operand.help)
    return [".SH ARGUMENTS", *rows] if rows else []


def _options(options: Iterable[Option]) -> list[str]:
    return [".SH OPTIONS", *_listed(map(_option, options))]


def _exits() -> list[str]:
    return [".SH EXIT STATUS", *_listed((f"\\fB{code}\\fR", said) for code, said in EXITS)]


def _also(names: list[str]) -> str:
    shown = []
    for name in names:
        word, _, section = name.partition("(")
        shown.append(f".BR {escaped(word)} ({section}")
    return " ,\n".join(shown)


def _config_page() -> str:
    rows = [*_head("lmkd.yaml", FILES_SECTION, "configuration of lmkd"), ".SH SYNOPSIS"]
    rows += [f".I {FILES[0][0]}", ".br", f".I {FILES[1][0]}", ".SH DESCRIPTION"]
    rows += [escaped(
        "YAML. No file and no key is required. `lmkd check FILE` reports every error with file, line, column and key. "
        "Durations need a unit (ms, s, min, h), so do sizes (K, M, G, powers of 1024) and percentages (of RAM). "
        "auto means that lmkd derives the value from the machine. Of single values, the one in the latest file wins. "
        "The first rule that matches a process wins; what no rule matches keeps its own oom_score_adj."
    )]  # fmt: skip
    sections = list(dict.fromkeys(field.section for field in _all_fields()))
    for section in sections:
        rows += [f'.SH "{escaped(section or "TOP LEVEL").upper()}"']
        rows += _listed((f"\\fB{escaped(field.key)}\\fR", _said(field)) for field in fields_of(section))
    classes = ", ".join(f"{name} ({number})" for name, number in CLASSES)
    rows += [".SH PRIORITIES", escaped(f"A class or a number from -1000 (never) to 1000 (first). Classes: {classes}.")]
    rows += [".SH SEE ALSO", _also([f"lmkd({COMMANDS_SECTION})", f"lmkd-check({COMMANDS_SECTION})"])]
    return "\n".join([*rows, ""])


def _all_fields() -> Iterable[Field]:
    from lmkd.config.schema import FIELDS

    last = (MOUNT, APP, MATCH)
    yield from fields_of(TOP)
    yield from (field for field in FIELDS if field.section not in (TOP, *last))
    for section in last:
        yield from fields_of(section)


def _said(field: Field) -> str:
    parts = [field.doc.removesuffix("."), f"Type: {type_of(field)}"]
    if field.default:
        parts.append(f"Default: {field.default}")
    limits = limits_of(field).replace("`", "")
    if limits != "-":
        parts.append(f"Allowed: {limits}")
    return ". ".join(parts)


if __name__ == "__main__":
    main(sys.argv[1])
