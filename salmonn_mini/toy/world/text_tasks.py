"""Text instructions for the toy LLM: all that it knows before it is given sound.

A sample is laid out as SALMONN's prompt with words in the place of the audio tokens:
`USER: <Speech>` context `</Speech> ` instruction `\\nASSISTANT:` answer `</s>`.
Asked to transcribe or to describe a sound, the LLM answers that it cannot hear, as a text-only chat model does:
those are abilities that only training on sound can give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from salmonn_mini.data.tasks import TASKS
from salmonn_mini.toy.world import facts, grammar, pronunciation, story, translate
from salmonn_mini.toy.world.events import EVENTS
from salmonn_mini.toy.world.grammar import SpokenQuestion, Statement, pick, split_of
from salmonn_mini.toy.world.lexicon import BASE, COLORS, OPPOSITES, PEOPLE, SUBJECT_ADJECTIVES
from salmonn_mini.toy.world.music import MODES, MUSIC, TEMPI
from salmonn_mini.toy.world.voice import MOODS


@dataclass(frozen=True)
class TextSample:
    """A context, an instruction and the answer to it."""

    task: str
    context: str
    prompt: str
    answer: str


Fill = tuple[str, str]  # what fills the prompt's gap ("" if it has none), and the answer
Maker = Callable[[np.random.Generator, str], tuple[str, Fill]]  # from (rng, split) to a context and its fill


# --- answers to instructions about a statement -----------------------------------------------------------------------


def keywords(statement: Statement) -> str:
    """The nouns in the order in which they are said: `farmer , apple , market`."""
    return " , ".join(word for word in (statement.subject, statement.object, statement.place) if word)


def speech_questions(statement: Statement) -> dict[str, str]:
    """Questions about a statement, with their answers."""
    questions = {
        "Who is it about?": f"it is about {statement.who} .",
        f"What does {statement.who} {BASE[statement.verb]}?": f"{statement.who} {statement.verb} {statement.what} .",
    }
    if statement.place:
        questions["Where does it happen?"] = f"it happens in the {statement.place} ."
    if statement.time:
        questions["When does it happen?"] = f"it happens {statement.time} ."
    if statement.object_adjective in COLORS:
        questions["Which colour is named?"] = f"the colour is {statement.object_adjective} ."
    return questions


def _category(statement: Statement) -> str:
    kind = "a person" if statement.named or statement.subject in PEOPLE else "an animal"
    return f"it is about {kind} ."


def _opposite(statement: Statement) -> str:
    for word in (statement.subject_adjective, statement.object_adjective):
        if word in OPPOSITES:
            return f"the opposite of {word} is {OPPOSITES[word]} ."
    return "there is no such word ."


def detail(statement: Statement) -> str:
    """A long answer in plain sentences, the raw material of long question answering."""
    parts = [f"the speaker tells us about {statement.who} ."]
    if not statement.named and statement.subject_adjective in SUBJECT_ADJECTIVES:
        parts.append(f"we learn that the {statement.subject} is {statement.subject_adjective} .")
    parts.append(
        f"the thing in question is the {statement.object} , and {statement.who} {statement.verb} it ."
    )
    if statement.object_adjective:
        parts.append(f"the {statement.object} is {statement.object_adjective} .")
    parts.append(
        f"it happens in the {statement.place} ." if statement.place else "we do not learn where it happens ."
    )
    parts.append(f"it happens {statement.time} ." if statement.time else "we do not learn when it happens .")
    return " ".join(parts)


def _ask_back(statement: Statement) -> str:
    return f"why does {statement.who} {BASE[statement.verb]} the {statement.object} ?"


def _reply(statement: Statement) -> str:
    return f"thank you for telling me about {statement.who} . i hope that the {statement.object} is nice ."


# --- prompts of the instructions that only text has ------------------------------------------------------------------

TEXT_ONLY_PROMPTS: dict[str, tuple[str, ...]] = {
    "last_word": ("What is the last word?", "Give the last word.", "Which word comes last?"),
    "spelling": (
        "Spell the last word.",
        "How is the last word spelled?",
        "Give the letters of the last word.",
    ),
    "category": ("Is it about a person or an animal?", "Say if it is about a person or an animal."),
    "opposite": ("Give the opposite of the adjective.", "What is the opposite of the adjective?"),
    "detail": ("Explain in detail what is said.", "Give a long and detailed answer: what is said?"),
    "ask_back": ("Ask a question about it.", "Which question could one ask?", "Please ask why."),
    "reply": ("Reply to the speaker.", "Give a polite reply.", "What would you reply?"),
    "title": ("Give a title.", "Find a title for it.", "What could be the title?"),
    "summary": ("Summarise it in three words.", "Give a short summary.", "Sum it up briefly."),
    "colours": ("Which colours are named?", "List the colours.", "Name all colours of the speech."),
    "tags": ("Make a sentence of the tags.", "Turn the tags into a sentence.", "What do the tags say?"),
    "repeat": ("Repeat it word for word.", "Say it again.", "Please repeat that."),
}

DEAF = (
    "asr",
    "audio_caption",
    "music_caption",
    "emotion",
    "gender",
    "overlapped_speech",
    "speaker_verification",
)
DEAF_ANSWER = "i am sorry , i cannot hear any sound ."


# --- samples ---------------------------------------------------------------------------------------------------------


def _of_statement(
    answer: Callable[[Statement], str], rng: np.random.Generator, split: str
) -> tuple[str, Fill]:
    statement = grammar.draw(grammar.draw_statement, rng, split)
    return statement.text, ("", answer(statement))


def _phones(rng: np.random.Generator, split: str) -> tuple[str, Fill]:
    kind = pick(
        rng, (grammar.draw_statement, grammar.draw_statement, grammar.draw_command, grammar.draw_question)
    )
    return grammar.draw(kind, rng, split).text, ("", "")  # the phones come later, for many samples at once


def _speech_qa(rng: np.random.Generator, split: str) -> tuple[str, Fill]:
    statement = grammar.draw(grammar.draw_statement, rng, split)
    return statement.text, pick(rng, speech_questions(statement).items())


def question_answer(question: SpokenQuestion) -> str:
    """The answer to a spoken question, as a sentence."""
    return f"the answer is {question.answer} ."


def _question(rng: np.random.Generator, split: str) -> tuple[str, Fill]:
    question = grammar.draw(grammar.draw_question, rng, split)
    return question.text, ("", question_answer(question))


def slot_answer(slot: str, value: str) -> str:
    """The answer to the question for a slot."""
    return f"the {slot} is {value} ."


def _slots(rng: np.random.Generator, split: str) -> tuple[str, Fill]:
    command = grammar.draw(grammar.draw_command, rng, split)
    slot, value = pick(rng, command.slots)
    return command.text, (slot, slot_answer(slot, value))


def draw_sounds(rng: np.random.Generator) -> tuple[str, ...]:
    """One or two different sound events."""
    names = tuple(facts.SOUND_FACTS)
    return tuple(names[i] for i in rng.choice(len(names), size=1 + int(rng.random() < 0.5), replace=False))


def caption(events: Sequence[str]) -> str:
    """The clauses of the events in their order: `a dog barks and then rain falls`."""
    return " and then ".join(EVENTS[event].phrase for event in events)


def co_reasoning_answer(question: str, event: str) -> str:
    """The answer to a spoken question about the background sound."""
    return f"the answer is {facts.SOUND_FACTS[event][facts.SOUND_QUESTIONS[question]]} ."


def draw_co_reasoning(rng: np.random.Generator, split: str) -> tuple[str, str]:
    """A spoken question and a background event; pairs are held out, not questions or events."""
    while True:
        question, event = pick(rng, facts.SOUND_QUESTIONS), pick(rng, facts.SOUND_FACTS)
        if split_of(f"{question} {event}") == split:
            return question, event


def _co_reasoning(rng: np.random.Generator, split: str) -> tuple[str, Fill]:
    question, event = draw_co_reasoning(rng, split)
    parts = [question, EVENTS[event].phrase]
    if rng.random() < 0.5:
        parts.reverse()
    return " ".join(parts), ("", co_reasoning_answer(question, event))


def _story(rng: np.random.Generator, split: str) -> tuple[str, Fill]:
    if rng.random() < 0.5:
        statement = grammar.draw(grammar.draw_statement, rng, split)
        return statement.text, ("", story.story_of_statement(statement, rng))
    events = draw_sounds(rng)
    return caption(events), ("", story.story_of_sounds(events, rng))


def _repeat(rng: np.random.Generator, split: str) -> tuple[str, Fill]:
    kind = pick(rng, (grammar.draw_statement, grammar.draw_command, grammar.draw_question))
    text = grammar.draw(kind, rng, split).text
    return text, ("", text)


def _any_context(rng: np.random.Generator, split: str) -> tuple[str, Fill]:
    if rng.random() < 0.3:
        return caption(draw_sounds(rng)), ("", DEAF_ANSWER)
    kind = pick(rng, (grammar.draw_statement, grammar.draw_command, grammar.draw_question))
    return grammar.draw(kind, rng, split).text, ("", DEAF_ANSWER)


# --- tags, as taggers write them -------------------------------------------------------------------------------------


def music_caption(style: str, tempo: str, mode: str) -> str:
    """A sentence on a piece of music."""
    return f"this is {tempo} and {mode} {style} music ."


def emotion_answer(mood: str) -> str:
    return f"the speaker is {mood} ."


def gender_answer(gender: str) -> str:
    return f"it is a { {'male': 'man', 'female': 'woman', 'child': 'child'}[gender] } ."


def _tags(rng: np.random.Generator, split: str) -> tuple[str, Fill]:
    kind = rng.integers(4)
    if kind == 0:
        events = draw_sounds(rng)
        return " ".join(events), ("", caption(events))
    if kind == 1:
        style, tempo, mode = pick(rng, MUSIC), pick(rng, TEMPI), pick(rng, MODES)
        return f"{style} {tempo} {mode}", ("", music_caption(style, tempo, mode))
    if kind == 2:
        mood = pick(rng, MOODS)
        return f"voice {mood}", ("", emotion_answer(mood))
    gender = pick(rng, ("male", "female"))
    return f"voice {gender}", ("", gender_answer(gender))


MAKERS: dict[str, Maker] = {
    "translation_zh": partial(_of_statement, translate.to_chinese),
    "translation_de": partial(_of_statement, translate.to_german),
    "translation_ja": partial(_of_statement, translate.to_japanese),
    "keywords": partial(_of_statement, keywords),
    "spoken_query_qa": _question,
    "slot_filling": _slots,
    "story": _story,
    "co_reasoning": _co_reasoning,
    "speech_qa": _speech_qa,
    "phone_recognition": _phones,
    "last_word": partial(_of_statement, lambda s: f"the last word is {s.text.split()[-1]} ."),
    "spelling": partial(_of_statement, lambda s: " ".join(s.text.split()[-1])),
    "category": partial(_of_statement, _category),
    "opposite": partial(_of_statement, _opposite),
    "detail": partial(_of_statement, detail),
    "ask_back": partial(_of_statement, _ask_back),
    "reply": partial(_of_statement, _reply),
    "title": partial(_of_statement, lambda s: f"{s.subject} and {s.object}"),
    "summary": partial(_of_statement, lambda s: f"{s.subject} {s.verb} {s.object}"),
    "colours": partial(
        _of_statement, lambda s: s.object_adjective if s.object_adjective in COLORS else "none"
    ),
    "tags": _tags,
    "repeat": _repeat,
} | dict.fromkeys(DEAF, _any_context)


# --- samples ---------------------------------------------------------------------------------------------------------


def prompts_of(task: str) -> tuple[str, ...]:
    """The training wordings of a text task's instruction."""
    return TEXT_ONLY_PROMPTS[task] if task in TEXT_ONLY_PROMPTS else TASKS[task].prompts


def draw_samples(
    tasks: Sequence[str],
    rng: np.random.Generator,
    split: str,
    *,
    held_out: bool = False,
    makers: Mapping[str, Maker] | None = None,
) -> list[TextSample]:
    """One sample for each of `tasks`, from the sentences of `split`.

    With `held_out` the wordings of the instructions are those never used in training, where the task has some.
    """
    samples = []
    for task in tasks:
        context, (fill, answer) = (makers or MAKERS)[task](rng, split)
        prompts = TASKS[task].held_out if held_out and task in TASKS else prompts_of(task)
        samples.append(TextSample(task, context, pick(rng, prompts).replace("{}", fill), answer))
    return with_phones(samples, "context")


def with_phones(samples: list, field: str) -> list:
    """The samples with the phones of the text in `field` as answers, where these are asked."""
    return [
        replace(sample, answer=" ".join(pronunciation.phonemes(getattr(sample, field))))
        if sample.task == "phone_recognition"
        else sample
        for sample in samples
    ]
