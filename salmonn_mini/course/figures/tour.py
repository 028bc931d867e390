"""Figures of chapter 0, the tour: a clip of one's own, uploaded, shown, played and asked about."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salmonn_mini import audio
from salmonn_mini.course.player import Sound, spectrogram
from salmonn_mini.errors import SalmonnError

LONGEST = 30.0  # seconds; what is beyond is cut off
NOTHING = "No clip yet: choose a file."


def own_clip(name: str, content: bytes, instruction: str, answer: Callable[[Any, str], str]) -> Sound:
    """The sound in a file's bytes, with what `answer(X, instruction)` says of it, X (S,) at 16 kHz.

    Its text also says what was fixed: resampled, mixed down, cut at LONGEST seconds, damaged.

    Raises:
        SalmonnError: no sound can be read from the bytes, or the instruction is empty.
    """
    if not instruction.strip():
        raise SalmonnError('the instruction is empty; ask something, such as "Transcribe the speech."')
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip"  # no suffix: the content decides
        file.write_bytes(content)
        try:
            X = audio.load_audio(file, max_seconds=LONGEST, notes=notes)
        except SalmonnError as problem:
            raise SalmonnError(str(problem).replace(str(file), name)) from problem
    fixes = f"\n({', '.join(notes)})" if notes else ""
    text = f"{instruction}\n→ {answer(X, instruction)}{fixes}"
    return Sound(X, name, spectrogram(X, waveform=True), text)


def respond(
    files: Sequence[Mapping[str, Any]], instruction: str, answer: Callable[[Any, str], str]
) -> Sound | str:
    """What stands below the button: the clip and its answer, or one line that says what is wrong.

    Args:
        files: as ipywidgets' FileUpload has them, each with its `name` and `content`; the last one counts.
    """
    if not files:
        return NOTHING
    try:
        return own_clip(files[-1]["name"], bytes(files[-1]["content"]), instruction, answer)
    except SalmonnError as problem:
        return f"✗ {problem}"


@dataclass(frozen=True)
class Upload:
    """A button that takes a file, a line for the instruction, and below them what `respond` gives.

    Attributes:
        instructions: proposed ones, the first to begin with; any other can be typed.
        answer: what a model says, `answer(X, instruction)`.
    """

    instructions: Sequence[str]
    answer: Callable[[Any, str], str]

    def show(self) -> Any:
        """The controls with their answer below, which follows."""
        import ipywidgets
        from IPython.display import display

        file = ipywidgets.FileUpload(accept="audio/*", multiple=False, description="Your clip")
        line = ipywidgets.Combobox(
            options=list(self.instructions),
            value=self.instructions[0],
            continuous_update=False,
            description="instruction",
            layout={"width": "34em"},
        )

        def follow(files: Sequence[Mapping[str, Any]], instruction: str) -> None:
            answered = respond(files, instruction, self.answer)
            if isinstance(answered, str):
                print(answered)
            else:
                display(answered)

        shown = ipywidgets.interactive_output(follow, {"files": file, "instruction": line})
        return ipywidgets.VBox([file, line, shown])
