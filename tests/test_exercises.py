"""Exercises: each stub fails, each solution passes, and known mistakes get the hint that is meant for them."""

import contextlib
import importlib
import inspect
import io
import json
import re
import runpy
import time
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from salmonn_mini.course import exercises
from salmonn_mini.course.card import REPORT
from salmonn_mini.course.exercises import EXERCISES, QUIZZES, check, verdict
from salmonn_mini.course.exercises.exercise import NOTHING, RIGHT, WRONG, Student, expect, same

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CHAPTERS = {int(path.stem[:2]): path for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))}
MISTAKES = {
    number: rows
    for path in sorted((Path(__file__).parent / "mistakes").glob("*.py"))
    for number, rows in importlib.import_module(f"mistakes.{path.stem}").MISTAKES.items()
}
CALL = re.compile(r'check\("([\d.]+)", (\w+)\)')


@cache
def cells(chapter: int) -> list:
    return nbformat.read(CHAPTERS[chapter], as_version=4).cells


def stub(number: str) -> tuple[str, str]:
    """The source of the notebook's cell with this exercise, and the name of its function."""
    found = [
        (cell.source, call[2])
        for cell in cells(int(number.split(".")[0]))
        if cell.cell_type == "code" and (call := CALL.search(cell.source)) and call[1] == number
    ]
    assert len(found) == 1, f"exercise {number} has {len(found)} cells in its notebook"
    return found[0]


@cache
def solution(chapter: int) -> tuple[str, str, dict]:
    """The source of a chapter's solutions, what they print, and what they define."""
    path = NOTEBOOKS / "solutions" / f"{CHAPTERS[chapter].stem}.py"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        names = runpy.run_path(str(path))
    return path.read_text(encoding="utf-8"), printed.getvalue(), names


def test_there_are_notebooks_with_exercises_and_none_without_its_table() -> None:
    assert {int(number.split(".")[0]) for number in EXERCISES} == set(CHAPTERS) == set(QUIZZES)
    assert set(MISTAKES) == set(EXERCISES)


@pytest.mark.parametrize("number", EXERCISES)
def test_the_notebook_announces_the_exercise_and_its_stub_fails(number: str) -> None:
    source, name = stub(number)
    prose = "\n".join(
        cell.source for cell in cells(int(number.split(".")[0])) if cell.cell_type == "markdown"
    )
    assert f"**{EXERCISES[number].heading}**" in prose
    namespace = dict(solution(int(number.split(".")[0]))[2])
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(source, namespace)
    assert printed.getvalue() == verdict(number, None) + "\n"
    assert printed.getvalue().startswith(NOTHING)
    written = solution(int(number.split(".")[0]))[2][name]
    assert inspect.signature(namespace[name]) == inspect.signature(written), "stub and solution differ"


@pytest.mark.parametrize("number", EXERCISES)
def test_the_solution_passes(number: str) -> None:
    source, printed, names = solution(int(number.split(".")[0]))
    name = stub(number)[1]
    assert f"# {EXERCISES[number].heading}\ndef {name}(" in source
    assert f'check("{number}", {name})' in source
    assert f"{RIGHT} Exercise {number}, " in printed
    assert verdict(number, names[name]).startswith(RIGHT)


@pytest.mark.parametrize("number", MISTAKES)
def test_known_mistakes_are_named(number: str) -> None:
    rows = MISTAKES[number]
    for wrong, words in rows:
        said = verdict(number, wrong)
        assert said.startswith(WRONG)
        assert words in " ".join(said.split())
    assert len({words for _, words in rows}) >= 3


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_has_three_to_five_exercises_of_a_known_size(chapter: int) -> None:
    own = [row for number, row in EXERCISES.items() if number.startswith(f"{chapter}.")]
    assert [row.number for row in own] == [f"{chapter}.{place}" for place in range(1, len(own) + 1)]
    assert 3 <= len(own) <= 5
    assert all(row.level in (1, 2, 3) and row.minutes > 0 and not row.wanted.endswith(".") for row in own)


ANSWERS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2000),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.integers()),
    st.builds(lambda *shape: torch.ones(shape), st.integers(0, 4), st.integers(0, 4)),
    st.sampled_from([..., torch.tensor(3), np.ones((4, 3)), torch.zeros(2, dtype=torch.complex64), print]),
)


@given(number=st.sampled_from(sorted(EXERCISES)), answer=ANSWERS)
@settings(max_examples=200)
def test_no_answer_makes_a_check_raise_or_pass(number: str, answer: object) -> None:
    assert verdict(number, answer)[0] in NOTHING + WRONG
    assert verdict(number, lambda *_: answer)[0] in NOTHING + WRONG


def test_an_error_of_the_student_is_shown_with_its_line() -> None:
    def n_windows(T: int, L: int) -> int:
        return T / "L"

    said = verdict("3.1", n_windows)
    said = " ".join(said.split())
    assert "n_windows(10, 3) raises TypeError: unsupported" in said
    assert 'return T / "L"' in said


