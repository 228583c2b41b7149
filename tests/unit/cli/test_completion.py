"""Completion: made from the commands themselves, and asked of the shells that are here."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lmkd.cli.completion import SHELLS, script
from lmkd.cli.definitions import FILES, PROCESSES, definitions, words_of
from lmkd.cli.main import COMMANDS, main

TREE = definitions()
ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_lmkd
printf '%s\\n' "${COMPREPLY[@]}"
"""


def found(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not here: completion for {name} is not tested")
    return path


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    for shell in SHELLS:
        (tmp_path / shell).write_text(script(shell, TREE))
    return tmp_path


def bash(scripts: Path, *words: str, cwd: Path | None = None) -> list[str]:
    command = [found("bash"), "--norc", "-c", ASK, "-", str(scripts / "bash"), "lmkd", *words]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd, timeout=30)
    assert ran.stderr == ""
    return ran.stdout.split("\n")[:-1]


def test_the_tree_has_every_command_with_what_argparse_knows() -> None:
    assert [one.path[-1] for one in TREE.below] == [entry.name for entry in COMMANDS]
    status = next(one for one in TREE.below if one.path[-1] == "status")
    flags = {flag for option in status.options for flag in option.flags}
    assert {"--json", "--watch", "-w", "--interval", "--socket", "--help"} <= flags
    run = next(one for one in TREE.below if one.path[-1] == "run")
    assert not any("--plan-to" in option.flags for option in run.options), "what nobody types is not offered"
    assert not any("%(" in option.help for one in TREE.everything() for option in one.options)


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: str(entry.name))
def test_a_command_says_in_one_line_what_it_is_for(entry: object) -> None:
    assert all(one.summary and not one.summary.endswith(".") for one in TREE.everything())


@pytest.mark.parametrize(
    ("metavar", "words"),
    [
        ("FILE", (FILES,)),
        ("PATH", (FILES,)),
        ("PID|NAME", (PROCESSES,)),
        ("policy|tmpfs|PID|NAME", ("policy", "tmpfs", PROCESSES)),
        ("NAME", ()),
        ("N", ()),
    ],
)
def test_what_can_be_completed_follows_from_what_stands_for_the_value(metavar: str, words: tuple[str, ...]) -> None:
    assert words_of(argparse.ArgumentParser().add_argument("--x", metavar=metavar)) == words


def test_bash_completes_commands_options_and_values(scripts: Path) -> None:
    assert bash(scripts, "st") == ["status", "store"]
    assert set(bash(scripts, "")) == {entry.name for entry in COMMANDS}
    assert bash(scripts, "status", "--w") == ["--watch"]
    assert bash(scripts, "store", "") == ["up", "down", "move", "status", "trial", "bench"]
    assert "--dry-run" in bash(scripts, "store", "up", "--")
    assert bash(scripts, "completion", "b") == ["bash"]
    assert bash(scripts, "set", "x", "ca") == ["cached"]
    assert bash(scripts, "set", "--socket", "/s", "x", "bac") == ["background"]
    assert "policy" in bash(scripts, "explain", "pol")
    assert bash(scripts, "events", "--since", "") == [""]


def test_bash_completes_files_where_files_are_meant(scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "my file.yaml").touch()
    assert bash(scripts, "check", "my", cwd=tmp_path) == ["my file.yaml"]
    assert bash(scripts, "check", "a.yaml", "b.yaml", "my", cwd=tmp_path) == ["my file.yaml"]
    assert bash(scripts, "run", "--config", "my", cwd=tmp_path) == ["my file.yaml"]
    assert bash(scripts, "check", "my\\ fi", cwd=tmp_path) == ["my file.yaml"], "the shell has quoted what it completed"
    assert bash(scripts, "run", "--config", "=", "my", cwd=tmp_path) == ["my file.yaml"]


def test_bash_completes_processes_and_never_runs_what_one_calls_itself(scripts: Path, tmp_path: Path) -> None:
    name = "$(>ouch)"
    shutil.copy(found("sleep"), tmp_path / name)
    with subprocess.Popen([str(tmp_path / name), "60"]) as hostile:
        try:
            assert bash(scripts, "kill", "$(>", cwd=tmp_path) == ["\\$\\(\\>ouch\\)"]
            assert bash(scripts, "kill", "\\$\\(\\>o", cwd=tmp_path) == ["\\$\\(\\>ouch\\)"]
        finally:
            hostile.kill()
    assert not (tmp_path / "ouch").exists()


def test_zsh_takes_its_script(scripts: Path) -> None:
    ran = subprocess.run([found("zsh"), "-n", str(scripts / "zsh")], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


ASK_ZSH = """
compdef() { }
_files() { print -r -- @files }
_describe() { print -rl -- $said }
compadd() { print -rl -- $names }
source "$1"; shift
words=("$@"); CURRENT=$#
_lmkd
true
"""


def test_zsh_offers_commands_options_and_values(scripts: Path) -> None:
    """zsh itself picks those that begin as the word does: here all are told."""

    def zsh(*words: str) -> list[str]:
        command = [found("zsh"), "-f", "-c", ASK_ZSH, "-", str(scripts / "zsh"), "lmkd", *words]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        assert ran.stderr == ""
        return [line.split(":")[0] for line in ran.stdout.splitlines()]

    assert zsh("") == [entry.name for entry in COMMANDS]
    assert "--watch" in zsh("status", "--")
    assert "bench" in zsh("store", "") and "--dry-run" in zsh("store", "up", "-")
    assert zsh("set", "x", "") == ["protected", "foreground", "visible", "service", "background", "cached"]
    assert zsh("run", "--config", "") == ["@files"]
    assert zsh("events", "--since", "") == []
    assert any("python" in name or "bash" in name or "zsh" in name for name in zsh("kill", ""))


def test_fish_completes_commands_options_and_values(scripts: Path, tmp_path: Path) -> None:
    def fish(line: str) -> list[str]:
        text = f"source {scripts / 'fish'}; complete -C '{line}'"
        ran = subprocess.run(
            [found("fish"), "--no-config", "-c", text], capture_output=True, text=True, check=True,
            env={**os.environ, "HOME": str(tmp_path)}, timeout=60,
        )  # fmt: skip
        return [one.split("\t")[0] for one in ran.stdout.splitlines()]

    assert fish("lmkd st") == ["status", "store"]
    assert "--watch" in fish("lmkd status --w")
    assert set(fish("lmkd store ")) >= {"up", "down", "move"} and "bench" not in fish("lmkd status ")
    assert "cached" in fish("lmkd set x ca")
    assert fish("lmkd completion b") == ["bash"]


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in SHELLS:
        assert main(["completion", shell]) == 0
        assert capsys.readouterr().out == script(shell, TREE)
