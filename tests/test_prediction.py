"""Predictions: one click, quiet where none was made, recalled beside the observation."""

import ast
import re

import pytest
from IPython.core.formatters import DisplayFormatter
from nbformat.v4 import new_code_cell, new_notebook, new_output
from record import WIDGET, clean

from salmonn_mini.course.exercises import compare, predict
from salmonn_mini.course.prediction import Prediction
from tools.course import chapters, read, tags

ASKED = re.compile(r"^ *(\w+)\S* = predict\((.+)\)$", re.MULTILINE)  # a name, or a table with a row each
QUESTIONS = [
    pytest.param(path, place, id=f"{path.stem}-{place}")
    for path in chapters()
    for place, cell in enumerate(read(path).cells)
    if cell.cell_type == "code" and "predict(" in cell.source
]


def click(prediction: Prediction, choice: object) -> Prediction:
    prediction.buttons().value = choice
    return prediction


@pytest.mark.parametrize(
    ("guess", "measured", "said"),
    [
        (None, 89, "Measured: 89 windows."),
        (88, 89, "Measured: 89 windows. You predicted 88: too low."),
        (1500, 89, "Measured: 89 windows. You predicted 1,500: too high."),
        (89, 89, "Measured: 89 windows. You predicted 89: right."),
        ("many", 89, "Measured: 89 windows. You predicted many."),
        (Prediction((10, 70)), 68.4, "Measured: 68.4 windows."),
        (click(Prediction((10, 70)), 10), 68.4, "Measured: 68.4 windows. You predicted 10: too low."),
        (
            click(Prediction((10, 70)), 70),
            68.4,
            "Measured: 68.4 windows. You predicted 70: the nearest choice.",
        ),
        (click(Prediction(("both", "none")), "none"), "both", "Measured: both windows. You predicted none."),
        (
            click(Prediction(("both", "none")), "both"),
            "both",
            "Measured: both windows. You predicted both: right.",
        ),
    ],
)
def test_the_observation_recalls_the_prediction(
    guess: object, measured: object, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(guess, measured, "windows")
    assert capsys.readouterr().out == said + "\n"


def test_a_page_without_buttons_gets_the_choices_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    prediction = predict(11, 1500, "none", answer=9)
    said = capsys.readouterr().out
    assert "I predict: 11 · 1,500 · none. No buttons?" in said
    assert "answer=" in said
    assert prediction.answer == 9
    assert prediction.buttons().value is None


def test_a_notebook_shows_buttons_which_the_recorder_leaves_out() -> None:
    prediction = Prediction((11, 12))
    data, _ = DisplayFormatter().format(prediction)
    assert set(data) == {WIDGET, "text/plain"}
    assert data["text/plain"] == repr(prediction)
    shown = new_code_cell("predict(11, 12)", outputs=[new_output("display_data", data)])
    assert clean(new_notebook(cells=[shown])).cells[0].outputs == []


@pytest.mark.parametrize(("path", "place"), QUESTIONS)
def test_a_question_stands_above_its_choices_and_a_later_cell_recalls_it(path: object, place: int) -> None:
    cells = read(path).cells
    assert "nbval-ignore-output" in tags(cells[place])
    assert all(output.output_type == "stream" for output in cells[place].outputs)
    assert cells[place - 1].source.partition("**Predict.**")[2], "the cell above does not ask"
    below = [cell.source for cell in cells[place + 1 :] if cell.cell_type == "code"]
    for name, choices in ASKED.findall(cells[place].source):
        choices = ast.literal_eval(f"({choices},)")
        assert 2 <= len(set(choices)) == len(choices) <= 5
        until = next((n for n, source in enumerate(below) if f"{name} = predict(" in source), len(below))
        assert any(name in source and "compare(" in source for source in below[:until]), "nothing recalls it"
