"""Who holds memory in files: by device and inode, and what whose death would return."""

from __future__ import annotations

import mmap
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmkd.helper import holders as module
from lmkd.helper.holders import File, Found, Holders, Mount, gain_of
from tests.unit.helper.processes import MIB, SHM, holding
from tests.unit.plans import FakeProc


@pytest.fixture
def path() -> Iterator[str]:
    path = f"{SHM}/lmkd-test-{os.getpid()}"
    yield path
    if os.path.exists(path):
        os.unlink(path)


def opens(path: str, size: int = MIB, unlink: bool = False) -> Callable[[], object]:
    def action() -> object:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if size:
            os.write(descriptor, b"x" * size)
        if unlink:
            os.unlink(path)
        return descriptor

    return action


def maps(path: str) -> Callable[[], object]:
    """Only the mapping is left, and nothing of it was touched."""

    def action() -> object:
        descriptor = os.open(path, os.O_RDWR)
        mapping = mmap.mmap(descriptor, MIB)
        os.close(descriptor)
        return mapping

    return action


def memfd() -> object:
    descriptor = os.memfd_create("buffer")
    os.write(descriptor, b"x" * MIB)
    return descriptor


def shared() -> object:
    memory = mmap.mmap(-1, MIB)
    memory[:] = b"x" * MIB
    return memory


def of_kind(found: Found, kind: str, pid: int) -> list[File]:
    return [file for file in found.files if file.kind == kind and pid in file.pids]


def test_a_file_is_found_by_every_way_to_hold_it(path: str) -> None:
    with holding(opens(path), maps(path), memfd, shared) as (opener, mapper, with_memfd, with_shared):
        found = Holders("/proc").look([opener, mapper, with_memfd, with_shared])
        assert found.complete
        (linked,) = of_kind(found, "file", opener)
        assert (linked.pids, linked.kib, linked.ends) == ({opener, mapper}, 1024, False)
        for kind, pid in (("memfd", with_memfd), ("shared", with_shared)):
            assert [(file.pids, file.kib, file.ends) for file in of_kind(found, kind, pid)] == [({pid}, 1024, True)]
        assert gain_of(found, {opener, mapper}, 1.0) == 0
        os.unlink(path)
        found = Holders("/proc").look([opener, mapper])
        assert [file.kib for file in of_kind(found, "deleted", opener)] == [1024]
        assert [gain_of(found, group, 1.0) for group in ({opener}, {mapper}, {opener, mapper})] == [0, 0, 1024]


def test_a_mapping_alone_is_weighed_as_well(path: str) -> None:
    Path(path).write_bytes(b"x" * MIB)
    with holding(maps(path)) as (mapper,):
        os.unlink(path)
        found = Holders("/proc").look([mapper])
        assert [(file.kib, file.ends) for file in of_kind(found, "deleted", mapper)] == [(1024, True)]


def test_the_mounts_are_there_with_what_they_hold(path: str) -> None:
    Path(path).write_bytes(b"x" * MIB)
    mounts = {mount.path: mount for mount in Holders("/proc").look([]).mounts if mount.ours}
    assert mounts[SHM].device == os.stat(SHM).st_dev
    used_kib, size_kib = mounts[SHM].used_kib, mounts[SHM].size_kib
    if os.statvfs(SHM).f_blocks:
        assert used_kib is not None and size_kib is not None and 1024 <= used_kib <= size_kib
    else:
        assert (used_kib, size_kib) == (None, None)


def test_the_writer_is_who_holds_the_file_that_grows(path: str) -> None:
    def grows() -> object:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, b"x" * 65536)
        if os.fork() == 0:
            for _ in range(200):
                os.write(descriptor, b"x" * 65536)
                time.sleep(0.01)
            os._exit(0)
        return descriptor

    with holding(memfd, grows) as (_still, growing):
        seen = Holders("/proc")
        found = seen.look([_still, growing])
        pid, kib_s = seen.grows(found.files)
        assert pid == growing and kib_s > 100


def test_nobody_writes_when_nothing_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "APART_S", 0.001)
    with holding(memfd) as (pid,):
        seen = Holders("/proc")
        assert seen.grows(seen.look([pid]).files) == (0, 0.0)


