"""The ledger: the paper's claims, the toy's figures, and a verdict for each by a rule that was written down first.

claims.yaml ─ claims.py      what is compared with what, and by how much
models.py ─ conditions.py    what is trained, and what is asked of it: rows
verdicts.py                  rows → figures → verdicts, at any time again
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from salmonn_mini.checkpoint import toy_folder
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import write_json
from salmonn_mini.ledger.claims import Claim, Rules, read_claims
from salmonn_mini.ledger.verdicts import Evidence, decide, ledger, markdown

__all__ = [
    "Claim",
    "Evidence",
    "Rules",
    "decide",
    "ledger",
    "markdown",
    "measure_claims",
    "read",
    "read_claims",
    "shipped",
    "shipped_table",
    "write",
]

SAMPLES = 200


def shipped() -> Evidence:
    """The rows that come with the package."""
    return Evidence(toy_folder() / "ledger")


def shipped_table() -> dict[str, Any]:
    """The ledger that comes with the package; as long as none is written down, what the rows that are there tell."""
    path = shipped().folder.with_name("ledger.json")
    return read(path) if path.exists() else ledger(shipped(), read_claims())


def measure_claims(
    claims: Iterable[Claim], seeds: Sequence[int], evidence: Evidence, runs: Path, *, n: int = SAMPLES
) -> None:
    """Measure what is missing for the claims; what is there stays. May be stopped at any time.

    Args:
        runs: the folder of the trained models and of what the ears heard.
        n: clips of each task.
    """
    from salmonn_mini.ledger.conditions import measure
    from salmonn_mini.ledger.models import Models

    names = list(dict.fromkeys(name for claim in claims for name in claim.conditions))
    for seed in seeds:
        models = Models(seed, runs, runs / "features")
        for name in names:
            if not evidence.has(name, seed):
                evidence.save(name, seed, measure(name, models, n))


def write(table: dict[str, Any], path: Path) -> None:
    """Write the ledger as JSON."""
    write_json(path, table)


def read(path: Path) -> dict[str, Any]:
    """The ledger that `write` wrote.

    Raises:
        SalmonnError: a file that cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise SalmonnError(
            f"{path} cannot be read ({problem}): write it by `salmonn-mini ledger`"
        ) from problem
