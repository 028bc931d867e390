"""Statements, questions and commands: what is said in the toy world.

Every sentence belongs for ever to one split, decided by a hash of its own words, so that whatever is drawn
for a test was never drawn for training.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from salmonn_mini.toy.world import facts, lexicon
from salmonn_mini.toy.world.lexicon import (
    ANIMALS,
    DAYS,
    MONTHS,
    NAMES,
    NOUNS,
    NUMBERS,
    PEOPLE,
    PLACES,
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
    """Who does what to which thing, where and when. `place` and `time` are phrases: `in the park`, `on Monday`."""

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
        """The subject with its article and adjective, as `the old farmer` or `Alice`."""
        if self.named:
            return self.subject
        return _join("the", self.subject_adjective, self.subject)

    @property
    def what(self) -> str:
        """The object with its article and adjective, as `a red apple`."""
        noun = _join(self.object_adjective, self.object)
        return a(noun) if self.article == "a" else f"the {noun}"

    @property
    def pronoun(self) -> str:
        """It, she or he."""
        if self.subject in ANIMALS:
            return "it"
        return "she" if self.subject in FEMALE else "he"

    @property
    def text(self) -> str:
        return self._with(self.verb)

    @property
    def past(self) -> str:
        """The statement in the past tense."""
        return self._with(lexicon.PAST[self.verb])

    def _with(self, verb: str) -> str:
        return sentence(_join(self.who, verb, self.what, self.place, self.time))


# Words that are always written with a capital.
PROPER = (
    *NAMES, *DAYS, *MONTHS, *facts.CAPITALS, *facts.CAPITALS.values(), "I", "Chinese", "German", "Japanese",
)  # fmt: skip
FEMALE = (*lexicon.GIRLS, "woman", "girl", "queen")


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


def a(noun: str) -> str:
    """`noun` after its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def sentence(words: str) -> str:
    """The words with a capital at the beginning and a stop at the end.

    >>> sentence("a dog barks"), sentence("Where am I?")
    ('A dog barks.', 'Where am I?')
    """
    return words[0].upper() + words[1:] + ("" if words[-1] in ".?!" else ".")


def bare(text: str) -> str:
    """A sentence of the toy world as a clause: without its stop, in lower case unless a name begins it.

    >>> bare("A dog barks."), bare("Alice sings.")
    ('a dog barks', 'Alice sings')
    """
    proper = text.split(",")[0].split()[0].strip(".") in PROPER
    return (text if proper else text[0].lower() + text[1:]).rstrip(".?!")


def pick(rng: np.random.Generator, options):
    """One of `options`, all equally likely."""
    options = tuple(options)
    return options[int(rng.integers(len(options)))]


def _maybe(rng: np.random.Generator, options, chance: float) -> str | None:
    return pick(rng, options) if rng.random() < chance else None


def objects_of(subject: str, verb: str) -> tuple[str, ...]:
    """What the subject can do this to."""
    return lexicon.ANIMAL_VERBS[verb] if subject in ANIMALS else lexicon.OBJECTS_OF.get(verb, tuple(THINGS))


def adjectives_of(verb: str, thing: str) -> tuple[str, ...]:
    if verb == "writes":
        return ("new",)
    return lexicon.ADJECTIVES_OF.get(thing, tuple(lexicon.OBJECT_ADJECTIVES))


def places_of(subject: str, verb: str, thing: str) -> list[str]:
    """Where the subject can do this to the thing, sorted."""
    places = PLACES.keys() & lexicon.PLACES_OF.get(verb, PLACES)
    if subject in ANIMALS:
        places &= lexicon.ANIMAL_PLACES
    if subject in lexicon.LARGE or thing in lexicon.LARGE:
        places &= lexicon.OUTDOORS.keys()
    elif thing in lexicon.HOUSEHOLD:
        places = places & lexicon.INDOORS.keys() or places
    return sorted(places)


def draw_statement(rng: np.random.Generator) -> Statement:
    """A random statement of 4 to 12 words, of things that go together."""
    subject = pick(rng, (NAMES, PEOPLE, ANIMALS)[rng.integers(3)])
    verbs = lexicon.ANIMAL_VERBS if subject in ANIMALS else VERBS
    verb = pick(rng, [verb for verb in verbs if verb != "drives" or subject not in ("boy", "girl")])
    thing = pick(rng, objects_of(subject, verb))
    article = {"likes": "the", "writes": "a"}.get(verb) or pick(rng, ("a", "the"))
    often = verb in lexicon.REPEATED and (article == "a" or thing not in lexicon.FOOD)
    times = [time for time in TIMES if often or not time.startswith("every")]
    settled = verb not in lexicon.LASTING
    adjectives = [word for word in lexicon.SUBJECT_ADJECTIVES if word not in lexicon.UNLIKE.get(subject, ())]
    return Statement(
        subject=subject,
        verb=verb,
        object=thing,
        subject_adjective=_maybe(rng, adjectives, 0.35) if subject in NOUNS else None,
        object_adjective=_maybe(rng, adjectives_of(verb, thing), 0.6),
        article=article,
        place=_maybe(rng, places_of(subject, verb, thing), 0.55) if settled else None,
        time=_maybe(rng, times, 0.3) if settled else None,
    )


def draw_command(rng: np.random.Generator) -> Command:
    """A random command with one to three slots."""
    return _fill(pick(rng, COMMANDS), rng)


