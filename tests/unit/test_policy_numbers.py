"""The planner's numbers: this board and this configuration, with what the kernel and the rights allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmkd.config import parse_text
from lmkd.errors import ConfigError
from lmkd.kernel.files import Roots, roots_under
from lmkd.plan import TmpfsRule
from lmkd.planner import policy_numbers, tmpfs_rules

MEMINFO = b"".join(
    b"%s %d kB\n" % (key, kib)
    for key, kib in (
        (b"MemTotal:", 249856), (b"MemFree:", 100000), (b"Active(file):", 20000), (b"Inactive(file):", 20000),
        (b"Active(anon):", 20000), (b"Inactive(anon):", 20000), (b"Dirty:", 0), (b"Writeback:", 0), (b"Shmem:", 0),
        (b"AnonPages:", 40000), (b"SwapTotal:", 0), (b"SwapFree:", 0), (b"Cached:", 40000),
    )
)  # fmt: skip
ZONE = "Node 0, zone   Normal\n  pages free 100\n        min      100\n        low      125\n        high     150\n"
ALL_RIGHTS, NO_RESOURCE = "000001ffffffffff", "000001fffeffffff"


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_bytes(MEMINFO)
    (proc / "zoneinfo").write_text(ZONE + "        managed  1000\n")
    (proc / "self" / "status").write_text(f"Uid:\t0\t0\t0\t0\nCapEff:\t{ALL_RIGHTS}\n")
    return roots_under(tmp_path)


def test_the_board_tells_its_memory_and_its_watermarks(roots: Roots) -> None:
    numbers = policy_numbers(roots, parse_text("stall_budget: 50ms"))
    assert (numbers["ram_kib"], numbers["stall_budget_ms"], numbers["kill_horizon_ms"]) == (249856, 50, 150)
    assert numbers["watermark_low_kib"] * 100 == numbers["watermark_min_kib"] * 125
    (roots.proc / "zoneinfo").unlink()
    assert policy_numbers(roots, parse_text(""))["watermark_low_kib"] == 2498


@pytest.mark.parametrize(("rights", "window_us"), [(ALL_RIGHTS, 500_000), (NO_RESOURCE, 2_000_000)])
def test_without_the_right_to_it_the_window_is_one_that_the_kernel_takes(
    roots: Roots, rights: str, window_us: int
) -> None:
    (roots.proc / "self" / "status").write_text(f"Uid:\t0\t0\t0\t0\nCapEff:\t{rights}\n")
    assert policy_numbers(roots, parse_text(""))["psi_window_us"] == window_us


def test_what_the_configuration_gives_is_taken_in_the_units_of_the_policy(roots: Roots) -> None:
    numbers = policy_numbers(
        roots, parse_text("policy: {headroom_floor: 4%, file_floor: 8M, psi_some: 40ms, hold_base: 2s, trim: false}")
    )
    assert (numbers["headroom_floor_kib"], numbers["file_floor_kib"]) == (9994, 8192)
    assert (numbers["psi_some_us"], numbers["psi_full_us"]) == (40_000, 20_000)
    assert (numbers["hold_base_ms"], numbers["trim"], numbers["runaway"]) == (2000, False, True)


@pytest.mark.parametrize("key", ["headroom_floor", "file_floor"])
def test_floors_that_leave_nothing_of_this_board_are_an_error_with_its_place(roots: Roots, key: str) -> None:
    with pytest.raises(ConfigError) as error:
        policy_numbers(roots, parse_text(f"policy: {{{key}: 240M}}", "f"))
    (line,) = error.value.lines
    assert line.startswith(f"f:1:{12 + len(key)}: policy.{key}: ") and "this board has 244.0 MB" in line


def test_what_tmpfs_gives_is_compiled_for_this_board(roots: Roots) -> None:
    assert policy_numbers(roots, parse_text(""))["tmpfs_rungs"] is False
    config = parse_text(
        "tmpfs:\n  - {mount: /tmp, limit: 40%, delete: ['*.log']}\n  - {mount: /run, limit: 8M, tell: /bin/x}\n", "f"
    )
    numbers = policy_numbers(roots, config)
    assert (numbers["tmpfs_rungs"], numbers["tmpfs_limit_kib"]) == (True, 8192)
    assert tmpfs_rules(config, numbers["ram_kib"]) == (
        TmpfsRule("/tmp", 99942, ("*.log",), "", "f:2"),
        TmpfsRule("/run", 8192, (), "/bin/x", "f:3"),
    )
