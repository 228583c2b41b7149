"""The configuration: YAML files to one validated, frozen ``Config``, or to all that is wrong with them.

Which rule applies to a process: the FIRST RULE THAT MATCHES WINS. Rules are tried in the order of the file;
the rules of drop-ins (lmkd.d/*.yaml) come before those of the main file, those of later drop-ins first, and a
drop-in's rule replaces an earlier file's rule of the same name. All conditions of a rule's ``match`` must
hold. A rule that could never be reached is an error. Of single values, the one in the latest file wins. What
no rule matches keeps its own oom_score_adj.
"""

from __future__ import annotations

from lmkd.config.load import check, default_paths, load, load_default, parse_text
from lmkd.config.model import (
    PRIORITY_OF_CLASS,
    Amount,
    AppRule,
    Config,
    ControlConfig,
    LogConfig,
    Matcher,
    PolicyConfig,
    StoreConfig,
    priority_of_class,
    rule_table,
)
from lmkd.config.reference import reference_markdown

__all__ = [
    "PRIORITY_OF_CLASS",
    "Amount",
    "AppRule",
    "Config",
    "ControlConfig",
    "LogConfig",
    "Matcher",
    "PolicyConfig",
    "StoreConfig",
    "check",
    "default_paths",
    "load",
    "load_default",
    "parse_text",
    "priority_of_class",
    "reference_markdown",
    "rule_table",
]
