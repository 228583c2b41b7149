"""What travels about memory in files (tmpfs, memfd, System V): the helper's answer, and what it may be asked for."""

from __future__ import annotations

from lmkd.values import value


@value
class TmpfsAnswer:
    """What the helper found when it last looked who holds memory in files (tmpfs, memfd, System V).

    ``writer`` fills one of them at ``fill_kib_s`` (0: nobody was seen to), ``gains`` are (pid, start ticks, KiB that
    come back with the death of it or its group), ``deletable_kib`` is what the configuration allows to be deleted.
    ``cleaned_ms`` is when that was last done (negative: never), ``deleted_kib`` what the files had that went.
    """

    t_ms: float
    writer: int = 0
    gains: tuple[tuple[int, int, int], ...] = ()
    deletable_kib: int = 0
    cleaned_ms: float = -1.0
    deleted_kib: int = 0
    fill_kib_s: float = 0.0


@value
class Tend:
    """Have the helper keep the limits of files in memory; with ``look`` also find who holds them.

    ``short``: memory is short, so who is to be told then is told.
    """

    short: bool
    look: bool = True


@value
class Clean:
    """Have the helper delete what the configuration allows, oldest first, until ``kib`` have gone."""

    kib: int


@value
class Explain:
    """Have the helper find and record who holds memory that no kill returns (tmpfs files)."""

    shmem_kib: int
