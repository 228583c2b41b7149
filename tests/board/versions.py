"""Owns what a measurement was made with: the versions on the host and, asked of a board, in the guest."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .architectures import ARCHITECTURES
from .image import Base
from .layer import CHECKOUT, Layer, build_layer
from .packages import BoardError, Progress, tool
from .vm import Machine, run_board

ASK = """\
echo "kernel $(uname -r)"
echo "earlyoom $(earlyoom -v 2>&1 | head -n 1)"
echo "nohang $(nohang --version 2>/dev/null | head -n 1)"
echo "python $(python3 --version 2>&1)"
"""


@dataclass(frozen=True, slots=True)
class Versions:
    """Name and version of everything that matters to a figure."""

    rows: Mapping[str, str]


def read_versions(base: Base, progress: Progress) -> Versions:
    """Boot a board once and ask; BoardError when it does not answer."""
    progress("asking a board for versions")
    with tempfile.TemporaryDirectory(prefix="lmkd-versions-") as scratch:
        disk = Path(scratch) / "layer.ext4"
        build_layer(Layer(ASK), base, disk, progress)
        outcome = run_board(base, disk, Machine(), deadline_s=90)
    guest = dict(line.split(" ", 1) for line in outcome.text.splitlines() if " " in line)
    if outcome.status != "finished" or "kernel" not in guest:
        raise BoardError(f"the board did not tell its versions: {outcome.status}\n{outcome.console_tail(10)}")
    emulator = tool(ARCHITECTURES[base.architecture].emulator)
    qemu = subprocess.run([emulator, "--version"], capture_output=True, text=True, check=True).stdout
    return Versions({
        "lmkd": commit(),
        "kernel": guest["kernel"],
        "earlyoom": guest.get("earlyoom", "?").removeprefix("earlyoom "),
        "nohang": _packaged("nohang", guest.get("nohang", "")),
        "Python on the board": guest.get("python", "?").removeprefix("Python "),
        "qemu": qemu.splitlines()[0].removeprefix("QEMU emulator version "),
    })  # fmt: skip


def commit() -> str:
    """The checkout's commit, marked when lmkd's own source differs from it."""
    if not _git("rev-parse", "--git-dir"):
        return "not from a git checkout"
    changed = ", with changes" if _git("status", "--porcelain", "--", "lmkd") else ""
    return _git("rev-parse", "--short=12", "HEAD") + changed


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(CHECKOUT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _packaged(name: str, told: str) -> str:
    """A version as the program told it, else that of the package which this machine's apt offers."""
    if told and "unknown" not in told:
        return told
    done = subprocess.run(["apt-cache", "show", name], capture_output=True, text=True, check=False)
    found = next((line for line in done.stdout.splitlines() if line.startswith("Version: ")), "")
    return f"{found.removeprefix('Version: ')} (Debian's package)" if found else "of unknown version"
