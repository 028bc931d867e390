"""A short quiz with an explanation for every choice, to be clicked in a browser and to be read on paper.

It is plain HTML: a choice unfolds when it is clicked. So it needs no kernel, and lives on a static page too.
"""

from __future__ import annotations

import html
import re
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


def enter(chapter: int, text: str) -> None:
    """Enter a chapter's quiz into the table.

    Args:
        text: questions, an empty line between them. Below each question stand its choices, "+ " before the right
            one and "- " before all others, and below each choice, indented, why it is right or wrong.
    """
    QUIZZES[chapter] = Quiz(tuple(map(_parse_question, text.strip().split("\n\n"))))


def quiz(chapter: int) -> Quiz:
    """The quiz of a chapter."""
    return QUIZZES[chapter]


def _parse_question(block: str) -> Question:
    text, *choices = re.split(r"\n(?=[+-] )", block)
    return Question(text.replace("\n", " "), tuple(map(_parse_choice, choices)))


def _parse_choice(block: str) -> Choice:
    text, *why = block.split("\n")
    return Choice(text[2:], " ".join(map(str.strip, why)), right=text[0] == "+")


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
