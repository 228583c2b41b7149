"""Owns the host tools the board needs: which they are, and getting them when they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

Progress = Callable[[str], None]

# Each tool with the Debian package that carries it.
TOOLS: tuple[tuple[str, str], ...] = (
    ("qemu-system-arm", "qemu-system-arm"),
    ("mmdebstrap", "mmdebstrap"),
    ("arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf"),
    ("mke2fs", "e2fsprogs"),
    ("cpio", "cpio"),
    ("depmod", "kmod"),
)
# A static program needs the C library's headers and archive, and those are no tool on the PATH.
CROSS_LIBRARY = "libc6-dev-armhf-cross"


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
        raise BoardError(f"{name} is not installed; needed: {', '.join(package for _, package in TOOLS)}")
    return path


def missing_packages() -> tuple[str, ...]:
    """Debian packages whose tools this machine lacks."""
    missing = [package for name, package in TOOLS if find_tool(name) is None]
    if "gcc-arm-linux-gnueabihf" in missing:
        missing.append(CROSS_LIBRARY)
    return tuple(missing)


def ensure_tools(progress: Progress) -> None:
    """Install what is missing (root on a Debian machine), else say plainly what to install."""
    missing = missing_packages()
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
    still = missing_packages()
    if still:
        raise BoardError(f"installed, yet still missing: {' '.join(still)}")
