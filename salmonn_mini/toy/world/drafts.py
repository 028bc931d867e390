"""Drafts of the text tasks' samples: what stands in the sound's place, what is asked, and the answer.

`text_tasks` has the table of the tasks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from salmonn_mini.data.tasks import TASKS
from salmonn_mini.toy.world import answers, facts, grammar
from salmonn_mini.toy.world import story as stories
from salmonn_mini.toy.world.answers import caption, draw_sounds
from salmonn_mini.toy.world.events import EVENTS
from salmonn_mini.toy.world.grammar import Command, Statement, bare, pick, sentence, split_of
from salmonn_mini.toy.world.lexicon import ANIMALS, COLORS, FOOD, NAMES, NUMBERS
from salmonn_mini.toy.world.music import MODES, MUSIC, TEMPI
from salmonn_mini.toy.world.pronunciation import phonemes
from salmonn_mini.toy.world.voice import MOODS

Draft = tuple[str, str, str]  # a context, what fills the prompt's gap ("" if it has none), and the answer
Maker = Callable[[np.random.Generator, str], Draft]  # from (rng, split)


def _statement(rng: np.random.Generator, split: str) -> Statement:
    return grammar.draw(grammar.draw_statement, rng, split)


def about(
    answer: Callable[[Statement], str], fits: Callable[[Statement], object] = lambda statement: True
) -> Maker:
    def make(rng: np.random.Generator, split: str) -> Draft:
        while not fits(statement := _statement(rng, split)):
            pass
        return statement.text, "", answer(statement)

    return make


@cache
def written_words() -> tuple[str, ...]:
    """All that can be spoken, and the words of the audio tasks' answers and instructions."""
    texts = [*(event.phrase for event in EVENTS.values()), *facts.SOUND_ANSWERS.values()]
    texts += [*MUSIC, *TEMPI, *MODES, *MOODS, "yes no speech speaker sounds while this is music"]
    texts += [cell for row in facts.SOUND_FACTS.values() for cell in row.values()]
    texts += [answer for rows in facts.FACTS.values() for _, answer in rows]
    texts += [bare(prompt) for task in TASKS.values() for prompt in (*task.prompts, *task.held_out)]
    words = {word for text in texts for word in re.findall(r"[A-Za-z]+", text)} - {"s"}
    words = {word if word in grammar.PROPER else word.lower() for word in words}
    return tuple(sorted(words.union(grammar.spoken_words())))


def _described(rng: np.random.Generator) -> Command:
    """A sentence on sounds, music or a voice, as text; or a short answer about them."""
    kind, gender = rng.integers(7), pick(rng, ("male", "female"))
    if kind == 0:
        return Command(answers.music_caption(pick(rng, MUSIC), pick(rng, TEMPI), pick(rng, MODES)), ())
    if kind == 1:
        voice_sounds = f"the speaker is {bare(answers.gender_answer(gender))} and sounds {pick(rng, MOODS)}"
        return Command(sentence(voice_sounds), ())
    if kind == 2:
        return Command(answers.speaker_caption(gender, draw_sounds(rng)[: rng.integers(2)]), ())
    if kind == 3:
        styles = [f"{style} music" for style in MUSIC]
        return Command(sentence(pick(rng, (*MOODS, *TEMPI, *MODES, *styles))), ())
    if kind == 4:
        return Command(pick(rng, ("Yes.", "No.", "No speech.")), ())
    return Command(caption(draw_sounds(rng)), ())


def _listed(rng: np.random.Generator) -> Command:
    return grammar.draw_word_list(rng, written_words())


_SENTENCES = (
    (grammar.draw_statement,) * 3 + (grammar.draw_question,) * 2 + (grammar.draw_command,) * 2
    + (grammar.draw_free_question,) * 2 + (_described,) * 2
)  # fmt: skip


def _anything(rng: np.random.Generator, split: str, kinds: Sequence = (*_SENTENCES, *(_listed,) * 3)) -> str:
    kind = pick(rng, kinds)
    # Captions are few: they belong to all splits.
    return (kind(rng) if kind is _described else grammar.draw(kind, rng, split)).text


def copy(rng: np.random.Generator, split: str) -> Draft:
    """One to three sentences: rows as long as a minute of speech gives."""
    if (n := pick(rng, (1, 1, 1, 2, 3))) == 1:
        text = _anything(rng, split)
    else:
        text = " ".join(_anything(rng, split, _SENTENCES) for _ in range(n))
    return text, "", text


