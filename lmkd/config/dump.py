"""A Config back to YAML: what ``parse_text`` reads as the same configuration, places and sources apart."""

from __future__ import annotations

from lmkd.config.apps import made_name
from lmkd.config.model import Amount, AppRule, Config
from lmkd.config.patterns import pattern_text
from lmkd.config.schema import AUTO


def dump(config: Config) -> str:
    """The complete configuration as YAML text, every key written out."""
    store, policy = config.store, config.policy
    lines = [
        f"stall_budget: {config.stall_budget_ms}ms",
        "store:",
        f"  kind: {store.kind}",
        f"  algorithm: {store.algorithm}",
        f"  size: {_amount(store.size)}",
        f"  mem_limit: {_amount(store.mem_limit)}",
        f"  swap_priority: {store.swap_priority}",
        f"  on_exit: {store.on_exit}",
        f"manage_sysctls: {_bool(config.manage_sysctls)}",
        _mapping("sysctls", tuple((name, str(number)) for name, number in config.sysctls)),
        f"mirror_oom_score_adj: {_bool(config.mirror_oom_score_adj)}",
        _mapping("grace", tuple((name, f"{grace_ms}ms") for name, grace_ms in config.grace)),
        "policy:",
        f"  headroom_floor: {_amount(policy.headroom_floor)}",
        f"  file_floor: {_amount(policy.file_floor)}",
        f"  kill_horizon: {_duration(policy.kill_horizon_ms)}",
        f"  runaway_horizon: {_duration(policy.runaway_horizon_ms)}",
        f"  runaway: {_bool(policy.runaway)}",
        f"  idle_interval: {_duration(policy.idle_interval_ms)}",
        f"control: {{socket: {quoted(config.control.socket)}}}",
        f"log: {{level: {config.log.level}}}",
        "apps:" if config.apps else "apps: []",
        *(line for rule in config.apps for line in _rule(rule)),
    ]
    return "\n".join(lines) + "\n"


def _rule(rule: AppRule) -> list[str]:
    lines = ["  - match:"]
    for matcher in rule.matchers:
        lines.append(f"      {matcher.field}: {quoted(pattern_text(matcher))}")
    if rule.name != made_name(rule.matchers):
        lines.append(f"    name: {quoted(rule.name)}")
    lines.append(f"    priority: {rule.class_name or rule.priority}")
    lines.append(f"    group: {rule.group}")
    if rule.on_kill is not None:
        lines.append(f"    on_kill: {quoted(rule.on_kill)}")
    if rule.grace_ms is not None:
        lines.append(f"    grace: {rule.grace_ms}ms")
    return lines


def quoted(text: str) -> str:
    """``text`` as a double-quoted YAML scalar: JSON's escapes, and the one it leaves out."""
    import json  # only this needs it, and every import costs a slow core time to start

    return json.dumps(text).replace("\x7f", "\\x7f")


def _mapping(key: str, items: tuple[tuple[str, str], ...]) -> str:
    return f"{key}: {{{', '.join(f'{name}: {text}' for name, text in items)}}}"


def _amount(amount: Amount | None) -> str:
    if amount is None:
        return AUTO
    return f"{amount.kib}K" if amount.kib is not None else f"{amount.pct}%"


def _duration(duration_ms: int | None) -> str:
    return AUTO if duration_ms is None else f"{duration_ms}ms"


def _bool(flag: bool) -> str:
    return "true" if flag else "false"
