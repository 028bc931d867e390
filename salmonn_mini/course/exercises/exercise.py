"""Exercises that name the mistake: the table of them all, and the two checks that a notebook calls.

    check("3.1", n_windows)      →  ○ nothing there yet, and what is wanted
                                    ✗ not yet: the mistake by its name
                                    ✓ right
    fold = use("3.2", fold)      →  the same; the cells below then run on the student's own if it is right, and
                                    on the package's otherwise

A chapter's module holds its exercises. To add one, write its rule there under `@exercise(...)`, its stub in the
notebook, its solution in `notebooks/solutions/`, and three wrong answers in `tests/mistakes/`. A *core* exercise, one
for `use`, also names its `reference`. The rule's docstring says what is wanted. The rule calls the student's function
or class, `hint` for each known mistake, and `expect` for the rest.
"""

from __future__ import annotations

import numbers
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from salmonn_mini.errors import SalmonnError

NOTHING, WRONG, RIGHT = "○", "✗", "✓"
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
Mine = TypeVar("Mine")


class Hint(Exception):
    """A mistake by its name."""


class Nothing(Exception):
    """The stub is still a stub."""


class Student:
    """A student's function or class: what it returns is passed on, unless it is nothing or an error.

    A rule wraps what a class gives once more: `layer = Student(LoraLinear(base))`, then `layer(x)`.
    """

    def __init__(self, function: Callable) -> None:
        self._function = function
        self.last = ""  # the last call and what it gave, in words

    def __call__(self, *values: Any) -> Any:
        call = f"{name_of(self._function)}({', '.join(map(_short, values))})"
        try:
            given = self._function(*values)
        except NotImplementedError as unwritten:
            raise Nothing from unwritten
        except Exception as error:
            raise Hint(
                f"{call} raises {type(error).__name__}: {error}{raised_at(error, self._function)}"
            ) from error
        if given is None or given is Ellipsis:
            raise Hint(f"{call} returns nothing.") if self.last else Nothing
        self.last = f"{call} gives {_short(given)}"
        return given


@dataclass(frozen=True)
class Exercise:
    """A row of the table.

    Attributes:
        number: chapter and place, "3.1".
        level: difficulty, 1 to 3.
        minutes: that a student may need.
        wanted: what the function must return, in words.
        rule: raises a `Hint` for a wrong function.
        reference: of a core exercise, the package's own, which stands in for a student's that is not right yet.
    """

    number: str
    title: str
    level: int
    minutes: int
    wanted: str
    rule: Callable[[Student], None]
    reference: Callable | None = None

    @property
    def heading(self) -> str:
        """How the notebook and the solution announce it."""
        stars = "●" * self.level + "○" * (3 - self.level)
        return f"Exercise {self.number}: {self.title} ({stars}, {self.minutes} minutes)"


EXERCISES: dict[str, Exercise] = {}


Rule = Callable[[Student], None]


def exercise(
    number: str, title: str, *, level: int, minutes: int, reference: Callable | None = None
) -> Callable[[Rule], Rule]:
    """Enter the decorated rule into the table; its docstring says what the student's function must return."""

    def enter(rule: Rule) -> Rule:
        wanted = " ".join((rule.__doc__ or "").split())
        EXERCISES[number] = Exercise(number, title, level, minutes, wanted, rule, reference)
        return rule

    return enter


def check(number: str, answer: Any) -> None:
    """Print whether `answer`, a function, solves the exercise; if not, the mistake. Never raises."""
    print(verdict(number, answer))


def use(number: str, mine: Mine) -> Mine:
    """Print what `check` prints; return `mine` if it is right, the package's own otherwise, and print which.

    Raises:
        SalmonnError: a number that is no core exercise's.
    """
    core = {own: row.reference for own, row in EXERCISES.items() if row.reference is not None}
    if number not in core:
        raise SalmonnError(f"{number!r} is no core exercise: use one of {', '.join(sorted(core))}")
    said = verdict(number, mine)
    used, whose = (mine, "your own") if said.startswith(RIGHT) else (core[number], "the package's")
    print(_lines(said, f"The cells below run on {whose} {name_of(used)}."))
    return used


