"""Owns the board's base: root disk, kernel, initramfs, built once and cached under a key of what goes in."""

from __future__ import annotations

import hashlib
import lzma
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import archive
from .architectures import DEFAULT_ARCHITECTURE
from .cache import cache_dir, forget_old, locked
from .interpreter import ensure_python
from .packages import BoardError, Progress, ensure_tools, find_tool, tool

GUEST_DIR = Path(__file__).parent / "guest"
FORMAT = 1  # raise it when the way the tree is made changes and no text below shows it
FOREGROUND_FILE = "usr/share/lmkd-board/fg.dat"
FOREGROUND_FILE_MIB = 16
# Drivers the initramfs loads, in this order, each after its dependencies.
BOOT_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "virtio_console")
KEPT_DRIVERS = ("block", "char", "dax", "md", "virtio")
# Programs of packages that the unpacked tree has no file for, served by busybox.
APPLETS = (
    "sh", "ash", "awk", "grep", "egrep", "fgrep", "sed", "find", "xargs", "mount", "umount", "swapon",
    "swapoff", "ip", "ifconfig", "hostname", "usleep", "poweroff", "reboot", "halt", "ps", "top", "less",
    "vi", "gzip", "gunzip", "zcat", "tar", "cmp", "diff", "which", "uname", "clear", "dmesg", "sleep", "seq",
    "od", "hexdump", "nc", "killall", "time", "timeout", "readlink", "cut", "sort", "head", "tail", "wc",
    "tr", "tee", "yes",
)  # fmt: skip
MOUNT_POINTS = (
    "proc", "sys", "dev", "run", "tmp", "var/lib", "var/log", "root", "lmkd", "etc/lmkd",
    "usr/lib/python3/dist-packages/lmkd", "usr/lib/python3/dist-packages/lmkd-0.dist-info",
)  # fmt: skip
ACCOUNTS = (
    ("etc/passwd", "root:x:0:0:root:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
                   "app:x:1000:1000:app:/tmp:/bin/sh\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\napp:x:1000:\n"),
)  # fmt: skip
UNWANTED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl", "usr/share/info")


@dataclass(frozen=True, slots=True)
class Base:
    """The cached, read-only part of a board."""

    root_disk: Path
    kernel: Path
    initramfs: Path
    python: str  # host interpreter of the board's minor version: compiles what the board imports
    architecture: str = DEFAULT_ARCHITECTURE


def base_key(
    suite: str, init: str = archive.DEFAULT_INIT, architecture: str = DEFAULT_ARCHITECTURE
) -> str:
    """Name of the base that today's inputs make."""
    packages = archive.board_packages(architecture, init)
    parts = [str(FORMAT), suite, architecture, *packages, *BOOT_MODULES, *KEPT_DRIVERS]
    parts += [*APPLETS, *MOUNT_POINTS, *UNWANTED, str(ACCOUNTS), str(FOREGROUND_FILE_MIB)]
    parts.append((GUEST_DIR / "initramfs.sh").read_text(encoding="utf-8"))
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"{suite}-{digest[:16]}"


def ensure_base(
    progress: Progress,
    suite: str = archive.DEFAULT_SUITE,
    init: str = archive.DEFAULT_INIT,
    architecture: str = DEFAULT_ARCHITECTURE,
) -> Base:
    """The suite's base, from the cache or built now; progress gets one line a stage with the seconds so far.

    ``init`` is what its process 1 is to be: a key of ``archive.INIT_PACKAGES``.
    """
    ensure_tools(progress, architecture)
    place = cache_dir() / base_key(suite, init, architecture)
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with locked(place.parent / "lock", progress):
            if not place.is_dir():
                _build(suite, init, architecture, place, _timed(progress))
    os.utime(place)
    forget_old(place.parent)
    return _load(suite, architecture, place, progress)


def _timed(progress: Progress) -> Progress:
    begun = time.monotonic()
    return lambda text: progress(f"[{time.monotonic() - begun:5.1f} s] {text}")


def _load(suite: str, architecture: str, place: Path, progress: Progress) -> Base:
    minor = (place / "python-minor").read_text(encoding="utf-8").strip()
    python = ensure_python(suite, minor, progress)
    return Base(place / "root.ext4", place / "zImage", place / "initramfs.cpio", python, architecture)


def _build(suite: str, init: str, architecture: str, place: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=place.parent, prefix="build-") as scratch:
        work, ready = Path(scratch), Path(scratch) / "ready"
        tree = work / "root"
        ready.mkdir()
        archive.unpack(suite, architecture, archive.board_packages(architecture, init), tree, progress)
        release = _only(tree.glob("lib/modules/*")).name
        shutil.copyfile(_only(tree.glob("boot/vmlinuz-*")), ready / "zImage")
        minor = _only(tree.glob("usr/lib/python3.*")).name.removeprefix("python")
        (ready / "python-minor").write_text(minor + "\n", encoding="utf-8")
        progress("pruning and preparing the tree")
        _prune(tree, release)
        subprocess.run([tool("depmod"), "-b", str(tree), release], check=True, capture_output=True)
        _initramfs(tree, release, work / "early", ready / "initramfs.cpio")
        _prepare(tree)
        if init == "systemd":  # it makes one at its first boot, which a read-only disk never leaves
            (tree / "etc/machine-id").write_text("0" * 31 + "1\n", encoding="utf-8")
        progress(f"byte-compiling with Python {minor}")
        libraries = [f"usr/lib/python{minor}", "usr/lib/python3/dist-packages"]
        compile_tree(ensure_python(suite, minor, progress), [tree / name for name in libraries], tree, "/")
        progress("making the root disk")
        make_disk(tree, ready / "root.ext4", spare_mib=8)
        ready.rename(place)
        progress(f"base ready: {sum(f.stat().st_size for f in place.iterdir()) >> 20} MiB")


