"""A clip, a question and an answer for every task of the table, drawn from the toy world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from salmonn_mini.data.tasks import get_task
from salmonn_mini.toy.world import answers, facts, grammar, story, translate
from salmonn_mini.toy.world.clips import ClipPlan, Music, draw_seed, draw_utterance
from salmonn_mini.toy.world.events import EVENTS
from salmonn_mini.toy.world.grammar import Statement, pick
from salmonn_mini.toy.world.music import MODES, MUSIC, TEMPI
from salmonn_mini.toy.world.pronunciation import phonemes
from salmonn_mini.toy.world.voice import MOODS, SPEAKERS, speakers_of


@dataclass(frozen=True)
class ToyExample:
    """A sample before it is rendered: the annotation format's `task`, `Q` and `text`, with its clip's plan.

    `words` is what is said in the clip, "" if nothing is.
    """

    task: str
    plan: ClipPlan
    prompt: str
    answer: str
    words: str = ""

    @property
    def description(self) -> str:
        """The captions of the sounds and of the music, and the words: a sound behind a voice begins before it."""
        music = self.plan.music
        tune = answers.music_caption(music.style, music.tempo, music.mode) if music else ""
        return " ".join(filter(None, (answers.caption(self.plan.events), tune, self.words)))


# Shares of training clips:
MIXED_SHARE = 0.2  # with a voice and a sound at once
HONEST_SHARE = 0.05  # asked for what they do not have: the words of a sound, the sounds of a voice
LIST_SHARE = 0.3  # of those for phones: words without a sentence around them
NO_SPEECH = "No speech."
Draft = tuple[ClipPlan, str, str, str]  # plan, what fills the prompt's gap, answer, words
Maker = Callable[[np.random.Generator, str], Draft]  # from (rng, split)


def _speech(text: str, rng: np.random.Generator, split: str, mood: str | None = None) -> ClipPlan:
    return ClipPlan(draw_seed(rng), (draw_utterance(text, rng, mood, split=split),))


def _sentence(rng: np.random.Generator, split: str) -> str:
    """Anything that is said in the toy world: statements, questions and commands."""
    kind = pick(
        rng, (grammar.draw_statement,) * 4 + (grammar.draw_question,) * 4 + (grammar.draw_command,) * 2
    )
    return grammar.draw(kind, rng, split).text


def _statement(rng: np.random.Generator, split: str) -> Statement:
    return grammar.draw(grammar.draw_statement, rng, split)


def _dictation(rng: np.random.Generator) -> str:
    """The speech of training clips: half of it is word lists and questions without an answer.

    There are few facts in the toy world. From their questions alone a model learns them by heart, and writes down the
    nearest one that it knows for any other wording.
    """
    kind = rng.random()
    if kind < 0.2:
        return grammar.draw(grammar.draw_word_list, rng, "train").text
    if kind < 0.5:
        return grammar.draw(grammar.draw_free_question, rng, "train").text
    if kind < 0.55:
        return pick(rng, facts.SOUND_QUESTIONS)
    return _sentence(rng, "train")


def _asr(rng: np.random.Generator, split: str) -> Draft:
    """Speech; in training now and then with a sound behind it, or a sound without any."""
    if split != "train":
        text = _sentence(rng, split)
        return _speech(text, rng, split), "", text, text
    if rng.random() < HONEST_SHARE:
        if rng.random() < 0.5:
            return ClipPlan(draw_seed(rng), events=answers.draw_sounds(rng)), "", NO_SPEECH, ""
        return ClipPlan(draw_seed(rng), music=_draw_music(rng)), "", NO_SPEECH, ""
    text = _dictation(rng)
    plan = _speech(text, rng, split)
    if rng.random() < MIXED_SHARE:
        plan = replace(plan, events=(pick(rng, facts.SOUND_FACTS),))
    return plan, "", text, text


def _phones(rng: np.random.Generator, split: str) -> Draft:
    """A statement; in training now and then words without a sentence around them.

    Phones, moods and genders are asked of statements alone: what is trained at length on spoken questions would be
    the answer to them. Transcription trains on those.
    """
    listed = split == "train" and rng.random() < LIST_SHARE
    text = grammar.draw(grammar.draw_word_list if listed else grammar.draw_statement, rng, split).text
    return _speech(text, rng, split), "", " ".join(phonemes(text)), text


def _of_statement(answer: Callable[[Statement], str]) -> Maker:
    def make(rng: np.random.Generator, split: str) -> Draft:
        statement = _statement(rng, split)
        return _speech(statement.text, rng, split), "", answer(statement), statement.text

    return make


def _audio_caption(rng: np.random.Generator, split: str) -> Draft:
    """One or two sounds; in training now and then a voice, alone or over a sound."""
    kind = rng.random() if split == "train" else 1.0
    if kind < HONEST_SHARE + MIXED_SHARE:
        plan, gender, text = _man_or_woman(_dictation(rng), rng, split)
        events = (pick(rng, facts.SOUND_FACTS),) if kind < MIXED_SHARE else ()
        return replace(plan, events=events), "", answers.speaker_caption(gender, events), text
    names = answers.draw_sounds(rng)
    return ClipPlan(draw_seed(rng), events=names), "", answers.caption(names), ""


def _man_or_woman(text: str, rng: np.random.Generator, split: str) -> tuple[ClipPlan, str, str]:
    """Speech by a man or a woman, whose gender is asked for as in the paper; children are not among them."""
    name = pick(rng, [name for name in speakers_of(split) if SPEAKERS[name].gender != "child"])
    return ClipPlan(draw_seed(rng), (draw_utterance(text, rng, speaker=name),)), SPEAKERS[name].gender, text


def _emotion(text: str, rng: np.random.Generator, split: str) -> Draft:
    mood = pick(rng, MOODS)
    return _speech(text, rng, split, mood), "", answers.emotion_answer(mood), text


def _gender(text: str, rng: np.random.Generator, split: str) -> Draft:
    plan, gender, text = _man_or_woman(text, rng, split)
    return plan, "", answers.gender_answer(gender), text


def _draw_music(rng: np.random.Generator) -> Music:
    return Music(pick(rng, MUSIC), pick(rng, TEMPI), pick(rng, MODES))


def _music_caption(rng: np.random.Generator, split: str) -> Draft:
    piece = _draw_music(rng)
    answer = answers.music_caption(piece.style, piece.tempo, piece.mode)
    return ClipPlan(draw_seed(rng), music=piece), "", answer, ""


def _music_qa(rng: np.random.Generator, split: str) -> Draft:
    piece = _draw_music(rng)
    question, answer = pick(rng, answers.music_questions(piece.style, piece.tempo, piece.mode).items())
    return ClipPlan(draw_seed(rng), music=piece), question, answer, ""


def _audio_qa(rng: np.random.Generator, split: str) -> Draft:
    names = answers.draw_sounds(rng)
    others = [name for name in EVENTS if name not in names]
    asked = pick(rng, names) if rng.random() < 0.5 else pick(rng, others)
    question, answer = pick(rng, answers.sound_questions(names, asked).items())
    return ClipPlan(draw_seed(rng), events=names), question, answer, ""


def _speech_qa(rng: np.random.Generator, split: str) -> Draft:
    statement = _statement(rng, split)
    question, answer = pick(rng, answers.speech_questions(statement).items())
    return _speech(statement.text, rng, split), question, answer, statement.text


def _two_speakers(rng: np.random.Generator, split: str) -> tuple[str, str, str, str]:
    """Two short statements and two different speakers."""
    texts = []
    while len(texts) < 2:
        statement = replace(_statement(rng, split), time=None, place=None, subject_adjective=None)
        if grammar.split_of(statement.text) == split:
            texts.append(statement.text)
    one, other = (str(name) for name in rng.choice(speakers_of(split), size=2, replace=False))
    return texts[0], texts[1], one, other


def _overlapped_speech(rng: np.random.Generator, split: str) -> Draft:
    first, second, one, other = _two_speakers(rng, split)
    plan = ClipPlan(
        draw_seed(rng),
        (draw_utterance(first, rng, "neutral", one), draw_utterance(second, rng, "neutral", other)),
        overlap=float(rng.uniform(0.6, 0.9)),
    )
    return plan, "", f"{first} {second}", f"{first} {second}"


def _speaker_verification(rng: np.random.Generator, split: str) -> Draft:
    first, second, one, other = _two_speakers(rng, split)
    same = rng.random() < 0.5
    utterances = (
        draw_utterance(first, rng, "neutral", one),
        draw_utterance(second, rng, "neutral", one if same else other),
    )
    return ClipPlan(draw_seed(rng), utterances), "", "Yes." if same else "No.", f"{first} {second}"


def _spoken_query_qa(rng: np.random.Generator, split: str) -> Draft:
    question = grammar.draw(grammar.draw_question, rng, split)
    return _speech(question.text, rng, split), "", question.answer, question.text


def _slot_filling(rng: np.random.Generator, split: str) -> Draft:
    command = grammar.draw(grammar.draw_command, rng, split)
    slot, value = pick(rng, command.slots)
    return _speech(command.text, rng, split), slot, answers.slot_answer(slot, value), command.text


def _story(rng: np.random.Generator, split: str) -> Draft:
    if rng.random() < 0.5:
        statement = _statement(rng, split)
        answer = story.story_of_statement(statement, rng)
        return _speech(statement.text, rng, split), "", answer, statement.text
    names = answers.draw_sounds(rng)
    return ClipPlan(draw_seed(rng), events=names), "", story.story_of_sounds(names, rng), ""


def _co_reasoning(rng: np.random.Generator, split: str) -> Draft:
    question, event = answers.draw_co_reasoning(rng, split)
    plan = replace(_speech(question, rng, split), events=(event,))
    return plan, "", answers.co_reasoning_answer(question, event), question


MAKERS: dict[str, Maker] = {
    "asr": _asr,
    "audio_caption": _audio_caption,
    "translation_zh": _of_statement(translate.to_chinese),
    "phone_recognition": _phones,
    "emotion": lambda rng, split: _emotion(_statement(rng, split).text, rng, split),
    "music_caption": _music_caption,
    "overlapped_speech": _overlapped_speech,
    "speaker_verification": _speaker_verification,
    "gender": lambda rng, split: _gender(_statement(rng, split).text, rng, split),
    "audio_qa": _audio_qa,
    "music_qa": _music_qa,
    "speech_qa": _speech_qa,
    "translation_de": _of_statement(translate.to_german),
    "translation_ja": _of_statement(translate.to_japanese),
    "keywords": _of_statement(answers.keywords),
    "spoken_query_qa": _spoken_query_qa,
    "slot_filling": _slot_filling,
    "story": _story,
    "co_reasoning": _co_reasoning,
}
# Moods and voices in questions and commands too: not for training, see _phones.
ANYTHING_SAID: dict[str, Maker] = {
    "emotion": lambda rng, split: _emotion(_sentence(rng, split), rng, split),
    "gender": lambda rng, split: _gender(_sentence(rng, split), rng, split),
}


def draw_examples(
    tasks: Sequence[str],
    rng: np.random.Generator,
    split: str,
    *,
    held_out: bool = False,
    makers: Mapping[str, Maker] = MAKERS,
) -> list[ToyExample]:
    """One example for each of `tasks`, with sentences of `split` and training or held-out wordings of the prompt.

    Args:
        makers: what drafts an example of each task.

    Raises:
        SalmonnError: a task is not in the table.
    """
    examples = []
    for name in tasks:
        task = get_task(name)
        plan, fill, answer, words = makers[name](rng, split)
        prompt = pick(rng, task.held_out if held_out else task.prompts).replace("{}", fill)
        examples.append(ToyExample(name, plan, prompt, answer, words))
    return examples


def draw_long_speech(n: int, rng: np.random.Generator, split: str, sentences: int = 3) -> list[ToyExample]:
    """n recordings of several statements one after the other, each in a voice of its own, to transcribe."""
    examples = []
    for _ in range(n):
        texts = [_statement(rng, split).text for _ in range(sentences)]
        plan = ClipPlan(draw_seed(rng), tuple(draw_utterance(text, rng, split=split) for text in texts))
        words = " ".join(texts)
        examples.append(ToyExample("asr", plan, pick(rng, get_task("asr").prompts), words, words))
    return examples
