"""Text instructions for the toy LLM: all that it knows before it is given sound.

A sample is laid out as SALMONN's prompt with words in the place of the audio tokens:
`USER: <Speech>` context `</Speech> ` instruction `\\nASSISTANT:` answer `</s>`.
Tasks that need sound (moods, genders, speakers, captions of sounds and music) are not among them, but copying has all
the words of their answers: LoRA teaches no word that the LLM never wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from salmonn_mini.toy.world import answers, drafts, translate
from salmonn_mini.toy.world.drafts import Maker
from salmonn_mini.toy.world.grammar import pick, sentence
from salmonn_mini.toy.world.lexicon import BASE, CHANCE, COLORS, NUMBERS
from salmonn_mini.toy.world.wordings import wordings


@dataclass(frozen=True)
class TextSample:
    """A context, an instruction and the answer to it."""

    task: str
    context: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class TextTask:
    """A row of TEXT_TASKS: what is asked for, in words, how a sample is made, and its shares of the training.

    The first share is that of the long first part. Tasks without a share of the second part are exercises: they were
    not learned well (the model card has figures), and no score is given for them.
    """

    about: str
    make: Maker
    weights: tuple[float, float]


TEXT_TASKS: dict[str, TextTask] = {
    "asr": TextTask("copy one to three sentences, as a transcript", drafts.copy, (7, 12)),
    "phone_copy": TextTask("copy the symbols of phones", drafts.phone_copy, (3, 2)),
    "translation_zh": TextTask("translate into Chinese", drafts.about(translate.to_chinese), (1.5, 2)),
    "translation_de": TextTask("translate into German", drafts.about(translate.to_german), (2, 2)),
    "translation_ja": TextTask("translate into Japanese", drafts.about(translate.to_japanese), (2, 2)),
    "keywords": TextTask("list a statement's nouns", drafts.about(answers.keywords), (1, 0.7)),
    "speech_qa": TextTask("answer who, what, where, when about a statement", drafts.speech_qa, (6, 4)),
    "spoken_query_qa": TextTask("answer a question about the world", drafts.question, (4, 8)),
    "slot_filling": TextTask("name a slot of a command", drafts.slots, (1.5, 2)),
    "story": TextTask("tell a story about a statement or about sounds", drafts.story, (2, 3)),
    "co_reasoning": TextTask("answer a question by a sound that is described", drafts.co_reasoning, (3, 3)),
    "next_word": TextTask("name the word after another", drafts.neighbor(1), (3, 0)),
    "previous_word": TextTask("name the word before another", drafts.neighbor(-1), (3, 0)),
    "first_word": TextTask("name the first word", drafts.of_words(lambda w: w[0]), (0.5, 1)),
    "last_word": TextTask("name the last word", drafts.of_words(lambda w: w[-1]), (0.5, 1)),
    "count_words": TextTask(
        "count the words of a list",
        drafts.of_words(lambda w: sentence(NUMBERS[len(w) - 1]), listed=True),
        (2, 1.5),
    ),
    "reverse": TextTask(
        "list words backward", drafts.of_words(lambda w: ", ".join(w[::-1]), listed=True), (2, 0)
    ),
    "which_word": TextTask("find the word of a kind", drafts.which_word, (3, 5)),
    "category": TextTask("person or animal?", drafts.about(answers.category), (0.5, 0.5)),
    "opposite": TextTask(
        "give the opposite of the adjective",
        drafts.about(lambda s: answers.opposite(s) or "", answers.opposite),
        (0.7, 0.7),
    ),
    "colors": TextTask(
        "name the color of a statement",
        drafts.about(lambda s: sentence(s.object_adjective or ""), lambda s: s.object_adjective in COLORS),
        (0.5, 0.5),
    ),
    "past_tense": TextTask("put a statement in the past tense", drafts.about(lambda s: s.past), (1, 0.7)),
    "substitution": TextTask("replace a word by another", drafts.substitution, (3, 3)),
    "title": TextTask("give a title", drafts.about(answers.title), (0.5, 1)),
    "headline": TextTask(
        "sum a statement up in three words",
        drafts.about(lambda s: sentence(f"{s.subject} {s.verb} {s.object}")),
        (0.7, 0.7),
    ),
    "detail": TextTask(
        "tell at length what is said", drafts.about(answers.detail, answers.has_details), (2.5, 4)
    ),
    "ask_back": TextTask(
        "ask why",
        drafts.about(lambda s: f"Why does {s.who} {BASE[s.verb]} {s.what}?", lambda s: s.verb not in CHANCE),
        (1, 0.7),
    ),
    "reply": TextTask(
        "reply to the speaker",
        drafts.about(lambda s: f"Thank you for telling me about {s.who} and the {s.object}."),
        (0.5, 0.5),
    ),
    "polite": TextTask("make a command polite", drafts.of_command(lambda c: f"Please {c}."), (0.5, 0.5)),
    "confirm": TextTask(
        "agree to a command",
        drafts.of_command(lambda c: f"Okay, I will {c.replace(' me ', ' you ')}."),
        (0.5, 1),
    ),
    "sentence_kind": TextTask("statement, question or command?", drafts.sentence_kind, (0.5, 0.5)),
}


def draw_tasks(n: int, rng: np.random.Generator, part: int = 0) -> list[str]:
    """The tasks of n samples of the training's first part (0) or second (1)."""
    names, weights = list(TEXT_TASKS), np.array([task.weights[part] for task in TEXT_TASKS.values()])
    return [names[i] for i in rng.choice(len(names), size=n, p=weights / weights.sum())]


def draw_samples(
    tasks: Sequence[str], rng: np.random.Generator, split: str, *, held_out: bool = False
) -> list[TextSample]:
    """One sample for each of `tasks`, from the sentences of `split`.

    With `held_out` the wordings of the instructions are those never used in training, where the task has some.
    """
    samples = []
    for task in tasks:
        context, fill, answer = TEXT_TASKS[task].make(rng, split)
        prompt = pick(rng, wordings(task, held_out)).replace("{}", fill)
        samples.append(TextSample(task, context, prompt, answer))
    return samples
