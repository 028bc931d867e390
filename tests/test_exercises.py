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
from both import solved
from hypothesis import given, settings
from hypothesis import strategies as st

from salmonn_mini.course import exercises
from salmonn_mini.course.card import REPORT
from salmonn_mini.course.exercises import EXERCISES, QUIZZES, check, exercise, use, verdict
from salmonn_mini.course.exercises.exercise import NOTHING, RIGHT, WRONG, Student, expect, same
from salmonn_mini.errors import SalmonnError
from tools.course import EXERCISE

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CHAPTERS = {int(path.stem[:2]): path for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))}
MISTAKES = {
    number: rows
    for path in sorted((Path(__file__).parent / "mistakes").glob("*.py"))
    for number, rows in importlib.import_module(f"mistakes.{path.stem}").MISTAKES.items()
}
CALL = re.compile(r'^(?:check|(?P<used>\w+) = use)\("(?P<number>[\d.]+)", (?P<name>\w+)\)$', re.MULTILINE)
CORE = [number for number, row in EXERCISES.items() if row.reference is not None]


@cache
def cells(chapter: int) -> list:
    return nbformat.read(CHAPTERS[chapter], as_version=4).cells


def chapter_of(number: str) -> int:
    return int(number.split(".")[0])


def stub(number: str) -> tuple[int, re.Match]:
    """Which cell of the notebook has this exercise, and its call of `check` or `use`."""
    found = [
        (place, call)
        for place, cell in enumerate(cells(chapter_of(number)))
        if cell.cell_type == "code" and (call := CALL.search(cell.source)) and call["number"] == number
    ]
    assert len(found) == 1, f"exercise {number} has {len(found)} cells in its notebook"
    return found[0]


def interface(written: object) -> object:
    """A function's signature; those of a class's methods."""
    if not inspect.isclass(written):
        return inspect.signature(written)
    return {name: inspect.signature(part) for name, part in vars(written).items() if inspect.isfunction(part)}


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
    place, call = stub(number)
    source, name = call.string, call["name"]
    prose = "\n".join(cell.source for cell in cells(chapter_of(number)) if cell.cell_type == "markdown")
    assert f"**{EXERCISES[number].heading}**" in prose
    assert EXERCISE in cells(chapter_of(number))[place].metadata.tags
    solved = solution(chapter_of(number))[2]
    namespace, said = dict(solved), f"{verdict(number, None)}\n"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(source, namespace)
    assert printed.getvalue().startswith(said)
    assert said.startswith(NOTHING)
    assert (printed.getvalue() == said) is (number not in CORE)
    exec(source[: call.start()], namespace)
    assert interface(namespace[name]) == interface(solved[name]), "stub and solution differ"


@pytest.mark.parametrize("number", EXERCISES)
def test_the_solution_passes(number: str) -> None:
    source, printed, names = solution(chapter_of(number))
    _, call = stub(number)
    assert re.search(
        rf"^# {re.escape(EXERCISES[number].heading)}\n(def|class) {call['name']}\b", source, re.M
    )
    assert f"\n{call[0]}\n" in source
    assert f"{RIGHT} Exercise {number}, " in printed
    assert verdict(number, names[call["name"]]).startswith(RIGHT)
    with contextlib.redirect_stdout(io.StringIO()) as both:
        exec(solved(call.string, source), {key: own for key, own in names.items() if key != call["name"]})
    assert both.getvalue().startswith(RIGHT), "make both would not solve it"


@pytest.mark.parametrize("number", CORE)
def test_what_a_core_exercise_gives_is_used_by_cells_below_and_shown_by_none_above(number: str) -> None:
    place, call = stub(number)
    row = EXERCISES[number]
    assert verdict(number, row.reference).startswith(RIGHT), "the package's own must pass as well"
    assert not re.search(r"[=⌈⌊√‖·]", row.wanted), "say types and shapes, not the formula"
    assert call["used"] == call["name"]
    code = [cell.source if cell.cell_type == "code" else "" for cell in cells(chapter_of(number))]
    assert re.search(rf"(?<![\w.]){call['name']}\(", "\n".join(code[place + 1 :])), "no cell uses it"
    assert f"{row.reference.__name__}(" not in "\n".join(code[:place]), "an earlier cell gives it away"


