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
    minus: tuple[Term, ...]
    above: float | None
    below: float | None

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
        by_number = {claim.id: claim for claim in self.claims}
        if number not in by_number:
            raise SalmonnError(f"there is no claim {number}: choose 1 to {len(self.claims)}")
        return by_number[number]


def read_claims(path: Path = CLAIMS) -> Rules:
    """The rules of claims.yaml.

    Raises:
        SalmonnError: a file without this form.
    """
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        claims = tuple(
            Claim(row["id"], row["claim"], row["paper"], tuple(_test(test) for test in row["tests"]))
            for row in table["claims"]
        )
        return Rules(tuple(table["seeds"]), claims)
    except (OSError, yaml.YAMLError, KeyError, TypeError) as problem:
        raise SalmonnError(
            f"{path} does not hold claims with tests ({problem}); see the shipped one"
        ) from problem


def _test(row: dict) -> Test:
    plus, minus = (tuple(Term.parse(text) for text in row.get(side, ())) for side in ("plus", "minus"))
    above, below = row.get("above"), row.get("below")
    if not plus or (above is None) == (below is None):
        raise SalmonnError(f"test {row.get('name')!r}: give `plus`, and either `above` or `below`")
    return Test(row["name"], plus, minus, above, below)
