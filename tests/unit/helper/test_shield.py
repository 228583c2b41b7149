"""The shield over a fake cgroup tree: whose memory is protected, how much of it, and what is put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from lmkd.helper.shield import RAM_SHARE_PCT, Shield
from lmkd.model import FLAG_DECLARED_FOREGROUND, Candidate
from tests.unit.plans import FakeProc, make_candidate

RAM_KIB = 200_000
LIMIT_KIB = RAM_KIB * RAM_SHARE_PCT // 100


class Bench:
    """A shield over a fake cgroup2 and a fake /proc."""

    def __init__(self, base: Path, mounted: bool = True) -> None:
        self.mount = base / "cgroup"
        self.mount.mkdir()
        self.proc = FakeProc(base)
        self.reports: list[tuple[str, dict[str, Any], str]] = []
        mount = str(self.mount) if mounted else ""
        self.shield = Shield(str(self.proc.root), mount, RAM_KIB, self._report)

    def _report(self, event: str, fields: tuple[tuple[str, object], ...], level: str) -> None:
        self.reports.append((event, dict(fields), level))

    def group(self, path: str, current_kib: int = 10_000, low: str = "0") -> None:
        """A group and those above it, each with such a memory.low unless it is there."""
        for depth in range(2, path.count("/") + 2):
            folder = self.mount / "/".join(path.split("/")[1:depth])
            if not folder.exists():
                folder.mkdir()
                (folder / "memory.low").write_text(f"{low}\n")
                (folder / "cgroup.procs").write_text("")
        (self.mount / path[1:] / "memory.current").write_text(f"{current_kib * 1024}\n")

    def app(self, pid: int, path: str, priority: int = 0, flags: int = FLAG_DECLARED_FOREGROUND) -> Candidate:
        """A process in this group."""
        self.proc.add(pid, cgroup=path)
        with (self.mount / path[1:] / "cgroup.procs").open("a") as procs:
            procs.write(f"{pid}\n")
        return make_candidate(pid, priority, flags=flags if priority <= 0 else 0)

    def low(self, path: str) -> int:
        """memory.low in KiB."""
        return int((self.mount / path[1:] / "memory.low").read_text()) >> 10

    def lows(self) -> dict[str, str]:
        """All values there are."""
        return {str(path): path.read_text().strip() for path in self.mount.rglob("memory.low")}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_declared_foregrounds_memory_is_protected_along_the_whole_path(bench: Bench) -> None:
    bench.group("/user/ui", 10_000)
    bench.shield.renew([bench.app(10, "/user/ui")])
    assert (bench.low("/user/ui"), bench.low("/user")) == (10_000, 10_000)
    assert bench.reports == [("shield", {"cgroup": "/user/ui", "low_kib": 10_000}, "info")]


@pytest.mark.parametrize(("priority", "flags"), [(0, 0), (100, 0), (900, 0), (-1000, 0)])
def test_who_is_no_declared_foreground_gets_nothing(bench: Bench, priority: int, flags: int) -> None:
    bench.group("/ui")
    bench.shield.renew([bench.app(10, "/ui", priority, flags)])
    assert (bench.low("/ui"), bench.reports) == (0, [])


def test_the_root_group_is_left_alone(bench: Bench) -> None:
    (bench.mount / "cgroup.procs").write_text("")
    bench.shield.renew([bench.app(10, "/")])
    assert bench.lows() == {}


def test_without_cgroup2_nothing_is_touched(tmp_path: Path) -> None:
    bench = Bench(tmp_path, mounted=False)
    bench.group("/ui")
    bench.shield.renew([bench.app(10, "/ui")])
    bench.shield.put_back()
    assert (bench.low("/ui"), bench.reports) == (0, [])


def test_a_group_that_something_less_important_shares_is_left_alone(bench: Bench) -> None:
    bench.group("/session")
    rows = [bench.app(10, "/session"), bench.app(11, "/session", 900)]
    bench.shield.renew(rows)
    assert bench.low("/session") == 0
    bench.group("/other")
    bench.shield.renew([bench.app(12, "/other"), bench.app(13, "/other", 0, flags=0)])
    assert bench.low("/other") == 10_000, "its equals may share it"


def test_a_group_that_something_less_important_joins_is_no_longer_protected(bench: Bench) -> None:
    bench.group("/session")
    front = bench.app(10, "/session")
    bench.shield.renew([front])
    bench.shield.renew([front, bench.app(11, "/session", 900)])
    assert bench.low("/session") == 0


def test_all_together_get_no_more_than_their_share_of_the_memory(bench: Bench) -> None:
    rows = []
    for number, kib in enumerate((LIMIT_KIB - 30_000, 50_000, 50_000)):
        bench.group(f"/ui{number}", kib)
        rows.append(bench.app(10 + number, f"/ui{number}"))
    for _ in range(3):
        bench.shield.renew(rows)
    assert [bench.low(f"/ui{number}") for number in range(3)] == [LIMIT_KIB - 30_000, 30_000, 0]
    assert len(bench.reports) == 2, "what gets nothing is no news"


def test_a_group_above_several_has_what_they_need_together(bench: Bench) -> None:
    """Source: cgroup-v2.rst: what the children have in sum beyond their parent's is shared out, and so is less."""
    bench.group("/user/a", 10_000)
    bench.group("/user/b", 20_000)
    rows = [bench.app(10, "/user/a"), bench.app(11, "/user/b")]
    bench.shield.renew(rows)
    assert bench.low("/user") == 30_000
    bench.shield.renew(rows[:1])
    assert (bench.low("/user"), bench.low("/user/b")) == (10_000, 0)


