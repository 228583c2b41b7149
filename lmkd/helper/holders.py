"""Who holds memory in files (tmpfs, memfd, System V): by device and inode, with what each death would truly return."""

from __future__ import annotations

import os
import time

from lmkd.kernel.clock import now_ms
from lmkd.kernel.counters import find_number
from lmkd.kernel.held_files import internal_device, look_at, mapped_files, open_files, token_of
from lmkd.kernel.mountinfo import MountPoint, read_mountinfo
from lmkd.kernel.pinned import read_once
from lmkd.kernel.sysv_shm import read_sysv_shm
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from lmkd.kernel.held_files import FileSeen

APART_S = 0.04
APART_TIMES = 3
"""A writer that waits in reclaim for a moment, as everybody does then, is looked at again."""
LOOK_MS = 400.0
"""So long one look takes at most; the next one goes on with those that were left out."""
RESUME_MS = 5000.0
FILES_MAX = 512
FLOOR_KIB = 4
"""Files with less are not kept; with very many files, the smallest are let go of: each costs 0.5 KiB here."""
AGAIN_MAX = 64
SYSV_NAME = "/SYSV"


@value
class Mount:
    """One tmpfs: where it is mounted, and in KiB what is in it (in RAM and in the store) and what it takes at most.

    None where it does not tell: one without a limit (``size=0``, mm/shmem.c, shmem_statfs), or that is mounted over.
    ``ours``: it is what we see at this path; else it is hidden, or another mount namespace's.
    """

    path: str
    device: int
    used_kib: int | None
    size_kib: int | None
    ours: bool = True


class File:
    """One file and who holds it. ``ends``: it goes with the last of these. Mutable, never leaves the helper."""

    __slots__ = ("device", "ends", "inode", "kib", "kind", "maps", "name", "path", "pids")

    def __init__(self, device: int, inode: int, name: str) -> None:
        self.device = device
        self.inode = inode
        self.name = name
        self.path = ""
        self.kib = 0
        self.kind = ""
        self.ends = False
        self.maps = 0
        self.pids: set[int] = set()


@value
class Found:
    """What a look came to. Not ``complete``: somebody was left out, so nobody is known to be a file's only holder."""

    mounts: tuple[Mount, ...]
    files: tuple[File, ...]
    complete: bool
    swapped_share: float
    """How much of all this lies in the store; of a single file the kernel does not tell."""


