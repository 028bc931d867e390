"""The paper's claims, the toy's figures, and a verdict for each by a rule that was written down first.

claims.yaml ─ rules.py       what is compared with what, and by how much
models.py ─ conditions.py    what is trained, and what is asked of it: rows
verdicts.py                  rows → figures → verdicts, at any time again
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from salmonn_mini.evaluation.claims.rules import Claim, Rules, read_claims
from salmonn_mini.evaluation.claims.verdicts import Evidence, claims_table, decide, markdown, terminal_table
from salmonn_mini.files import load_json
from salmonn_mini.pretrained import toy_folder

__all__ = ["Claim", "Evidence", "Rules", "claims_table", "decide", "markdown", "measure_claims"]
__all__ += ["read_claims", "shipped", "shipped_claims", "terminal_table"]


def shipped() -> Evidence:
    """The rows that come with the package."""
    return Evidence(toy_folder() / "claims")


def shipped_claims() -> dict[str, Any]:
    """The claims that come with the package; as long as none is written down, what the rows that are there tell."""
    path = shipped().folder.with_name("claims.json")
    return load_json(path) if path.exists() else claims_table(shipped(), read_claims())


def measure_claims(
    claims: Iterable[Claim],
    seeds: Sequence[int],
    evidence: Evidence,
    runs: Path,
    *,
    n: int,
    device: str | None = None,
) -> None:
    """Measure what is missing for the claims; what is there stays. May be stopped at any time.

    Args:
        runs: the folder of the trained models and of encoded clips.
        n: clips of each task.
        device: where the models answer; None: the CPU.
    """
    from salmonn_mini.evaluation.claims.conditions import measure
    from salmonn_mini.evaluation.claims.models import Models

    names = list(dict.fromkeys(name for claim in claims for name in claim.conditions))
    for seed in seeds:
        models = Models(seed, runs, runs / "features", device)
        for name in names:
            if not evidence.has(name, seed):
                evidence.save(name, seed, measure(name, models, n))