def test_what_is_not_written_yet_is_no_mistake() -> None:
    def n_windows(T: int, L: int) -> int:
        raise NotImplementedError

    assert verdict("3.1", n_windows) == verdict("3.1", lambda T, L: ...) == verdict("3.1", None)
    assert verdict("3.1", None).startswith(NOTHING)
    assert "returns nothing" in verdict("3.1", lambda T, L: 4 if T == 10 else None)


def test_check_says_what_to_give_it(capsys: pytest.CaptureFixture[str]) -> None:
    check("3.1", 4)
    check("99.1", len)
    said = capsys.readouterr().out
    assert "give the function itself" in said
    assert "no exercise '99.1'" in said


@pytest.mark.parametrize(
    ("given", "value", "words"),
    [
        (3, 4, "got 3, but it must be 4"),
        (torch.tensor(3), 4, "got 3, but it must be 4"),
        ([1, 2], torch.ones(2), "got a list of 2, but it must be a tensor of shape (2,)"),
        (torch.ones(2, 3), torch.ones(3, 2), "the shape is (2, 3), but it must be (3, 2)"),
        (torch.ones(2), torch.ones(2) > 0, "it holds numbers, but it must hold True and False"),
        (torch.ones(2, 2), torch.tensor([[1.0, 1.0], [1.0, 2.0]]), "got 1 at [1, 1], but it must be 2"),
        (np.ones(2), torch.tensor([1.0, 2.0]), "got 1 at [1], but it must be 2"),
    ],
)
def test_a_difference_is_put_in_words(given: object, value: object, words: str) -> None:
    assert not same(given, value)
    with pytest.raises(Exception, match=re.escape(f"It: {words}.")):
        expect(given, value, "It")


def test_equal_values_may_differ_in_type_and_rounding() -> None:
    assert same(np.float32(0.1), 0.1)
    assert same(torch.tensor([1, 2]), torch.tensor([1.0, 2.00001]))
    assert not same("4", 4)
    assert Student(lambda x: x + 1)(3) == 4


@pytest.mark.parametrize("chapter", QUIZZES)
def test_each_question_has_one_right_choice_and_every_choice_its_reason(chapter: int) -> None:
    shown = QUIZZES[chapter]._repr_mimebundle_()
    assert len(QUIZZES[chapter].questions) >= 3
    for question in QUIZZES[chapter].questions:
        assert sum(choice.right for choice in question.choices) == 1
        assert len(question.choices) >= 3
        for text in (
            question.text,
            *(part for choice in question.choices for part in (choice.text, choice.why)),
        ):
            assert text in shown["text/plain"]
    assert shown["text/html"].count("<details") == sum(len(q.choices) for q in QUIZZES[chapter].questions)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_card_is_the_one_that_the_last_cell_measures(chapter: int) -> None:
    """minutes and gigabytes in the card's table and in the call at the end."""
    prose = next(
        cell.source for cell in cells(chapter) if cell.cell_type == "markdown" and "| to run |" in cell.source
    )
    card = re.search(r"\| ([\d.]+) min \| ([\d.]+) GB \|", prose)
    ends = [cell for cell in cells(chapter) if cell.cell_type == "code" and "card(minutes" in cell.source]
    assert len(ends) == 1
    assert f"card(minutes={card[1]}, gigabytes={card[2]})" in ends[0].source
    assert "nbval-check-output" in ends[0].metadata.tags


@pytest.mark.parametrize(
    ("guess", "words"),
    [
        (None, "Measured: 89 windows. (No prediction was written down.)"),
        (88, "Measured: 89 windows. Predicted: 88, too low."),
        (1500, "Measured: 89 windows. Predicted: 1,500, too high."),
        (89, "Measured: 89 windows. Predicted: the same."),
        ("many", "Measured: 89 windows. Predicted: many."),
    ],
)
def test_a_prediction_stands_beside_the_measurement(
    guess: object, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exercises.compare(guess, 89, "windows")
    assert capsys.readouterr().out == words + "\n"


def test_a_card_says_the_same_however_long_it_took_and_reports_what_it_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    report = tmp_path / "cards.jsonl"
    exercises.card(minutes=0.5, gigabytes=2.0)
    monkeypatch.setenv(REPORT, str(report))
    monkeypatch.setattr(time, "process_time", lambda: 3e6)  # a machine so slow that no card holds
    exercises.card(minutes=0.5, gigabytes=2.0)
    first, second = capsys.readouterr().out.splitlines()
    assert first == second == "Planned: at most 0.5 min of computing and 2 GB of memory."
    (row,) = map(json.loads, report.read_text().splitlines())
    assert row["card"] == [0.5, 2.0]
    assert row["measured"][0] > 1000 and row["measured"][1] > 0
    monkeypatch.undo()
