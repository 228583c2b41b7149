"""Owns the layer disk: what changes from run to run (our wheel, load generator, scripts, configuration)."""

from __future__ import annotations

import configparser
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from .architectures import ARCHITECTURES
from .archive import DEFAULT_INIT
from .cache import cache_dir, locked
from .image import FOREGROUND_FILE, GUEST_DIR, Base, compile_tree, make_disk
from .packages import BoardError, Progress, tool

CHECKOUT = Path(__file__).resolve().parents[2]
LOAD_DIR = Path(__file__).parent / "load"
CLIENT_DIR = CHECKOUT / "clients/c"
EXAMPLES_DIR = CHECKOUT / "clients/examples"
REQUESTS = CHECKOUT / "tests/unit/client/requests.c"
# The script a wheel installer writes, less the renaming Windows needs.
SCRIPT = "#!/usr/bin/python3\nimport sys\n\nfrom {module} import {name}\n\nsys.exit({call}())\n"
BUILD = "import importlib, sys; importlib.import_module(sys.argv[1]).build_wheel(sys.argv[2])"
MODULE_SCRIPT = "#!/usr/bin/python3\nimport runpy\n\nrunpy.run_module('lmkd', run_name='__main__')\n"


@dataclass(frozen=True, slots=True)
class Layer:
    """What one run puts on the board."""

    main: str  # the guest's main.sh
    etc: tuple[tuple[str, str], ...] = ()  # name and text of files in /etc/lmkd
    files: tuple[tuple[str, Path], ...] = ()  # name in /lmkd/files and host file
    init: str = DEFAULT_INIT  # process 1: what the base was made for


def build_layer(layer: Layer, base: Base, disk: Path, progress: Progress) -> None:
    """Make the layer disk of one run at `disk`."""
    with tempfile.TemporaryDirectory(prefix="lmkd-layer-") as scratch:
        tree = Path(scratch) / "layer"
        for name in ("guest", "examples", "etc", "files", "site"):
            (tree / name).mkdir(parents=True)
        for name, place in (("guest", GUEST_DIR), ("examples", EXAMPLES_DIR)):
            for script in (*place.glob("*.sh"), *place.glob("*.py")):
                shutil.copy2(script, tree / name / script.name)
                (tree / name / script.name).chmod(0o755)
        if (tree / f"guest/{layer.init}.sh").exists():  # the initramfs knows one name
            (tree / f"guest/{layer.init}.sh").replace(tree / "guest/init.sh")
        (tree / "guest/main.sh").write_text(layer.main, encoding="utf-8")
        for name, text in layer.etc:
            (tree / "etc" / name).write_text(text, encoding="utf-8")
        for name, source in layer.files:
            shutil.copy2(source, tree / "files" / name)
        (tree / "fg.dat").symlink_to("/" + FOREGROUND_FILE)
        _programs(tree, base.architecture)
        site = _site(base, progress)
        if site is not None:
            shutil.copytree(site, tree / "site", dirs_exist_ok=True)
        make_disk(tree, disk, spare_mib=2)


