"""A figure with controls: sliders for numbers, drop-downs for words.

The figure comes from a plain function of its controls' values, so that a test can call it over their whole range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salmonn_mini import audio
from salmonn_mini.course.player import Sound, spectrogram


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


def explore_answers(
    folder: Path, clips: Sequence[str], instructions: Sequence[str], answer: Callable[[Any, str], str]
) -> Explorer:
    """Clips to choose, instructions to choose, and the answer that `answer(X, instruction)` gives."""

    def answered(clip: str, instruction: str) -> Sound:
        X = audio.load_audio(folder / clip, max_seconds=30)
        text = f"{instruction}\n→ {answer(X, instruction)}"
        return Sound(X, clip, spectrogram(X, waveform=True), text)

    return Explorer(answered, {"clip": tuple(clips), "instruction": tuple(instructions)})
