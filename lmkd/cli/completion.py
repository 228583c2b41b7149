"""``lmkd completion``: what bash, zsh and fish need to complete command lines, made from the commands themselves."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from lmkd.errors import EXIT_OK

if TYPE_CHECKING:
    from lmkd.cli.definitions import Definition

SHELLS = ("bash", "zsh", "fish")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd completion``."""
    parser = subparsers.add_parser(
        "completion",
        help="print completion for a shell",
        description="Print what a shell needs to complete lmkd's commands, options and the names of processes.",
        epilog="Example: `eval \"$(lmkd completion bash)\"` in ~/.bashrc; `lmkd completion zsh` goes into a file _lmkd "
        "in fpath, `lmkd completion fish` into ~/.config/fish/completions/lmkd.fish",
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    from lmkd.cli.definitions import definitions

    print(script(args.shell, definitions()), end="")
    return EXIT_OK


def script(shell: str, tree: Definition) -> str:
    """The script for one of ``SHELLS``."""
    makers: dict[str, Callable[[Definition], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    return makers[shell](tree)


def _plain(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _turns(tree: Definition) -> Iterable[str]:
    """Arms of a case over "PATH WORD": which word leads to another command, and which option takes a value."""
    for one in tree.everything():
        path = " ".join(one.path)
        for lower in one.below:
            yield f"            {_plain(' '.join(lower.path))}) at={_plain(' '.join(lower.path))}; place=0 ;;"
        for option in one.options:
            if option.metavar:
                arms = "|".join(_plain(f"{path} {flag}") for flag in option.flags)
                yield f"            {arms}) value={_plain(' '.join(option.words) or '@none')} ;;"


def _places(tree: Definition) -> Iterable[str]:
    """Arms of a case over "PATH:PLACE": what can stand there."""
    for one in tree.everything():
        path = " ".join(one.path)
        for place, operand in enumerate(one.operands):
            arm = f"{_plain(f'{path}:{place}')}" + (f"|{_plain(path + ':')}*" if operand.many else "")
            yield f"        {arm}) value={_plain(' '.join(operand.words))} ;;"
        if one.below:
            yield f"        {_plain(f'{path}:0')}) value={_plain(' '.join(lower.path[-1] for lower in one.below))} ;;"


def _flags(tree: Definition) -> Iterable[str]:
    for one in tree.everything():
        flags = " ".join(flag for option in one.options for flag in option.flags)
        yield f"        {_plain(' '.join(one.path))}) flags={_plain(flags)} ;;"


_WALK = """\
    local at=lmkd place=0 value= flags= word index
    for ((index = FIRST; index < LAST; index++)); do
        word=${WORDS[index]}
        if [[ -n $value ]]; then
            [[ $word == '=' ]] || value=
            continue
        fi
        case "$at $word" in
TURNS
            *' -'*) ;;
            *) place=$((place + 1)) ;;
        esac
    done
    case "$at" in
FLAGS
    esac
    if [[ -z $value && CURRENT_WORD != -* ]]; then
        case "$at:$place" in
PLACES
        esac
    fi
"""


def _walk(tree: Definition, first: str, last: str, words: str, current: str) -> str:
    text = _WALK.replace("FIRST", first).replace("LAST", last).replace("WORDS", words)
    text = text.replace("CURRENT_WORD", current)
    for mark, lines in (("TURNS", _turns(tree)), ("FLAGS", _flags(tree)), ("PLACES", _places(tree))):
        text = text.replace(mark + "\n", "\n".join(lines) + "\n")
    return text


# A process may call itself anything, $(reboot) as well: its name is compared and quoted, never expanded.
_BASH = """\
# bash completion for lmkd, made by: lmkd completion bash
_lmkd() {
    local cur=${COMP_WORDS[COMP_CWORD]} name typed
    [[ $cur == '=' ]] && cur=
    typed=${cur//\\\\/}
    COMPREPLY=()
WALK
    [[ -n $value ]] || value=$flags
    for word in $value; do
        case "$word" in
            @files)
                compopt -o filenames 2>/dev/null
                while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -f -- "$typed") ;;
            @processes)
                while IFS= read -r name; do
                    [[ $name == "$typed"* ]] && COMPREPLY+=("$(printf %q "$name")")
                done < <(cat /proc/[0-9]*/comm 2>/dev/null | sort -u) ;;
            @none) ;;
            "$cur"*) COMPREPLY+=("$word") ;;
        esac
    done
}
complete -F _lmkd lmkd
"""


def _bash(tree: Definition) -> str:
    walk = _walk(tree, "1", "COMP_CWORD", "COMP_WORDS", "$cur")
    return _BASH.replace("WALK\n", walk)


_ZSH = """\
#compdef lmkd
# zsh completion for lmkd, made by: lmkd completion zsh
_lmkd() {
    emulate -L zsh
    local -a said names
WALK
    [[ -n $value ]] || value=$flags
    for word in ${=value}; do
        case "$word" in
            @files) _files ;;
            @processes)
                names=(${(fu)"$(cat /proc/[0-9]*/comm 2>/dev/null)"})
                compadd -a names ;;
            @none) ;;
            *)
                case "$at $word" in
HELPS
                    *) said+=("$word") ;;
                esac ;;
        esac
    done
    (( $#said )) && _describe lmkd said
}
if [[ $0 == _lmkd ]]; then _lmkd "$@"; else compdef _lmkd lmkd; fi
"""


def _zsh(tree: Definition) -> str:
    arms = []
    for one in tree.everything():
        path = " ".join(one.path)
        told = [(lower.path[-1], lower.summary) for lower in one.below]
        told += [(flag, option.help) for option in one.options for flag in option.flags]
        arms += [
            f"                    {_plain(f'{path} {word}')}) said+=({_plain(word + ':' + text)}) ;;"
            for word, text in told
        ]
    walk = _walk(tree, "2", "CURRENT", "words", "$words[CURRENT]")
    return _ZSH.replace("WALK\n", walk).replace("HELPS\n", "\n".join(arms) + "\n")


_FISH = """\
# fish completion for lmkd, made by: lmkd completion fish
function __lmkd_processes
    cat /proc/[0-9]*/comm 2>/dev/null | sort -u
end
function __lmkd_at
    set -l given (commandline -opc | string match -v -- '-*')
    set -e given[1]
    for index in (seq (count $argv))
        test "$given[$index]" = "$argv[$index]"; or return 1
    end
end
function __lmkd_bare
    test (count (commandline -opc | string match -v -- '-*')) -eq (math $argv[1] + 1)
end
complete -c lmkd -f
"""


def _fish(tree: Definition) -> str:
    lines = []
    for one in tree.everything():
        at = "__lmkd_at " + " ".join(one.path[1:]) if one.path[1:] else "true"
        bare = f"__lmkd_bare {len(one.path) - 1}"
        for lower in one.below:
            lines.append(f"complete -c lmkd -n {_fished(f'{at}; and {bare}')} -a {lower.path[-1]} "
                         f"-d {_fished(lower.summary)}")  # fmt: skip
        for option in one.options:
            if one.path[1:] or option.flags[0] not in ("-h", "--help"):
                long = [f"-l {flag[2:]}" for flag in option.flags if flag.startswith("--")]
                names = " ".join([*long, *(f"-s {flag[1:]}" for flag in option.flags if flag[1] != "-")])
                takes = f" -r{_fish_words(option.words)}" if option.metavar else ""
                lines.append(f"complete -c lmkd -n {_fished(at)} {names}{takes} -d {_fished(option.help)}")
        for operand in one.operands:
            if operand.words:
                lines.append(f"complete -c lmkd -n {_fished(at)}{_fish_words(operand.words)}")
    return _FISH + "\n".join([*lines, ""])


def _fish_words(words: tuple[str, ...]) -> str:
    shown = ["(__lmkd_processes)" if word == "@processes" else word for word in words if word != "@files"]
    return (" -F" if "@files" in words else "") + (f" -a {_fished(' '.join(shown))}" if shown else "")


def _fished(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
