"""Chapter 8, instruction tuning: exercises and quiz."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter
from salmonn_mini.data.order import apportion

PROMPTS = {
    "asr": ["Write it down.", "Transcribe the speech.", "What is said?"],
    "slot_filling": ["Which {} is named?", "Find the {} in the speech."],
    "audio_qa": ["{}"],
}


@exercise("8.1", "from an annotation to a question", level=1, minutes=8)
def question(question: Student) -> None:
    """two texts, the instruction and the answer: the wording at `place` of the row's task, from the front
    again after the last one, its gap filled from Q; a row without a task is asr
    """

    def given(place: int, **row: str) -> tuple[str, str]:
        found = question({"path": "clip.wav", **row}, PROMPTS, place)
        pair = isinstance(found, list | tuple) and len(found) == 2
        expect(pair and all(isinstance(text, str) for text in found), True, "That two texts come back")
        hint(found[0] == row["text"], "Instruction and answer are exchanged: the instruction comes first.")
        return tuple(found)

    plain = given(1, task="asr", text="jack sees a cat", Q="")
    hint(
        plain[0] == PROMPTS["asr"][0],
        "Always the first wording: the model would learn one sentence, and not what it means. Use `place`.",
    )
    expect(plain, ("Transcribe the speech.", "jack sees a cat"), "Wording 1 of asr")
    filled = given(0, task="slot_filling", text="the city is rome .", Q="city")
    hint("{}" in filled[0], "The gap is still there: put Q in the place of {}.")
    expect(filled, ("Which city is named?", "the city is rome ."), "A wording with a gap")
    whole = given(0, task="audio_qa", text="the sound is dog .", Q="Which sound comes first?")
    expect(whole, ("Which sound comes first?", "the sound is dog ."), "A wording that is nothing but a gap")
    expect(given(0, text="rain falls"), ("Write it down.", "rain falls"), "A row with neither task nor Q")
    expect(
        given(5, task="slot_filling", text="x", Q="day")[0], "Find the day in the speech.", "Wording 5 of two"
    )


@exercise("8.2", "whole clips out of shares", level=2, minutes=10)
def counts(counts: Student) -> None:
    """how many of n clips each task gets: its part of n, rounded down; what is then left goes, one each, to
    the largest remainders
    """
    weights = {"asr": 16, "phones": 17, "music": 19, "gender": 28}  # of 80: for 8 clips 1.6, 1.7, 1.9, 2.8
    found = _table(counts(dict(weights), 8), set(weights))
    hint(
        same(sum(found.values()), 80) or sum(found.values()) > 20,
        "The shares were taken as they are. They need not add up to 1: divide by their sum.",
    )
    hint(
        same(list(found.values()), [2, 2, 2, 3]),
        "Each was rounded by itself: 2 + 2 + 2 + 3 are 9 clips, and there are 8.",
    )
    hint(
        same(list(found.values()), [1, 1, 1, 2]), "All were rounded down: 3 of the 8 clips belong to nobody."
    )
    hint(
        same(list(found.values()), [1, 1, 1, 5]),
        "All that was left went to the largest share. It goes to the largest remainders: .9, .8 and .7.",
    )
    hint(
        same(list(found.values()), [2, 2, 2, 2]),
        "What was left went to the first tasks. It goes to the largest remainders: .9, .8 and .7.",
    )
    for shares, n in ((weights, 8), ({"asr": 0.75, "audio_caption": 0.25}, 16), ({"a": 1.0, "b": 0.0}, 5)):
        right = apportion(shares, n)
        for task, count in _table(counts(dict(shares), n), set(shares)).items():
            expect(count, right[task], f"{n} clips in shares {shares}, those of {task}")


@exercise("8.3", "shares of what?", level=2, minutes=8)
def clip_shares(clip_shares: Student) -> None:
    """each task's share of the clips, all of them together 1, so that its answers make up the given share of
    all tokens; `tokens` are a task's tokens in an answer, on average
    """
    wanted, tokens = {"phones": 0.5, "gender": 0.3, "asr": 0.2}, {"phones": 30.0, "gender": 5.0, "asr": 10.0}
    found = _table(clip_shares(dict(wanted), dict(tokens)), set(wanted))

    def are(weights: Mapping[str, float], normal: bool = True) -> bool:
        total = sum(weights.values()) if normal else 1.0
        return all(same(found[task], weight / total) for task, weight in weights.items())

    hint(
        are(wanted),
        "These are the shares of tokens themselves. A gender has 5 tokens, a line of phones 30: for the same tokens "
        "it takes six times as many clips.",
    )
    hint(
        are({task: wanted[task] * tokens[task] for task in wanted}),
        "Multiplied: long answers would get even more. Many tokens in an answer mean that few clips are enough.",
    )
    hint(
        are({task: 1 / tokens[task] for task in wanted}),
        "The wanted shares are not used: this gives each task as many tokens as every other.",
    )
    right = {task: wanted[task] / tokens[task] for task in wanted}
    hint(are(right, normal=False), "In the right proportions; but they must add up to 1.")
    for task, weight in right.items():
        expect(found[task], weight / sum(right.values()), f"The share of {task}")
    alike = _table(clip_shares({"a": 0.8, "b": 0.2}, {"a": 7.0, "b": 7.0}), {"a", "b"})
    expect(alike["a"], 0.8, "With answers of like length, the share of a")


@exercise("8.4", "a loss for each task", level=2, minutes=8)
def loss_of_tasks(loss_of_tasks: Student) -> None:
    """for each task of the batch the mean loss of its own tokens; `losses` are the clips', summed over their
    tokens
    """
    losses = torch.tensor([8.0, 4.0, 3.0, 1.0])
    tokens, tasks = [10, 2, 3, 1], ["asr", "gender", "asr", "gender"]
    found = _table(loss_of_tasks(losses.clone(), list(tokens), list(tasks)), set(tasks))

    def are(asr: float, gender: float) -> bool:
        return same(found["asr"], asr) and same(found["gender"], gender)

    hint(
        are(11, 5),
        "These are the sums. A task with many tokens would always look worst: divide by its tokens.",
    )
    hint(are(5.5, 2.5), "Divided by the task's clips. The loss is a mean over tokens.")
    hint(
        are(0.9, 1.5),
        "A mean of the clips' own means: a token of a short answer counts more than one of a long one. Add up first.",
    )
    hint(are(11 / 16, 5 / 16), "Divided by the tokens of the whole batch. Each task by its own.")
    hint(are(1.0, 1.0), "Only the last clip of each task is there: add its clips up.")
    expect(found["asr"], 11 / 13, "The loss of asr")
    expect(found["gender"], 5 / 3, "The loss of gender")
    alone = _table(loss_of_tasks(torch.tensor([6.0]), [3], ["music"]), {"music"})
    expect(alone["music"], 2.0, "A batch of one clip")


@exercise("8.5", "what did it do?", level=2, minutes=10)
def did(did: Student) -> None:
    """ "transcript" if the answer only repeats the words, "caption" if it only repeats the caption of the
    sounds, else "something else". It repeats a text if it makes fewer errors than 30 % of that text's words
    """
    words = "the big cow loses the old guitar in the garden"  # ten
    sounds = "a dog barks and then rain falls"

    def given(answer: str, words: str = words, sounds: str = "") -> str:
        found = did(answer, words, sounds)
        known = ("transcript", "caption", "something else")
        expect(found in known if isinstance(found, str) else False, True, f"That it is one of {known}")
        return found

    story = (
        "once upon a time there was a big cow . it lost an old guitar . it was sad . then a friend found it ."
    )
    hint(
        given(story) == "transcript",
        "A story about the same cow is no transcript. Count errors, not words in common.",
    )
    two_wrong = "the big cow loses the old car in a garden"
    hint(
        given(two_wrong) == "something else",
        "Two words of ten are wrong: it has transcribed, and not well. Fewer errors than 30 % will do.",
    )
    hint(given(words) == "caption", "Words that are said make a transcript; sounds make a caption.")
    three_wrong = "the big cow loses the old car in a town"
    hint(
        given(three_wrong) != "something else",
        "Three words of ten are wrong. That is 30 %, and it must be fewer.",
    )
    longer = words + " and now it weeps"
    hint(
        given(longer) != "something else",
        "Four words too many, and the text has ten: 40 %. Divide by the words of the text, not by those of the "
        "answer.",
    )
    cases = {
        "A clip without speech": (("a dog barks and then rain falls", "", sounds), "caption"),
        "A clip with both": (("a dog barks and then rain falls", words, sounds), "caption"),
        "Speech over a sound": ((words, words, sounds), "transcript"),
        "No sound and no speech": (("a dog barks", "", ""), "something else"),
        "An empty answer": (("", words, sounds), "something else"),
    }
    for what, (case, right) in cases.items():
        expect(given(*case), right, what)


def _table(found: Any, tasks: set[str]) -> dict[str, Any]:
    """What a student's function gave, if it is a table with a value for each of the tasks."""
    right = isinstance(found, dict) and set(found) == tasks
    expect(right, True, f"That a dict with {', '.join(sorted(tasks))} comes back")
    return found


