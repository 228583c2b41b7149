"""The Yocto layer against the tree that it packages: what bitbake would only find out in the middle of a build."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from tests.unit.source_tree import ROOT

LAYER = ROOT / "yocto/meta-lmkd"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RECIPE = LAYER / f"recipes-lmkd/lmkd/lmkd_{PROJECT['version']}.bb"
FEATURES = LAYER / "recipes-kernel/linux/files/lmkd-kmeta/features/lmkd"
OPTION = re.compile(r"CONFIG_[A-Z0-9_]+=[ym]|# CONFIG_[A-Z0-9_]+ is not set|#.*")
# The name of a distribution on the package index, where its recipe is not called so.
RECIPE_NAMES = {"pyyaml": "python3-pyyaml"}


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_the_recipe_has_the_version_of_the_project() -> None:
    assert RECIPE.is_file()


def test_the_recipe_has_the_checksum_of_the_licence() -> None:
    (stated,) = re.findall(r"LICENSE;md5=([0-9a-f]{32})", text(RECIPE))
    licence = (ROOT / "LICENSE").read_bytes()
    assert stated == hashlib.md5(licence).hexdigest()
    assert (LAYER / "COPYING.MIT").read_bytes() == licence


def test_what_the_recipe_takes_from_the_tree_is_there() -> None:
    named = re.findall(r"file://([^ ;]+)(?: |$)", text(RECIPE), re.MULTILINE)
    taken = re.findall(r"\$\{S\}/(configs/[a-zA-Z0-9/.-]+)", text(RECIPE))
    assert {"lmkd", "configs", "pyproject.toml"} <= set(named) and "configs/init/lmkd.service" in taken
    missing = [name for name in (*named, *taken) if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_the_package_depends_on_what_the_project_depends_on(requirement: str) -> None:
    name = re.split(r"[<>=~ ]", requirement)[0].lower()
    assert re.search(rf"^ +{RECIPE_NAMES.get(name, f'python3-{name}')} \\$", text(RECIPE), re.MULTILINE)


def test_kernel_features_name_files_that_are_there() -> None:
    features = sorted(FEATURES.glob("*.scc"))
    assert [feature.name for feature in features] == ["lmkd-zswap.scc", "lmkd.scc"]
    for feature in features:
        named = re.findall(r"^(?:kconf [a-z-]+|include) (\S+)$", text(feature), re.MULTILINE)
        assert f"{feature.stem}.cfg" in named and all((FEATURES / name).is_file() for name in named)


@pytest.mark.parametrize("fragment", sorted(FEATURES.glob("*.cfg")), ids=lambda path: path.name)
def test_a_kernel_fragment_sets_each_option_once(fragment: Path) -> None:
    lines = text(fragment).splitlines()
    assert all(OPTION.fullmatch(line) for line in lines)
    names = re.findall(r"CONFIG_[A-Z0-9_]+", "\n".join(lines))
    assert len(names) == len(set(names)) > 0


def test_without_the_distribution_feature_no_kernel_is_changed() -> None:
    appended = list((LAYER / "recipes-kernel/linux").glob("*.bbappend"))
    assert appended
    for path in appended:
        code = [line for line in text(path).splitlines() if line and not line.startswith("#")]
        assert all("bb.utils.contains('DISTRO_FEATURES', 'lmkd'," in line for line in code)


def test_the_readme_names_the_series_that_the_layer_says_it_works_with() -> None:
    (series,) = re.findall(r'^LAYERSERIES_COMPAT_lmkd = "(.*)"$', text(LAYER / "conf/layer.conf"), re.MULTILINE)
    assert series.split() and all(name in text(LAYER / "README.md") for name in series.split())


def test_the_runtime_test_is_python() -> None:
    path = LAYER / "lib/oeqa/runtime/cases/lmkd.py"
    compile(text(path), str(path), "exec")