def test_a_look_that_runs_out_of_time_says_so_and_the_next_one_goes_on(path: str) -> None:
    with holding(opens(path, unlink=True), memfd) as pids:
        seen = Holders("/proc", look_ms=-1.0)
        found = seen.look(pids)
        assert not found.complete and gain_of(found, set(pids), 1.0) == 0
        seen._look_ms = 1e9
        found = seen.look(pids)
        assert found.complete and gain_of(found, set(pids), 1.0) >= 2048


def test_of_very_many_files_the_small_ones_are_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def many() -> object:
        descriptors = [os.memfd_create(f"m{number}") for number in range(20)]
        for number, descriptor in enumerate(descriptors):
            os.write(descriptor, b"x" * 4096 * (number + 1))
        return descriptors

    monkeypatch.setattr(module, "FILES_MAX", 12)
    with holding(many, many) as pids:
        found = Holders("/proc").look(pids)
        assert found.complete and 0 < len(found.files) <= 12
        assert min(file.kib for file in found.files) >= 64
        assert gain_of(found, set(pids), 1.0) == sum(file.kib for file in found.files)


def test_what_lies_in_the_store_returns_only_what_it_occupies_there() -> None:
    file = File(1, 1, "/memfd:x")
    file.kind, file.kib, file.ends, file.pids = "memfd", 1000, True, {7}
    assert gain_of(Found((), (file,), True, 0.5), {7}, 0.4) == 700
    assert gain_of(Found((), (file,), False, 0.5), {7}, 0.4) == 0
    assert gain_of(Found((), (file,), True, 0.5), {8}, 0.4) == 0


def test_a_segment_ends_with_its_last_user_only_when_it_is_marked_and_all_are_known(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path)
    (proc.root / "sysvipc").mkdir()
    seen = Holders(str(proc.root))
    for number, mode, attached in ((1, "1600", 1), (2, "600", 1), (3, "1600", 2)):
        file = seen._files[seen._internal, number] = File(seen._internal, number, "/SYSV00000000 (deleted)")
        file.kind, file.maps, file.pids = "sysv", 1, {5}
        row = f"0 {number} {mode} 9 1 1 {attached} 0 0 0 0 0 0 0 2097152 1048576\n"
        with (proc.root / "sysvipc" / "shm").open("a") as table:
            table.write(row)
    assert seen._weigh_sysv() == (3 * 2048, 3 * 1024)
    assert [file.ends for file in seen._files.values()] == [True, False, False]
    assert {file.kib for file in seen._files.values()} == {3072}


def test_without_mounts_or_processes_there_is_no_answer_and_no_error(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path)
    assert Holders(str(proc.root)).look([10]) == Found((), (), True, 0.0)


def test_a_mount_whose_name_is_no_text_or_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path)
    (proc.root / "self").mkdir()
    device = os.stat(SHM).st_dev
    shm = f"2 1 {os.major(device)}:{os.minor(device)} / {SHM} rw - tmpfs tmpfs rw\n".encode()
    (proc.root / "self" / "mountinfo").write_bytes(b"1 1 0:99 / /caf\xe9 rw - tmpfs tmpfs rw\n" + shm)
    found = Holders(str(proc.root)).look([])
    assert [mount.path for mount in found.mounts] == ["/caf\udce9", SHM]
    assert found.mounts[0] == Mount("/caf\udce9", os.makedev(0, 99), None, None, False)


def test_a_holder_in_another_mount_namespace_is_found_with_its_own_tmpfs() -> None:
    """By device and inode: the path means something else there. Where a namespace may be made."""
    script = (
        "mount -t tmpfs -o size=8m x /mnt && cd /mnt && exec 3> big && head -c 1048576 /dev/zero >&3 && rm big && "
        "echo ready && exec sleep 60"
    )
    command = ["unshare", "--mount", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        try:
            _holds_its_own(child)
        finally:
            child.kill()


def _holds_its_own(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    if child.stdout.readline() != "ready\n":
        pytest.skip("no right to make a mount namespace here")
    found = Holders("/proc").look([child.pid])
    assert [(file.kib, file.ends) for file in of_kind(found, "deleted", child.pid)] == [(1024, True)]
    assert any(mount.path == "/mnt" and mount.size_kib == 8192 and not mount.ours for mount in found.mounts)
    assert gain_of(found, {child.pid}, 1.0) >= 1024
