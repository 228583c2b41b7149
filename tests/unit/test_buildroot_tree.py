"""The external tree for Buildroot agrees with lmkd: options, dependencies, files, hashes, kernel options, samples.

With LMKD_BUILDROOT (a Buildroot tree, and flake8, shellcheck and python-magic for its check-package) it is tried there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from lmkd.config import load
from lmkd.kernel.features import Features
from lmkd.values import field_names
from tests.unit.source_tree import ROOT

TREE = ROOT / "buildroot"
MAKEFILE = (TREE / "package/lmkd/lmkd.mk").read_text()
MENU = (TREE / "package/lmkd/Config.in").read_text()
PACKAGES = sorted(path.name for path in (TREE / "package").iterdir())
DEFCONFIGS = sorted((TREE / "configs").iterdir())
SHELL = sorted(
    [*(ROOT / "configs/init").glob("S*"), *(ROOT / "configs/init").glob("openrc/*"),
     *(ROOT / "configs/init/s6/lmkd").glob("[rf][ui]n*"), *TREE.rglob("*.sh")]
)  # fmt: skip

OPTIONS = {
    "psi": ("PSI",),
    "psi_trigger": ("PSI",),
    "psi_cgroup": ("PSI", "CGROUPS"),
    "perf_page_faults": ("PERF_EVENTS",),
    "process_madvise": ("ADVISE_SYSCALLS",),
    "proc_connector": ("NET", "CONNECTOR", "PROC_EVENTS"),
    "cgroup2": ("CGROUPS",),
    "cgroup_memory": ("MEMCG",),
    "memory_reclaim": ("MEMCG",),
    "cgroup_kill": ("CGROUPS",),
    "cgroup_freeze": ("CGROUPS",),
    "swap": ("SWAP",),
    "zram": ("SWAP", "ZSMALLOC", "ZRAM"),
    "zswap": ("SWAP", "ZSMALLOC", "ZSWAP"),
    "device_mapper": ("MD", "BLK_DEV_DM"),
    "lru_gen": ("LRU_GEN", "LRU_GEN_ENABLED"),
    "smaps_rollup": ("PROC_PAGE_MONITOR",),
}
WITHOUT_OPTION = {
    "pidfd_open": "part of every kernel since 5.3",
    "pidfd_send_signal": "part of every kernel since 5.1",
    "process_mrelease": "part of every kernel with an MMU since 5.15",
    "mlockall": "a right",
    "real_time": "a right",
    "lower_oom_adj": "a right",
    "libudev": "a package, selected where there is one",
    "kswapd_tracepoint": "the guard does without, and tracing costs the kernel more than it would bring",
}


PART = re.compile(r"^(?:ifeq \(\$\((\w+)\),y\)|endif|define (\w+)\n(.*?)^endef)$", re.MULTILINE | re.DOTALL)
FIXUPS = "LMKD_LINUX_CONFIG_FIXUPS"


def define(name: str, *chosen: str) -> str:
    """What a multi-line variable of lmkd.mk stands for where the menu's entries ``chosen`` are on, to the last call."""
    condition: str | None = None
    for option, defined, text in PART.findall(MAKEFILE):
        if not defined:
            condition = option.removeprefix("BR2_PACKAGE_LMKD_")
        elif defined == name and (not condition or condition in chosen):
            return re.sub(rf"\$\(({FIXUPS}_\w+)\)", lambda inner: define(inner[1], *chosen), text)
    return ""


def enabled(*chosen: str) -> set[str]:
    """The kernel options that are enabled where the menu's entries ``chosen`` are on."""
    return set(re.findall(r"KCONFIG_(?:ENABLE|SET)_OPT,CONFIG_(\w+)", define(FIXUPS, *chosen)))


def variables(package: str) -> dict[str, str]:
    """The one-line variables of a package's makefile, lines joined."""
    text = (TREE / "package" / package / f"{package}.mk").read_text().replace("\\\n", " ")
    prefix = package.upper().replace("-", "_")
    return dict(re.findall(rf"^{prefix}_(\w+) = (.*)$", text, re.MULTILINE))


def buildroot() -> Path:
    given = os.environ.get("LMKD_BUILDROOT")
    if not given:
        pytest.skip("LMKD_BUILDROOT names no Buildroot tree: not tried against one")
    return Path(given)


def test_the_tree_has_what_buildroot_asks_for() -> None:
    assert "name: LMKD\n" in (TREE / "external.desc").read_text()
    assert "$(BR2_EXTERNAL_LMKD_PATH)/package/*/*.mk" in (TREE / "external.mk").read_text()
    sourced = re.findall(r'^source "\$BR2_EXTERNAL_LMKD_PATH/(.+)"$', (TREE / "Config.in").read_text(), re.MULTILINE)
    assert sorted(sourced) == [f"package/{name}/Config.in" for name in PACKAGES]
    assert all((TREE / name).is_file() for name in sourced)


