"""Owns what the store should be here: the configuration, with what ``auto`` means on this board by its last trial."""

from __future__ import annotations

from lmkd.store.choice import Board, Rated, auto_size_kib, best
from lmkd.store.fit import read_memory
from lmkd.store.record import read_record
from lmkd.store.remembered import Remembered, recall
from lmkd.store.state import AUTO, StoreSpec, spec_from_config
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.config import Config
    from lmkd.kernel.files import Roots
    from lmkd.store.state import Report, StoreState


def board_of(config: Config, ram_kib: int, page_bytes: int) -> Board:
    """What the choice depends on, of a configuration and a machine."""
    return Board(ram_kib, config.store.mem_limit.kib_of(ram_kib), config.stall_budget_ms, page_bytes)


def picked(config: Config, ram_kib: int, remembered: Remembered | None) -> Rated | None:
    """The algorithm that the trial picks for this configuration; None without a trial."""
    if remembered is None:
        return None
    return best(remembered.figures, board_of(config, ram_kib, remembered.page_bytes))


def wanted_spec(config: Config, ram_kib: int, remembered: Remembered | None) -> StoreSpec:
    """The store that a configuration asks for, ``auto`` made good by what was measured.

    The size follows from the ratio of the algorithm that will be used: the one picked, or the one that was given.
    """
    spec = spec_from_config(config, ram_kib)
    choice = picked(config, ram_kib, remembered)
    ratio = choice.ratio if choice is not None else None
    if remembered is not None and spec.algorithm != AUTO:
        given = [figure for figure in remembered.figures if figure.name == spec.algorithm]
        ratio = given[0].ratio(remembered.page_bytes) if given else None
    if config.store.size is None:
        spec = replace(spec, size_kib=auto_size_kib(ram_kib, spec.mem_limit_kib, ratio))
    return replace(spec, preferred=choice.figure.name if choice is not None else None)


def wanted_here(roots: Roots, config: Config, report: Report) -> StoreSpec:
    """As ``wanted_spec``, for this machine. KernelInterfaceError when its memory cannot be read."""
    return wanted_spec(config, read_memory(roots).total_kib, recall(roots, report))


def needs_trial(roots: Roots, config: Config) -> bool:
    """Whether ``auto`` has nothing to go by yet, and a trial is allowed."""
    is_auto = config.store.algorithm == AUTO and config.store.kind != "none"
    return is_auto and config.store.trial and recall(roots, lambda _event, _fields: None) is None


def needs_move(roots: Roots, config: Config, state: StoreState) -> bool:
    """Whether the store that is up should move by itself: to what the trial picked, or since a move was ended."""
    if not config.store.trial or config.store.kind != "zram" or state.kind != "zram" or state.foreign:
        return False
    record = read_record(roots)
    spec = wanted_here(roots, config, lambda _event, _fields: None)
    return better_algorithm(spec, state) is not None or (record is not None and record.draining != "")


def better_algorithm(spec: StoreSpec, state: StoreState) -> str | None:
    """The algorithm that a new device would be given in place of the store's own; None when it is right as it is.

    An algorithm cannot be changed while a device is in use: it takes a second one, or the next start.
    """
    if spec.algorithm != AUTO or state.foreign or state.algorithm is None:
        return None
    return spec.preferred if spec.preferred not in (None, state.algorithm) else None
