"""What is made from the schemas in docs: ``python -m tests.unit.pages`` (make docs); ``--check``: does it differ?"""

from __future__ import annotations

import sys
from pathlib import Path

from lmkd.config import reference_markdown
from lmkd.control.metrics import metrics_markdown
from lmkd.control.records_page import events_page
from lmkd.control.reference import protocol_page
from tests.unit.cli import pictures
from tests.unit.policy.pictures import PICTURES, tuning_page
from tests.unit.source_tree import ROOT


def made() -> dict[str, str]:
    """File in docs: its text. ModuleNotFoundError without `rich`, which draws a picture."""
    return {
        "configuration.md": reference_markdown(),
        "protocol.md": protocol_page(),
        "metrics.md": metrics_markdown(),
        "events.md": events_page(),
        "tuning.md": tuning_page((ROOT / "docs/tuning.md").read_text(encoding="utf-8")),
        **{name: draw() for name, draw in PICTURES.items()},
        **{name: pictures.picture(label, rich, unicode) for name, label, rich, unicode in pictures.PICTURES},
    }


def stale(docs: Path, texts: dict[str, str]) -> list[str]:
    """The files that are not there, or say something else."""
    return [
        name
        for name, text in texts.items()
        if not (docs / name).is_file() or (docs / name).read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str], docs: Path = ROOT / "docs") -> int:
    """The exit code: 1 when something differs that was to be checked."""
    texts = made()
    if arguments == ["--check"]:
        found = stale(docs, texts)
        for name in found:
            print(f"docs/{name} is not what it is made from: run `make docs`", file=sys.stderr)
        return 1 if found else 0
    for name, text in texts.items():
        (docs / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
