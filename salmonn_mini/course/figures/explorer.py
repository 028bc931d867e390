"""A figure with controls, and those of each chapter.

The figure comes from a plain function of its controls' values, so that a test can call it over their whole range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from salmonn_mini import audio
from salmonn_mini.course import diagrams
from salmonn_mini.course.figures import sound
from salmonn_mini.course.figures.player import Sound


@dataclass(frozen=True)
class Explorer:
    """A figure and its controls: a slider for numbers, a drop-down for words.

    Attributes:
        figure: a plain function of the controls' values.
        controls: for each of its arguments the values that can be chosen, in order.
        start: the values to begin with; otherwise each one's first.
    """

    figure: Callable[..., Any]
    controls: Mapping[str, Sequence[Any]]
    start: Mapping[str, Any] = field(default_factory=dict)

    def show(self) -> Any:
        """The controls with the figure below them, which follows."""
        import ipywidgets
        from IPython.display import display

        wide = {"style": {"description_width": "9em"}, "layout": {"width": "34em"}}
        boxes = {}
        for name, values in self.controls.items():
            number = isinstance(values[0], int | float) and not isinstance(values[0], bool)
            kind = ipywidgets.SelectionSlider if number else ipywidgets.Dropdown
            extra = {"continuous_update": False} if number else {}
            value = self.start.get(name, values[0])
            label = name.replace("_", " ")
            boxes[name] = kind(options=list(values), value=value, description=label, **wide, **extra)

        def redraw(**chosen: Any) -> None:
            display(self.figure(**chosen))

        shown = ipywidgets.interactive_output(redraw, boxes)
        return ipywidgets.VBox([*boxes.values(), shown])


WINDOWS = Explorer(
    diagrams.windows,
    {"T": range(1, 41), "L": range(1, 13), "N": range(1, 5), "tail": ("pad", "drop")},
    {"T": 10, "L": 3, "N": 2},
)
COST = Explorer(
    sound.clip_length,
    {
        "seconds": tuple(range(1, 31)),
        "window_seconds": (0.1, 0.2, 0.25, 0.333333, 0.5, 1.0, 2.0, 5.0, 30.0),
        "N": (1, 2, 4, 8, 16, 32, 64),
    },
    {"seconds": 10, "window_seconds": 0.333333, "N": 1},
)


def windowing(X: ArrayLike) -> Explorer:
    """The windows over one clip, for a slider of their length."""
    return Explorer(
        lambda window_seconds, N: sound.windowed(X, window_seconds, N),
        {"window_seconds": (0.02, 0.1, 0.2, 0.333333, 0.5, 1.0, 2.0), "N": (1, 2, 4)},
        {"window_seconds": 0.2},
    )


def sampling(X: ArrayLike) -> Explorer:
    """One clip at ever fewer samples a second, to see and to hear."""
    choice = {"filter first": True, "no filter": False}
    return Explorer(
        lambda samples_a_second, filter: sound.sampled(X, samples_a_second, choice[filter]),
        {"samples_a_second": (1000, 2000, 4000, 8000, 16000), "filter": tuple(choice)},
        {"samples_a_second": 16000},
    )


def focusing(X: ArrayLike) -> Explorer:
    """The spectrogram of one clip, for a slider of its window."""
    return Explorer(
        lambda milliseconds: sound.time_frequency(X, milliseconds),
        {"milliseconds": (4, 8, 16, 25, 50, 100, 200)},
        {"milliseconds": 25},
    )


def asking(
    folder: Path, clips: Sequence[str], instructions: Sequence[str], answer: Callable[[Any, str], str]
) -> Explorer:
    """Clips to choose, instructions to choose, and what `answer(X, instruction)` says."""

    def asked(clip: str, instruction: str) -> Sound:
        X = audio.load_audio(folder / clip, max_seconds=30)
        return Sound(
            X, clip, sound.spectrogram_picture(X, wave=True), f"{instruction}\n→ {answer(X, instruction)}"
        )

    return Explorer(asked, {"clip": tuple(clips), "instruction": tuple(instructions)})
