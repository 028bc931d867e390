"""Chapter 0, the tour: exercises and quiz."""

from __future__ import annotations

from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter
from salmonn_mini.evaluation.metrics.following import repeats


@exercise("0.1", "write the prompt", level=1, minutes=4)
def prompt(prompt: Student) -> None:
    """the line USER: <Speech>H</Speech> instruction, and on the next one ASSISTANT: alone"""
    right = "USER: <Speech>H</Speech> Describe the audio.\nASSISTANT:"
    given = prompt("Describe the audio.")
    hint(
        same(given, right.replace("\n", " ")),
        "ASSISTANT: stands on a line of its own: put a new line (\\n) before it.",
    )
    hint(same(given, right.replace("</Speech>", "")), "The sound has no end: close it with </Speech>.")
    hint(
        same(given, "USER: Describe the audio. <Speech>H</Speech>\nASSISTANT:"),
        "The sound comes first, then the instruction.",
    )
    hint(
        isinstance(given, str) and given != right and given.rstrip() == right,
        "There is white space at the end. The answer's first token begins right after the colon.",
    )
    expect(given, right, "The prompt")


@exercise("0.2", "count the audio tokens", level=1, minutes=4)
def tokens(n_tokens: Student) -> None:
    """how many tokens a clip of so many seconds becomes in the toy: one for each window of 0.2 s, begun or
    full
    """
    given = n_tokens(2.5)
    hint(same(given, 125), "These are frames, 50 a second. Ten of them make one window, and one token.")
    hint(same(given, 12), "12 windows last 2.4 s. The last 0.1 s is a window too, filled up with zeros.")
    hint(same(given, 12.5), "There is no half token. A window that is begun counts.")
    hint(same(n_tokens(2.0), 11), "2 s are exactly 10 windows. No 11th is begun.")
    for seconds, right in ((2.5, 13), (2.0, 10), (0.1, 1), (30.0, 150)):
        expect(n_tokens(seconds), right, f"A clip of {seconds} s")


@exercise("0.3", "an answer, or an echo", level=2, minutes=8)
def echo(is_echo: Student) -> None:
    """True if the answer repeats the words: fewer than 30 wrong words for every 100 words that were said"""
    words = "what color is the grass"
    given = is_echo("what color is the glass", words)
    hint(
        same(given, False) and same(is_echo("the answer is green", words), True),
        "True and False are swapped: a transcript is an echo, an answer is none.",
    )
    hint(
        same(given, False),
        "One wrong word in five is still a transcript. Count the errors: 1 / 5 is less than 0.30.",
    )
    hint(
        same(is_echo("what color", words), True),
        "Missing words are errors too: 3 of the 5 words are not there.",
    )
    hint(
        same(is_echo("what color is the grass what color is the grass", words), True),
        "Words too many are errors too, and the errors are divided by the words that were said: 5 / 5.",
    )
    for answer in (words, "the answer is green", "what color is the glass", "which color is a grass", ""):
        expect(is_echo(answer, words), repeats(answer, words), f"{answer!r} after {words!r}")


enter(
    0,
    """
What does SALMONN's language model get to read of the sound?
- A transcript, written by Whisper.
  Whisper's decoder is not even loaded. Only its encoder is used.
- The samples of the waveform.
  32,000 numbers for 2 s would be far too many, and mean nothing to it.
+ A few vectors that stand where words would stand.
  In the toy one for every 0.2 s. They carry more than words: who speaks, how, and what else sounds.

Which parts are trained to make a model hear?
- Everything.
  The encoders and the language model stay as they are. They learned their trade before.
+ The Q-Former between them, and LoRA, a small addition to the language model.
  0.24 % of all parameters at the paper's size of 13B.
- The two encoders.
  They are frozen. What they hear is turned into tokens behind them.

The toy writes down most clips here as they were said. What does that show of the paper's model?
- It is at least as good.
  The toy knows some 200 words, spoken by a synthesizer. It would not understand you.
+ Nothing about its scores. It shows how the method works.
  Parts, shapes and training are the same. Sizes, data and scores are not.
- Nothing at all: a toy works differently.
  The code is one and the same; only the sizes differ.
""",
)
