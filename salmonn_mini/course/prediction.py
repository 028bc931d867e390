"""Predictions: one click before an observation, and a reminder of it after.

    guess = predict(11, 12, 23)      # buttons; the question and its choices stand in the text above
    compare(guess, 12, "windows")    # Measured: 12 windows. You predicted 11: too low.

Where no prediction was made, `compare` prints the observation alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

Answer = str | float


@dataclass(repr=False)
class Prediction:
    """Choices as buttons; where a page has none, in words.

    Attributes:
        choices: numbers or texts.
        answer: the choice that was clicked, None before.
    """

    choices: tuple[Answer, ...]
    answer: Answer | None = None

    def buttons(self) -> Any:
        """The choices as a widget; a click, or Tab and Space, sets `answer`."""
        import ipywidgets

        chosen = self.answer if self.answer in self.choices else None
        options = [(words(choice), choice) for choice in self.choices]
        style = {"button_width": "auto", "description_width": "auto"}
        buttons = ipywidgets.ToggleButtons(
            options=options, value=chosen, description="I predict", style=style
        )
        buttons.observe(lambda change: setattr(self, "answer", change["new"]), names="value")
        return buttons

    def __repr__(self) -> str:
        choices = " · ".join(map(words, self.choices))
        return (
            f"I predict: {choices}. No buttons? Write your own, predict(…, answer=…), and run the cell again."
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.buttons()._repr_mimebundle_() | {"text/plain": repr(self)}


def predict(*choices: Answer, answer: Answer | None = None) -> Prediction:
    """Show the choices as buttons. What is clicked is what `compare` recalls; `answer` sets it without a click."""
    from IPython.display import display

    prediction = Prediction(choices, answer)
    display(prediction)
    return prediction


def compare(guess: Prediction | Answer | None, measured: Answer, unit: str = "") -> None:
    """Print what was measured and, if there is a prediction, what was predicted.

    Args:
        guess: what `predict` returned, or a number or a text, or None.
        measured: a number is judged against the prediction; of several choices the nearest one counts as well.
        unit: and what else belongs behind the number.
    """
    choices, answer = (guess.choices, guess.answer) if isinstance(guess, Prediction) else ((), guess)
    said = f"Measured: {words(measured)} {unit}".rstrip() + "."
    if answer is not None:
        said += f" You predicted {words(answer)}{_judgment(answer, measured, choices)}."
    print(said)


def words(value: Answer) -> str:
    """A number in four digits; a text as it is."""
    return f"{value:,.4g}" if isinstance(value, Real) else str(value)


def _judgment(answer: Answer, measured: Answer, choices: tuple[Answer, ...]) -> str:
    if answer == measured:
        return ": right"
    if not isinstance(answer, Real) or not isinstance(measured, Real):
        return ""
    distances = [abs(choice - measured) for choice in choices if isinstance(choice, Real)]
    if distances and abs(answer - measured) <= min(distances):
        return ": the nearest choice"
    return ": too low" if answer < measured else ": too high"
