"""The pictures of docs/how-it-decides.md and the table of docs/tuning.md, made by the policy itself.

``tests.unit.pages`` writes them. The board is the simulated one of the policy's own tests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from lmkd.model import Candidate, Kill, Note, Sample, StoreSample
from lmkd.policy.derive import NUMBERS, PSI_STEP_US, derive_numbers
from lmkd.policy.headroom import RATIO_DEFAULT, headroom
from lmkd.policy.pressure import LOW_PCT, MODERATE_PCT
from lmkd.policy.table import table_of
from lmkd.policy.victim import Choice, Grower, choose
from lmkd.units import format_kib, format_ms
from lmkd.values import replace
from tests.unit.policy.builders import LIMIT_KIB, RAM_KIB, SETTINGS, SWAP_KIB, WATERMARK_LOW_KIB, declared, make_app
from tests.unit.policy.simulated import AppSpec, BoardSpec, Turn, run

WIDTH = 880
STYLE = """\
  svg { font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 12px; }
  .paper { fill: #ffffff; } text { fill: #1f2328; } .quiet { fill: #59636e; } .small { font-size: 11px; }
  .heading { font-size: 16px; font-weight: 600; } .frame { fill: none; stroke: #8b949e; }
  .limit { stroke: #cf222e; stroke-width: 1.2; stroke-dasharray: 5 3; fill: none; }
  text.limit { stroke: none; fill: #cf222e; }
  .free { fill: #9aa7b4; } .cache { fill: #e69f00; } .store { fill: #cc79a7; } .anon { fill: #56b4e9; }
  .rest { fill: #c8cdd2; } .calm { fill: #1a7f37; } .low { fill: #bf8700; } .moderate { fill: #d1570a; }
  .critical { fill: #cf222e; } .victim { fill: #cf222e; } .other { fill: #56b4e9; } .never { fill: #8c8c8c; }
  .mark { stroke: #1f2328; stroke-width: 1.2; } text.on { fill: #ffffff; font-weight: 600; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; } text { fill: #e6edf3; } .quiet { fill: #9198a1; } .mark { stroke: #e6edf3; }
    .limit { stroke: #f85149; } text.limit { fill: #f85149; } .rest { fill: #545d68; } .free { fill: #768390; }
  }
"""
GROWER = 109
STORY = BoardSpec(
    (
        AppSpec(24_000, 0, is_declared=True),
        *[AppSpec(12_000, 900) for _ in range(8)],
        AppSpec(4000, 200, 30_000, grows_from_ms=1500),
    ),
    cache_kib=40_000,
)
"""A foreground, eight applications of 12 MB in the background, and one that grows at 30 MB/s from 1.5 s on."""
BEFORE = 4
"""Looks of the guard that are shown from before it was told of."""
MOMENT = Sample(
    t_ms=0.0, cause="timer", free_kib=30_000, file_kib=46_000, dirty_kib=2000, anon_kib=112_000, shmem_kib=4000,
    swap_total_kib=SWAP_KIB, swap_free_kib=SWAP_KIB - 40_000, store=StoreSample(40_000, 15_000, 16_000, LIMIT_KIB),
)  # fmt: skip
"""A board of 256 MB in use, with 40 MB in its store."""
BOARDS = ((46 << 10, 33), (235 << 10, 33), (980 << 10, 33), (235 << 10, 100))
"""MemTotal and stall_budget of the columns of the table."""
BEGIN, END = "<!-- numbers: begin -->", "<!-- numbers: end -->"

Apps = Sequence[Candidate]


def text(x: float, y: float, said: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


def box(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:.1f}"/>'


def line(kind: str, x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"/>'


def whole(title: str, subtitle: str, height: int, parts: Iterable[str]) -> str:
    """The SVG text of a picture."""
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-labelledby="title subtitle">',
        f"<style>\n{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        f'<text id="title" class="heading" x="16" y="26">{escape(title)}</text>',
        f'<text id="subtitle" class="quiet" x="16" y="45">{escape(subtitle)}</text>',
        *parts, "</svg>", "",
    ])  # fmt: skip


def headroom_picture() -> str:
    """What RAM holds, and what of it is headroom."""
    room = headroom(MOMENT, SETTINGS, RATIO_DEFAULT)
    assert MOMENT.store is not None
    held = MOMENT.free_kib + MOMENT.file_kib + MOMENT.anon_kib + MOMENT.shmem_kib + MOMENT.store.used_kib
    left, scale = 110.0, (WIDTH - 126) / RAM_KIB
    rows = (
        ("the RAM", 70.0, (
            ("rest", "kernel, services", RAM_KIB - held), ("store", "store", MOMENT.store.used_kib),
            ("anon", "applications", MOMENT.anon_kib + MOMENT.shmem_kib), ("cache", "file cache", MOMENT.file_kib),
            ("free", "free", MOMENT.free_kib),
        )),
        ("the headroom", 130.0, (
            ("free", "free", room.free_kib), ("cache", "cache", room.cache_kib),
            ("store", "what the store gives back", room.store_kib),
        )),
    )  # fmt: skip
    parts = []
    for name, y, pieces in rows:
        x = left
        parts.append(text(left - 8, y + 20, name, anchor="end"))
        for kind, label, kib in pieces:
            parts.append(box(kind, x, y, kib * scale, 30))
            if kib * scale > 40:
                parts.append(text(x + 4, y + 13, label, "small"))
                parts.append(text(x + 4, y + 26, format_kib(kib), "small"))
            x += kib * scale
    for label, kib in _edges():
        x = left + kib * scale
        parts += [line("limit", x, 126, x, 172), text(x, 184, label, "limit small", "middle")]
    said = (
        f"free: {format_kib(MOMENT.free_kib)} less the low watermark of {format_kib(WATERMARK_LOW_KIB)}",
        f"cache: {format_kib(MOMENT.file_kib)} less {format_kib(MOMENT.dirty_kib)} that is dirty and the floor of "
        f"{format_kib(SETTINGS.file_floor_kib)}",
        f"store: pages that may still go there, each less what it takes there itself (ratio {RATIO_DEFAULT})",
    )
    parts += [text(left, 206 + 16 * number, one, "quiet small") for number, one in enumerate(said)]
    title = f"Headroom: {format_kib(room.total_kib)} of {format_kib(RAM_KIB)}"
    return whole(title, "how much more applications can take before the kernel has to stall them", 250, parts)


def _edges() -> tuple[tuple[str, int], ...]:
    floor = SETTINGS.headroom_floor_kib
    shares = ((f"{pct}%", floor + RAM_KIB * pct // 100) for pct in (MODERATE_PCT, LOW_PCT))
    return ("floor", floor), *shares


@dataclass(frozen=True)
class Plot:
    """Where a time and an amount are in the picture of the story."""

    start_ms: float
    end_ms: float
    most_kib: float
    left: float = 70.0
    top: float = 96.0
    high: float = 200.0

    def x(self, t_ms: float) -> float:
        return self.left + (t_ms - self.start_ms) / (self.end_ms - self.start_ms) * (WIDTH - self.left - 20)

    def y(self, kib: float) -> float:
        return self.top + self.high * (1 - max(0.0, kib) / self.most_kib)

    @property
    def bottom(self) -> float:
        return self.top + self.high


def story_picture() -> str:
    """Headroom over time on the simulated board, the level that is told beneath, and what was done."""
    turns = run(STORY, duration_ms=9500.0)[0]
    first = next(number for number, turn in enumerate(turns) if turn.after.level != "calm")
    last = turns[-1]
    rest = dataclasses.replace(last, sample=replace(last.sample, t_ms=last.sample.t_ms + 700), actions=())
    shown = [*turns[first - BEFORE :], rest]
    start = shown[0].sample.t_ms
    plot = Plot(start, rest.sample.t_ms, max(turn.after.room.total_kib for turn in shown) * 1.05)
    parts = _areas(shown, plot)
    for label, kib in _edges():
        y = plot.y(kib)
        parts += [line("limit", plot.left, y, WIDTH - 20, y), text(plot.left - 6, y + 4, label, "limit small", "end")]
    parts += [box("frame", plot.left, plot.top, WIDTH - plot.left - 20, plot.high), *_told(shown, plot)]
    parts += _marks(shown, plot)
    for second in range(int(start / 1000) + 1, int(plot.end_ms / 1000) + 1):
        parts.append(text(plot.x(second * 1000), plot.bottom + 46, f"{second} s", "quiet small", "middle"))
    for number, kind in enumerate(("store", "cache", "free")):
        parts += [box(kind, 70 + number * 90, 58, 12, 12), text(87 + number * 90, 68, kind)]
    subtitle = "headroom of a simulated board of 256 MB; one grows at 30 MB/s; beneath, the level as it is told"
    return whole("One that grows, seen by the policy", subtitle, 384, parts)


def _areas(shown: Sequence[Turn], plot: Plot) -> list[str]:
    parts = []
    below = [0.0] * len(shown)
    for kind in ("store", "cache", "free"):
        rooms = [max(0, getattr(turn.after.room, f"{kind}_kib")) for turn in shown]
        above = [base + room for base, room in zip(below, rooms, strict=True)]
        edges = [
            [(plot.x(turn.sample.t_ms), plot.y(kib)) for turn, kib in zip(shown, edge, strict=True)]
            for edge in (above, below)
        ]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (*edges[0], *reversed(edges[1])))
        parts.append(f'<polygon class="{kind}" points="{points}"/>')
        below = above
    return parts


def _told(shown: Sequence[Turn], plot: Plot) -> list[str]:
    parts: list[str] = []
    begin = shown[0]
    for turn in (*shown[1:], None):
        if turn is not None and turn.after.level == begin.after.level:
            continue
        x = plot.x(begin.sample.t_ms)
        width = plot.x((turn or shown[-1]).sample.t_ms) - x
        parts.append(box(begin.after.level, x, plot.bottom + 8, width, 22))
        if width > 7 * len(begin.after.level):
            parts.append(text(x + width / 2, plot.bottom + 23, begin.after.level, "on small", "middle"))
        begin = turn or begin
    return parts


def _marks(shown: Sequence[Turn], plot: Plot) -> list[str]:
    acted = [(turn.sample.t_ms, action) for turn in shown for action in turn.actions]
    ((killed_ms, _),) = [each for each in acted if isinstance(each[1], Kill)]
    (receipt,) = [each[1] for each in acted if isinstance(each[1], Note) and each[1].event == "receipt"]
    x, back = plot.x(killed_ms), dict(receipt.fields)
    said = f"kill; {format_kib(_int(back['returned_kib']))} are back {back['ms']:.0f} ms later"
    parts = [line("mark", x, plot.top - 4, x, plot.bottom + 30), text(x, plot.top - 8, said, "small", "middle")]
    reasons = [
        (t_ms, str(dict(note.fields)["reason"]))
        for t_ms, note in acted if isinstance(note, Note) and note.event == "pressure"
    ]  # fmt: skip
    for number, (t_ms, reason) in enumerate(reasons):
        at = (t_ms - plot.start_ms) / (plot.end_ms - plot.start_ms)
        anchor = "start" if at < 0.3 else "end" if at > 0.7 else "middle"
        said = f"{t_ms / 1000:.1f} s: {reason}"
        parts.append(text(plot.x(t_ms), plot.bottom + 62 + 13 * (number % 2), said, "quiet small", anchor))
    return parts


def _int(number: object) -> int:
    assert isinstance(number, int)
    return number


def victims_picture() -> str:
    """Two decisions about the same applications: nobody grows; somebody does."""
    apps = [
        declared(1, 30_000, name="ui"), make_app(2, 0, 9000, name="login"),
        make_app(3, 200, 62_000, name="browser"), make_app(4, 700, 14_000, name="mail"),
        make_app(5, 900, 6000, name="news"), make_app(6, 900, 11_000, name="maps"),
        make_app(7, 900, 24_000, name="photos"), make_app(8, -1000, 7000, name="watchdog"),
    ]  # fmt: skip
    deficit = 10_000
    calm = choose(table_of(apps), SETTINGS, deficit, 0.0, None, (), 1.0)
    grower = Grower(3, 62_000, 62_000, 30_000.0)
    runaway = choose(table_of(apps), SETTINGS, deficit, 30_000.0, grower, (), 1.0)
    assert calm is not None and runaway is not None
    table = table_of(apps)
    rows = [table.row(index) for index in range(len(table))]
    lasts_ms = _int(dict(runaway.numbers)["others_last_ms"])
    parts = [
        *_column(rows, calm, 16, f"{format_kib(deficit)} must come back, nobody grows"),
        *_column(rows, runaway, 456, f"browser grows at {format_kib(30_000)}/s"),
        text(456, 300, f"the deaths of all above it would last {format_ms(lasts_ms)}: its own is the one that helps",
             "quiet small"),
        text(16, 300, "least important first; of those the smallest that suffices", "quiet small"),
    ]  # fmt: skip
    return whole("Who is ended", "in kill order, with what each death returns; the victim in red", 316, parts)


def _column(rows: Apps, choice: Choice, left: float, title: str) -> list[str]:
    victims = {victim.pid for victim in choice.victims}
    parts = [text(left, 72, title)]
    for number, row in enumerate(rows):
        y, end = 84 + number * 25, left + 108 + row.gain_kib / 260
        kind = "victim" if row.pid in victims else "never" if row.priority <= -1000 else "other"
        parts += [
            text(left + 62, y + 14, row.name, "small", "end"),
            text(left + 100, y + 14, str(row.priority), "quiet small", "end"),
            box(kind, left + 108, y, end - left - 108, 19),
            text(end + 6, y + 14, format_kib(row.gain_kib), "quiet small"),
        ]  # fmt: skip
    return parts


def numbers_table() -> str:
    """What follows from the board and stall_budget, as the service derives it."""
    heads = [f"{format_kib(ram)}, {budget} ms" for ram, budget in BOARDS]
    made = [
        derive_numbers(
            {
                "stall_budget_ms": budget, "ram_kib": ram, "page_kib": 4, "fault_meter": True,
                "psi_step_us": PSI_STEP_US,
            },
            {},
        )
        for ram, budget in BOARDS
    ]  # fmt: skip
    rows = [
        f"| `{number.key}` | {' | '.join(number.shown(one[number.name]) for one in made)} | {number.words()} |"
        for number in NUMBERS
        if number.key.startswith("policy.") and number.of
    ]
    head = f"| key | {' | '.join(heads)} | rule |"
    return "\n".join([head, "|---" * (len(BOARDS) + 2) + "|", *rows])


def tuning_page(page: str) -> str:
    """The page with its table as it is now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{numbers_table()}\n{END}{after}"


PICTURES = {
    "decides-headroom.svg": headroom_picture,
    "decides-story.svg": story_picture,
    "decides-victims.svg": victims_picture,
}
