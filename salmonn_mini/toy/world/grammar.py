"""Statements, questions and commands: what is said in the toy world.

Every sentence belongs for ever to one split, decided by a hash of its own words, so that whatever is drawn
for a test was never drawn for training.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np

from salmonn_mini.toy.world import facts
from salmonn_mini.toy.world.lexicon import (
    ANIMALS,
    DAYS,
    NAMES,
    NOUNS,
    NUMBERS,
    OBJECT_ADJECTIVES,
    PEOPLE,
    PLACES,
    SUBJECT_ADJECTIVES,
    THINGS,
    TIMES,
    VERBS,
)

SPLITS = ("train", "validation", "test")


def split_of(text: str) -> str:
    """The split of a sentence: about 90 % train, 5 % validation, 5 % test, by a hash of its words.

    There are few questions, so that one wording in three of every fact is held out instead: the fact is known
    from the other two.
    """
    if text in QUESTION_SPLITS:
        return QUESTION_SPLITS[text]
    return {0: "test", 1: "validation"}.get(zlib.crc32(text.encode()) % 20, "train")


@dataclass(frozen=True)
class Statement:
    """Who does what to which thing, where and when."""

    subject: str
    verb: str
    object: str
    subject_adjective: str | None = None
    object_adjective: str | None = None
    article: str = "a"
    place: str | None = None
    time: str | None = None

    @property
    def named(self) -> bool:
        return self.subject in NAMES

    @property
    def who(self) -> str:
        """The subject with its article and adjective, as `the old farmer` or `anna`."""
        if self.named:
            return self.subject
        return _join("the", self.subject_adjective, self.subject)

    @property
    def what(self) -> str:
        """The object with its article and adjective, as `a red apple`."""
        noun = _join(self.object_adjective, self.object)
        return f"{an(noun) if self.article == 'a' else 'the'} {noun}"

    @property
    def text(self) -> str:
        where = f"in the {self.place}" if self.place else None
        return _join(self.who, self.verb, self.what, where, self.time)


@dataclass(frozen=True)
class Command:
    """A request with named slots, as to a voice assistant."""

    text: str
    slots: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SpokenQuestion:
    """A question about the world in one of its wordings, and the answer."""

    text: str
    answer: str


def _join(*parts: str | None) -> str:
    return " ".join(part for part in parts if part)


def an(noun: str) -> str:
    """The indefinite article before `noun`."""
    return "an" if noun[0] in "aeiou" else "a"


def pick(rng: np.random.Generator, options):
    """One of `options`, all equally likely."""
    options = tuple(options)
    return options[int(rng.integers(len(options)))]


def _maybe(rng: np.random.Generator, options, chance: float) -> str | None:
    return pick(rng, options) if rng.random() < chance else None


def draw_statement(rng: np.random.Generator) -> Statement:
    """A random statement of 4 to 13 words."""
    subject = pick(rng, (NAMES, PEOPLE, ANIMALS)[rng.integers(3)])
    return Statement(
        subject=subject,
        verb=pick(rng, VERBS),
        object=pick(rng, THINGS),
        subject_adjective=_maybe(rng, SUBJECT_ADJECTIVES, 0.35) if subject in NOUNS else None,
        object_adjective=_maybe(rng, OBJECT_ADJECTIVES, 0.6),
        article=pick(rng, ("a", "the")),
        place=_maybe(rng, PLACES, 0.55),
        time=_maybe(rng, TIMES, 0.3),
    )


def draw_command(rng: np.random.Generator) -> Command:
    """A random command with one to three slots."""
    return fill_command(pick(rng, COMMANDS), rng)


def fill_command(pattern: str, rng: np.random.Generator) -> Command:
    """A command in which every `{slot}` of the pattern has got a value."""
    slots, words = [], []
    for word in pattern.split():
        if word.startswith("{"):
            slot = word.strip("{}")
            value = pick(rng, SLOTS[slot])
            slots.append((slot, value))
            word = value
        words.append(word)
    return Command(" ".join(words), tuple(slots))


SLOTS = {
    "number": NUMBERS,
    "hour": NUMBERS,
    "day": DAYS,
    "city": tuple(facts.CAPITALS.values()),
    "name": tuple(NAMES),
    "place": tuple(PLACES),
    "thing": tuple(THINGS),
}

COMMANDS = (
    "book a table for {number} in {city} on {day}",
    "book a table for {number} at {hour}",
    "wake me at {hour} on {day}",
    "call {name} at {hour}",
    "call {name} on {day}",
    "play music in the {place}",
    "turn on the lamp in the {place}",
    "buy {number} tickets to {city} on {day}",
    "send a letter to {name} in {city}",
    "bring the {thing} to {name} on {day}",
    "put the {thing} in the {place}",
    "buy a {thing} for {name}",
)


def draw_question(rng: np.random.Generator) -> SpokenQuestion:
    """A random question about the world's facts, in a random wording."""
    return pick(rng, QUESTIONS_BY_KIND[pick(rng, QUESTIONS_BY_KIND)])


GARBLED_SHARE = 0.35  # of the words


def draw_word_list(rng: np.random.Generator) -> str:
    """Three to seven spoken words without a sentence around them."""
    words = spoken_words()
    return " ".join(words[i] for i in rng.integers(len(words), size=rng.integers(3, 8)))


def draw_garbled(rng: np.random.Generator) -> str:
    """A question or command of the training split in which about every third word is exchanged for a random one."""
    words = spoken_words()
    while True:
        kind = draw_question if rng.random() < 0.7 else draw_command
        sentence = draw(kind, rng, "train").text
        text = " ".join(
            words[int(rng.integers(len(words)))] if rng.random() < GARBLED_SHARE else word
            for word in sentence.split()
        )
        if split_of(text) == "train":
            return text


def _wordings(kind: str, gaps: tuple[str, ...], answer: str) -> list[SpokenQuestion]:
    return [SpokenQuestion(wording.format(*gaps), answer) for wording in facts.WORDINGS[kind]]


def _question_splits() -> dict[str, str]:
    splits = {}
    for kind, rows in facts.FACTS.items():
        for gaps, answer in rows:
            code = zlib.crc32(" ".join((kind, *gaps)).encode())
            for i, question in enumerate(_wordings(kind, gaps, answer)):
                splits[question.text] = SPLITS[1 + code // 3 % 2] if i == code % 3 else "train"
    return splits


QUESTIONS_BY_KIND: dict[str, tuple[SpokenQuestion, ...]] = {
    kind: tuple(question for gaps, answer in rows for question in _wordings(kind, gaps, answer))
    for kind, rows in facts.FACTS.items()
}
QUESTION_SPLITS = _question_splits()


def draw(kind, rng: np.random.Generator, split: str):
    """Draw with `kind` (draw_statement, draw_command or draw_question) until the sentence is of the split."""
    while True:
        sentence = kind(rng)
        if split_of(sentence.text) == split:
            return sentence


@cache
def spoken_words() -> tuple[str, ...]:
    """Every word that can be spoken in the toy world, sorted."""
    tables = (
        NAMES,
        NOUNS,
        THINGS,
        OBJECT_ADJECTIVES,
        SUBJECT_ADJECTIVES,
        VERBS,
        PLACES,
        TIMES,
        DAYS,
        NUMBERS,
    )
    texts = [word for table in tables for word in table]
    texts += ["the a an in", *facts.CAPITALS.values()]
    texts += COMMANDS
    texts += [q.text for questions in QUESTIONS_BY_KIND.values() for q in questions]
    texts += list(facts.SOUND_QUESTIONS)
    return tuple(sorted({word for text in texts for word in text.split() if not word.startswith("{")}))
