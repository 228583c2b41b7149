"""What an application takes over with the client: a folder that stands alone, typed, with little of Python loaded."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import lmkd.client
from tests.unit.source_tree import ROOT, imports, modules

FOLDER = Path(lmkd.client.__file__).parent
MODULES = modules()
# asyncio alone is 5 MB resident on a board, dataclasses 1 MB: only who asks for them pays.
HEAVY = {"asyncio", "dataclasses", "inspect", "logging", "subprocess", "random", "pathlib"}


def run(folder: Path, script: str) -> str:
    command = [sys.executable, "-I", "-S", "-c", f"import sys\nsys.path.insert(0, {str(folder)!r})\n{script}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_it_imports_itself_and_the_standard_library_only() -> None:
    targets = {
        each.target for name in MODULES if name.startswith("lmkd.client") for each in imports(name, MODULES)
    }
    foreign = {target for target in targets if target.split(".")[0] not in sys.stdlib_module_names}
    assert {target for target in foreign if not target.startswith("lmkd.client")} == set()


def test_a_copy_of_the_folder_works_under_another_name(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "pressure", ignore=shutil.ignore_patterns("__pycache__"))
    script = """
import pressure, pressure.aio
client = pressure.Client("/nowhere")
print(client.register(), client.subscribe())
try:
    client.status()
except pressure.NotAvailable as error:
    print(error)
print(*[name for name in sys.modules if name.split(".")[0] == "lmkd"])
"""
    assert run(tmp_path, script) == "None None\nlmkd is not running here: no socket at /nowhere\n\n"


def test_the_synchronous_client_loads_nothing_heavy() -> None:
    script = f"import lmkd.client\nprint(*sorted(set({sorted(HEAVY)!r}) & set(sys.modules)))"
    assert run(ROOT, script).split() == []


def test_the_marks_of_a_typed_package_are_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    data = project["tool"]["setuptools"]["package-data"]
    for package, folder in (("lmkd", FOLDER.parent), ("lmkd.client", FOLDER)):
        assert data[package] == ["py.typed"] and (folder / "py.typed").is_file()


def test_all_that_is_exported_is_there() -> None:
    assert all(hasattr(lmkd.client, name) for name in lmkd.client.__all__)
