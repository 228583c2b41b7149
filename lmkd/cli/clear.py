"""``lmkd clear``: the other half of ``lmkd set``."""

from __future__ import annotations

from lmkd.cli.priority import add_clear_parser as add_parser
from lmkd.cli.priority import run

__all__ = ["add_parser", "run"]
