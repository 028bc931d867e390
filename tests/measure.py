"""Run notebooks and print what each took beside its card: minutes of computing, gigabytes at the peak.

    python tests/measure.py notebooks/00_tour.ipynb …

The rows are also in runs/cards.jsonl. No test looks at them: a busy machine is no fault of a notebook.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError
from record import ROOT, Client, main

from salmonn_mini.course.card import REPORT

FILE = ROOT / "runs" / "cards.jsonl"


def measure(path: Path) -> list[str]:
    """What is wrong with a notebook: it fails, or takes more than its card says."""
    before = _rows()
    try:
        Client.of(nbformat.read(path, as_version=4), path).execute()
    except CellExecutionError as error:
        return [str(error)]
    row = _rows()[-1]
    FILE.write_text("".join(json.dumps(each) + "\n" for each in [*before, {"notebook": path.stem} | row]))
    pairs = zip(row["card"], row["measured"], ("min", "GB"), strict=True)
    return [f"{spent:.2f} {unit} of {card:g}" + " — MORE" * (spent > card) for card, spent, unit in pairs]


def _rows() -> list[dict]:
    return [json.loads(line) for line in FILE.read_text().splitlines()]


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text("")
    os.environ[REPORT] = str(FILE)
    main(sys.argv[1:], measure)
