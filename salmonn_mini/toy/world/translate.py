"""A statement in German, Chinese and Japanese, by the toy world's own small grammars."""

from __future__ import annotations

from salmonn_mini.toy.world.grammar import Statement, sentence
from salmonn_mini.toy.world.lexicon import (
    ANIMALS,
    NAMES,
    NOUNS,
    OBJECT_ADJECTIVES,
    PLACES,
    SUBJECT_ADJECTIVES,
    THINGS,
    TIMES,
    VERBS,
)

# The definite article and the adjective's ending, by case and gender.
_NOMINATIVE = {"m": ("der", "e"), "f": ("die", "e"), "n": ("das", "e")}
_ACCUSATIVE = {"m": ("den", "en"), "f": ("die", "e"), "n": ("das", "e")}
_ACCUSATIVE_INDEFINITE = {"m": ("einen", "en"), "f": ("eine", "e"), "n": ("ein", "es")}


def to_german(statement: Statement) -> str:
    """Subject, verb, time, object, place: `Der alte Bauer verkauft heute einen roten Apfel im Park.`"""
    eats = statement.verb == "eats" and statement.subject in ANIMALS
    return sentence(
        _spaced(
            _german_subject(statement),
            "frisst" if eats else VERBS[statement.verb].de,
            TIMES[statement.time].de if statement.time else None,
            _german_object(statement),
            PLACES[statement.place].de if statement.place else None,
        )
    )


def to_chinese(statement: Statement) -> str:
    """Time, subject, place, verb, object, without spaces."""
    subject = NAMES[statement.subject].zh if statement.named else "那" + _plain_subject(statement, "zh")
    return _joined(
        TIMES[statement.time].zh if statement.time else None,
        subject,
        PLACES[statement.place].zh if statement.place else None,
        VERBS[statement.verb].zh,
        "一" if statement.article == "a" else "那",
        _plain_object(statement, "zh"),
        "。",
    )


def to_japanese(statement: Statement) -> str:
    """Subject and topic mark, time, place, object and its mark, verb, without spaces."""
    subject = NAMES[statement.subject].ja if statement.named else _plain_subject(statement, "ja")
    return _joined(
        subject + "は",
        TIMES[statement.time].ja if statement.time else None,
        PLACES[statement.place].ja if statement.place else None,
        _plain_object(statement, "ja") + ("が" if statement.verb == "likes" else "を"),
        VERBS[statement.verb].ja,
        "。",
    )


def _german_subject(statement: Statement) -> str:
    if statement.named:
        return NAMES[statement.subject].de
    noun = NOUNS[statement.subject]
    article, ending = _NOMINATIVE[noun.gender]
    return _spaced(
        article, _german_adjective(SUBJECT_ADJECTIVES, statement.subject_adjective, ending), noun.de
    )


def _german_object(statement: Statement) -> str:
    noun = THINGS[statement.object]
    table = _ACCUSATIVE_INDEFINITE if statement.article == "a" else _ACCUSATIVE
    article, ending = table[noun.gender]
    return _spaced(article, _german_adjective(OBJECT_ADJECTIVES, statement.object_adjective, ending), noun.de)


def _german_adjective(adjectives, word: str | None, ending: str) -> str | None:
    return adjectives[word].de + ending if word else None


def _plain_subject(statement: Statement, language: str) -> str:
    return _noun(NOUNS[statement.subject], SUBJECT_ADJECTIVES.get(statement.subject_adjective), language)


def _plain_object(statement: Statement, language: str) -> str:
    return _noun(THINGS[statement.object], OBJECT_ADJECTIVES.get(statement.object_adjective), language)


def _noun(noun, adjective, language: str) -> str:
    """Measure word (in Chinese), adjective and noun."""
    measure = noun.measure if language == "zh" else ""
    return _joined(measure, getattr(adjective, language, None), getattr(noun, language))


def _spaced(*parts: str | None) -> str:
    return " ".join(part for part in parts if part)


def _joined(*parts: str | None) -> str:
    return "".join(part for part in parts if part)
