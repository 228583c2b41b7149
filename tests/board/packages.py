"""Owns the host tools the board needs: which they are, and getting them when they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

from .architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE

Progress = Callable[[str], None]

# Each tool that every board needs, with the Debian package that carries it.
TOOLS: tuple[tuple[str, str], ...] = (
    ("mmdebstrap", "mmdebstrap"),
    ("mke2fs", "e2fsprogs"),
    ("cpio", "cpio"),
    ("depmod", "kmod"),
)


class BoardError(Exception):
    """The board cannot be built or run; the text says why and what to do."""


class ArchiveUnavailable(BoardError):
    """The Debian archive did not deliver; nothing is wrong with the project or the board."""


def find_tool(name: str) -> str | None:
    """Path of a host tool, also from the administrator's directories, or None."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def tool(name: str) -> str:
    """Path of a host tool; BoardError when it is missing."""
    path = find_tool(name)
    if path is None:
        raise BoardError(f"{name} is not installed; the board's tools are in: {' '.join(_all_packages())}")
    return path


def _all_packages() -> list[str]:
    own = [package for architecture in ARCHITECTURES.values() for _, package in architecture.tools]
    return sorted({*own, *(package for _, package in TOOLS)})


def missing_packages(architecture: str = DEFAULT_ARCHITECTURE) -> tuple[str, ...]:
    """Debian packages that this machine lacks for a board of that architecture."""
    wanted = ARCHITECTURES[architecture]
    missing = [package for name, package in (*TOOLS, *wanted.tools) if find_tool(name) is None]
    if find_tool(wanted.compiler) is None:
        missing.append(wanted.library)
    return tuple(missing)


def ensure_tools(progress: Progress, architecture: str = DEFAULT_ARCHITECTURE) -> None:
    """Install what is missing (root on a Debian machine), else say plainly what to install."""
    missing = missing_packages(architecture)
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() != 0 or find_tool("apt-get") is None:
        raise BoardError(f"the board needs host tools that are missing; as root: apt-get install {names}")
    progress(f"installing host tools: {names}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "-q", "-y", "--no-install-recommends", "install", *missing]
    for command in (["apt-get", "-q", "update"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ArchiveUnavailable(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
    still = missing_packages(architecture)
    if still:
        raise BoardError(f"installed, yet still missing: {' '.join(still)}")
