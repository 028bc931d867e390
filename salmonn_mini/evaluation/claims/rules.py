"""Claims and their rules, read from claims.yaml: what is compared with what, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from salmonn_mini.errors import SalmonnError


class Term(NamedTuple):
    """One measure of one task in one condition, in claims.yaml CONDITION/TASK/MEASURE."""

    condition: str
    task: str
    measure: str


@dataclass(frozen=True)
class Test:
    """A comparison: the terms of `plus` less those of `minus` must be above or below a number."""

    __test__ = False  # pytest takes classes of this name for its own

    name: str
    plus: tuple[Term, ...]
    minus: tuple[Term, ...] = ()
    above: float | None = None
    below: float | None = None

    def holds(self, value: float) -> bool:
        return value > self.above if self.above is not None else value < self.below

    @property
    def rule(self) -> str:
        """The comparison in words."""
        plus, minus = (" + ".join("/".join(term) for term in terms) for terms in (self.plus, self.minus))
        compared = f"> {self.above:g}" if self.above is not None else f"< {self.below:g}"
        return f"{plus}{f' - ({minus})' if minus else ''} {compared}"


@dataclass(frozen=True)
class Claim:
    """A claim, what the paper says, and the tests that decide it."""

    id: int
    claim: str
    paper: str
    tests: tuple[Test, ...]

    @property
    def conditions(self) -> list[str]:
        """What has to be measured for it."""
        terms = [term for test in self.tests for term in (*test.plus, *test.minus)]
        return list(dict.fromkeys(term.condition for term in terms))


@dataclass(frozen=True)
class Rules:
    """All claims, and the seeds over which each is decided."""

    seeds: tuple[int, ...]
    claims: tuple[Claim, ...]

    def __getitem__(self, number: int) -> Claim:
        """The claim with this number; raises SalmonnError where there is none."""
        for claim in self.claims:
            if claim.id == number:
                return claim
        raise SalmonnError(f"there is no claim {number}: choose 1 to {len(self.claims)}")


def parse_claim(row: Mapping[str, Any]) -> Claim:
    """A claim from its row of claims.yaml."""
    tests = [
        test
        | {side: tuple(Term(*text.split("/")) for text in test.get(side, ())) for side in ("plus", "minus")}
        for test in row["tests"]
    ]
    return Claim(**{**row, "tests": tuple(Test(**test) for test in tests)})


def read_claims() -> Rules:
    """The rules of claims.yaml."""
    table = yaml.safe_load(Path(__file__).with_name("claims.yaml").read_text(encoding="utf-8"))
    return Rules(tuple(table["seeds"]), tuple(map(parse_claim, table["claims"])))
