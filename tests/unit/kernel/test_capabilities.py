"""Abilities: what is missing and what that costs; where nothing can work."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmkd.errors import CannotWorkError, KernelInterfaceError
from lmkd.kernel.capabilities import missing_abilities, parse_abilities, require_workable
from lmkd.kernel.files import Roots, roots_under

ALL = 0x1FFFFFFFFFF


def tree(base: Path, user: int, mask: int) -> Roots:
    """A /proc whose self has this user and these capabilities."""
    roots = roots_under(base)
    path = roots.proc / "self" / "status"
    path.parent.mkdir(parents=True)
    path.write_text(f"Name:\tpython3\nUid:\t1000\t{user}\t{user}\t{user}\nCapPrm:\t0\nCapEff:\t{mask:016x}\n")
    return roots


def test_root_with_everything_misses_nothing(tmp_path: Path) -> None:
    roots = tree(tmp_path, 0, ALL)
    assert missing_abilities(roots) == ()
    require_workable(roots)


@pytest.mark.parametrize(
    ("bit", "name"),
    [
        (5, "CAP_KILL"),
        (12, "CAP_NET_ADMIN"),
        (14, "CAP_IPC_LOCK"),
        (19, "CAP_SYS_PTRACE"),
        (21, "CAP_SYS_ADMIN"),
        (23, "CAP_SYS_NICE"),
        (24, "CAP_SYS_RESOURCE"),
    ],
)
def test_each_missing_capability_is_one_line_with_its_cost(tmp_path: Path, bit: int, name: str) -> None:
    ((found, cost),) = missing_abilities(tree(tmp_path, 0, ALL & ~(1 << bit)))
    assert found == name
    assert cost
    assert "\n" not in cost


def test_an_ordinary_user_without_cap_kill_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(CannotWorkError, match="user 1000 without CAP_KILL") as caught:
        require_workable(tree(tmp_path, 1000, 0))
    assert caught.value.exit_code == 3


def test_an_ordinary_user_with_cap_kill_and_root_without_capabilities_can(tmp_path: Path) -> None:
    require_workable(tree(tmp_path / "a", 1000, 1 << 5))
    require_workable(tree(tmp_path / "b", 0, 0))


def test_without_proc_nothing_can_work(tmp_path: Path) -> None:
    with pytest.raises(CannotWorkError, match="/proc is not readable"):
        require_workable(roots_under(tmp_path))


@pytest.mark.parametrize(
    "text", ["", "Uid:\t0\t0\n", "CapEff:\tff\n", "Uid:\t0\nCapEff:\tff\n", "Uid:\t0\t0\nCapEff:\tzz\n"]
)
def test_a_status_that_is_cut_short_is_an_error(text: str) -> None:
    with pytest.raises(KernelInterfaceError, match="Uid and CapEff"):
        parse_abilities(text)
