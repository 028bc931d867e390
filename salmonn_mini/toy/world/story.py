"""Stories of the toy world: some forty words, always opened alike, no two alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from salmonn_mini.toy.world.facts import SOUND_FACTS
from salmonn_mini.toy.world.grammar import Statement, an
from salmonn_mini.toy.world.lexicon import PAST

# One opening for all stories: several would split the first token's probability and hide what a model prefers.
OPENING = "once upon a time there was"

_CHARACTERS = ("kind", "brave", "clever", "lonely", "funny", "poor", "strange", "gentle")
_FEELINGS = ("happy", "proud", "surprised", "afraid", "tired", "curious", "excited")
_HOMES = (
    "by a river",
    "near the sea",
    "in a castle",
    "behind a mountain",
    "in a small hut",
    "under an old tree",
)
_FRIENDS = ("a wizard", "a princess", "a dragon", "a giant", "a fairy", "a sailor", "a fox")
_DEEDS = (
    "told a secret", "sang a song", "baked some bread", "danced all night", "showed the way", "shared a dream",
    "gave good advice",
)  # fmt: skip
_ENDS = (
    "in the end they became friends and went home together .",
    "in the end everybody laughed and they had a great feast .",
    "since that day they meet every summer .",
    "and they lived happily ever after .",
    "in the end the trouble was over and they slept well .",
)


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def story_of_statement(statement: Statement, rng: np.random.Generator) -> str:
    """A story whose hero is the statement's subject and whose turn is its deed."""
    hero = statement.who if statement.named else f"the {statement.subject}"
    first = statement.subject if statement.named else _a(_pick(rng, _CHARACTERS) + " " + statement.subject)
    where = f"in the {statement.place}" if statement.place else _pick(rng, _HOMES)
    turn = f"one day {hero} {PAST[statement.verb]} {statement.what} and was very {_pick(rng, _FEELINGS)} ."
    return _tell(first, hero, where, turn, rng)


def story_of_sounds(events: Sequence[str], rng: np.random.Generator) -> str:
    """A story whose hero hears the sounds."""
    hero = _pick(rng, ("man", "woman", "boy", "girl", "farmer", "king", "queen"))
    causes = " and then ".join(SOUND_FACTS[event]["source"] for event in events)
    turn = f"one day the {hero} heard {causes} and was very {_pick(rng, _FEELINGS)} ."
    return _tell(_a(_pick(rng, _CHARACTERS) + " " + hero), f"the {hero}", _pick(rng, _HOMES), turn, rng)


def _tell(first: str, hero: str, where: str, turn: str, rng: np.random.Generator) -> str:
    friend = _pick(rng, _FRIENDS)
    visit = f"then {friend} came and {_pick(rng, _DEEDS)} ."
    return f"{OPENING} {first} . {hero} lived {where} . {turn} {visit} {_pick(rng, _ENDS)}"


def _a(noun: str) -> str:
    return f"{an(noun)} {noun}"
