"""Single values of all files to one complete Config: defaults filled in, contradictions reported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lmkd.config.model import (
    Amount,
    AppRule,
    Config,
    ControlConfig,
    LogConfig,
    NoticeConfig,
    PolicyConfig,
    StoreConfig,
    TmpfsConfig,
    WritebackConfig,
)
from lmkd.config.mounts import read_mounts
from lmkd.config.notices import read_notices, report_files
from lmkd.config.problems import Place, Problems
from lmkd.config.scalars import Setting, default_of
from lmkd.config.schema import FIELDS, NONE, Field, fields_of
from lmkd.config.sections import Item, Reader
from lmkd.units import format_ms

_SECTION_EXAMPLES = (
    ("store", "store: {kind: zram, size: 60%}"),
    ("store.writeback", "writeback: {huge: true, daily_limit: 64M}"),
    ("sysctls", "sysctls: {vm.swappiness: 200}"),
    ("grace", "grace: {service: 200ms}"),
    ("trim", "trim: {service: true}"),
    ("freeze", "freeze: {cached: true}"),
    ("on_kill", "on_kill: {background: /usr/libexec/note-it}"),
    ("policy", "policy: {runaway: true}"),
    ("control", "control: {socket: /run/lmkd/control}"),
    ("log", "log: {level: info}"),
)

# A duration and another that it must not be longer than: a threshold and its window, a first step and the last.
_NOT_LONGER = (
    ("policy.psi_some", "policy.psi_window"),
    ("policy.psi_full", "policy.psi_window"),
    ("policy.psi_full", "policy.psi_some"),
    ("stall_budget", "policy.stall_window"),
    ("policy.hold_base", "policy.hold_max"),
)
# A switch, and what means nothing when it is off. A drop-in may turn off what the main file has set up.
_USED_WITH = (
    ("policy.runaway", ("policy.runaway_horizon",)),
    ("policy.trim", ("policy.trim_free", "policy.trim_piece", "policy.trim_idle")),
    ("policy.respawn_hold", ("policy.hold_base", "policy.hold_max")),
)


class Settings:
    """The value of each key by its path, and where it was given; a later value replaces an earlier one."""

    def __init__(self) -> None:
        self._given: dict[str, tuple[Setting, Place]] = {}
        self.mounts: dict[str, TmpfsConfig] = {}
        self.notices: dict[str, NoticeConfig] = {}

    def read_field(self, field: Field, item: Item, where: str, reader: Reader) -> None:
        """Take the value of one key; a wrong one is a problem of ``reader``."""
        self._given[field.path()] = (reader.setting(field, item, where), reader.place(item.node))

    def read_section(self, section: Field, item: Item, reader: Reader) -> None:
        """Take the values of the keys of a mapping such as ``store``."""
        path = section.path()
        example = next(text for key, text in _SECTION_EXAMPLES if key == path)
        items = reader.mapping(item.node, path, example)
        for field, part in reader.known(items or [], path, path):
            if field.kind == "section":
                self.read_section(field, part, reader)
            else:
                self.read_field(field, part, path, reader)

    def take_mounts(self, item: Item, reader: Reader) -> None:
        """Take the entries of ``tmpfs``; one of the same mount in an earlier file is replaced."""
        self.mounts.update((mount.mount, mount) for mount in read_mounts(item.node, reader))

    def take_notices(self, item: Item, reader: Reader) -> None:
        """Take the classes of ``notify``; one that an earlier file has as well is replaced."""
        self.notices.update(read_notices(item.node, reader))

    def place(self, path: str) -> Place | None:
        """Where the key was given; None if it was not."""
        given = self._given.get(path)
        return given[1] if given else None

    def numbers_given(self) -> tuple[tuple[str, str], ...]:
        """(key, file:line:column) of the knob and of each derived number that was given a value."""
        return tuple((path, str(place)) for path, (setting, place) in self._given.items()
                     if setting is not None and (path == "stall_budget" or path.startswith("policy.")))

    def complete(self) -> dict[str, Setting]:
        """The value of every single key of the schema: as given, else its default."""
        return {field.path(): self._value(field) for field in FIELDS
                if field.kind not in ("section", "rules", "mounts", "notices", "notice") and "[]" not in field.section}

    def _value(self, field: Field) -> Setting:
        given = self._given.get(field.path())
        return given[0] if given else default_of(field)


def build_config(
    settings: Settings, rules: Iterable[AppRule], sources: Sequence[str], problems: Problems
) -> Config:
    """The configuration; with problems reported it may have stand-ins for wrong values: do not use it."""
    values = settings.complete()
    overrides = tuple((field.key, number) for field in fields_of("sysctls")
                      if isinstance(number := values[field.path()], int))
    _report_contradictions(settings, values, problems)
    return Config(
        stall_budget_ms=_number(values["stall_budget"]),
        store=_store(values),
        manage_sysctls=bool(values["manage_sysctls"]),
        sysctls=overrides,
        mirror_oom_score_adj=bool(values["mirror_oom_score_adj"]),
        grace=tuple((field.key, _number(values[field.path()])) for field in fields_of("grace")),
        trim=tuple((field.key, bool(values[field.path()])) for field in fields_of("trim")),
        freeze=tuple((field.key, bool(values[field.path()])) for field in fields_of("freeze")),
        policy=_policy(values),
        control=_control(values),
        log=LogConfig(_word(values["log.level"]), _word(values["log.to"]) or "auto"),
        apps=tuple(rules),
        sources=tuple(sources),
        given=settings.numbers_given(),
        tmpfs=tuple(settings.mounts.values()),
        notify=tuple(settings.notices.items()),
        on_kill=tuple((field.key, program) for field in fields_of("on_kill")
                      if field.kind == "path" and (program := _word(values[field.path()]))),
        on_kill_ms=_number(values["on_kill.timeout"]),
    )


def _control(values: dict[str, Setting]) -> ControlConfig:
    group = _word(values["control.group"])
    return ControlConfig(
        _word(values["control.socket"]), "" if group == "none" else group, _number(values["control.clients"]),
        android_socket=_word(values["control.android_socket"]),
        android_release=_number(values["control.android_release"]),
        level_file=_word(values["control.level_file"]),
        metrics_file=_word(values["control.metrics_file"]),
        metrics_interval_ms=_number(values["control.metrics_interval"]),
    )


def _report_contradictions(settings: Settings, values: dict[str, Setting], problems: Problems) -> None:
    _report_sysctls(settings, values, problems)
    for short, long in _NOT_LONGER:
        _report_longer(short, long, settings, values, problems)
    for switch, used in _USED_WITH:
        off = settings.place(switch)
        for path in used:
            place = settings.place(path)
            if off and place and values[switch] is False and values[path] is not None and place.file == off.file:
                problems.add(place, path, f"is never used: {switch} is false ({off}), remove one of the two")
    _report_floors(settings, values, problems)
    _report_store(settings, values, problems)
    place = settings.place("control.android_socket")
    if place and values["control.android_socket"] == values["control.socket"]:
        problems.add(place, "control.android_socket", "is control.socket: each protocol has a socket of its own")
    report_files(settings.place, values, problems)


def _report_store(settings: Settings, values: dict[str, Setting], problems: Problems) -> None:
    """A maximum below the limit that it is for, and writing back to nowhere."""
    normal, most = _amount(values["store.mem_limit"]), _amount(values["store.mem_limit_max"])
    place = settings.place("store.mem_limit_max")
    # A share and a size are compared where the RAM is known: there the larger one counts.
    if place and normal and most and _above(normal.pct, most.pct) | _above(normal.kib, most.kib):
        problems.add(place, "store.mem_limit_max", "is below store.mem_limit: write at least as much, or the same to "
                     "keep the limit where it is")
    for path in ("store.writeback.idle", "store.writeback.huge"):
        place = settings.place(path)
        if place and values[path] is True and not values["store.backing_dev"]:
            problems.add(place, path, "has nowhere to write to: give store.backing_dev a block device")


def _above(number: int | None, other: int | None) -> bool:
    return number is not None and other is not None and number > other


def _report_longer(
    short: str, long: str, settings: Settings, values: dict[str, Setting], problems: Problems
) -> None:
    less, more = values[short], values[long]
    if not isinstance(less, int) or not isinstance(more, int) or less <= more:
        return
    at, other = settings.place(short), settings.place(long)
    if at is not None:
        where = f", {other}" if other is not None else ""
        problems.add(at, short, f"{format_ms(less)} is longer than {long} ({format_ms(more)}{where}): "
                     f"write at most {more}ms, or a longer {long}")
    elif other is not None:
        problems.add(other, long, f"{format_ms(more)} is shorter than {short} ({format_ms(less)}): "
                     f"write at least {less}ms, or a shorter {short}")


def _report_floors(settings: Settings, values: dict[str, Setting], problems: Problems) -> None:
    """Both floors as shares of RAM; sizes are compared where the RAM is known, by the planner."""
    floor, cache = _amount(values["policy.headroom_floor"]), _amount(values["policy.file_floor"])
    place = settings.place("policy.headroom_floor")
    if place and floor and cache and (floor.pct or 0) + (cache.pct or 0) >= 100:
        problems.add(place, "policy.headroom_floor", f"{floor.pct}% and file_floor's {cache.pct}% leave no memory "
                     "for applications: write less for one of the two")


def _report_sysctls(settings: Settings, values: dict[str, Setting], problems: Problems) -> None:
    if values["manage_sysctls"] is not False:
        return
    for field in fields_of("sysctls"):
        place = settings.place(field.path())
        if place is not None and values[field.path()] is not None:
            problems.add(place, field.path(), "is never set: manage_sysctls is false, remove one of the two")


def _store(values: dict[str, Setting]) -> StoreConfig:
    return StoreConfig(
        kind=_word(values["store.kind"]),
        algorithm=_word(values["store.algorithm"]),
        size=_amount(values["store.size"]),
        mem_limit=_amount(values["store.mem_limit"]) or Amount(0, None),
        swap_priority=_number(values["store.swap_priority"]),
        on_exit=_word(values["store.on_exit"]),
        trial=bool(values["store.trial"]),
        pool=_word(values["store.pool"]) or "auto",
        mem_limit_max=_amount(values["store.mem_limit_max"]) or Amount(0, None),
        recompress=_word(values["store.recompress"]).removeprefix(NONE),
        backing_dev=_word(values["store.backing_dev"]),
        backing_dev_force=bool(values["store.backing_dev_force"]),
        writeback=WritebackConfig(
            idle=bool(values["store.writeback.idle"]),
            huge=bool(values["store.writeback.huge"]),
            idle_age_ms=_number(values["store.writeback.idle_age"]),
            daily_limit=_amount(values["store.writeback.daily_limit"]) or Amount(0, None),
        ),
    )


def _policy(values: dict[str, Setting]) -> PolicyConfig:
    return PolicyConfig(
        headroom_floor=_amount(values["policy.headroom_floor"]),
        file_floor=_amount(values["policy.file_floor"]),
        kill_horizon_ms=_optional_number(values["policy.kill_horizon"]),
        runaway_horizon_ms=_optional_number(values["policy.runaway_horizon"]),
        runaway=bool(values["policy.runaway"]),
        idle_interval_ms=_optional_number(values["policy.idle_interval"]),
        stall_window_ms=_optional_number(values["policy.stall_window"]),
        stall_free=_amount(values["policy.stall_free"]),
        psi_some_ms=_optional_number(values["policy.psi_some"]),
        psi_full_ms=_optional_number(values["policy.psi_full"]),
        psi_window_ms=_optional_number(values["policy.psi_window"]),
        set_limit=_optional_number(values["policy.set_limit"]),
        trim=bool(values["policy.trim"]),
        trim_free=_amount(values["policy.trim_free"]),
        trim_piece=_amount(values["policy.trim_piece"]),
        trim_idle_ms=_optional_number(values["policy.trim_idle"]),
        respawn_hold=bool(values["policy.respawn_hold"]),
        hold_base_ms=_optional_number(values["policy.hold_base"]),
        hold_max_ms=_optional_number(values["policy.hold_max"]),
        freeze_max_ms=_optional_number(values["policy.freeze_max"]),
        renice=bool(values["policy.renice"]),
        protect_foreground=bool(values["policy.protect_foreground"]),
    )


def _number(setting: Setting) -> int:
    return setting if isinstance(setting, int) else 0


def _optional_number(setting: Setting) -> int | None:
    return setting if isinstance(setting, int) else None


def _word(setting: Setting) -> str:
    return setting if isinstance(setting, str) else ""


def _amount(setting: Setting) -> Amount | None:
    return setting if isinstance(setting, Amount) else None