def _digest(paths: list[Path], root: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()[:16]


def _programs(tree: Path, architecture: str) -> None:
    """Compile the load generator (load/*.c), the small programs of guest/*.c, and the C client's examples and requests.

    Each set once per text; they are /lmkd/load, /lmkd/NAME.
    """
    wanted = {source.stem: [source] for source in GUEST_DIR.glob("*.c")}
    client = sorted(CLIENT_DIR.glob("*.c"))
    wanted |= {source.stem: [source, *client] for source in (*EXAMPLES_DIR.glob("*.c"), REQUESTS)}
    load = sorted(LOAD_DIR.glob("*.c"))
    if load:
        wanted["load"] = load
    for name, sources in wanted.items():
        inputs = [*sources, *{header for source in sources for header in source.parent.glob("*.h")}]
        binary = cache_dir() / f"{name}-{architecture}-{_digest(inputs, CHECKOUT)}"
        if not binary.is_file():
            _compile(ARCHITECTURES[architecture].compiler, sources, binary)
        os.utime(binary)
        shutil.copy2(binary, tree / name)


def _compile(compiler: str, sources: list[Path], binary: Path) -> None:
    with tempfile.TemporaryDirectory(dir=binary.parent, prefix="cc-") as scratch:
        made = Path(scratch) / "program"
        command = [tool(compiler), "-O2", "-static", "-pthread", f"-I{CLIENT_DIR}", "-o", str(made), *map(str, sources)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BoardError(f"{' '.join(source.name for source in sources)}: {done.stderr.strip()}")
        made.rename(binary)


def _package_dir() -> Path | None:
    return next((path for path in (CHECKOUT / "lmkd", CHECKOUT / "src/lmkd") if path.is_dir()), None)


def _site(base: Base, progress: Progress) -> Path | None:
    """Directory with lmkd/, dist-info/ and lmkd-script, cached by the sources' text; None without sources."""
    package = _package_dir()
    if package is None:
        return None
    inputs = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    inputs += [path for path in CHECKOUT.glob("*") if path.name in ("pyproject.toml", "README.md", "LICENSE")]
    place = cache_dir() / f"site-{Path(base.root_disk).parent.name}-{_digest(inputs, CHECKOUT)}"
    if place.is_dir():
        os.utime(place)
        return place
    with locked(cache_dir() / "site-lock", progress), tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
        if place.is_dir():
            return place
        made = Path(scratch) / "site"
        made.mkdir()
        if (CHECKOUT / "pyproject.toml").is_file():
            _install_wheel(_build_wheel(Path(scratch), progress), made)
        else:
            shutil.copytree(package, made / "lmkd", ignore=shutil.ignore_patterns("__pycache__"))
            (made / "lmkd-script").write_text(MODULE_SCRIPT, encoding="utf-8")
        (made / "lmkd-script").chmod(0o755)
        compile_tree(base.python, [made / "lmkd"], made, "/usr/lib/python3/dist-packages")
        made.chmod(0o755)
        made.rename(place)
    return place


def _build_wheel(scratch: Path, progress: Progress) -> Path:
    """Build our wheel from a copy of the checkout by asking its build backend, as pip would, but sooner."""
    progress("building the wheel")
    source = scratch / "source"
    ignored = shutil.ignore_patterns(".git", "__pycache__", "build", "*.egg-info", "tests", ".*cache")
    shutil.copytree(CHECKOUT, source, ignore=ignored, symlinks=True)
    system = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    environment = {**os.environ, "PYTHONPATH": str(_backend(tuple(system["requires"]), progress))}
    command = [sys.executable, "-c", BUILD, system["build-backend"], str(scratch)]
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    wheels = sorted(scratch.glob("lmkd-*.whl"))
    if done.returncode != 0 or not wheels:
        raise BoardError(f"the wheel does not build: {done.stderr.strip()[-1500:]}")
    return wheels[-1]


def _backend(requires: tuple[str, ...], progress: Progress) -> Path:
    """Directory with the build backend, fetched once: later runs need no network."""
    wanted = [*requires, "wheel"]
    place = cache_dir() / f"backend-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]}"
    if not place.is_dir():
        progress(f"fetching {', '.join(wanted)}")
        with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
            made = Path(scratch) / "backend"
            command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(made), *wanted]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise BoardError(f"the package index gave no build backend: {done.stderr.strip()[-800:]}")
            made.rename(place)
    os.utime(place)
    return place


def _install_wheel(wheel: Path, made: Path) -> None:
    """Lay the wheel out as an installer would, its dist-info under the name of the base's mount point."""
    shutil.unpack_archive(wheel, made, format="zip")
    info = next(made.glob("lmkd-*.dist-info"))
    info.rename(made / "dist-info")
    points = configparser.ConfigParser(delimiters=("=",))
    points.optionxform = str  # type: ignore[assignment,method-assign]
    points.read(made / "dist-info/entry_points.txt", encoding="utf-8")
    target = points.get("console_scripts", "lmkd", fallback="")
    module, _, call = target.partition(":")
    if not call:
        raise BoardError("the wheel has no console script named lmkd")
    script = SCRIPT.format(module=module, name=call.partition(".")[0], call=call)
    (made / "lmkd-script").write_text(script, encoding="utf-8")
