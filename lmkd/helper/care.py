"""Care of memory that is not a kill: trimming what is idle, cooling what grows, shielding the front, compacting."""

from __future__ import annotations

from lmkd.helper.pager import Pager
from lmkd.helper.shield import Shield
from lmkd.helper.store_care import StoreCare
from lmkd.kernel.clock import now_ms
from lmkd.kernel.freezer import find_mount
from lmkd.model import FLAG_DECLARED_FOREGROUND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmkd.guard.exchange import Exchange
    from lmkd.helper.trial import TrialRun
    from lmkd.kernel.syscalls import Libc
    from lmkd.model import Candidate
    from lmkd.plan import Plan


class Care:
    """Owns the four of them. In a dry run nothing is touched."""

    def __init__(
        self,
        plan: Plan,
        libc: Libc,
        report: Callable[[str, tuple[tuple[str, object], ...], str], None],
        exchange: Exchange | None = None,
    ) -> None:
        settings = plan.settings
        self._active = not plan.dry_run
        self._idle_ms = settings.trim_idle_ms
        mount = find_mount(plan.proc) if self._active else ""
        piece_kib = settings.trim_piece_kib
        self._pager = Pager(plan.proc, plan.page_kib * 1024, libc, report, mount=mount, trim_piece_kib=piece_kib)
        self.store = StoreCare(plan, report, exchange)
        self._shield = Shield(plan.proc, mount if settings.protect_foreground else "", settings.ram_kib, report)
        self._rows: list[Candidate] = []
        self._trial: TrialRun | None = None
        if (plan.trial or plan.move) and self._active:
            from lmkd.helper.trial import MOVE, TRY, TrialRun

            algorithm = self.store.algorithm if plan.store_own else None
            first = TRY if plan.trial else MOVE
            self._trial = TrialRun(plan.reload_argv, plan.proc, report, algorithm, first, plan.config_paths)

    @property
    def busy(self) -> bool:
        """Is there a piece of work to go on with?"""
        return self._pager.busy

    def timeout_ms(self) -> float | None:
        """How long the loop may wait until the next piece; None: for ever."""
        paced, tended = self._pager.timeout_ms(), self.store.timeout_ms()
        trial = self._trial.timeout_ms(now_ms()) if self._trial is not None else None
        return min((one for one in (paced, tended, trial) if one is not None), default=None)

    def turn(self) -> None:
        """One piece of work, if it is time."""
        self._pager.turn()
        self.store.turn()
        if self._trial is not None:
            self._trial.turn(now_ms())

    def renew(self, rows: list[Candidate], grower: int) -> None:
        """All were just looked at: ``rows`` are they, ``grower`` is who grew (0: nobody)."""
        self._rows = rows
        self.store.look(now_ms())
        if not self._active:
            return
        if self._trial is not None:
            self._trial.disturb(now_ms())
        self._shield.renew(rows)
        row = next((one for one in rows if one.pid == grower), None) if grower else None
        # What grows is to be reclaimed before what runs; a declared foreground is what runs.
        if row is not None and not row.flags & FLAG_DECLARED_FOREGROUND:
            self._pager.cool(row)

    def trim(self, wanted_kib: int, idle_since_ms: Mapping[int, float]) -> None:
        """Page out who is idle until so much has gone."""
        if self._active:
            self._pager.trim(wanted_kib, self._rows, idle_since_ms, self._idle_ms)

    def page_out(self, pid: int, kib: int) -> bool:
        """Page out so much of one application, idle or not (0: all of it); False where nothing can be."""
        row = next((one for one in self._rows if one.pid == pid), None)
        return self._active and row is not None and self._pager.page_out(row, kib)

    def compact(self) -> None:
        """Compact the store, if that pays."""
        if self._active:
            self.store.compact()

    def close(self) -> int:
        """Put back what was changed for good. Returns the process id of a child that was told to end, or 0."""
        self._shield.put_back()
        self._pager.close()
        self.store.close()
        return self._trial.close() if self._trial is not None else 0
