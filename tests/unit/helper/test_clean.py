"""Deleting on a tmpfs: what the patterns mean, oldest first, and nothing outside, linked, open or of another mount."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.helper import clean as module
from lmkd.helper.clean import Cleaner, Old, matches
from lmkd.kernel import pinned
from lmkd.plan import TmpfsRule

SHM = "/dev/shm"


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*.log", ("a.log", "x y.log"), ("a.txt", "d/a.log", ".hidden.log", "a.log/x")),
        ("cache/**", ("cache/x", "cache/d/e/x"), ("cache", "cached/x", "x/cache/y", "cache/.x", "cache/.d/x")),
        ("**/*.tmp", ("x.tmp", "a/x.tmp", "a/b/x.tmp"), ("a/x", "a/.b/x.tmp")),
        ("a/**/b", ("a/b", "a/c/b", "a/c/d/b"), ("a/c", "b", "a/b/c")),
        ("**", ("x", "a/b"), (".x",)),
        ("log/.*", ("log/.x",), ("log/x",)),
        ("app-[0-9]?", ("app-1a",), ("app-xa", "app-1")),
        ("plain", ("plain",), ("plain2", "d/plain")),
    ],
)
def test_a_pattern_means_what_is_written(pattern: str, yes: tuple[str, ...], no: tuple[str, ...]) -> None:
    assert [path for path in yes if not matches(pattern, path)] == []
    assert [path for path in no if matches(pattern, path)] == []


NAMES = st.text(alphabet="ab", min_size=1, max_size=2)


@given(st.lists(NAMES, min_size=1, max_size=4), st.lists(st.one_of(NAMES, st.just("**"), st.just("*")), min_size=1))
def test_a_pattern_never_means_a_folder_above_what_it_names(path: list[str], pattern: list[str]) -> None:
    """A path with fewer parts than the pattern has, ``**`` apart, is not meant."""
    least = sum(part != "**" for part in pattern)
    assert len(path) >= least or not matches("/".join(pattern), "/".join(path))


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder on the machine's own tmpfs."""
    base = Path(SHM) / f"lmkd-clean-{os.getpid()}"
    base.mkdir()
    yield base
    shutil.rmtree(base)


def put(path: Path, age_s: int, kib: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * kib * 1024)
    os.utime(path, (1_000_000 - age_s, 1_000_000 - age_s))
    return path


def cleaner(base: Path, *patterns: str, held: frozenset[tuple[int, int]] = frozenset()) -> Cleaner:
    below = tuple(f"{base.name}/{pattern}" for pattern in patterns)
    return Cleaner("/proc", TmpfsRule(SHM, 0, below, "", "f:1"), held)


def names(found: list[Old]) -> list[str]:
    return ["/".join(old.path[1:]) for old in found]


def test_files_go_oldest_first_and_folders_stay(base: Path) -> None:
    for age, name in ((1, "new.log"), (9, "d/old.log"), (5, "mid.log"), (99, "d/other")):
        put(base / name, age)
    work = cleaner(base, "*.log", "d/*.log")
    found = work.files()
    assert names(found) == ["d/old.log", "mid.log", "new.log"]
    assert [old.kib for old in found] == [8, 8, 8]
    assert all(work.delete(old) for old in found)
    work.close()
    assert sorted(path.name for path in base.rglob("*")) == ["d", "other"]


def test_what_returns_nothing_or_is_no_file_is_left(base: Path) -> None:
    put(base / "linked", 1)
    os.link(base / "linked", base / "second")
    (base / "empty").touch()
    (base / "link").symlink_to("/etc/passwd")
    os.mkfifo(base / "fifo")
    held = put(base / "held", 1).stat()
    work = cleaner(base, "**", held=frozenset(((held.st_dev, held.st_ino),)))
    assert names(work.files()) == []
    work.close()


def test_no_symbolic_link_is_followed(base: Path, tmp_path: Path) -> None:
    outside = put(base / "outside" / "x.log", 1)
    (base / "in").mkdir()
    (base / "in" / "link").symlink_to(base / "outside")
    (base / "in" / "etc").symlink_to("/etc")
    work = cleaner(base, "in/**", "in/link/*.log")
    assert names(work.files()) == []
    work.close()
    assert outside.exists()


def test_a_folder_that_became_a_link_meanwhile_is_not_entered(base: Path) -> None:
    put(base / "d" / "x", 1)
    precious = put(base / "precious" / "x", 1)
    work = cleaner(base, "d/*")
    (old,) = work.files()
    (base / "d").rename(base / "moved")
    (base / "d").symlink_to(base / "precious")
    assert not work.delete(old)
    work.close()
    assert precious.exists() and (base / "moved" / "x").exists()


def test_a_file_that_was_written_or_replaced_meanwhile_is_left(base: Path) -> None:
    written, replaced = put(base / "a", 2), put(base / "b", 1)
    work = cleaner(base, "*")
    found = work.files()
    written.write_bytes(b"new")
    replaced.unlink()
    put(base / "b", 1)
    assert [work.delete(old) for old in found] == [False, False]
    work.close()
    assert written.exists() and replaced.exists()


def test_a_folder_of_another_mount_is_not_entered(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(base / "d" / "x", 1)
    work = cleaner(base, "d/*")
    real = pinned.read_once

    def elsewhere(path: str, limit: int = 0) -> bytes | None:
        """What /proc says of a folder with another file system mounted on it."""
        folder = os.readlink(f"/proc/self/fd/{path.rsplit('/', 1)[1]}")
        return b"pos:\t0\nmnt_id:\t999999\n" if folder.endswith("/d") else real(path, limit)

    monkeypatch.setattr(module, "read_once", elsewhere)
    assert names(work.files()) == []
    work.close()


@pytest.mark.parametrize("mount", ["/", "/etc", "/nonexistent", f"{SHM}/below"])
def test_only_a_tmpfs_at_exactly_this_path_is_touched(mount: str) -> None:
    work = Cleaner("/proc", TmpfsRule(mount, 0, ("**",), "", "f:1"), frozenset())
    assert work.files() == [] and work._root == -1
    work.close()


def test_of_very_many_files_the_oldest_are_remembered(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILES_MAX", 3)
    for number in range(20):
        put(base / f"{number:02}", number)
    work = cleaner(base, "*")
    assert names(work.files()) == ["19", "18", "17"]
    work.close()


def test_the_walk_is_bounded(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES_MAX", 0)
    put(base / "x", 1)
    work = cleaner(base, "*")
    assert work.files() == []
    work.close()


def test_nothing_stays_open(base: Path) -> None:
    put(base / "a" / "b" / "c", 1)
    before = len(os.listdir("/proc/self/fd"))
    work = cleaner(base, "**")
    assert all(work.delete(old) for old in work.files())
    work.close()
    assert len(os.listdir("/proc/self/fd")) == before
