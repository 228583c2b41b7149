"""What the pages for integrators say is so: numbers, configurations, commands, pictures and tables."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import cast

import pytest

from lmkd.cli.main import COMMANDS, Command, new_parser
from lmkd.config import parse_text
from lmkd.config.schema import TOP, fields_of
from lmkd.policy import (
    derive,
    flight,
    forecast,
    freeze,
    headroom,
    learned,
    offender,
    pressure,
    renice,
    step,
    thrash,
    told,
    victim,
    wake,
)
from lmkd.policy import tmpfs as files
from tests.unit.policy.pictures import PICTURES, tuning_page
from tests.unit.source_tree import ROOT

DOCS = ROOT / "docs"
PAGES = [DOCS / f"{name}.md" for name in ("choosing-a-store", "comparison", "events", "how-it-decides", "tuning")]
BLOCK = re.compile(r"(?:^ {4,}.*\n|^\n(?= {4}))+", re.MULTILINE)
KEYS = tuple(field.key for field in fields_of(TOP))
PLACEHOLDER = re.compile(r"[\[\]|]|\.\.\.|\b(?:PID|NAME|FILE|FD|N)\b")
RUNAWAY_MS = next(int(one.fixed or 0) for one in derive.NUMBERS if one.name == "runaway_horizon_ms")
DECIDES = (
    f"from {wake.PERIOD_MAX_KIB // 4} ({wake.PERIOD_MAX_KIB >> 10} MB) down to {wake.PERIOD_MIN_KIB // 4} "
    f"({wake.PERIOD_MIN_KIB >> 10} MB; so much in pages of 4 KB)",
    f"within {wake.AFTER_SEEN_MS['critical']:.0f} ms when somebody has to die, and every {wake.FLIGHT_MS:.0f} ms while",
    f"by {headroom.SWAPPABLE_PCT} % of the memory of applications",
    f"swap on a disk counts for {headroom.DISK_KIB_S * headroom.DISK_MS // 1000 >> 10} MB at most",
    f"for each {headroom.RATIO_STEP_KIB >> 10} MB ({headroom.RATIO_DEFAULT} until then, from {headroom.RATIO_MIN:.0f} "
    f"to {headroom.RATIO_MAX:.0f})",
    f"over {forecast.FAST_MS:.0f} ms and over {forecast.SLOW_MS / 1000} s",
    f"says nothing for {forecast.KNOWN_MS:.0f} ms",
    f"| low | less than {pressure.LOW_PCT} % of RAM |",
    f"| moderate | less than {pressure.MODERATE_PCT} % | somebody has to die in less than "
    f"{pressure.MODERATE_MS / 1000} s; in less than {pressure.UNSURE_MS / 1000:.0f} s when nothing is left but the "
    f"store; or what grows holds {pressure.OWN_PCT} %",
    f"| in less than {pressure.CRITICAL_MS / 1000} s |",
    "free memory and cache no more than two floors" if pressure.USED_UP_FLOORS == 2 else "-",
    f"it takes {pressure.HYSTERESIS_PCT} % more headroom than to enter it, or "
    + ("twice" if pressure.HYSTERESIS_FACTOR == 2 else "-"),
    f"told when it has lasted for {told.EASED_MS / 1000:.0f} s",
    "would last less than a second" if renice.HORIZON_MS == 1000 else "-",
    f"{pressure.VAIN_S} pages a second and more",
    f"and {thrash.COMES_BACK_S} pages a second left for the store" if thrash.WINDOWS == 2 else "-",
    "for two seconds on end (ten stall windows)" if thrash.WINDOWS * thrash.WINDOW_STALLS == 10 else "-",
    f"has {offender.OFFENDER_PCT} % of RAM again",
    "waits for a second after somebody was stopped" if freeze.HELPS_MS == 1000 else "-",
    f"any kill for {files.CLEAN_HOLDS_MS:.0f} ms while files are deleted",
    f"less than {victim.GAIN_MIN_KIB} KB is not worth an application",
    "at least half of the consumption" if victim.GROWTH_SHARE_MIN == 0.5 else "-",
    f"within `runaway_horizon` ({RUNAWAY_MS // 1000} s)",
    f"| {flight.REAP_AFTER_MS:.0f} ms from SIGKILL |",
    f"| {flight.REAP_HERE_MS:.0f} ms, and less than a tenth is back |" if flight.REAP_HERE_SHARE == 0.1 else "-",
    f"{flight.SETTLE_MS:.0f} ms and {flight.SETTLE_MS_PER_MIB} ms for each MB",
    f"| {flight.RETURNED_ENOUGH * 100:.0f} % back",
    f"| {flight.STUCK_AFTER_MS / 1000:.0f} s from SIGKILL, and nothing more is coming",
    f"(from {learned.GAIN_FACTOR_MIN} to {learned.GAIN_FACTOR_MAX}), each new one by {learned.LEARN * 100:.0f} %",
    f"a `refusal` says so, every {step.REFUSE_EVERY_MS / 1000:.0f} s",
    "one and a half floors and two horizons",
)
"""What how-it-decides.md says of each constant, with its value as the code has it."""


WITH_COMMANDS = sorted([ROOT / "README.md", *DOCS.glob("*.md")])


def blocks(page: Path) -> list[str]:
    """The indented blocks of a page, without their indent."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return ["\n".join(line[4:] for line in text.splitlines()) for text in found]


