"""The right answers of the toy world: one short form for each task, the same for text and for sound."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from salmonn_mini.toy.world import facts
from salmonn_mini.toy.world.events import EVENTS
from salmonn_mini.toy.world.grammar import Statement, a, bare, pick, sentence
from salmonn_mini.toy.world.lexicon import BASE, COLORS, LASTING, NUMBERS, OPPOSITES, PEOPLE


def caption(events: Sequence[str]) -> str:
    """The clauses of the events in their order: `A dog barks and then rain falls.`; "" where there are none."""
    return sentence(" and then ".join(EVENTS[event].phrase for event in events)) if events else ""


def draw_sounds(rng: np.random.Generator) -> tuple[str, ...]:
    """One or two different sound events."""
    names = tuple(facts.SOUND_FACTS)
    return tuple(names[i] for i in rng.choice(len(names), size=1 + int(rng.random() < 0.5), replace=False))


def music_caption(style: str, tempo: str, mode: str) -> str:
    """A sentence on a piece of music."""
    return f"This is {tempo}, {mode} {style} music."


def emotion_answer(mood: str) -> str:
    return sentence(mood)


def gender_answer(gender: str) -> str:
    return f"A {'man' if gender == 'male' else 'woman'}."


def speaker_caption(gender: str, events: Sequence[str] = ()) -> str:
    """The caption of a voice, and of the sound behind it: `A man speaks while a dog barks.`"""
    behind = f" while {EVENTS[events[0]].phrase}" if events else ""
    return f"{bare(gender_answer(gender)).capitalize()} speaks{behind}."


def music_questions(style: str, tempo: str, mode: str) -> dict[str, str]:
    """Questions about a piece of music, with their answers."""
    return {
        "What music is playing?": sentence(f"{style} music"),
        "Is the music slow or fast?": sentence(tempo),
        "Does the music sound happy or sad?": sentence(mode),
    }


def sound_questions(events: Sequence[str], asked: str) -> dict[str, str]:
    """Questions about sounds, one of them about the sound that is asked for, with their answers."""
    questions = {
        f"Can you hear {facts.SOUND_FACTS[asked]['source']}?": "Yes." if asked in events else "No.",
        "How many different sounds are there?": sentence(NUMBERS[len(events) - 1]),
    }
    if len(events) > 1:
        questions |= {"What happens first?": caption(events[:1]), "What happens last?": caption(events[-1:])}
    return questions


def keywords(statement: Statement) -> str:
    """The nouns in the order in which they are said: `Farmer, apple, market.`"""
    place = statement.place.split()[-1] if statement.place else None
    return sentence(", ".join(word for word in (statement.subject, statement.object, place) if word))


def speech_questions(statement: Statement) -> dict[str, str]:
    """Questions about a statement, with their answers."""
    thing = f"the {statement.object}"
    questions = {
        f"Who {statement.verb} {thing}?": sentence(statement.who),
        f"What does {statement.who} {BASE[statement.verb]}?": sentence(statement.what),
    }
    if statement.place:
        questions["Where does it happen?"] = sentence(statement.place)
    if statement.time:
        questions["When does it happen?"] = sentence(statement.time)
    if statement.object_adjective in COLORS:
        questions[f"What color is {thing}?"] = sentence(statement.object_adjective)
    return questions


def slot_answer(slot: str, value: str) -> str:
    """The answer to the question for a slot: `Seven o'clock.`, `The old hat.`"""
    return sentence(f"the {value}" if slot in ("object", "place") else value)


def co_reasoning_answer(question: str, event: str) -> str:
    """The answer to a spoken question about the background sound."""
    column = facts.SOUND_QUESTIONS[question]
    return facts.SOUND_ANSWERS[column].format(facts.SOUND_FACTS[event][column])


def draw_co_reasoning(rng: np.random.Generator, split: str) -> tuple[str, str]:
    """A spoken question and a background event.

    Pairs are held out, not questions or events: of every event one question is for tests, one for validation.
    """
    questions, event = tuple(facts.SOUND_QUESTIONS), pick(rng, facts.SOUND_FACTS)
    first = zlib.crc32(event.encode())
    test, validation = questions[first % len(questions)], questions[(first + 4) % len(questions)]
    rest = [question for question in questions if question not in (test, validation)]
    return {"test": test, "validation": validation}.get(split) or pick(rng, rest), event


def has_details(statement: Statement) -> bool:
    """Whether there is more to tell of a deed than who did what."""
    return statement.verb not in LASTING and any(
        (statement.object_adjective, statement.place, statement.time)
    )


def detail(statement: Statement) -> str:
    """A long answer in plain sentences, the raw material of long question answering."""
    it, noun = statement.pronoun.capitalize(), f"the {statement.object}"
    if statement.article == "a":
        noun = a(statement.object)
    parts = [f"The sentence is about {statement.who}.", f"{it} {statement.verb} {noun}."]
    if statement.object_adjective:
        parts.append(f"The {statement.object} is {statement.object_adjective}.")
    parts.append(f"It happens {statement.place}." if statement.place else "We do not learn where it happens.")
    parts.append(f"It happens {statement.time}." if statement.time else "We do not learn when it happens.")
    return " ".join(parts)


def opposite(statement: Statement) -> str | None:
    """The opposite of the adjective, None where there is none, or more than one."""
    one, other = statement.subject_adjective, statement.object_adjective
    if (one and other) or (one or other) not in OPPOSITES:
        return None
    return sentence("young" if one == "old" else OPPOSITES[one or other])


def title(statement: Statement) -> str:
    """`The Farmer and the Apple.`"""
    who = statement.subject if statement.named else f"the {statement.subject.capitalize()}"
    return sentence(f"{who} and the {statement.object.capitalize()}")


def category(statement: Statement) -> str:
    """Whether it is about a person or an animal."""
    return "A person." if statement.named or statement.subject in PEOPLE else "An animal."