def phone_copy(rng: np.random.Generator, split: str) -> Draft:
    kind = pick(
        rng, (grammar.draw_statement, grammar.draw_question, grammar.draw_command, grammar.draw_word_list)
    )
    symbols = " ".join(phonemes(grammar.draw(kind, rng, split).text))
    return symbols, "", symbols


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text)


def of_words(answer: Callable[[list[str]], str], listed: bool = False) -> Maker:
    def make(rng: np.random.Generator, split: str) -> Draft:
        text = grammar.draw(_listed, rng, split).text if listed else _anything(rng, split)
        return text, "", answer(_words(text))

    return make


def neighbor(step: int) -> Maker:
    """The word so many places after one that is said once."""

    def make(rng: np.random.Generator, split: str) -> Draft:
        while True:
            text = _anything(rng, split)
            words = _words(text)
            places = [
                i for i, word in enumerate(words) if words.count(word) == 1 and 0 <= i + step < len(words)
            ]
            if places:
                place = pick(rng, places)
                return text, words[place], words[place + step]

    return make


def speech_qa(rng: np.random.Generator, split: str) -> Draft:
    statement = _statement(rng, split)
    return statement.text, *pick(rng, answers.speech_questions(statement).items())


def question(rng: np.random.Generator, split: str) -> Draft:
    question = grammar.draw(grammar.draw_question, rng, split)
    return question.text, "", question.answer


def slots(rng: np.random.Generator, split: str) -> Draft:
    command = grammar.draw(grammar.draw_command, rng, split)
    slot, value = pick(rng, command.slots)
    return command.text, slot, answers.slot_answer(slot, value)


def co_reasoning(rng: np.random.Generator, split: str) -> Draft:
    question, event = answers.draw_co_reasoning(rng, split)
    parts = [question, caption((event,))]
    if rng.random() < 0.3:
        parts.reverse()
    return " ".join(parts), "", answers.co_reasoning_answer(question, event)


def story(rng: np.random.Generator, split: str) -> Draft:
    if rng.random() < 0.6:
        statement = _statement(rng, split)
        return statement.text, "", stories.story_of_statement(statement, rng)
    events = draw_sounds(rng)
    return caption(events), "", stories.story_of_sounds(events, rng)


_KINDS_OF_WORDS: dict[str, Sequence[str]] = {
    "an animal": tuple(ANIMALS),
    "a color": tuple(COLORS),
    "a number": NUMBERS,
    "a city": tuple(facts.CAPITALS.values()),
    "a country": tuple(facts.CAPITALS),
    "a day": grammar.DAYS,
    "a month": grammar.MONTHS,
    "a name": tuple(NAMES),
    "a job": ("teacher", "doctor", "farmer", "baker", "singer", "painter", "dancer", "sailor"),
    "a food": tuple(food for food in FOOD if food != "orange"),  # which is a color, too
}


def which_word(rng: np.random.Generator, split: str) -> Draft:
    while True:
        kinds = [tuple(_KINDS_OF_WORDS)[i] for i in rng.permutation(len(_KINDS_OF_WORDS))[:4]]
        chosen = [pick(rng, _KINDS_OF_WORDS[kind]) for kind in kinds]
        asked = int(rng.integers(4))
        if split_of(text := ", ".join(chosen)) == split:
            return text, kinds[asked], chosen[asked]


def substitution(rng: np.random.Generator, split: str) -> Draft:
    """Another name, or another thing that goes with the verb, the adjective and the place."""
    while not (others := _others(one := _statement(rng, split))):
        pass
    part, other = "subject" if one.named else "object", pick(rng, others)
    return one.text, f"{getattr(one, part)} with {other}", replace(one, **{part: other}).text


def _others(one: Statement) -> list[str]:
    if one.named:
        return [name for name in NAMES if name != one.subject]
    return [
        thing
        for thing in grammar.objects_of(one.subject, one.verb)
        if thing != one.object
        and one.object_adjective in (None, *grammar.adjectives_of(one.verb, thing))
        and one.place in (None, *grammar.places_of(one.subject, one.verb, thing))
    ]


def of_command(answer: Callable[[str], str]) -> Maker:
    def make(rng: np.random.Generator, split: str) -> Draft:
        text = grammar.draw(grammar.draw_command, rng, split).text
        return text, "", answer(bare(text))

    return make


def sentence_kind(rng: np.random.Generator, split: str) -> Draft:
    kind = pick(rng, (grammar.draw_statement, grammar.draw_free_question, grammar.draw_command))
    text = grammar.draw(kind, rng, split).text
    name = "statement" if kind is grammar.draw_statement else "question" if text.endswith("?") else "command"
    return text, "", f"A {name}."
