"""A short quiz with an explanation for every choice, to be clicked in a browser and to be read on paper.

It is plain HTML: a choice unfolds when it is clicked. So it needs no kernel, and lives on a static page too.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from salmonn_mini.course.plots import GREEN, VERMILION

QUIZZES: dict[int, Quiz] = {}


@dataclass(frozen=True)
class Choice:
    """An answer to choose, and why it is right or wrong."""

    text: str
    why: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    text: str
    choices: tuple[Choice, ...]


def no(text: str, why: str) -> Choice:
    return Choice(text, why)


def yes(text: str, why: str) -> Choice:
    return Choice(text, why, right=True)


def ask(text: str, *choices: Choice) -> Question:
    return Question(text, choices)


@dataclass(frozen=True)
class Quiz:
    """Questions of a chapter; the last value of a notebook's cell shows them."""

    questions: tuple[Question, ...]

    def __repr__(self) -> str:
        lines = []
        for number, question in enumerate(self.questions, 1):
            lines.append(f"{number}. {question.text}")
            for letter, choice in zip("abcdef", question.choices, strict=False):
                lines += [f"   {letter}) {choice.text}", f"      {_judgment(choice)} {choice.why}"]
        return "\n".join(lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        body = "".join(map(_question, self.questions))
        return {"text/html": f"<ol>{body}</ol>", "text/plain": repr(self)}


def enter(chapter: int, questions: Sequence[Question]) -> None:
    """Enter a chapter's quiz into the table."""
    QUIZZES[chapter] = Quiz(tuple(questions))


def quiz(chapter: int) -> Quiz:
    """The quiz of a chapter."""
    return QUIZZES[chapter]


def _judgment(choice: Choice) -> str:
    return "Right." if choice.right else "No."


def _question(question: Question) -> str:
    choices = "".join(map(_choice, question.choices))
    return f'<li style="margin-bottom: 1em"><b>{html.escape(question.text)}</b>{choices}</li>'


def _choice(choice: Choice) -> str:
    color = GREEN if choice.right else VERMILION
    why = f'<b style="color: {color}">{_judgment(choice)}</b> {html.escape(choice.why)}'
    return (
        f'<details style="margin: 0.3em 0"><summary style="cursor: pointer">{html.escape(choice.text)}</summary>'
        f'<div style="margin: 0.2em 0 0.5em 1.2em">{why}</div></details>'
    )