def _only(found: Iterator[Path]) -> Path:
    paths = sorted(path for path in found if not path.name.endswith(".old"))
    if not paths:
        raise BoardError("the unpacked tree lacks a kernel, its modules or Python")
    return paths[-1]


def _prune(tree: Path, release: str) -> None:
    """Drop what no board test touches: half of the tree is drivers and documents."""
    modules = tree / "lib/modules" / release / "kernel"
    for directory in (modules / "drivers").iterdir():
        if directory.name not in KEPT_DRIVERS:
            shutil.rmtree(directory)
    for directory in (modules / "sound", modules / "net", tree / "boot", *(tree / name for name in UNWANTED)):
        shutil.rmtree(directory, ignore_errors=True)


def _prepare(tree: Path) -> None:
    for name in MOUNT_POINTS:
        (tree / name).mkdir(parents=True, exist_ok=True)
    (tree / "usr/bin/lmkd").write_text("", encoding="utf-8")
    (tree / "usr/bin/lmkd").chmod(0o755)
    for name, text in ACCOUNTS:
        (tree / name).write_text(text, encoding="utf-8")
    cache = tree / "etc/ld.so.cache"
    cache.unlink(missing_ok=True)
    cache.symlink_to("/run/ld.so.cache")
    for name in APPLETS:
        if not any(os.path.lexists(tree / where / name) for where in ("bin", "sbin", "usr/bin", "usr/sbin")):
            (tree / "bin" / name).symlink_to("busybox")
    data = tree / FOREGROUND_FILE
    data.parent.mkdir(parents=True)
    data.write_bytes(random.Random(0).randbytes(FOREGROUND_FILE_MIB << 20))


def compile_tree(python: str, where: list[Path], strip: Path, prepend: str) -> None:
    """Byte-compile with hashes nobody checks: times on the board's disk need not match the host's."""
    command = [python, "-m", "compileall", "-q", "-j", "0", "-s", str(strip), "-p", prepend]
    command += ["--invalidation-mode", "unchecked-hash", "-x", r"/(lib2to3/tests|test|idlelib)/"]
    done = subprocess.run([*command, *map(str, where)], capture_output=True, text=True, check=False)
    if done.returncode != 0 or not all(any(path.rglob("*.pyc")) for path in where):
        # Not compiled, imports take seconds on the board, and every figure of a start is another.
        raise BoardError(f"{python} did not byte-compile: {(done.stderr + done.stdout).strip()[-800:]}")


def make_disk(tree: Path, disk: Path, spare_mib: int) -> None:
    """Make an ext4 image that holds `tree`, owned by root."""
    used = subprocess.run(["du", "-sk", str(tree)], check=True, capture_output=True, text=True).stdout
    size_kib = int(used.split()[0]) * 108 // 100 + (spare_mib << 10)
    command = [tool("mke2fs"), "-q", "-F", "-t", "ext4", "-m", "0", "-O", "^has_journal"]
    command += ["-E", "root_owner=0:0", "-d", str(tree), str(disk), f"{size_kib}k"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BoardError(f"mke2fs failed: {done.stderr.strip()}")


def _initramfs(tree: Path, release: str, early: Path, target: Path) -> None:
    for name in ("bin", "modules", "proc", "sys", "dev", "root"):
        (early / name).mkdir(parents=True)
    shutil.copy2(tree / "bin/busybox", early / "bin/busybox")
    shutil.copy2(GUEST_DIR / "initramfs.sh", early / "init")
    (early / "init").chmod(0o755)
    order = _module_order(tree / "lib/modules" / release)
    for path in order:
        data = path.read_bytes()
        plain = lzma.decompress(data) if path.suffix == ".xz" else data
        (early / "modules" / path.name.removesuffix(".xz")).write_bytes(plain)
    names = "".join(f"{path.name.removesuffix('.xz')}\n" for path in order)
    (early / "modules/order").write_text(names, encoding="utf-8")
    listing = "\n".join(str(path.relative_to(early)) for path in sorted(early.rglob("*")))
    with target.open("wb") as out:
        command = [find_tool("cpio") or "cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"]
        subprocess.run(command, input=listing.encode(), stdout=out, cwd=early, check=True)


def _module_order(modules: Path) -> list[Path]:
    """Files of BOOT_MODULES after what they need, from modules.dep (file: dep dep, nearest first)."""
    needs: dict[str, list[str]] = {}
    for line in (modules / "modules.dep").read_text(encoding="utf-8").splitlines():
        path, _, rest = line.partition(":")
        stem = Path(path).name.partition(".")[0].replace("-", "_")
        needs[stem] = [*reversed(rest.split()), path]
    order: list[Path] = []
    for name in BOOT_MODULES:
        for part in needs.get(name, []):  # built in, or gone from this kernel: nothing to load
            if modules / part not in order:
                order.append(modules / part)
    return order
