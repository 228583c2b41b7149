"""``lmkd doctor``: what this kernel offers, what this process may do, and what is degraded without it."""

from __future__ import annotations

import argparse

from lmkd.errors import EXIT_OK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.features import Probed

    Missing = tuple[tuple[str, str], ...]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd doctor``."""
    parser = subparsers.add_parser(
        "doctor",
        help="what this kernel offers and what is degraded without it",
        description="Probe each kernel feature once, by trying it. "
        "Exit 0, or 3 when lmkd cannot work here at all.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the table; CannotWorkError (exit code 3), after what can be said, where nothing can work."""
    from lmkd.kernel.capabilities import missing_abilities, require_workable
    from lmkd.kernel.features import probe
    from lmkd.kernel.files import system_roots

    roots = system_roots()
    if not (roots.proc / "self" / "status").exists():
        require_workable(roots)
    probed = probe(roots)
    missing = missing_abilities(roots)
    print(render_json(probed, missing) if args.json else render_table(probed, missing))
    require_workable(roots)
    return EXIT_OK


def render_json(probed: Probed, missing: Missing) -> str:
    """One object: features, missing_abilities, warnings."""
    import json

    from lmkd.values import as_dict

    found = {
        "features": [as_dict(row) for row in probed.rows],
        "missing_abilities": [{"capability": name, "cost": cost} for name, cost in missing],
        "warnings": list(probed.warnings),
    }
    return json.dumps(found, indent=2)


def render_table(probed: Probed, missing: Missing) -> str:
    """Aligned text: a feature a line, with its detail when present, else what is degraded and why."""
    width = max(len(row.name) for row in probed.rows)
    lines = [f"{'feature':{width}}  here  without it"]
    for row in probed.rows:
        if row.present:
            said = f"- ({row.detail})" if row.detail else "-"
        else:
            said = f"{row.cost} ({row.detail})" if row.detail else row.cost
        lines.append(f"{row.name:{width}}  {'yes' if row.present else 'no':4}  {said}")
    if missing:
        lines.append("")
        lines.extend(f"missing {name}: {cost}" for name, cost in missing)
    if probed.warnings:
        lines.append("")
        lines.extend(f"warning: {warning}" for warning in probed.warnings)
    return "\n".join(lines)
