"""Owns what comes from the Debian archive: its address, the suites, the unpacked trees, the retries."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .architectures import ARCHITECTURES
from .packages import ArchiveUnavailable, BoardError, Progress, tool

PACKAGES: tuple[str, ...] = (
    "python3", "python3-psutil", "python3-pyudev", "python3-lz4", "python3-yaml", "python3-structlog",
    "udev", "busybox-static", "kmod", "util-linux", "procps", "libc-bin",
)  # fmt: skip
PEERS: tuple[str, ...] = ("earlyoom", "nohang")
# What the board's process 1 needs besides: the project's own script needs nothing.
# "supervisors": the script as well, with those that start again what dies below it.
INIT_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "script": (), "systemd": ("systemd",), "supervisors": ("openrc", "s6"),
}  # fmt: skip
DEFAULT_INIT = "script"
# bookworm: kernel 6.1, Python 3.11; trixie: kernel 6.12, Python 3.13.
SUITES: tuple[str, ...] = ("bookworm", "trixie")
DEFAULT_SUITE = "bookworm"
RETRY_WAITS_S = (10, 40)
# What apt prints when the archive, not the request, is at fault.
ARCHIVE_FAULTS = (
    "404", "502", "503", "Failed to fetch", "Hash Sum mismatch", "File has unexpected size",
    "Could not resolve", "Temporary failure", "Unable to connect", "Could not connect", "timed out",
    "Mirror sync in progress", "Connection failed", "does not have a Release file",
    "Unable to locate package", "Unable to fetch",
)  # fmt: skip


def board_packages(architecture: str, init: str) -> tuple[str, ...]:
    """All that a board of that architecture and process 1 is made of."""
    return (*PACKAGES, ARCHITECTURES[architecture].kernel, *PEERS, *INIT_PACKAGES[init])


def archive_address(suite: str) -> str:
    """Address of the archive this machine's own apt uses for its main suite: other suites lie beside it.

    The security suite is left out on purpose: its index for a foreign architecture can be out of step.
    """
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = [line.split() for line in done.stdout.splitlines() if len(line.split()) == 3]
    exact = [uri for uri, release, component in rows if component == "main" and release == suite]
    plain = [uri for uri, release, component in rows if component == "main" and "-" not in release]
    if not exact + plain:
        raise BoardError("this machine's apt knows no main suite: apt-get indextargets names none")
    return (exact + plain)[0]


def host_architecture() -> str:
    """Debian's name of this machine's architecture."""
    done = subprocess.run([tool("dpkg"), "--print-architecture"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def unpack(suite: str, architecture: str, packages: Sequence[str], tree: Path, progress: Progress) -> None:
    """Unpack packages and what they depend on into `tree`; ArchiveUnavailable after three failures of the archive."""
    archive = tree.with_suffix(".tar")
    hooks = Path("/usr/share/mmdebstrap/hooks/merged-usr")
    command = [
        tool("mmdebstrap"), "--variant=extract", f"--architectures={architecture}",
        f"--include={','.join(packages)}", '--aptopt=Acquire::Retries "3"',
        *([f"--hook-dir={hooks}"] if hooks.is_dir() else []),
        suite, str(archive), f"deb {archive_address(suite)} {suite} main",
    ]  # fmt: skip
    for attempt, wait_s in enumerate((*RETRY_WAITS_S, None), start=1):
        progress(f"downloading packages ({suite}, {architecture}, attempt {attempt})")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        _judge_failure(done.stderr, wait_s, progress)
    progress("unpacking")
    tree.mkdir()
    subprocess.run(["tar", "-xf", str(archive), "-C", str(tree)], check=True)
    archive.unlink()


def _judge_failure(text: str, wait_s: int | None, progress: Progress) -> None:
    lines = text.strip().splitlines()
    fault = next((line for line in lines if any(mark in line for mark in ARCHIVE_FAULTS)), None)
    if fault is None:
        raise BoardError("mmdebstrap failed: " + "\n".join(lines[-12:]))
    if wait_s is None:
        raise ArchiveUnavailable(f"the Debian archive failed three times, last with: {fault.strip()}")
    progress(f"the archive failed ({fault.strip()[:90]}); again in {wait_s} s")
    time.sleep(wait_s)