def draw_free_question(rng: np.random.Generator) -> Command:
    """A question that nobody in the toy world could answer: there are thousands, to write down and to repeat."""
    return _fill(pick(rng, FREE_QUESTIONS), rng)


def draw_word_list(rng: np.random.Generator, words: Sequence[str] = ()) -> Command:
    """Three to six different words, of all that are spoken unless others are given, with commas between them."""
    words = words or spoken_words()
    chosen = rng.choice(len(words), size=rng.integers(3, 7), replace=False)
    return Command(", ".join(words[i] for i in chosen), ())


def draw_question(rng: np.random.Generator) -> SpokenQuestion:
    """A random question about the world's facts, in a random wording."""
    return pick(rng, QUESTIONS_BY_KIND[pick(rng, QUESTIONS_BY_KIND)])


def _fill(pattern: str, rng: np.random.Generator) -> Command:
    """A command in which every `{slot}` of the pattern has got a value."""
    slots: list[tuple[str, str]] = []

    def value(match: re.Match) -> str:
        slots.append((match[1], pick(rng, [v for v in SLOTS[match[1]] if (match[1], v) not in slots])))
        return slots[-1][1]

    return Command(sentence(re.sub(r"\{(\w+)\}", value, pattern)), tuple(slots))


SLOTS = {
    "number": NUMBERS[1:],
    "time": tuple(f"{number} o'clock" for number in NUMBERS),
    "day": DAYS,
    "month": MONTHS,
    "city": tuple(facts.CAPITALS.values()),
    "country": tuple(facts.CAPITALS),
    "name": tuple(NAMES),
    "place": ("kitchen", "bedroom", "bathroom", "office", "hallway", "garage"),
    "somewhere": tuple(PLACES),
    "outdoors": tuple(lexicon.OUTDOORS),
    "object": tuple(
        f"{word} {thing}"
        for thing in lexicon.SMALL
        for word in lexicon.ADJECTIVES_OF.get(thing, lexicon.PLAIN)
        if word in lexicon.PLAIN and thing not in (*lexicon.FOOD, "letter", "newspaper", "picture")
    ),
    "animal": tuple(ANIMALS),
    "person": tuple(PEOPLE),
}

COMMANDS = (
    "Book a table for {number} people in {city} on {day}.",
    "Book a table for {number} at {time}.",
    "Wake me up at {time} on {day}.",
    "Call {name} at {time}.",
    "Call {name} on {day}.",
    "Play some music in the {place}.",
    "Turn on the lights in the {place}.",
    "Turn off the lamp in the {place}.",
    "Buy {number} tickets to {city} for {day}.",
    "Send a letter to {name} in {city}.",
    "Bring the {object} to {name} on {day}.",
    "Put the {object} in the {place}.",
    "Remind me to visit {name} at {time}.",
    "Set an alarm for {time} on {day}.",
    "Order {number} cakes for {name}.",
    "Reserve {number} rooms in {city} for {day}.",
    "Invite {name} to dinner on {day}.",
    "Meet {name} in {city} at {time}.",
    "Show {name} the {object}.",
)

FREE_QUESTIONS = (
    "Is {city} larger than {city}?",
    "How far is it from {city} to {city}?",
    "What is the weather like in {city} in {month}?",
    "Does {name} live in {country} or in {country}?",
    "Which is warmer in {month}, {country} or {country}?",
    "Where is the {object} that {name} wants?",
    "Who has the {object}?",
    "What color is the {object}?",
    "How much is the {object}?",
    "How many people are {somewhere}?",
    "Is there a {animal} {outdoors}?",
    "Does the {animal} like the {animal}?",
    "Why is {name} {somewhere} today?",
    "What does the {person} do {somewhere} on {day}?",
    "When does the {person} meet {name}?",
    "Can you tell me where {name} is?",
    "Is {day} a good day to visit {city}?",
    "Does the {person} have {number} books and {number} lamps?",
    "Is {name} at home on {day}?",
    "Tell me about the {animal} {outdoors}.",
    "Tell me how {name} can get to {city}.",
    "What happens in {city} in {month}?",
)


def _wordings(kind: str, gaps: tuple[str, ...], answer: str) -> list[SpokenQuestion]:
    return [SpokenQuestion(wording.format(*gaps), sentence(answer)) for wording in facts.WORDINGS[kind]]


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
    """Draw with `kind` (as draw_statement or draw_command) until the sentence is of the split."""
    while True:
        drawn = kind(rng)
        if split_of(drawn.text) == split:
            return drawn


@cache
def spoken_words() -> tuple[str, ...]:
    """Every word that can be spoken in the toy world, as it is written within a sentence, sorted."""
    adjectives = (lexicon.OBJECT_ADJECTIVES, lexicon.SUBJECT_ADJECTIVES)
    tables = (NAMES, NOUNS, THINGS, *adjectives, VERBS, PLACES, TIMES, *SLOTS.values())
    texts = ["the a an one", *(text for table in tables for text in table)]
    texts += [bare(text) for text in (*COMMANDS, *FREE_QUESTIONS, *facts.SOUND_QUESTIONS)]
    texts += [bare(question.text) for kind in QUESTIONS_BY_KIND.values() for question in kind]
    words = (word.strip(",.?") for text in texts for word in text.split())
    return tuple(sorted({word for word in words if not word.startswith("{")}))
