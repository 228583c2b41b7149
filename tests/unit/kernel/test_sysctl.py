"""Kernel tunables by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import sysctl
from lmkd.kernel.files import Roots, roots_under


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """A tree with two tunables."""
    made = roots_under(tmp_path)
    for path, text in (
        (made.proc / "sys/vm/swappiness", "60\n"),
        (made.sys / "kernel/mm/lru_gen/min_ttl_ms", "0\n"),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return made


def test_a_tunable_is_read_and_set_by_its_name(roots: Roots) -> None:
    assert sysctl.read(roots, "vm.swappiness") == 60
    assert sysctl.write(roots, "vm.swappiness", 150) == 150
    assert sysctl.read(roots, "vm.swappiness") == 150


def test_mglrus_protection_is_a_tunable_too(roots: Roots) -> None:
    assert sysctl.read(roots, sysctl.MIN_TTL) == 0


def test_one_that_this_kernel_lacks_is_none_and_not_zero(roots: Roots) -> None:
    assert sysctl.read(roots, "vm.watermark_boost_factor") is None


def test_setting_one_that_this_kernel_lacks_is_an_error(roots: Roots) -> None:
    with pytest.raises(KernelInterfaceError, match=r"page-cluster: cannot write '0'.*ENOENT"):
        sysctl.write(roots, "vm.page-cluster", 0)


@pytest.mark.parametrize(
    "name", ["", "vm", "vm.", "kernel.core_pattern", "vm.../x", "vm.a/b", "vm.a.b", "vm.\u00e9", "vm.\0"]
)
def test_no_name_points_outside_the_tunables_that_lmkd_knows(roots: Roots, name: str) -> None:
    with pytest.raises(KernelInterfaceError, match=r"lmkd knows vm\.NAME"):
        sysctl.path_of(roots, name)
