"""What rules are matched against: the facts of one process, only those that some rule looks at."""

from __future__ import annotations

from lmkd.kernel.process import read_cgroup, read_cmdline, read_exe, read_sizes
from lmkd.matching import fields_used, match_rule, unit_of_cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmkd.plan import Rule


class Matcher:
    """The compiled rules, and the names of users as they were when first met."""

    def __init__(self, proc: str, rules: Sequence[Rule]) -> None:
        self._proc = proc
        self._rows = tuple((rule.name, rule.matchers) for rule in rules)
        self._fields = fields_used(self._rows)
        self._users: dict[int, str | None] = {}

    def match(self, pid: int, comm: str) -> int | None:
        """The index of the first rule that matches the process; None for none, and for what cannot be read."""
        if not self._rows:
            return None
        facts: dict[str, str | int | None] = {"comm": comm}
        if "exe" in self._fields:
            facts["exe"] = read_exe(self._proc, pid) or None
        if "cmdline" in self._fields:
            facts["cmdline"] = read_cmdline(self._proc, pid) or None
        if "cgroup" in self._fields or "unit" in self._fields:
            path = read_cgroup(self._proc, pid)
            facts["cgroup"] = path
            facts["unit"] = unit_of_cgroup(path)
        if "user" in self._fields:
            sizes = read_sizes(self._proc, pid)
            if sizes is not None:
                facts["uid"] = sizes.user
                facts["user"] = self._user_name(sizes.user)
        return match_rule(self._rows, facts)

    def _user_name(self, uid: int) -> str | None:
        if uid not in self._users:
            import pwd

            try:
                self._users[uid] = pwd.getpwuid(uid).pw_name
            except KeyError:
                self._users[uid] = None
        return self._users[uid]
