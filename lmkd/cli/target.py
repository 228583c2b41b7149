"""Which process is meant by a process id or a name: one, or an error that shows all that it could be."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from lmkd.cli.explain import is_meant
from lmkd.cli.ps import HEADINGS, RIGHT, cells, numbered
from lmkd.cli.render import table
from lmkd.control.client import ControlClient
from lmkd.errors import EXIT_USAGE, LmkdError

Row = dict[str, Any]
METAVAR = "PID|NAME"
HELP = "a process id, or a name as in `lmkd ps`, with * and ? if need be"


class AmbiguousError(LmkdError):
    """Several processes are meant where one must be; the message lists them."""

    exit_code = EXIT_USAGE


def all_meant(client: ControlClient, what: str) -> list[Row]:
    """Every process that ``what`` means, in kill order, but for this one; LmkdError when there is none.

    A number is a process id only.
    """
    rows = [row for row in numbered(client.candidates()) if row.get("pid") != os.getpid()]
    if what.isascii() and what.isdigit():
        found = [row for row in rows if str(row.get("pid")) == what.lstrip("0")]
    else:
        found = [row for row in rows if is_meant(what, row)]
    if not found:
        raise LmkdError(f"lmkd knows no process with the id or the name {what}; `lmkd ps` lists all that it knows")
    return found


def one_meant(client: ControlClient, what: str) -> Row:
    """The one process that ``what`` means; AmbiguousError when it could be several."""
    found = all_meant(client, what)
    if len(found) > 1:
        listed = "\n".join(rows_table(found))
        raise AmbiguousError(f"{len(found)} processes are meant by {what}: say which by its process id\n{listed}")
    return found[0]


def namesakes(client: ControlClient, row: Mapping[str, Any]) -> list[Row]:
    """The others that have the same name."""
    rows = numbered(client.candidates())
    return [other for other in rows if other.get("name") == row.get("name") and other.get("pid") != row.get("pid")]


def rows_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table of `lmkd ps` for some of its rows."""
    return table(HEADINGS, (cells(row) for row in rows), RIGHT)


def title(row: Mapping[str, Any]) -> str:
    """``name[pid]``."""
    from lmkd.log import format_value

    return f"{format_value(row.get('name'))}[{format_value(row.get('pid'))}]"
