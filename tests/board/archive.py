"""Owns what comes from the Debian archive: its address, the suite, the unpacked root tree, the retries."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from .packages import ArchiveUnavailable, BoardError, Progress, tool

PACKAGES: tuple[str, ...] = (
    "python3", "python3-psutil", "python3-pyudev", "python3-lz4", "python3-yaml", "python3-structlog",
    "udev", "busybox-static", "kmod", "util-linux", "procps", "libc-bin", "linux-image-armmp",
    "earlyoom", "nohang",
)  # fmt: skip
ARCHITECTURE = "armhf"
RETRY_WAITS_S = (10, 40)
# What apt prints when the archive, not the request, is at fault.
ARCHIVE_FAULTS = (
    "404", "502", "503", "Failed to fetch", "Hash Sum mismatch", "File has unexpected size",
    "Could not resolve", "Temporary failure", "Unable to connect", "Could not connect", "timed out",
    "Mirror sync in progress", "Connection failed", "does not have a Release file",
    "Unable to locate package", "Unable to fetch",
)  # fmt: skip


def host_suite() -> str:
    """Code name of the Debian release this machine runs (LMKD_BOARD_SUITE overrides it)."""
    chosen = os.environ.get("LMKD_BOARD_SUITE")
    if chosen:
        return chosen
    for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip().strip('"')
    raise BoardError("/etc/os-release names no VERSION_CODENAME; set LMKD_BOARD_SUITE")


def archive_address(suite: str) -> str:
    """Address of the archive this machine's own apt uses for its main suite.

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


def unpack_root(suite: str, tree: Path, progress: Progress) -> None:
    """Unpack the board's packages into `tree`; ArchiveUnavailable after three failures of the archive."""
    archive = tree.with_suffix(".tar")
    hooks = Path("/usr/share/mmdebstrap/hooks/merged-usr")
    command = [
        tool("mmdebstrap"), "--variant=extract", f"--architectures={ARCHITECTURE}",
        f"--include={','.join(PACKAGES)}", '--aptopt=Acquire::Retries "3"',
        *([f"--hook-dir={hooks}"] if hooks.is_dir() else []),
        suite, str(archive), f"deb {archive_address(suite)} {suite} main",
    ]  # fmt: skip
    for attempt, wait_s in enumerate((*RETRY_WAITS_S, None), start=1):
        progress(f"downloading packages ({suite}, {ARCHITECTURE}, attempt {attempt})")
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