def test_every_feature_that_doctor_names_has_its_options_or_needs_none() -> None:
    assert OPTIONS.keys() | WITHOUT_OPTION.keys() == set(field_names(Features))
    assert not OPTIONS.keys() & WITHOUT_OPTION.keys()


@pytest.mark.parametrize("feature", sorted(OPTIONS))
def test_the_kernel_options_of_a_feature_are_enabled_for_the_store_that_has_it(feature: str) -> None:
    of_one_store = {"zram": ("ZRAM",), "zswap": ("ZSWAP",), "device_mapper": ("ZSWAP",)}
    for kind in of_one_store.get(feature, ("ZRAM", "ZSWAP")):
        assert set(OPTIONS[feature]) <= enabled(f"STORE_{kind}")


def test_psi_is_not_left_off_at_boot() -> None:
    assert "KCONFIG_DISABLE_OPT,CONFIG_PSI_DEFAULT_DISABLED" in define(FIXUPS)


def test_process_events_need_a_connector_that_is_no_module() -> None:
    assert "KCONFIG_SET_OPT,CONFIG_CONNECTOR,y" in define(FIXUPS)


@pytest.mark.parametrize("kind", ["ZRAM", "ZSWAP"])
def test_a_store_has_the_algorithms_that_a_trial_compares(kind: str) -> None:
    names = {"LZO", "LZ4", "ZSTD"}
    assert {f"CRYPTO_{name}" for name in names} <= enabled(f"STORE_{kind}")
    assert kind == "ZSWAP" or {f"ZRAM_BACKEND_{name}" for name in names} <= enabled(f"STORE_{kind}")


def test_what_one_store_needs_is_not_enabled_without_it() -> None:
    assert "SWAP" not in enabled("STORE_NONE") and "PSI" in enabled("STORE_NONE")
    assert "ZRAM" not in enabled("STORE_ZSWAP") and not {"ZSWAP", "BLK_DEV_DM"} & enabled("STORE_ZRAM")


def test_writing_out_and_recompressing_have_their_options_when_chosen() -> None:
    options = {"ZRAM_WRITEBACK", "ZRAM_MULTI_COMP", "ZRAM_TRACK_ENTRY_ACTIME", "ZRAM_MEMORY_TRACKING"}
    assert options <= enabled("STORE_ZRAM", "ZRAM_WRITEBACK")
    assert options.isdisjoint(enabled("STORE_ZRAM"))


def test_each_kernel_option_is_named_once_and_each_part_used() -> None:
    named = re.findall(r"_OPT,CONFIG_(\w+)", MAKEFILE)
    assert len(named) == len(set(named))
    parts = set(re.findall(rf"^define ({FIXUPS}_\w+)$", MAKEFILE, re.MULTILINE))
    assert parts == set(re.findall(rf"\$\(({FIXUPS}_\w+)\)", MAKEFILE))


def test_all_that_lmkd_depends_on_is_selected() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[<>=!~ ]", each)[0].upper() for each in project["dependencies"]}
    selected = set(re.findall(r"select BR2_PACKAGE_PYTHON_(\w+)", MENU))
    assert selected == needed
    assert "select BR2_PACKAGE_PYTHON3\n" in MENU


def test_pyudev_is_selected_only_where_there_is_libudev() -> None:
    line = re.search(r"select BR2_PACKAGE_PYTHON_PYUDEV(.*)# runtime", MENU)
    assert line and line[1].split() == ["if", "BR2_PACKAGE_HAS_LIBUDEV", "||", "BR2_PACKAGE_HAS_UDEV"]


def test_every_archive_and_licence_has_a_hash() -> None:
    for package in PACKAGES:
        values = variables(package)
        text = (TREE / "package" / package / f"{package}.hash").read_text()
        hashes = {name: digest for digest, name in re.findall(r"^sha256  ([0-9a-f]{64})  (\S+)$", text, re.MULTILINE)}
        expected = set(values["LICENSE_FILES"].split())
        if values.get("SITE_METHOD") != "local":
            expected.add(f"{package}-{values['VERSION']}.tar.gz")
        assert set(hashes) == expected, package
        if package == "lmkd":
            assert hashes["LICENSE"] == hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest()


def test_what_is_installed_is_there_and_is_copied_to_the_build() -> None:
    copied = re.findall(r"--include=/([\w.]+)", MAKEFILE)
    used = re.findall(r"\$\(@D\)/([\w./-]+)", MAKEFILE)
    assert len(used) > 10
    for name in [*used, "pyproject.toml", "README.md", "LICENSE", "lmkd"]:
        assert (ROOT / name).exists(), name
        assert name.split("/")[0] in copied, name