@pytest.mark.parametrize(("kib", "low"), [(10_500, 10_000), (9_500, 10_000), (20_000, 20_000), (5_000, 5_000)])
def test_a_group_whose_memory_hardly_changed_keeps_its_value(bench: Bench, kib: int, low: int) -> None:
    bench.group("/user/ui", 10_000)
    rows = [bench.app(10, "/user/ui")]
    bench.shield.renew(rows)
    bench.group("/user/ui", kib)
    bench.shield.renew(rows)
    assert (bench.low("/user/ui"), bench.low("/user")) == (low, low)


@pytest.mark.parametrize("low", ["max", "999999999"])
def test_a_protection_that_is_larger_already_stays(bench: Bench, low: str) -> None:
    bench.group("/user/ui", 10_000, low)
    before = bench.lows()
    bench.shield.renew([bench.app(10, "/user/ui")])
    assert bench.lows() == before


# --- put back


def test_a_foreground_that_is_gone_leaves_nothing_behind(bench: Bench) -> None:
    bench.group("/user/ui", 10_000, low="4096000")
    bench.shield.renew([bench.app(10, "/user/ui")])
    bench.shield.renew([])
    assert (bench.low("/user/ui"), bench.low("/user")) == (4000, 4000)
    bench.shield.renew([bench.app(10, "/user/ui")])
    assert bench.low("/user/ui") == 10_000


def test_at_the_end_all_is_as_it_was(bench: Bench) -> None:
    bench.group("/user/ui", 10_000, low="4096000")
    bench.group("/system/panel", 20_000)
    bench.shield.renew([bench.app(10, "/user/ui"), bench.app(11, "/system/panel")])
    bench.group("/user/ui", 40_000)
    bench.shield.put_back()
    assert [bench.low(path) for path in ("/user/ui", "/user", "/system/panel", "/system")] == [4000, 4000, 0, 0]
    bench.shield.put_back()


def test_a_group_that_was_removed_meanwhile_does_no_harm(bench: Bench) -> None:
    bench.group("/user/ui")
    bench.shield.renew([bench.app(10, "/user/ui")])
    for path in (bench.mount / "user" / "ui").iterdir():
        path.unlink()
    (bench.mount / "user" / "ui").rmdir()
    bench.shield.put_back()
    assert bench.low("/user") == 0


# --- what cannot be read


@pytest.mark.parametrize("name", ["memory.current", "memory.low", "cgroup.procs"])
@pytest.mark.parametrize("content", [None, "", "odd\n"])
def test_a_group_that_tells_nothing_is_left_alone(bench: Bench, name: str, content: str | None) -> None:
    bench.group("/user/ui")
    rows = [bench.app(10, "/user/ui")]
    path = bench.mount / "user" / "ui" / name
    path.unlink() if content is None else path.write_text(content)
    before = bench.lows()
    bench.shield.renew(rows)
    if name != "cgroup.procs" or content is None:
        assert (bench.lows(), bench.reports) == (before, [])
    bench.shield.put_back()


def test_a_path_that_leads_out_of_the_tree_is_not_followed(bench: Bench) -> None:
    outside = bench.mount.parent / "outside"
    outside.mkdir()
    for name in ("memory.low", "memory.current", "cgroup.procs"):
        (outside / name).write_text("0\n")
    (outside / "memory.current").write_text("4096000\n")
    bench.proc.add(10, cgroup="/../outside")
    bench.shield.renew([make_candidate(10, 0, flags=FLAG_DECLARED_FOREGROUND)])
    assert (outside / "memory.low").read_text() == "0\n"


PATHS = ("/a/b/c", "/a/b/d", "/a/e", "/f")
STORIES = st.lists(st.dictionaries(st.sampled_from(PATHS), st.integers(0, LIMIT_KIB), max_size=4), max_size=6)


@effort(max_examples=40)
@given(STORIES)
def test_whatever_comes_and_goes_the_limit_holds_and_all_is_put_back(
    tmp_path_factory: pytest.TempPathFactory, story: list[dict[str, int]]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("shield"))
    rows = {}
    for number, path in enumerate(PATHS):
        bench.group(path)
        rows[path] = bench.app(10 + number, path)
    for sizes in story:
        for path, kib in sizes.items():
            bench.group(path, kib)
        bench.shield.renew([rows[path] for path in sizes])
        given = [bench.low(path) for path in PATHS]
        assert sum(given) <= LIMIT_KIB * 9 / 8
        assert all(low == 0 for low, path in zip(given, PATHS, strict=True) if path not in sizes)
        assert abs(bench.low("/a") - sum(given[:3])) <= 3
        assert abs(bench.low("/a/b") - sum(given[:2])) <= 2
    bench.shield.put_back()
    assert set(bench.lows().values()) == {"0"}
