"""Stories of the toy world: some forty words, always opened alike, no two alike, faithful to what was heard."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from salmonn_mini.toy.world.events import EVENTS
from salmonn_mini.toy.world.facts import SOUND_FACTS
from salmonn_mini.toy.world.grammar import FEMALE, Statement, a, pick
from salmonn_mini.toy.world.lexicon import NAMES, NOUNS, PAST, THINGS

# One opening for all stories: several would split the first token's probability and hide what a model prefers.
OPENING = "Once upon a time there was"

_CHARACTERS = ("kind", "brave", "clever", "lonely", "funny", "strange", "gentle", "quiet")
_GLAD = ("happy", "proud", "excited")
_CURIOUS = ("surprised", "excited", "curious")
_SORRY = ("sad", "worried", "angry", "upset")
_HOMES = (
    "by a river", "near the sea", "in a castle", "in the mountains", "in a small hut", "under an old tree",
)  # fmt: skip
_FRIENDS = ("a wizard", "a princess", "a dragon", "a giant", "a fairy", "a fox")
_DEEDS = (
    "whispered a secret", "sang a song", "baked some bread", "danced all night", "lent a hand", "told a joke",
    "offered some advice",
)  # fmt: skip
_ENDS = (
    "In the end they became friends and went home together.",
    "In the end everybody laughed and they had a great feast.",
    "From that day on they met every summer.",
    "And they lived happily ever after.",
    "In the end they were very tired and slept well.",
)
_FEELINGS = dict.fromkeys(("loses", "breaks"), _SORRY) | dict.fromkeys(("sees", "finds", "opens"), _CURIOUS)
_FEELINGS |= {"wants": ("excited", "curious", "hopeful"), "likes": ("happy", "excited")}


def story_of_statement(statement: Statement, rng: np.random.Generator) -> str:
    """A story whose hero is the statement's subject and whose turn is its deed."""
    character = statement.subject_adjective or pick(rng, _CHARACTERS)
    if statement.named:
        child = "girl" if statement.subject in FEMALE else "boy"
        hero = a(f"{character} {child} named {statement.subject}")
    else:
        hero = a(f"{character} {statement.subject}")
    feeling = pick(rng, _FEELINGS.get(statement.verb, _GLAD))
    where = f" {statement.place}" if statement.place else ""
    did = "fell in love with" if statement.verb == "likes" else PAST[statement.verb]
    turn = f"{did} {statement.what}{where} and was very {feeling}"
    return _tell(hero, statement.pronoun, turn, rng)


def story_of_sounds(events: Sequence[str], rng: np.random.Generator) -> str:
    """A story whose hero hears the sounds."""
    hero = pick(rng, ("man", "woman", "boy", "girl", "farmer", "king", "queen"))
    causes = " and then ".join(SOUND_FACTS[event]["source"] for event in events)
    turn = f"heard {causes} and was very {pick(rng, (*_CURIOUS, 'happy', 'scared'))}"
    return _tell(f"a {pick(rng, _CHARACTERS)} {hero}", "she" if hero in FEMALE else "he", turn, rng)


def _tell(hero: str, pronoun: str, turn: str, rng: np.random.Generator) -> str:
    home = f"{pronoun.capitalize()} lived {pick(rng, _HOMES)}."
    visit = f"Then {pick(rng, _FRIENDS)} came and {pick(rng, _DEEDS)}."
    return f"{OPENING} {hero}. {home} One day {pronoun} {turn}. {visit} {pick(rng, _ENDS)}"


def is_faithful(context: str, answer: str) -> bool:
    """Whether a story names what it is about: the subject and object of a statement, or the source of each sound."""
    words = set(re.findall(r"\w+", context))
    names = [name for name in (*NAMES, *NOUNS, *THINGS) if name in words]
    phrases = context.lower().rstrip(".").split(" and then ")
    causes = [SOUND_FACTS[event.name]["source"] for event in EVENTS.values() if event.phrase in phrases]
    return all(re.search(rf"\b{name}\b", answer) for name in causes or names)