@pytest.mark.parametrize("number", MISTAKES)
def test_known_mistakes_are_named(number: str) -> None:
    rows = MISTAKES[number]
    for wrong, words in rows:
        said = verdict(number, wrong)
        assert said.startswith(WRONG)
        assert words in " ".join(said.split())
    assert len({words for _, words in rows}) >= 3


WIDER = {torch.float32: torch.float64, torch.complex64: torch.complex128, torch.float64: torch.float32}


def otherwise(given: object, numpy: bool, found: list[torch.dtype]) -> object:
    """What was given with each tensor of numbers in another type; what was changed goes to `found`."""
    if isinstance(given, tuple):
        return tuple(otherwise(part, numpy, found) for part in given)
    if not isinstance(given, torch.Tensor) or given.dim() == 0 or given.dtype not in WIDER:
        return given
    found.append(given.dtype)
    return given.detach().numpy() if numpy else given.to(WIDER[given.dtype])


@pytest.mark.parametrize("numpy", [False, True], ids=["dtype", "numpy"])
@pytest.mark.parametrize("number", EXERCISES)
def test_right_numbers_of_another_type_would_break_the_cells_below_and_do_not_pass(number, numpy) -> None:
    own, found = solution(chapter_of(number))[2][stub(number)[1]["name"]], []
    if inspect.isclass(own):
        forward = lambda self, *values: otherwise(own.forward(self, *values), numpy, found)  # noqa: E731
        other = type(own.__name__, (own,), {"forward": forward})
    else:
        other = lambda *values: otherwise(own(*values), numpy, found)  # noqa: E731
    said = verdict(number, other)
    assert said.startswith(WRONG if found else RIGHT), said


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


class Doubled(torch.nn.Module):
    """A student's class; three ways to write its second method."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor


class Right(Doubled):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


class Unwritten(Doubled):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return None


class Failing(Doubled):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ torch.ones(7, 7)


def test_a_right_answer_is_used_and_the_package_s_own_in_place_of_any_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exercise, "EXERCISES", {})

    @exercise.exercise("1.1", "scale", level=1, minutes=1, reference=Right)
    def rule(scale: Student) -> None:
        """a module that scales x (n,)"""
        layer = Student(scale(3.0))
        expect(layer(torch.ones(2)), torch.full((2,), 3.0), "x of ones at 3")

    own = type("Mine", (Right,), {})
    for mine, used, words in (
        (own, own, f"{RIGHT} Exercise 1.1, scale: right.\n  The cells below run on your own Mine.\n"),
        (
            Unwritten,
            Right,
            "nothing there yet.\n  Wanted: a module that scales x (n,).\n  The cells below run",
        ),
        (None, Right, "  The cells below run on the package's Right.\n"),
        (Failing, Right, "(in `return x @ torch.ones(7, 7)`)"),
        (lambda factor: torch.nn.Identity(), Right, "x of ones at 3: got 1 at [0], but it must be 3."),
        (3, Right, "give the function itself"),
    ):
        assert use("1.1", mine) is used
        assert words in re.sub(r"\n +\(", " (", capsys.readouterr().out)
    with pytest.raises(SalmonnError, match=r"'1.2' is no core exercise: use one of 1.1"):
        use("1.2", own)


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
        (torch.ones(1) + 1j, torch.ones(1) + 2j, "got 1+1j at [0], but it must be 1+2j"),
        (torch.ones(2) + 0j, torch.ones(2), "it holds complex numbers, but it must hold numbers"),
    ],
)
def test_a_difference_is_put_in_words(given: object, value: object, words: str) -> None:
    assert not same(given, value)
    with pytest.raises(Exception, match=re.escape(f"It: {words}.")):
        expect(given, value, "It")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (torch.ones(2).double(), "it is torch.float64, but it must be torch.float32"),
        (torch.ones(2).long(), "it is torch.int64, but it must be torch.float32"),
        (np.ones(2, np.float32), "return a tensor"),
    ],
)
def test_equal_numbers_of_another_type_are_named(given: object, words: str) -> None:
    assert same(given, torch.ones(2))
    with pytest.raises(Exception, match=re.escape(words)):
        expect(given, torch.ones(2), "It")


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
