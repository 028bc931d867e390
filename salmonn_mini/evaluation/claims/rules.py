"""Claims and their rules, read from claims.yaml: what is compared with what, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml

from salmonn_mini.errors import SalmonnError

CLAIMS = Path(__file__).with_name("claims.yaml")


class Term(NamedTuple):
    """One measure of one task in one condition."""

    condition: str
    task: str
    measure: str

    @classmethod
    def parse(cls, text: str) -> Term:
        """CONDITION/TASK/MEASURE; raises SalmonnError at another form."""
        parts = text.split("/")
        if len(parts) != 3 or not all(parts):
            raise SalmonnError(
                f"{text!r} is not a term: write condition/task/measure, as stage2/story/following_rate"
            )
        return cls(*parts)


@dataclass(frozen=True)
class Test:
    """A comparison: the terms of `plus` less those of `minus` must be above or below a number."""

    __test__ = False  # pytest takes classes of this name for its own

    name: str
    plus: tuple[Term, ...]
    minus: tuple[Term, ...] = ()
    above: float | None = None
    below: float | None = None

    def __post_init__(self) -> None:
        if not self.plus or (self.above is None) == (self.below is None):
            raise SalmonnError(f"test {self.name!r}: give `plus`, and either `above` or `below`")

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


def read_claims(path: Path = CLAIMS) -> Rules:
    """The rules of claims.yaml; raises SalmonnError at a file without this form."""
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        for row in table["claims"]:
            for test in row["tests"]:
                test |= {side: tuple(map(Term.parse, test.get(side, ()))) for side in ("plus", "minus")}
            row["tests"] = tuple(Test(**test) for test in row["tests"])
        return Rules(tuple(table["seeds"]), tuple(Claim(**row) for row in table["claims"]))
    except (OSError, yaml.YAMLError, KeyError, TypeError) as problem:
        raise SalmonnError(
            f"{path} does not hold claims with tests ({problem}); see the shipped one"
        ) from problem
