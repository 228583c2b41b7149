"""Files to one Config: reading them, merging drop-ins over the main file, and reporting all errors at once.

Merging: of single values, those of later files win, key by key. Rules: the first that matches wins; the rules
of a later file come before those of an earlier one, and replace an earlier file's rule of the same name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lmkd.config.apps import read_apps
from lmkd.config.build import Settings, build_config
from lmkd.config.document import MAX_BYTES, read_document
from lmkd.config.model import AppRule, Config
from lmkd.config.problems import Place, Problems
from lmkd.config.schema import TOP
from lmkd.config.sections import Reader, is_null
from lmkd.config.shadow import report_shadowed
from lmkd.errors import ConfigError
from lmkd.values import value

_TOP_EXAMPLE = "keys such as stall_budget: 33ms"


@value
class Source:
    """One file: its name, and its content or why there is none."""

    name: str
    data: bytes | str
    failure: str | None = None


def load(paths: Sequence[Path]) -> Config:
    """The configuration of ``paths``: the main file first, then drop-ins; none: the built-in defaults.

    ConfigError with all errors of all files.
    """
    return _load([_read(path) for path in paths])


def load_default(etc: Path = Path("/etc/lmkd")) -> Config:
    """The configuration of ``etc``: lmkd.yaml and lmkd.d/*.yaml in the order of their names; none is needed.

    ConfigError with all errors of all files.
    """
    return load(default_paths(etc))


def default_paths(etc: Path) -> tuple[Path, ...]:
    """The files that ``load_default`` reads, in reading order; ConfigError for one with a mistaken ending."""
    main, folder = etc / "lmkd.yaml", etc / "lmkd.d"
    problems = Problems()
    for wrong in (etc / "lmkd.yml", *sorted(folder.glob("*.yml"))):
        if wrong.exists():
            problems.add(Place(str(wrong), 0, 0), "", "is not read, it ends in .yml: rename it to .yaml")
    problems.raise_if_any()
    drop_ins = sorted(path for path in folder.glob("*.yaml") if not path.name.startswith("."))
    # A link that points nowhere was meant to be there: it is to be an error, not an absent file.
    return (*((main,) if main.exists() or main.is_symlink() else ()), *drop_ins)


def parse_text(text: str | bytes, name: str = "<text>") -> Config:
    """The configuration of one file's content; ``name`` is the file in errors. ConfigError as ``load``."""
    return _load([Source(name, text)])


def check(paths: Sequence[Path]) -> tuple[str, ...]:
    """All errors of ``paths``, one line each: of each file on its own and of all as one."""
    sources = [_read(path) for path in paths]
    groups = [*([source] for source in sources), sources]
    return tuple(dict.fromkeys(line for group in groups for line in _errors(group)))


def _errors(sources: Sequence[Source]) -> tuple[str, ...]:
    try:
        _load(sources)
    except ConfigError as error:
        return error.lines
    return ()


def _read(path: Path) -> Source:
    name = str(path)
    try:
        with path.open("rb") as file:
            return Source(name, file.read(MAX_BYTES + 1))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Source(name, b"", f"cannot be read: {reason}")


def _load(sources: Sequence[Source]) -> Config:
    problems = Problems()
    settings = Settings()
    rules: list[tuple[AppRule, Place]] = []
    for source in sources:
        if source.failure is not None:
            problems.add(Place(source.name, 0, 0), "", source.failure)
            continue
        own = _read_source(source, settings, problems)
        rules = _with_drop_in(rules, own)
    report_shadowed(rules, problems)
    names = [source.name for source in sources]
    config = build_config(settings, (rule for rule, _ in rules), names, problems)
    problems.raise_if_any()
    return config


def _read_source(source: Source, settings: Settings, problems: Problems) -> list[tuple[AppRule, Place]]:
    """Add the single values of one file to ``settings``; return its rules."""
    root = read_document(source.data, source.name, problems)
    if root is None or (is_null(root) and not root.value):
        return []
    reader = Reader(source.name, problems)
    items = reader.mapping(root, "", _TOP_EXAMPLE)
    rules: list[tuple[AppRule, Place]] = []
    for field, item in reader.known(items or [], TOP, ""):
        match field.kind:
            case "rules":
                rules = read_apps(item.node, reader)
            case "mounts":
                settings.take_mounts(item, reader)
            case "notices":
                settings.take_notices(item, reader)
            case "section":
                settings.read_section(field, item, reader)
            case _:
                settings.read_field(field, item, "", reader)
    return rules


def _with_drop_in(rules: Iterable[tuple[AppRule, Place]],
                  later: list[tuple[AppRule, Place]]) -> list[tuple[AppRule, Place]]:
    replaced = {rule.name for rule, _ in later}
    return [*later, *(known for known in rules if known[0].name not in replaced)]
