"""Every number of the policy, derived from the board and the one knob (``stall_budget``); each can be overridden.

One table (``NUMBERS``) is both the arithmetic and the words for it, so what ``lmkd explain policy`` says is what is
computed. The values are chosen by measurement on the emulated board (docs/benchmark.md).
"""

from __future__ import annotations

from lmkd.model import Settings
from lmkd.units import format_kib, format_ms
from lmkd.values import field_names, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

UNITS = ("_kib", "_ms", "_us")
_US_PER_MS = 1000


@value
class Number:
    """How one number comes about; ``name`` ends in its unit, all bounds are in that unit.

    Either ``fact`` says what tells it, or it is ``fixed``, or it is ``times`` / ``per`` of the number ``of``; with both
    a fact and an ``of`` the latter stands in where the board does not tell. ``at_least`` and ``at_most`` name numbers
    that bound it. ``steps`` names a number that it is a multiple of (rounded up). ``key`` is the configuration key that
    overrides it.
    """

    name: str
    key: str = ""
    fact: str = ""
    fixed: int | bool | None = None
    of: str = ""
    times: int = 1
    per: int = 1
    low: int | None = None
    high: int | None = None
    at_least: str = ""
    at_most: str = ""
    steps: str = ""

    def derived(self, known: Mapping[str, Any]) -> int | bool | None:
        """Its value by the rule, given the others; None for a fact. A bound that is not known yet does not bind."""
        if self.fixed is None and not self.of:
            return None
        amount = self.fixed if self.fixed is not None else self._share(known)
        if isinstance(amount, bool):
            return amount
        for least in (self.low, known.get(self.at_least)):
            amount = amount if least is None else max(amount, least)
        for most in (self.high, known.get(self.at_most)):
            amount = amount if most is None else min(amount, most)
        return -(-amount // known[self.steps]) * known[self.steps] if self.steps else amount

    def _share(self, known: Mapping[str, Any]) -> int:
        scale = _US_PER_MS if self.of.endswith("_ms") and self.name.endswith("_us") else 1
        return int(known[self.of] * scale * self.times // self.per)

    def words(self) -> str:
        """The rule for a person, numbers named as their keys are."""
        rule = self._share_words() if self.of else "fixed" if self.fixed is not None else ""
        if isinstance(self.fixed, bool):
            rule = "the default"
        said = [", else ".join(part for part in (self.fact, rule) if part)]
        for how, bound, other in (("at least", self.low, self.at_least), ("at most", self.high, self.at_most)):
            bounds = [self.shown(bound)] if bound is not None else []
            bounds += [stem(other)] if other else []
            said += [f"{how} {' and '.join(bounds)}"] if bounds else []
        said += [f"in steps of {stem(self.steps)}"] if self.steps else []
        return ", ".join(said)

    def _share_words(self) -> str:
        of = stem(self.of)
        if self.per == 100:
            return f"{self.times}% of {of}"
        if self.per > 1:
            return f"{self.times}/{self.per} of {of}"
        return of if self.times == 1 else f"{self.times} x {of}"

    def shown(self, amount: int | bool) -> str:
        """A value of this number with its unit, for a person."""
        if isinstance(amount, bool):
            return "true" if amount else "false"
        if self.name.endswith("_us"):
            return format_ms(amount // _US_PER_MS) if amount % _US_PER_MS == 0 else f"{amount / _US_PER_MS:g} ms"
        if self.name.endswith("_ms"):
            return format_ms(amount)
        return format_kib(amount) if self.name.endswith("_kib") else str(amount)


def stem(name: str) -> str:
    """A number's name without its unit: as its key is called."""
    return next((name.removesuffix(unit) for unit in UNITS if name.endswith(unit)), name)


# In an order in which each follows from those before it; a bound may also be one that comes later and was given.
NUMBERS = (
    Number("stall_budget_ms", "stall_budget", "the longest stall of the foreground that people accept"),
    Number("ram_kib", fact="the board's MemTotal"),
    Number("page_kib", fact="the kernel's page size"),
    Number("watermark_min_kib", fact="the zones' min watermarks", of="ram_kib", per=200),
    Number("watermark_low_kib", fact="the zones' low watermarks", of="ram_kib", times=1, per=100),
    Number("fault_meter", fact="whether the kernel counts page faults for us: tried by the guard"),
    # Documentation/accounting/psi.rst: without CAP_SYS_RESOURCE windows are multiples of 2 s.
    Number("psi_step_us", fact="1 ms with CAP_SYS_RESOURCE, else 2 s"),
    Number("headroom_floor_kib", "policy.headroom_floor", of="ram_kib", times=2, per=100, low=3072),
    Number("file_floor_kib", "policy.file_floor", of="ram_kib", times=5, per=100, low=3072),
    # Time to notice, to die, and to free.
    Number("kill_horizon_ms", "policy.kill_horizon", of="stall_budget_ms", times=3),
    Number("runaway", "policy.runaway", fixed=True),
    Number("runaway_horizon_ms", "policy.runaway_horizon", fixed=30_000),
    # Six wake-ups a minute when nothing happens: what happens wakes the guard by the fault meter and PSI.
    Number("idle_interval_ms", "policy.idle_interval", fixed=10_000),
    # One stall budget in six of them: more than a frame that is late once, and noticed before a person would.
    Number("stall_window_ms", "policy.stall_window", of="stall_budget_ms", times=6, low=100, high=10_000),
    Number("stall_free_kib", "policy.stall_free", of="ram_kib", times=15, per=100),
    # The kernel takes windows of 0.5 to 10 s, and no threshold above the window.
    Number("psi_some_us", "policy.psi_some", of="stall_budget_ms", at_most="psi_window_us"),
    Number("psi_full_us", "policy.psi_full", of="psi_some_us", per=2, at_most="psi_window_us"),
    Number("psi_window_us", "policy.psi_window", of="stall_budget_ms", times=15, low=500_000, high=10_000_000,
           at_least="psi_some_us", steps="psi_step_us"),
    Number("set_limit", "policy.set_limit", fixed=8),
    Number("trim", "policy.trim", fixed=True),
    Number("trim_free_kib", "policy.trim_free", of="ram_kib", times=8, per=100, low=4096),
    # 8 KiB take a 500 MIPS core 0.06 ms to store: a piece is a fraction of the budget, and longer where that is.
    Number("trim_piece_kib", "policy.trim_piece", of="stall_budget_ms", times=8, low=64, high=1024),
    Number("trim_idle_ms", "policy.trim_idle", fixed=1000),
    Number("respawn_hold", "policy.respawn_hold", fixed=True),
    Number("hold_base_ms", "policy.hold_base", fixed=1000, at_most="hold_max_ms"),
    Number("hold_max_ms", "policy.hold_max", fixed=60_000, at_least="hold_base_ms"),
    Number("freeze_max_ms", "policy.freeze_max", fixed=5000),
    Number("renice", "policy.renice", fixed=True),
    Number("protect_foreground", "policy.protect_foreground", fixed=True),
    Number("tmpfs_rungs", fact="whether `tmpfs` gives anything to tell or to delete", fixed=False),
    Number("tmpfs_limit_kib", fact="the lowest limit of `tmpfs`, 0 without one", fixed=0),
    Number("store_limit_kib", fact="store.mem_limit", of="ram_kib", times=30, per=100),
    Number("store_limit_max_kib", fact="store.mem_limit_max", of="ram_kib", times=60, per=100,
           at_least="store_limit_kib"),
    Number("tend_ms", fact="10 min with store.writeback or store.recompress, else 0: never", fixed=0),
)  # fmt: skip
PSI_STEP_US, PSI_STEP_PLAIN_US = 1000, 2_000_000


def derive_numbers(facts: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each number by its name. What is in ``overrides`` stands, and what follows from it follows it.

    ``facts`` are what the board and the knob tell (None: it does not tell). TypeError for a name that is no number,
    KeyError for a fact that is missing and that nothing stands in for.
    """
    given = {name: told for name, told in {**facts, **overrides}.items() if told is not None}
    unknown = set(given) - {number.name for number in NUMBERS}
    if unknown:
        raise TypeError(f"no such number: {', '.join(sorted(unknown))}")
    known = dict(given)
    for number in NUMBERS:
        if number.name not in known:
            made = number.derived(known)
            if made is None:
                raise KeyError(number.name)
            known[number.name] = made
    return {number.name: known[number.name] for number in NUMBERS}


def settings_of(numbers: Mapping[str, Any]) -> Settings:
    """The policy's settings among all numbers."""
    return Settings(**{name: numbers[name] for name in field_names(Settings)})


def derive(
    ram_kib: int,
    watermark_min_kib: int | None,
    watermark_low_kib: int | None,
    stall_budget_ms: int,
    fault_meter: bool,
    overrides: Mapping[str, Any],
) -> Settings:
    """The settings of a board with pages of 4 KiB. ``overrides`` are values by the names of ``Settings``."""
    facts = {
        "ram_kib": ram_kib,
        "page_kib": 4,
        "watermark_min_kib": watermark_min_kib,
        "watermark_low_kib": watermark_low_kib,
        "stall_budget_ms": stall_budget_ms,
        "fault_meter": fault_meter,
        "psi_step_us": PSI_STEP_US,
    }
    return settings_of(derive_numbers(facts, overrides))


def explained(numbers: Mapping[str, Any], given: Mapping[str, str]) -> list[dict[str, Any]]:
    """One row a number: its value, the rule in words, what the rule would give, and its key.

    ``given`` has where each key that was given stands (``file:line:column``). A number that is not in ``numbers`` (an
    older lmkd's) has no row.
    """
    rows = []
    for number in NUMBERS:
        if number.name not in numbers:
            continue
        try:
            derived = number.derived(numbers)
        except KeyError:
            derived = None
        rows.append({
            "name": number.name,
            "value": numbers[number.name],
            "text": number.shown(numbers[number.name]),
            "rule": number.words(),
            "derived": derived,
            "derived_text": None if derived is None else number.shown(derived),
            "key": number.key or None,
            "given": given.get(number.key) if number.key else None,
        })  # fmt: skip
    return rows