enter(
    8,
    """
One clip comes with twelve different tasks. How does the model know which one is meant?
- By the sound: each task has its own kind of clip.
  Some have. But the same sentence may be transcribed, translated or asked about.
+ By the instruction, and nothing else.
  There is no switch, and no output layer for each task. The words of I stand in the row before Y.
- By a special token for each task.
  Whisper does it so. SALMONN takes plain language, so that a task can be asked for that was never trained.

Why does a task have several wordings in training?
+ So that the meaning of an instruction is learned, and not one sentence by heart.
  Whether it has worked is measured with wordings that were held out.
- To have more clips.
  The clips stay the same, and so do the answers.
- To make the task harder.
  It is a side effect at most. What is wanted is that a reader's own words work too.

Phones are 7 % of the clips, and 18 % of all answer tokens. How much do they weigh in the loss?
- 7 %
  That would be so if it were a mean over clips.
+ 18 %
  The loss is a mean over tokens, so long answers weigh more. Shares of clips and shares of tokens are two
  things; a recipe gives the one, the gradient feels the other.
- one twelfth, as every task
  Only if the shares are chosen so.

Why does stage 2 go on with transcripts and captions, which stage 1 has taught already?
- They have not been learned well enough.
  Perhaps; but something else would happen without them.
- The mixture must add up to 1.
  Any shares can be made to do so.
+ Whatever is left out of the mixture may be forgotten.
  The same weights do everything. Steps towards new answers also move the old ones, unless these are there to
  object.

After stage 2 a model follows new wordings of trained tasks. And tasks that were not trained?
- It follows them too: it understands instructions now.
  This is what one would hope. It has to be measured by itself, and it is another question.
+ Nothing yet: that has to be measured.
  A new wording asks for an answer of a trained kind. A new task asks for another kind.
- It cannot do them: it was never shown how.
  Its language model can do them, with text. The ability is there.
""",
)
