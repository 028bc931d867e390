"""Figures of chapter 0, the tour: a clip of one's own, spoken or uploaded, shown, played and asked about."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from salmonn_mini import audio
from salmonn_mini.course.player import Sound, spectrogram
from salmonn_mini.course.plots import Picture, dress, mel_image
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import SAMPLE_RATE

LONGEST = 30.0  # seconds; what is beyond is cut off
# Browsers make a voice fit for a telephone call; the model is to hear it as it is.
MICROPHONE = {"echoCancellation": False, "noiseSuppression": False, "autoGainControl": False}
NO_CLIP = "no clip yet: record one, choose a file, or take a sample"
Ask = Callable[[Tensor, str, float], tuple[str, ArrayLike]]


@dataclass(frozen=True)
class Clip:
    """X (S,) at 16 kHz with its name, and what was fixed of its sound."""

    X: Tensor
    name: str
    notes: Sequence[str] = ()

    @classmethod
    def read(cls, file: Path, name: str) -> Clip:
        """At most LONGEST seconds of the sound in a file.

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
        return cls(X, name, notes)

    def sound(self, H: ArrayLike | None = None, text: str = "") -> Sound:
        """Its player and its picture: the waveform, or what a model made of it, H (M, d_llm). Below them the text."""
        picture = spectrogram(self.X, waveform=True) if H is None else spectrogram_with_tokens(self.X, H)
        fixes = f"({', '.join(self.notes)})" if self.notes else ""
        return Sound(self.X, self.name, picture, "\n".join(filter(None, (text, fixes))))


@dataclass(frozen=True)
class Upload:
    """A file's name and its bytes."""

    name: str
    content: bytes

    def read(self) -> Clip:
        """As `Clip.read`, by way of a file that is deleted at once."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "clip"  # no suffix: the content decides
            file.write_bytes(self.content)
            return Clip.read(file, self.name)


@dataclass(frozen=True)
class Recording:
    """What a `Recorder` gives: the bytes of a WAV. They are never written to a file."""

    wav: bytes
    name: str = "recording"

    def read(self) -> Clip:
        """At most LONGEST seconds of it; raises SalmonnError if the bytes hold no sound."""
        try:
            samples, rate = soundfile.read(io.BytesIO(self.wav), dtype="float32")
            X = audio.to_waveform(samples, rate, max_seconds=LONGEST)
        except (soundfile.SoundFileError, SalmonnError) as problem:
            reason = getattr(problem, "error_string", str(problem)).strip(".")
            raise SalmonnError(f"{self.name}: no sound in it ({reason}); record it again") from problem
        return Clip(X, self.name, [f"recorded at {rate:,} Hz"])


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


def respond(clip: Upload | Recording | None, instruction: str, scale: float, ask: Ask) -> Sound | str:
    """What stands below the controls: the clip and its answer, or one line that says what is wrong.

    Its text also says what was fixed: resampled, mixed down, cut at LONGEST seconds, damaged.

    Args:
        ask: gives a model's answer to X (S,), an instruction and a LoRA scale, and the audio tokens H (M, d_llm).
    """
    if clip is None:
        return f"{NO_CLIP.capitalize()}."
    try:
        if not instruction.strip():
            raise SalmonnError('the instruction is empty; ask something, such as "Transcribe the speech."')
        read = clip.read()
        answer, H = ask(read.X, instruction, scale)
        return read.sound(H, f"{instruction} (LoRA scale {scale:g})\n→ {answer}")
    except SalmonnError as problem:
        return f"✗ {problem}"


@dataclass(frozen=True)
class OwnClip:
    """Speak, choose a file or take a sample, then ask: below the controls stands what `respond` gives.

    Attributes:
        ask: as `respond` takes it.
        instructions: proposed ones, the first to begin with; any other can be typed.
        samples: files to take, by name.
        scale: the LoRA scale as trained; others go from 0 to it.
    """

    ask: Ask
    instructions: Sequence[str]
    samples: Mapping[str, Path]
    scale: float

    def show(self) -> Any:
        """The controls with their answer below, which follows."""
        import ipywidgets
        from IPython.display import clear_output, display

        from salmonn_mini.course.recorder import Recorder

        wide = {"style": {"description_width": "7em"}, "layout": {"width": "34em"}}
        recorder = Recorder(seconds=LONGEST, microphone=MICROPHONE)
        file = ipywidgets.FileUpload(accept="audio/*", multiple=False, description="Choose a file")
        sample = ipywidgets.Dropdown(options=["", *self.samples], description="or a sample")
        line = ipywidgets.Combobox(
            options=list(self.instructions),
            value=self.instructions[0],
            continuous_update=False,
            description="instruction",
            **wide,
        )
        slider = {"min": 0.0, "max": self.scale, "step": self.scale / 8, "continuous_update": False}
        scale = ipywidgets.FloatSlider(value=self.scale, description="LoRA scale", **slider, **wide)
        shown, chosen = ipywidgets.Output(), None

        def follow(_: Any = None) -> None:
            with shown:
                print("listening …")
                answered = respond(chosen, line.value, scale.value, self.ask)
                clear_output(wait=True)
                if isinstance(answered, str):
                    print(answered)
                else:
                    print(answered.text)  # above the picture, where it is seen first
                    display(replace(answered, text=""))

        def take(clip: Upload | Recording) -> None:
            nonlocal chosen
            chosen = clip
            file.value, sample.value = (), ""  # so that the same one can be chosen again
            follow()

        def upload(change: Mapping[str, Any]) -> None:
            for one in change["new"]:
                take(Upload(one["name"], bytes(one["content"])))

        def take_sample(change: Mapping[str, Any]) -> None:
            if name := change["new"]:
                take(Upload(name, self.samples[name].read_bytes()))

        recorder.observe(lambda change: take(Recording(change["new"])), "value")
        file.observe(upload, "value")
        sample.observe(take_sample, "value")
        for control in (line, scale):
            control.observe(follow, "value")
        follow()
        return ipywidgets.VBox([recorder, ipywidgets.HBox([file, sample]), line, scale, shown])