def commands() -> list[tuple[str, str]]:
    """(page, command) of each line `lmkd ...` in a block and each `lmkd ...` in a text that names no placeholder."""
    found = []
    for page in WITH_COMMANDS:
        text = page.read_text(encoding="utf-8")
        lines = [line for block in blocks(page) for line in block.splitlines()]
        lines += [" ".join(one.split()) for one in re.findall(r"`(lmkd [^`]+)`", text)]
        plain = (re.sub(r"\s+#.*", "", line).strip() for line in lines if line.startswith("lmkd "))
        found += [(page.name, line) for line in plain if not PLACEHOLDER.search(line)]
    return sorted(set(found))


def test_every_number_of_how_it_decides_is_the_codes() -> None:
    text = " ".join((DOCS / "how-it-decides.md").read_text(encoding="utf-8").split())
    assert [said for said in DECIDES if said not in text] == []


def test_every_reason_to_end_somebody_is_on_the_page() -> None:
    page = " ".join((DOCS / "how-it-decides.md").read_text(encoding="utf-8").split())
    source = (ROOT / "lmkd/policy/pressure.py").read_text(encoding="utf-8")
    function = source[source.index("def _reason(") : source.index("def _ahead(")]
    reasons = re.findall(r'^\s+return "([^"]+)"$', function, re.MULTILINE)
    assert len(reasons) == 7
    assert [reason for reason in reasons if f"`{reason}`" not in page] == []


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_a_picture_is_as_the_policy_draws_it(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PICTURES[name](), "run `make docs`"


def test_the_table_of_numbers_is_as_they_are_derived() -> None:
    page = (DOCS / "tuning.md").read_text(encoding="utf-8")
    assert page == tuning_page(page), "run `make docs`"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made on the usual forges."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_place_that_a_page_points_at_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", text)
    lost = [f"{name}#{place}" for name, place in found if place not in anchors(page.parent / name if name else page)]
    assert lost == []


def test_every_key_is_one_of_the_configuration() -> None:
    known = {field.path() for section in ("policy", "store", "control", "log") for field in fields_of(section)}
    known |= {f"store.writeback.{field.key}" for field in fields_of("store.writeback")}
    for page in PAGES:
        named = re.findall(r"`((?:policy|store|control|log)\.[\w.]+)`", page.read_text(encoding="utf-8"))
        assert set(named) <= known, page.name


def test_every_configuration_shown_is_one() -> None:
    shown = [
        (page.name, block)
        for page in PAGES for block in blocks(page) if block.strip().split(":")[0] in KEYS
    ]  # fmt: skip
    assert len(shown) >= 6
    for _, block in shown:
        parse_text(block)


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """The rows of a table of a page, by their first cell; the table that follows the heading."""
    text = (DOCS / page).read_text(encoding="utf-8").split(heading, 1)[1].lstrip("\n")
    table = text[text.index("|") :].split("\n\n")[0].splitlines()
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in table if line.startswith("|"))
    return {first: rest for first, *rest in cells}


def test_the_figures_of_the_comparison_are_those_of_the_benchmark() -> None:
    gaps, kept = rows("benchmark.md", "## Worst gap of the foreground\n"), rows("benchmark.md", "applications kept, in")
    shown = rows("comparison.md", "<!-- figures: begin -->")
    assert len(shown) > 6
    for scenario in set(shown) - {"scenario", "---"}:
        for mine, gap, whom in zip(shown[scenario], gaps[scenario], kept[scenario], strict=True):
            worst = re.search(r"worst ([^;]+)", gap)
            assert mine == f"{worst[1] if worst else gap.split(';')[0]}, {whom}", scenario
    idle = rows("benchmark.md", "## An idle board")
    ours = rows("comparison.md", "<!-- figures: end -->")
    for column, name in enumerate(("earlyoom", "nohang", "lmkd")):
        wakes, cpu, memory, _ = idle[name]
        assert [ours[row][column] for row in ("memory (PSS)", "wake-ups", "processor time")] == [memory, wakes, cpu]


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_shown_is_one(page: str, line: str) -> None:
    words = shlex.split(line)[1:]
    chosen = next((known for known in COMMANDS if known.name == words[0]), None)
    assert chosen is not None, f"{page}: {line}"
    if len(words) == 1:
        return  # a command's name alone
    parser, subparsers = new_parser()
    cast(Command, importlib.import_module(chosen.module)).add_parser(subparsers)
    parser.parse_args(words)