class Holders:
    """Looks when told. What a look that ran out of time has found is kept for the next one."""

    def __init__(self, proc: str, look_ms: float = LOOK_MS) -> None:
        self._proc = proc
        self._look_ms = look_ms
        self._internal = internal_device()
        self._files: dict[tuple[int, int], File] = {}
        self._left: list[int] = []
        self._begun_ms = 0.0
        self._floor_kib = FLOOR_KIB

    def look(self, pids: Iterable[int]) -> Found:
        """Every tmpfs, and the files that these processes hold. Takes some 100 ms with 50 of them."""
        started_ms = now_ms()
        wanted = sorted(pids, reverse=True)
        if self._left and started_ms - self._begun_ms < RESUME_MS:
            wanted = [pid for pid in wanted if pid in set(self._left)]
        else:
            self._files, self._begun_ms, self._floor_kib = {}, started_ms, FLOOR_KIB
        spaces, mounts = self._namespaces(wanted)
        devices = {mount.device for mount in mounts} | {self._internal}
        tokens = tuple(token_of(device) for device in devices if device >= 0)
        whole, self._left = True, []
        for place, pid in enumerate(wanted):
            if now_ms() - started_ms > self._look_ms:
                self._left = wanted[place:]
                break
            whole &= self._look_at(pid, devices, tokens, spaces.get(pid, ()))
            self._thin_out()
        resident_kib, swapped_kib = self._weigh_sysv()
        files = tuple(file for file in self._files.values() if file.kind)
        share = self._swapped_share(mounts, files, resident_kib, swapped_kib)
        return Found(mounts, files, whole and not self._left, share)

    def grows(self, files: Iterable[File]) -> tuple[int, float]:
        """(process that fills the file that grows fastest, KiB/s); 0 when none grows. Waits for up to 120 ms."""
        again = sorted((file for file in files if file.path), key=_size, reverse=True)[:AGAIN_MAX]
        pids = sorted({pid for file in again for pid in file.pids})[:AGAIN_MAX]
        before = {pid: self._moved(pid) for pid in pids}
        for file in again:
            self._grown(file, renew=True)
        begun_ms = now_ms()
        for _ in range(APART_TIMES if again else 0):
            time.sleep(APART_S)
            fastest, most = None, 0
            for file in again:
                grown = self._grown(file)
                if grown > most:
                    fastest, most = file, grown
            if fastest is not None:
                moved = {pid: self._moved(pid) - before[pid] for pid in sorted(fastest.pids & before.keys())}
                best = max(moved, key=moved.__getitem__, default=0)
                known = len(fastest.pids) == 1 or moved.get(best, 0) > 0
                return (best, most / max(1.0, now_ms() - begun_ms) * 1000) if known else (0, 0.0)
        return 0, 0.0

    def _namespaces(self, pids: list[int]) -> tuple[dict[int, tuple[str, ...]], tuple[Mount, ...]]:
        """(what to keep away from for each process, every tmpfs that one of them sees), each namespace once."""
        own = read_mountinfo(self._proc)
        measured = {mount.device: mount for mount in _measured(own)}
        known = {_link(f"{self._proc}/self/ns/mnt"): _hanging(own)}
        spaces = {}
        for pid in pids:
            space = _link(f"{self._proc}/{pid}/ns/mnt")
            if space not in known:
                mounts = read_mountinfo(self._proc, pid)
                known[space] = _hanging(mounts)
                for mount in _measured(mounts, f"{self._proc}/{pid}/root"):
                    measured.setdefault(mount.device, mount)
            spaces[pid] = known[space]
        return spaces, tuple(measured.values())

    def _look_at(self, pid: int, devices: Collection[int], tokens: tuple[bytes, ...], avoid: tuple[str, ...]) -> bool:
        opened, all_open = open_files(self._proc, pid, devices, avoid)
        for seen in opened:
            self._note(pid, seen)
        mapped, all_mapped = mapped_files(self._proc, pid, devices, tokens)
        for device, inode, name, path in mapped:
            file = self._files.get((device, inode))
            if file is None or not file.kind:
                looked = look_at(path, name, devices)
                if looked is not None and (looked.device, looked.inode) == (device, inode):
                    self._note(pid, looked)
                elif file is None:  # a file of unknown size, until somebody is seen to have it open
                    self._files[device, inode] = File(device, inode, name)
                file = self._files.get((device, inode))
            if file is not None:
                file.pids.add(pid)
                file.maps += 1
        return all_open and all_mapped

    def _thin_out(self) -> None:
        """One that is let go of is not taken again, for not all its holders would be known."""
        while len(self._files) > FILES_MAX:
            self._floor_kib *= 2
            self._files = {key: file for key, file in self._files.items() if file.kib >= self._floor_kib}

    def _note(self, pid: int, seen: FileSeen) -> None:
        if seen.kib < self._floor_kib:
            return
        file = self._files.setdefault((seen.device, seen.inode), File(seen.device, seen.inode, seen.name))
        file.pids.add(pid)
        file.kib, file.path, file.ends = seen.kib, seen.path, seen.links == 0
        file.kind = "deleted" if seen.links == 0 else "file"
        if seen.device == self._internal:
            file.kind = "memfd" if seen.name.startswith("/memfd:") else "shared"
            if seen.name.startswith(SYSV_NAME):
                file.kind, file.ends = "sysv", False

    def _weigh_sysv(self) -> tuple[int, int]:
        """(resident, swapped) KiB of all segments. One ends with its last user if it is marked for that.

        A segment that has more mappings than were found is somebody else's as well (another PID or IPC namespace).
        """
        segments = read_sysv_shm(self._proc)
        for segment in segments:
            file = self._files.get((self._internal, segment.number))
            if file is not None and file.kind == "sysv":
                file.kib = segment.resident_kib + segment.swapped_kib
                file.ends = segment.marked and file.maps >= segment.attached
        return sum(one.resident_kib for one in segments), sum(one.swapped_kib for one in segments)

    def _swapped_share(
        self, mounts: tuple[Mount, ...], files: tuple[File, ...], resident_kib: int, swapped_kib: int
    ) -> float:
        """Of all that is in files, what is not resident (Shmem in /proc/meminfo) lies in the store."""
        data = read_once(f"{self._proc}/meminfo") or b""
        shmem_kib = find_number(data, b"Shmem:")
        hidden = sum(file.kib for file in files if file.device == self._internal and file.kind != "sysv")
        held_kib = sum(mount.used_kib or 0 for mount in mounts) + hidden + resident_kib + swapped_kib
        if shmem_kib is None or held_kib <= 0:
            return 0.0
        return min(1.0, max(0.0, 1 - shmem_kib / held_kib))

    def _grown(self, file: File, renew: bool = False) -> int:
        """KiB since it was looked at; one that took the place of another (a next log) has grown by all it has."""
        seen = look_at(file.path, file.name, (file.device,))
        if seen is None:
            return 0
        grown = seen.kib - file.kib if seen.inode == file.inode else seen.kib
        if renew and seen.inode == file.inode:
            file.kib = seen.kib
        return grown

    def _moved(self, pid: int) -> int:
        """Bytes that a process passed to write(2) (wchar in /proc/PID/io), and those that it touched in files."""
        written = find_number(read_once(f"{self._proc}/{pid}/io") or b"", b"wchar:") or 0
        touched_kib = find_number(read_once(f"{self._proc}/{pid}/status") or b"", b"RssShmem:") or 0
        return written + 1024 * touched_kib


