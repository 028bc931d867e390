"""From rows to verdicts: every figure follows from per-sample files, and can be computed again.

A file of rows is one condition of one seed. Its texts are scored anew; numbers that do not follow from texts
(log-probabilities, drifts) are kept as they were measured.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from salmonn_mini.errors import SalmonnError, counted
from salmonn_mini.evaluation import tables
from salmonn_mini.evaluation.claims.rules import Claim, Rules, Term, Test, read_claims
from salmonn_mini.evaluation.metrics import bootstrap
from salmonn_mini.evaluation.metrics.measures import MEASURES, counts_of
from salmonn_mini.evaluation.metrics.words import ratio
from salmonn_mini.evaluation.rows import TEXTS, Row, group_by_task, json_lines, parse_lines, with_scores
from salmonn_mini.files import load_json, write_bytes
from salmonn_mini.pretrained import toy_folder

REPRODUCED, IN_PART, NOT, OPEN = "reproduced", "in part", "not", "not yet measured"


class Evidence:
    """A folder of files CONDITION-SEED.jsonl.gz."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._scores = cache(self._read_scores)

    def has(self, condition: str, seed: int) -> bool:
        return self._path(condition, seed).exists()

    def save(self, condition: str, seed: int, rows: Sequence[Row]) -> None:
        """Keep what follows from nothing else: texts, or measured numbers."""
        kept = [row if "measured" in row else {name: row[name] for name in TEXTS} for row in rows]
        write_bytes(self._path(condition, seed), gzip.compress(json_lines(kept).encode(), mtime=0))

    def rows(self, condition: str, seed: int) -> list[Row]:
        """Raises SalmonnError where the file is missing or damaged."""
        path = self._path(condition, seed)
        try:
            return parse_lines(gzip.decompress(path.read_bytes()).decode())
        except (OSError, EOFError, ValueError) as problem:
            raise SalmonnError(
                f"{path} cannot be read ({problem}); measure it: salmonn-mini claims"
            ) from problem

    def counts(self, term: Term, seeds: Sequence[int]) -> bootstrap.Counts:
        """The numbers of a term's measure, a row a sample, all seeds one after the other."""
        scores = [row for seed in seeds for row in self._scores(term.condition, seed)[term.task]]
        return counts_of(scores, term.measure)

    def _read_scores(self, condition: str, seed: int) -> dict[str, list]:
        rows = self.rows(condition, seed)
        if "measured" not in rows[0]:
            rows = [row | {"measured": row["scores"]} for row in with_scores(rows)]
        return {task: [row["measured"] for row in own] for task, own in group_by_task(rows).items()}

    def _path(self, condition: str, seed: int) -> Path:
        return self.folder / f"{condition}-{seed}.jsonl.gz"


def shipped() -> Evidence:
    """The rows that come with the package."""
    return Evidence(toy_folder() / "claims")


def shipped_claims() -> dict[str, Any]:
    """The claims that come with the package; as long as none is written down, what the rows that are there tell."""
    path = toy_folder() / "claims.json"
    return load_json(path) if path.exists() else claims_table(shipped(), read_claims())


def figure(evidence: Evidence, test: Test, seeds: Sequence[int]) -> tuple[float, tuple[float, float]]:
    """A test's figure over all seeds' samples together, and its interval.

    Terms with equally many samples are resampled alike: the paired bootstrap, where they are the same clips.
    """
    value, spread = 0.0, np.zeros(bootstrap.RESAMPLES)
    for sign, terms in ((1, test.plus), (-1, test.minus)):
        for term in terms:
            counts = evidence.counts(term, seeds)
            to_value = MEASURES[term.measure].value if term.measure in MEASURES else ratio
            value += sign * bootstrap.total(counts, to_value)
            spread += sign * bootstrap.resampled(counts, to_value)
    return value, bootstrap.percentiles(spread)


def decide(evidence: Evidence, claim: Claim, seeds: Sequence[int]) -> dict[str, Any]:
    """A claim's row of the table, from the seeds of which everything is measured."""
    done = [seed for seed in seeds if all(evidence.has(name, seed) for name in claim.conditions)]
    figures = [figure(evidence, test, done) for test in claim.tests] if done else []
    held = [test.holds(value) for test, (value, _) in zip(claim.tests, figures, strict=False)]
    rules: list[dict[str, Any]] = [{"name": test.name, "rule": test.rule} for test in claim.tests]
    for rule, holds in zip(rules, held, strict=False):
        rule["holds"] = holds
    return {
        "id": claim.id,
        "claim": claim.claim,
        "paper": claim.paper,
        "ours": [round(value, 4) for value, _ in figures],
        "interval": [[round(end, 4) for end in interval] for _, interval in figures],
        "rule": rules,
        "seeds": done,
        "verdict": OPEN if not done else REPRODUCED if all(held) else IN_PART if any(held) else NOT,
    }


def claims_table(evidence: Evidence, rules: Rules) -> dict[str, Any]:
    """All claims: `{"claims": [{"id", "claim", "paper", "ours", "interval", "rule", "seeds", "verdict"}]}`."""
    return {"claims": [decide(evidence, claim, rules.seeds) for claim in rules.claims]}


def markdown(table: Mapping[str, Any]) -> str:
    """The claims as a Markdown table, for the README."""
    cells = [["", "claim", "the paper", "ours [95 % interval]", "verdict"]]
    for row in table["claims"]:
        figures = zip(row["rule"], row["ours"], row["interval"], strict=False)
        ours = [f"{rule['name']} {value:.2f} [{low:.2f}, {high:.2f}]" for rule, value, (low, high) in figures]
        seeds = f" ({counted(len(row['seeds']), 'seed')})" if row["seeds"] else ""
        cells.append(
            [str(row["id"]), row["claim"], row["paper"], "; ".join(ours) or "–", row["verdict"] + seeds]
        )
    return "\n".join([*tables.markdown(cells), ""])


def terminal_table(table: Mapping[str, Any]) -> str:
    """The claims in 80 columns: verdict, how many tests hold, and how the claim begins."""
    cells = [["", "verdict", "tests", "claim"]]
    for row in table["claims"]:
        held = f"{sum(rule.get('holds', False) for rule in row['rule'])} of {len(row['rule'])}"
        cells.append([str(row["id"]), row["verdict"], held, shorten(row["claim"], 52, placeholder=" …")])
    return "\n".join(tables.aligned(cells))
