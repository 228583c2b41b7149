"""Kernel modules: what is at hand, and loading with whichever modprobe there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import modules
from lmkd.kernel.files import roots_under

DEP = "kernel/drivers/block/zram/zram.ko.xz: kernel/mm/zsmalloc.ko.xz\nkernel/drivers/md/dm-mod.ko:\n"


def program(folder: Path, name: str, script: str) -> str:
    """A program of our own in the place of modprobe; the folder, to be searched."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("name", "listed"),
    [("zram", True), ("dm_mod", True), ("dm-mod", True), ("ram", False), ("zsmalloc", True), ("", False)],
)
def test_a_module_is_found_in_the_kernels_lists(name: str, listed: bool) -> None:
    assert modules.listed_in(DEP, name) is listed


def test_a_module_is_loaded_built_in_or_at_hand_or_not_there(tmp_path: Path) -> None:
    roots = roots_under(tmp_path)
    folder = roots.lib / "modules" / "6.1.0"
    folder.mkdir(parents=True)
    assert modules.available(roots, "zram", "6.1.0") is None
    (folder / "modules.dep").write_text(DEP)
    assert modules.available(roots, "zram", "6.1.0") == "module"
    (folder / "modules.builtin").write_text("kernel/drivers/block/zram/zram.ko\n")
    assert modules.available(roots, "zram", "6.1.0") == "built in"
    (roots.sys / "module" / "zram").mkdir(parents=True)
    assert modules.available(roots, "zram", "6.1.0") == "loaded"


def test_modprobe_is_called_with_the_module(tmp_path: Path) -> None:
    folder = program(tmp_path / "bin", "modprobe", f'echo "$@" > {tmp_path}/called\n')
    modules.load("zram", search_path=folder)
    assert (tmp_path / "called").read_text() == "zram\n"


def test_busyboxs_modprobe_will_do(tmp_path: Path) -> None:
    folder = program(tmp_path / "bin", "busybox", f'echo "$@" > {tmp_path}/called\n')
    modules.load("zram", search_path=f"/nonexistent::{folder}")
    assert (tmp_path / "called").read_text() == "modprobe zram\n"


def test_without_modprobe_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        KernelInterfaceError, match=r"zram: not loaded, and there is no modprobe.*load it at boot"
    ):
        modules.load("zram", search_path=str(tmp_path))


def test_what_modprobe_says_is_in_the_error(tmp_path: Path) -> None:
    folder = program(tmp_path / "bin", "modprobe", "echo FATAL: zram not found >&2\nexit 1\n")
    with pytest.raises(KernelInterfaceError, match="failed: FATAL: zram not found"):
        modules.load("zram", search_path=folder)


def test_a_modprobe_that_hangs_is_ended(tmp_path: Path) -> None:
    folder = program(tmp_path / "bin", "modprobe", "exec sleep 60\n")
    with pytest.raises(KernelInterfaceError, match=r"did not end within 0.2 s"):
        modules.load("zram", search_path=folder, deadline_s=0.2)


def test_a_modprobe_that_is_no_program_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "modprobe").write_bytes(b"\x7fELF nonsense")
    (tmp_path / "modprobe").chmod(0o755)
    with pytest.raises(KernelInterfaceError, match=r"modprobe: cannot start|failed"):
        modules.load("zram", search_path=str(tmp_path))