def gain_of(found: Found, group: Collection[int], store_share: float) -> int:
    """KiB that come back when all of ``group`` die: of files that only they hold and that have no other life.

    ``store_share`` is what a page in the store occupies. Nothing as long as somebody was left out.
    """
    if not found.complete:
        return 0
    held = sum(file.kib for file in found.files if file.ends and file.pids.issubset(group))
    return int(held * (1 - found.swapped_share * (1 - store_share)))


def measure(proc: str, paths: Collection[str]) -> list[Mount]:
    """Those tmpfs that we see at these paths."""
    return [one for one in _measured(tuple(m for m in read_mountinfo(proc) if m.path in paths)) if one.ours]


def _measured(mounts: tuple[MountPoint, ...], root: str = "") -> list[Mount]:
    """Every tmpfs once. What is mounted over cannot be asked."""
    found: dict[int, Mount] = {}
    for mount in mounts:
        if mount.kind != "tmpfs" or mount.device in found:
            continue
        path = root + mount.path
        try:
            usage = os.statvfs(path)
            seen = os.stat(path).st_dev == mount.device
        except OSError:
            seen = False
        tells = seen and usage.f_blocks > 0
        used = (usage.f_blocks - usage.f_bfree) * usage.f_frsize // 1024 if tells else None
        size = usage.f_blocks * usage.f_frsize // 1024 if tells else None
        found[mount.device] = Mount(mount.path, mount.device, used, size, seen and not root)
    return list(found.values())


def _hanging(mounts: tuple[MountPoint, ...]) -> tuple[str, ...]:
    return tuple(mount.path.rstrip("/") + "/" for mount in mounts if mount.may_hang)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _size(file: File) -> int:
    return file.kib
