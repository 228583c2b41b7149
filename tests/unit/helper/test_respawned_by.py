"""Hold-down of what a real supervisor starts again: BusyBox init's respawn and systemd's Restart, in a namespace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lmkd.kernel.freezer import find_mount, is_frozen
from lmkd.kernel.process import read_cgroup
from tests.unit.helper.test_brake import Bench
from tests.unit.helper.test_stopped import state_of, until

SYSTEMD = "/lib/systemd/systemd"
MARK = f"hog-of-{os.getpid()}"
HOG = f"""{sys.executable} -S -c "import time; '{MARK}'; hold = bytearray(4000000); time.sleep(99)\""""
INITTAB = 'mount -t tmpfs none /etc && echo "::respawn:$1" > /etc/inittab && exec busybox init'
UNIT = f"""
[Unit]
DefaultDependencies=no
[Service]
ExecStart={HOG}
Restart=always
RestartSec=100ms
"""
SYSTEM = (
    'mount -t tmpfs none /run && mkdir -p /run/systemd/system && cp "$1" /run/systemd/system/hog.service && '
    "mount -t cgroup2 none /sys/fs/cgroup && mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && "
    "export container=lxc && "
    f"exec {SYSTEMD} --system --unit=hog.service --log-target=null --show-status=no"
)
APART = (
    "unshare", "--pid", "--fork", "--kill-child", "--mount", "--cgroup", "--net", "--uts", "--ipc", "--mount-proc",
)  # fmt: skip


def missing() -> str:
    """What is not here; empty when all is."""
    if os.getuid() or subprocess.run([*APART, "true"], check=False, capture_output=True).returncode:
        return "no right to make namespaces: run as root"
    return ""


MISSING = missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def hogs() -> list[int]:
    """The processes of our hog that have become it (not the supervisor's forks before their exec)."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                line = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if line.startswith(sys.executable.encode() + b"\0-S") and MARK.encode() in line:
                found.append(int(name))
    return found


def big(pid: int) -> bool:
    """Has it got its memory? Before that nobody would end it."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and any(
        line.startswith("RssAnon") and int(line.split()[1]) >= 4000 for line in status.read_text().splitlines()
    )


def new_hog(old: int = 0) -> int:
    until(lambda: any(pid != old and big(pid) for pid in hogs()))
    return next(pid for pid in hogs() if pid != old)


@contextmanager
def group_of_its_own() -> Iterator[Path]:
    """A cgroup for systemd to make its own in; gone with all of them afterwards."""
    group = Path(find_mount("/proc")) / MARK
    group.mkdir()
    try:
        yield group
    finally:
        until(lambda: removed(group))


def removed(group: Path) -> bool:
    """Away with it and all below it; what has just died in it may take a moment to be gone."""
    for folder in (*sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True), group):
        try:
            folder.rmdir()
        except OSError:
            return False
    return True


@contextmanager
def supervised(command: list[str], group: Path | None = None) -> Iterator[None]:
    """Process 1 of a namespace of its own; all in it end with it."""
    enter = f"echo $$ > {group}/cgroup.procs && exec " if group is not None else "exec "
    with subprocess.Popen(
        ["sh", "-c", f'{enter} "$@"', "sh", *APART, *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            until(lambda: not hogs())


@pytest.fixture(params=["busybox", "systemd"])
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    name: str = request.param
    if name == "busybox":
        if not shutil.which("busybox"):
            pytest.skip("busybox is not installed (Debian: busybox-static)")
        with supervised(["sh", "-c", INITTAB, "sh", HOG]):
            yield name
        return
    if not os.path.exists(SYSTEMD) or not find_mount("/proc"):
        pytest.skip("systemd is not installed, or no cgroup2 is mounted")
    unit = tmp_path / "hog.service"
    unit.write_text(UNIT)
    with group_of_its_own() as group, supervised(["sh", "-c", SYSTEM, "sh", str(unit)], group):
        yield name


def held(pid: int) -> bool:
    """By SIGSTOP, or with the group that it has for itself."""
    return state_of(pid) == "T" or is_frozen(find_mount("/proc"), read_cgroup("/proc", pid)) is True


def test_who_is_started_again_is_held_and_its_supervisor_waits(supervisor: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path, None)
    pid = new_hog()
    bench.know(pid)
    for _ in range(2):
        bench.end(pid)
        pid = new_hog(pid)
        assert bench.meet(pid), bench.reports
        until(lambda pid=pid: held(pid))  # type: ignore[misc]
    holds = [fields for event, fields in bench.reports if event == "hold"]
    assert [fields["round"] for fields in holds] == [1, 2]
    assert {fields["how"] for fields in holds} == {"signal" if supervisor == "busybox" else "cgroup"}
    time.sleep(1.5)  # longer than either waits before it starts one again
    assert hogs() == [pid] and held(pid)
    bench.brake.release_all("the test is over")
    until(lambda: not held(pid))
    assert hogs() == [pid]