def verdict(number: str, answer: Any) -> str:
    """What `check` prints."""
    row = EXERCISES.get(number)
    if row is None:
        return f"{WRONG} There is no exercise {number!r}: choose one of {', '.join(sorted(EXERCISES))}."
    name = f"Exercise {number}, {row.title}"
    if answer is not None and not callable(answer):
        return f"{WRONG} {name}: give the function itself, not what it returns."
    student = Student(answer or (lambda *_: None))
    try:
        row.rule(student)
    except Nothing:
        return _lines(f"{NOTHING} {name}: nothing there yet.", f"Wanted: {row.wanted}.")
    except Hint as mistake:
        return _lines(f"{WRONG} {name}: not yet.", str(mistake))
    except Exception:  # the rule met a thing that no rule foresees
        return _lines(f"{WRONG} {name}: not yet.", f"{student.last}.", f"Wanted: {row.wanted}.")
    return f"{RIGHT} {name}: right."


def _lines(first: str, *others: str) -> str:
    """The first line, and below it the others, wrapped and indented."""
    indent = {"initial_indent": "  ", "subsequent_indent": "  "}
    return "\n".join([first, *(textwrap.fill(other, 100, **indent) for other in others)])


# --- what rules are written with -------------------------------------------------------------------------------------


def hint(found: bool, mistake: str) -> None:
    """Name a mistake, if it was found."""
    if found:
        raise Hint(mistake)


def same(given: Any, value: Any) -> bool:
    """Whether two numbers, texts or tensors are equal, these within rounding; False for unlike things."""
    return _difference(given, value) is None


def expect(given: Any, value: Any, what: str) -> None:
    """Name the difference between what was given and the right value; `what` says of what, in words.

    The cells below a core exercise go on with what it gives: a tensor must also have the right one's dtype.
    """
    difference = _difference(given, value) or _type_difference(given, value)
    hint(difference is not None, f"{what}: {difference}.")


def _difference(given: Any, value: Any) -> str | None:
    if isinstance(given, np.ndarray):
        given = torch.from_numpy(given)
    if isinstance(value, Tensor):
        return _tensor_difference(given, value)
    if isinstance(given, Tensor) and given.dim() == 0:
        given = given.item()
    if isinstance(value, numbers.Real) and isinstance(given, numbers.Real):
        equal = bool(np.isclose(float(given), float(value), **CLOSE))
    else:
        equal = type(given) is type(value) and given == value
    return None if equal else f"got {_short(given)}, but it must be {_short(value)}"


def _tensor_difference(given: Any, value: Tensor) -> str | None:
    if not isinstance(given, Tensor):
        return f"got {_short(given)}, but it must be a tensor of shape {tuple(value.shape)}"
    if given.shape != value.shape:
        return f"the shape is {tuple(given.shape)}, but it must be {tuple(value.shape)}"
    if _kind(given) != _kind(value):
        return f"it holds {_kind(given)}, but it must hold {_kind(value)}"
    precise = torch.complex128 if value.is_complex() else torch.float64
    wrong = ~torch.isclose(given.detach().to(precise), value.to(precise), **CLOSE)
    if not wrong.any():
        return None
    place = tuple(wrong.nonzero()[0].tolist())
    return f"got {_short(given[place].item())} at {list(place)}, but it must be {_short(value[place].item())}"


def _type_difference(given: Any, value: Any) -> str | None:
    if not isinstance(value, Tensor):
        return None
    if not isinstance(given, Tensor):
        return "right, but an array of NumPy: return a tensor, torch.from_numpy(...)"
    return None if given.dtype == value.dtype else f"it is {given.dtype}, but it must be {value.dtype}"


def _kind(x: Tensor) -> str:
    return "True and False" if x.dtype == torch.bool else "complex numbers" if x.is_complex() else "numbers"


def _short(value: Any) -> str:
    """A value in a few characters."""
    if isinstance(value, Tensor | np.ndarray) and value.ndim:
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Tensor):
        value = value.item()
    if isinstance(value, numbers.Number) and not isinstance(value, numbers.Integral):
        return f"{value:.5g}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def name_of(function: Callable) -> str:
    """A function's or a class's own name, an object's class."""
    return getattr(function, "__name__", type(function).__name__)


def raised_at(error: Exception, function: Callable) -> str:
    """The line of the student's function or class that raised."""
    kind = function if isinstance(function, type) else type(function)
    written = [part.__code__ for part in (function, *vars(kind).values()) if hasattr(part, "__code__")]
    files = {code.co_filename for code in written}
    lines = [step.line for step in traceback.extract_tb(error.__traceback__) if step.filename in files]
    return f" (in `{lines[-1]}`)" if lines and lines[-1] else ""
