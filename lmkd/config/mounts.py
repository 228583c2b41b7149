"""The list ``tmpfs``: what may be done about memory in the files of a mount, each entry complete on its own."""

from __future__ import annotations

import posixpath

import yaml

from lmkd.config.model import Amount, TmpfsConfig
from lmkd.config.problems import Place, shown
from lmkd.config.scalars import Setting
from lmkd.config.schema import MOUNT
from lmkd.config.sections import Item, Reader, described, is_null

MOUNTS_MAX = 64
PATTERNS_MAX = 64
PATTERN_MAX = 1024

_EXAMPLE = '- {mount: /tmp, delete: ["*.log"]}'


def read_mounts(node: yaml.Node, reader: Reader) -> list[TmpfsConfig]:
    """The valid entries of the list ``node`` in its order; everything else is a problem of ``reader``."""
    if not isinstance(node, yaml.SequenceNode):
        what = "has no entries below it" if is_null(node) else f"is {described(node)}, not a list"
        reader.wrong(node, "tmpfs", f"{what}: write {_EXAMPLE}, or [] for none")
        return []
    if len(node.value) > MOUNTS_MAX:
        reader.wrong(node, "tmpfs", f"has {len(node.value)} entries: at most {MOUNTS_MAX}")
        return []
    found: list[TmpfsConfig] = []
    for number, entry in enumerate(node.value, 1):
        made = _read_mount(entry, f"tmpfs[{number}]", reader)
        first = next((one for one in found if made is not None and one.mount == made.mount), None)
        if first is not None:
            reader.wrong(entry, f"tmpfs[{number}].mount", f"duplicate: {first.mount} is already at line {first.line}")
        elif made is not None:
            found.append(made)
    return found


def _read_mount(node: yaml.Node, where: str, reader: Reader) -> TmpfsConfig | None:
    items = reader.mapping(node, where, _EXAMPLE)
    if items is None:
        return None
    settings: dict[str, Setting] = {}
    delete: tuple[str, ...] | None = ()
    for field, item in reader.known(items, MOUNT, where):
        if field.key == "delete":
            delete = _read_patterns(item, f"{where}.delete", reader)
        else:
            settings[field.key] = reader.setting(field, item, where)
    present = {item.key: item for item in items}
    if "mount" not in present:
        reader.wrong(node, f"{where}.mount", "is missing: write the path of a tmpfs, such as mount: /tmp")
    if "delete" not in present and "tell" not in present:
        reader.wrong(node, where, "does nothing: write delete, tell, or both")
        return None
    mount, limit, tell = (settings.get(key) for key in ("mount", "limit", "tell"))
    if None in settings.values() or delete is None or not isinstance(mount, str):
        return None
    if not _is_plain(mount, present["mount"], where, reader):
        return None
    place: Place = reader.place(node)
    return TmpfsConfig(
        mount=mount,
        limit=limit if isinstance(limit, Amount) else None,
        delete=delete,
        tell=tell if isinstance(tell, str) else None,
        file=place.file,
        line=place.line,
    )


def _is_plain(mount: str, item: Item, where: str, reader: Reader) -> bool:
    """A mount's path as the kernel lists it: without slashes too many, and without . and .. ."""
    plain = posixpath.normpath(mount)
    if mount != plain or mount.startswith("//"):
        reader.wrong(item.node, f"{where}.mount", f"{shown(mount)} is no path of a mount: write {shown(plain)}")
        return False
    return True


def _read_patterns(item: Item, key: str, reader: Reader) -> tuple[str, ...] | None:
    """The patterns; None, and a problem, if one is wrong or there is none."""
    node = item.node
    if not isinstance(node, yaml.SequenceNode):
        what = "has no patterns" if is_null(node) else f"is {described(node)}, not a list"
        reader.wrong(node, key, f'{what}: write ["*.log", "cache/**"]')
        return None
    if not 1 <= len(node.value) <= PATTERNS_MAX:
        reader.wrong(node, key, f"has {len(node.value)} patterns: write 1 to {PATTERNS_MAX}, or remove the key")
        return None
    found: list[str] = []
    for number, part in enumerate(node.value, 1):
        scalar = reader.scalar(part, f"{key}[{number}]")
        if scalar is None:
            continue
        wrong = "is empty" if scalar.tag == "null" else _fault(scalar.text)
        if wrong:
            reader.wrong(part, f"{key}[{number}]", wrong)
        else:
            found.append(scalar.text)
    return tuple(found) if len(found) == len(node.value) else None


def _fault(pattern: str) -> str:
    """Why a pattern may not stand there; empty when it may."""
    parts = pattern.split("/")
    if not pattern.strip():
        return "is empty"
    if len(pattern) > PATTERN_MAX or not pattern.isprintable():
        return f"{shown(pattern)} is no pattern: at most {PATTERN_MAX} printable characters"
    if pattern.startswith("/"):
        return f"{shown(pattern)} is absolute: patterns begin at the mount, write {shown(pattern.lstrip('/'))}"
    if pattern.endswith("/"):
        return f"{shown(pattern)} is a folder, which is never deleted: write {shown(pattern)}**"
    if "" in parts or "." in parts or ".." in parts:
        return f"{shown(pattern)} can never match: a file's path has no empty part, no . and no .."
    if any("**" in part and part != "**" for part in parts):
        return f"{shown(pattern)}: ** stands for whole folders, write it between slashes"
    return ""
