"""Figures of chapter 0, the tour: a clip of one's own, uploaded, shown, played and asked about."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from salmonn_mini import audio
from salmonn_mini.course.player import Sound, spectrogram
from salmonn_mini.course.plots import Picture, dress, mel_image
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import SAMPLE_RATE

LONGEST = 30.0  # seconds; what is beyond is cut off
NOTHING = "No clip yet: choose a file."


def read_clip(file: Path, name: str) -> tuple[Tensor, list[str]]:
    """X (S,) at 16 kHz of a file, at most LONGEST seconds of it, and what was fixed, a line each.

    What soundfile cannot decode, ffmpeg may, where it is installed: M4A, WebM and the like.

    Raises:
        SalmonnError: no sound can be read; the message calls the file `name`.
    """
    notes: list[str] = []
    found = file
    try:
        with audio.readable(file, LONGEST, notes) as found:
            X = audio.load_audio(found, max_seconds=LONGEST, notes=notes)
    except SalmonnError as problem:
        raise SalmonnError(str(problem).replace(str(found), name)) from problem
    return X, notes


def own_clip(name: str, content: bytes, instruction: str, answer: Callable[[Any, str], str]) -> Sound:
    """The sound in a file's bytes, with what `answer(X, instruction)` says of it, X (S,) at 16 kHz.

    Its text also says what was fixed: resampled, mixed down, cut at LONGEST seconds, damaged.

    Raises:
        SalmonnError: no sound can be read from the bytes, or the instruction is empty.
    """
    if not instruction.strip():
        raise SalmonnError('the instruction is empty; ask something, such as "Transcribe the speech."')
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip"  # no suffix: the content decides
        file.write_bytes(content)
        X, notes = read_clip(file, name)
    fixes = f"\n({', '.join(notes)})" if notes else ""
    text = f"{instruction}\n→ {answer(X, instruction)}{fixes}"
    return Sound(X, name, spectrogram(X, waveform=True), text)


def spectrogram_with_tokens(X: ArrayLike, H: ArrayLike) -> Picture:
    """The log-mel of X (S,), and below it its audio tokens H (M, d_llm), a column each, by their main directions."""
    X, H = np.asarray(X), np.asarray(H)
    seconds, (M, width) = len(X) / SAMPLE_RATE, H.shape
    alt = f"Log-mel spectrogram of {seconds:.1f} s; below it its {M} audio tokens of {width:,} numbers each."
    U, S, _ = np.linalg.svd(H - H.mean(axis=0), full_matrices=False)
    picture = Picture(alt, width=7.5, height=4.2)
    upper, lower = picture.subplots(2, sharex=True, height_ratios=(2, 1))
    mel_image(dress(upper), audio.log_mel(torch.as_tensor(X)).numpy(), seconds)
    dress(lower, xlabel="seconds", ylabel=f"{M} tokens", yticks=())
    extent = (0.0, max(seconds, 0.01), 0.0, 1.0)
    shades = (U * S)[:, :8].T
    lower.imshow(shades, aspect="auto", cmap="cividis", extent=extent, interpolation="nearest")
    return picture


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
