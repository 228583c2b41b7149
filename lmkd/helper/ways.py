"""The ways in which others are told without a connection: log, notices, hooks, files; each loaded only where wanted."""

from __future__ import annotations

from lmkd.guard.commands import DRAIN_LOG
from lmkd.helper.hooks import Hooks
from lmkd.helper.logbook import STDERR, Logbook
from lmkd.kernel.clock import now_ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmkd.guard.exchange import Exchange
    from lmkd.helper.after_kill import AfterKill
    from lmkd.helper.level_file import LevelFile
    from lmkd.helper.metrics_file import MetricsFile
    from lmkd.helper.notices import Notices
    from lmkd.helper.scout import Scout
    from lmkd.plan import Plan


class Ways:
    """Owns all of them; ``hooks`` has what an earlier plan started as well. In a dry run only the log is told."""

    def __init__(
        self, plan: Plan, exchange: Exchange, scout: Scout, log: int = STDERR, hooks: Hooks | None = None
    ) -> None:
        ways = plan.ways
        self.hooks = hooks or Hooks(exchange.post)
        self._log: Logbook
        self._after_kill: AfterKill | None = None
        self._level_file: LevelFile | None = None
        self._notices: Notices | None = None
        self._metrics: MetricsFile | None = None
        if ways.log_to == ("stderr",):
            self._log = Logbook(plan, exchange, log)
        else:
            from lmkd.helper.log_choice import ChosenLog

            self._log = ChosenLog(plan, exchange, log)
        if ways.on_kill or any(rule.on_kill for rule in plan.rules):
            from lmkd.helper.after_kill import AfterKill

            self._after_kill = AfterKill(plan, exchange, self.hooks)
        if plan.dry_run:
            return
        if ways.level_file:
            from lmkd.helper.level_file import LevelFile

            self._level_file = LevelFile(ways.level_file, exchange)
        if ways.notices:
            from lmkd.helper.notices import Notices

            self._notices = Notices(plan, exchange, scout, self.hooks)
        if ways.metrics_file:
            from lmkd.helper.metrics_file import MetricsFile

            self._metrics = MetricsFile(plan, self.hooks, now_ms())

    def timeout_ms(self) -> float | None:
        """How long the loop may wait; None: for ever."""
        metrics = self._metrics.timeout_ms(now_ms()) if self._metrics is not None else None
        due = (self.hooks.timeout_ms(), self._log.timeout_ms(), metrics)
        return min((one for one in due if one is not None), default=None)

    def tell(self, commands: Sequence[tuple[int, int, int]]) -> None:
        """Of all that the guard asked for, the changes of the level: they do not keep."""
        if self._notices is not None:
            self._notices.take(commands)
        if self._level_file is not None:
            self._level_file.renew()

    def take(self, commands: Sequence[tuple[int, int, int]]) -> None:
        """The rest that is to be told, which can wait until what is urgent has been done."""
        if self._after_kill is not None:
            self._after_kill.take(commands)
        if any(operation == DRAIN_LOG for operation, _, _ in commands):
            self._log.drain()

    def turn(self) -> None:
        """What has ended, and what is due."""
        self.hooks.collect()
        if self._log.timeout_ms() == 0.0:
            self._log.drain()
        if self._metrics is not None:
            self._metrics.turn(now_ms())

    def close(self, level_file: str = "") -> None:
        """The last records, and that nobody tells the level any more, but in this file."""
        if self._level_file is not None:
            self._level_file.close(level_file)
        self._log.drain()
        self._log.close()
