"""Text instructions for the toy LLM: all that it knows before it is given sound.

A sample is laid out as SALMONN's prompt with words in the place of the audio tokens:
`USER: <Speech>` context `</Speech> ` instruction `\\nASSISTANT:` answer `</s>`.
Tasks that need sound (moods, genders, speakers, captions of sounds and music) are not among them, but copying has all
the words of their answers: LoRA teaches no word that the LLM never wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from salmonn_mini.data.tasks import TASKS
from salmonn_mini.toy.world import answers, facts, grammar, story, translate
from salmonn_mini.toy.world.answers import caption, draw_sounds
from salmonn_mini.toy.world.events import EVENTS
from salmonn_mini.toy.world.grammar import Command, Statement, a, bare, pick, sentence, split_of
from salmonn_mini.toy.world.lexicon import ANIMALS, BASE, CHANCE, COLORS, FOOD, NAMES, NUMBERS
from salmonn_mini.toy.world.music import MODES, MUSIC, TEMPI
from salmonn_mini.toy.world.pronunciation import phonemes
from salmonn_mini.toy.world.voice import MOODS
from salmonn_mini.toy.world.wordings import wordings


@dataclass(frozen=True)
class TextSample:
    """A context, an instruction and the answer to it."""

    task: str
    context: str
    prompt: str
    answer: str


Draft = tuple[str, str, str]  # a context, what fills the prompt's gap ("" if it has none), and the answer
Maker = Callable[[np.random.Generator, str], Draft]  # from (rng, split)

# --- drafts of text samples ------------------------------------------------------------------------------------------


def _statement(rng: np.random.Generator, split: str) -> Statement:
    return grammar.draw(grammar.draw_statement, rng, split)


def _about(
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
    """A sentence on sounds, music or a voice, as text."""
    kind, gender = rng.integers(6), pick(rng, ("male", "female"))
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


def _copy(rng: np.random.Generator, split: str) -> Draft:
    """One to three sentences: rows as long as a minute of speech gives."""
    if (n := pick(rng, (1, 1, 1, 2, 3))) == 1:
        text = _anything(rng, split)
    else:
        text = " ".join(_anything(rng, split, _SENTENCES) for _ in range(n))
    return text, "", text


def _phone_copy(rng: np.random.Generator, split: str) -> Draft:
    kind = pick(
        rng, (grammar.draw_statement, grammar.draw_question, grammar.draw_command, grammar.draw_word_list)
    )
    symbols = " ".join(phonemes(grammar.draw(kind, rng, split).text))
    return symbols, "", symbols


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text)


def _of_words(answer: Callable[[list[str]], str], listed: bool = False) -> Maker:
    def make(rng: np.random.Generator, split: str) -> Draft:
        text = grammar.draw(_listed, rng, split).text if listed else _anything(rng, split)
        return text, "", answer(_words(text))

    return make


def _neighbor(step: int) -> Maker:
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


def _speech_qa(rng: np.random.Generator, split: str) -> Draft:
    """A question about a statement; at times about one of two."""
    first, second = _statement(rng, split), _statement(rng, split)
    asked = pick(rng, answers.speech_questions(first).items())
    if first.subject == second.subject or first.object == second.object or "it" in _words(asked[0]):
        return first.text, *asked
    both = [first.text, second.text]
    return " ".join(pick(rng, (both[:1], both, both[::-1]))), *asked


def _yes_no(rng: np.random.Generator, split: str) -> Draft:
    """Whether something is said, and what is: a lone yes or no teaches a small model nothing for a long time."""
    one, other = _statement(rng, split), grammar.draw_statement(rng)
    asked = one if rng.random() < 0.5 else other
    parts = ["subject", "object", *(["place"] if one.place and other.place else [])]
    part = pick(rng, parts)
    yes = getattr(asked, part) == getattr(one, part)
    if part == "place":
        return one.text, f"Does it happen {asked.place}?", f"{'Yes' if yes else 'No'}, {one.place}."
    noun = getattr(asked, part)
    question = f"Is {noun if noun in NAMES else a(noun)} mentioned?"
    said = one.who if part == "subject" else one.what
    return one.text, question, f"{'Yes,' if yes else 'No, but'} {said} is."


def _question(rng: np.random.Generator, split: str) -> Draft:
    question = grammar.draw(grammar.draw_question, rng, split)
    return question.text, "", question.answer


def _slots(rng: np.random.Generator, split: str) -> Draft:
    command = grammar.draw(grammar.draw_command, rng, split)
    slot, value = pick(rng, command.slots)
    return command.text, slot, answers.slot_answer(slot, value)


def _co_reasoning(rng: np.random.Generator, split: str) -> Draft:
    question, event = answers.draw_co_reasoning(rng, split)
    parts = [question, caption((event,))]
    if rng.random() < 0.3:
        parts.reverse()
    return " ".join(parts), "", answers.co_reasoning_answer(question, event)


def _story(rng: np.random.Generator, split: str) -> Draft:
    if rng.random() < 0.6:
        statement = _statement(rng, split)
        return statement.text, "", story.story_of_statement(statement, rng)
    events = draw_sounds(rng)
    return caption(events), "", story.story_of_sounds(events, rng)


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


def _which_word(rng: np.random.Generator, split: str) -> Draft:
    while True:
        kinds = [tuple(_KINDS_OF_WORDS)[i] for i in rng.permutation(len(_KINDS_OF_WORDS))[:4]]
        chosen = [pick(rng, _KINDS_OF_WORDS[kind]) for kind in kinds]
        asked = int(rng.integers(4))
        if split_of(text := ", ".join(chosen)) == split:
            return text, kinds[asked], chosen[asked]


def _substitution(rng: np.random.Generator, split: str) -> Draft:
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


def _true_or_false(rng: np.random.Generator, split: str) -> Draft:
    while True:
        kind = pick(rng, facts.AS_STATEMENT)
        gaps, answer = pick(rng, facts.FACTS[kind])
        said = answer if rng.random() < 0.5 else pick(rng, facts.FACTS[kind])[1]
        text, right = (sentence(facts.AS_STATEMENT[kind].format(*gaps, what)) for what in (said, answer))
        if split_of(text) == split:
            return text, "", "True." if said == answer else f"False. {right}"


def _of_command(answer: Callable[[str], str]) -> Maker:
    def make(rng: np.random.Generator, split: str) -> Draft:
        text = grammar.draw(grammar.draw_command, rng, split).text
        return text, "", answer(bare(text))

    return make


def _sentence_kind(rng: np.random.Generator, split: str) -> Draft:
    kind = pick(rng, (grammar.draw_statement, grammar.draw_free_question, grammar.draw_command))
    text = grammar.draw(kind, rng, split).text
    name = "statement" if kind is grammar.draw_statement else "question" if text.endswith("?") else "command"
    return text, "", f"A {name}."


# --- the tasks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TextTask:
    """A row of TEXT_TASKS: what is asked for, in words, how a sample is made, and its share of the training."""

    about: str
    make: Maker
    weight: float


TEXT_TASKS: dict[str, TextTask] = {
    "asr": TextTask("copy one to three sentences, as a transcript", _copy, 5),
    "phone_copy": TextTask("copy the symbols of phones", _phone_copy, 2.5),
    "translation_zh": TextTask("translate into Chinese", _about(translate.to_chinese), 1.5),
    "translation_de": TextTask("translate into German", _about(translate.to_german), 2),
    "translation_ja": TextTask("translate into Japanese", _about(translate.to_japanese), 2),
    "keywords": TextTask("list a statement's nouns", _about(answers.keywords), 1),
    "speech_qa": TextTask("answer who, what, where, when about one of two statements", _speech_qa, 4),
    "yes_no": TextTask("is something said in a statement?", _yes_no, 4),
    "spoken_query_qa": TextTask("answer a question about the world", _question, 4),
    "true_or_false": TextTask("is a statement about the world true?", _true_or_false, 3),
    "slot_filling": TextTask("name a slot of a command", _slots, 1.5),
    "story": TextTask("tell a story about a statement or about sounds", _story, 2),
    "co_reasoning": TextTask("answer a question by a sound that is described", _co_reasoning, 2),
    "next_word": TextTask("name the word after another", _neighbor(1), 2.5),
    "previous_word": TextTask("name the word before another", _neighbor(-1), 2),
    "first_word": TextTask("name the first word", _of_words(lambda w: w[0]), 0.5),
    "last_word": TextTask("name the last word", _of_words(lambda w: w[-1]), 0.5),
    "spelling": TextTask(
        "spell the last word", _of_words(lambda w: " ".join(filter(str.isalpha, w[-1].upper()))), 3
    ),
    "capital_letters": TextTask("write the last word in capitals", _of_words(lambda w: w[-1].upper()), 3),
    "count_words": TextTask(
        "count the words of a list", _of_words(lambda w: sentence(NUMBERS[len(w) - 1]), listed=True), 2
    ),
    "reverse": TextTask("list words backward", _of_words(lambda w: ", ".join(w[::-1]), listed=True), 2),
    "which_word": TextTask("find the word of a kind", _which_word, 2),
    "category": TextTask("person or animal?", _about(answers.category), 0.5),
    "opposite": TextTask(
        "give the opposite of the adjective",
        _about(lambda s: answers.opposite(s) or "", answers.opposite),
        0.7,
    ),
    "colors": TextTask(
        "name the color of a statement",
        _about(lambda s: sentence(s.object_adjective or ""), lambda s: s.object_adjective in COLORS),
        0.5,
    ),
    "past_tense": TextTask("put a statement in the past tense", _about(lambda s: s.past), 1),
    "substitution": TextTask("replace a word by another", _substitution, 3),
    "title": TextTask("give a title", _about(answers.title), 0.5),
    "headline": TextTask(
        "sum a statement up in three words",
        _about(lambda s: sentence(f"{s.subject} {s.verb} {s.object}")),
        0.7,
    ),
    "detail": TextTask("tell at length what is said", _about(answers.detail, answers.has_details), 2.5),
    "ask_back": TextTask(
        "ask why",
        _about(lambda s: f"Why does {s.who} {BASE[s.verb]} {s.what}?", lambda s: s.verb not in CHANCE),
        1,
    ),
    "reply": TextTask(
        "reply to the speaker",
        _about(lambda s: f"Thank you for telling me about {s.who} and the {s.object}."),
        0.5,
    ),
    "polite": TextTask("make a command polite", _of_command(lambda c: f"Please {c}."), 0.5),
    "confirm": TextTask(
        "agree to a command", _of_command(lambda c: f"Okay, I will {c.replace(' me ', ' you ')}."), 0.5
    ),
    "sentence_kind": TextTask("statement, question or command?", _sentence_kind, 0.5),
}

# --- samples ---------------------------------------------------------------------------------------------------------


def draw_tasks(n: int, rng: np.random.Generator) -> list[str]:
    """The tasks of n training samples."""
    names, weights = list(TEXT_TASKS), np.array([task.weight for task in TEXT_TASKS.values()])
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