def test_neither_tests_nor_tools_are_copied_to_the_build() -> None:
    assert "--exclude=*\n" in MAKEFILE
    assert set(re.findall(r"--include=/([\w.]+)", MAKEFILE)).isdisjoint(("tests", "tools", "build", "docs"))
    names = {path.name for path in (ROOT / "lmkd").rglob("*")}
    assert not [name for name in names if name in ("tests", "tools") or name.startswith(("test_", "conftest"))]


def test_the_tests_that_psutil_installs_are_removed_from_the_image() -> None:
    assert "LMKD_TARGET_FINALIZE_HOOKS += LMKD_REMOVE_PSUTIL_TESTS\n" in MAKEFILE
    assert define("LMKD_REMOVE_PSUTIL_TESTS").split() == [
        "rm", "-rf", "$(TARGET_DIR)/usr/lib/python$(PYTHON3_VERSION_MAJOR)/site-packages/psutil/tests",
    ]  # fmt: skip


def test_every_sample_is_in_the_menu() -> None:
    samples = {path.stem.upper().replace("-", "_") for path in (ROOT / "configs").glob("*.yaml")}
    offered = set(re.findall(r"^config BR2_PACKAGE_LMKD_CONFIG_(\w+)", MENU, re.MULTILINE))
    assert offered == samples | {"NONE", "CUSTOM", "CUSTOM_FILE"}
    installed = set(re.findall(r"LMKD_CONFIG_FILE_\$\(BR2_PACKAGE_LMKD_CONFIG_(\w+)\)", MAKEFILE))
    assert installed == samples | {"CUSTOM"}


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [("store-zswap", "kind", "zswap"), ("store-none", "kind", "none"), ("trim-off", "trim", False)],
)
def test_a_drop_in_of_the_menu_says_what_it_is_named(name: str, key: str, expected: object) -> None:
    config = load([TREE / "package/lmkd/drop-ins" / f"{name}.yaml"])
    assert f"{name}.yaml" in MAKEFILE
    assert getattr(config.store if key == "kind" else config.policy, key) == expected


@pytest.mark.parametrize("path", DEFCONFIGS, ids=lambda path: path.name)
def test_a_defconfig_has_lmkd_and_checks_what_it_downloads(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert {"BR2_PACKAGE_LMKD=y", "BR2_DOWNLOAD_FORCE_CHECK_HASHES=y", "BR2_LINUX_KERNEL=y"} <= set(lines)
    for name in re.findall(r"\$\(BR2_EXTERNAL_LMKD_PATH\)/([\w./-]+)", path.read_text()):
        assert os.access(TREE / name, os.X_OK), name


@pytest.mark.parametrize("path", DEFCONFIGS, ids=lambda path: path.name)
def test_the_post_image_script_writes_a_script_that_boots_the_defconfigs_image(path: Path, tmp_path: Path) -> None:
    argument = re.search(r'^BR2_ROOTFS_POST_SCRIPT_ARGS="(\w+)"', path.read_text(), re.MULTILINE)
    assert argument
    command = [str(TREE / "board/qemu/post-image.sh"), str(tmp_path), argument[1]]
    subprocess.run(command, env={**os.environ, "HOST_DIR": "/host"}, check=True)
    script = tmp_path / "start-qemu.sh"
    subprocess.run(["sh", "-n", script], check=True)
    assert f"exec qemu-system-{argument[1]} " in script.read_text() and os.access(script, os.X_OK)


def test_the_post_image_script_refuses_a_board_that_it_does_not_know(tmp_path: Path) -> None:
    command = [str(TREE / "board/qemu/post-image.sh"), str(tmp_path), "vax"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and "vax" in ran.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", SHELL, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shell_script_passes_shellcheck(path: Path) -> None:
    tool = shutil.which("shellcheck")
    if tool is None:
        pytest.skip("shellcheck is not installed: shell scripts are not checked")
    # OpenRC reads variables and functions that nothing in the script uses (SC2034).
    options = ["--shell=sh", "--exclude=SC2034"] if path.parent.name == "openrc" else []
    ran = subprocess.run([tool, *options, path], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_buildroots_own_checks_find_nothing() -> None:
    tool = buildroot() / "utils/check-package"
    files = [path for path in TREE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    ran = subprocess.run(
        [tool, "-b", *files, *(ROOT / "configs/init").glob("S*")], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 warnings generated" in ran.stdout + ran.stderr


@pytest.mark.parametrize("path", DEFCONFIGS, ids=lambda path: path.name)
def test_buildroot_takes_every_line_of_a_defconfig(path: Path, tmp_path: Path) -> None:
    make = ["make", "-s", "-C", str(buildroot()), f"O={tmp_path}", f"BR2_EXTERNAL={TREE}"]
    subprocess.run([*make, path.name], check=True, capture_output=True)
    taken = (tmp_path / ".config").read_text().splitlines()
    assert [line for line in path.read_text().splitlines() if line not in taken] == []
