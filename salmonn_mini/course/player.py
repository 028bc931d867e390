"""Sound to hear: a player with its picture and its words, alone or side by side.

The sound stands in the page itself, as MP3: nothing is loaded from elsewhere, and it plays without a kernel.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import ArrayLike

from salmonn_mini import audio
from salmonn_mini.course.plots import BLUE, Picture, dress, mel_image
from salmonn_mini.course.word_times import mark_words, of_words
from salmonn_mini.models.config import SAMPLE_RATE
from salmonn_mini.toy.world.voice import Word


@dataclass(frozen=True)
class Sound:
    """Samples X (S,) at 16 kHz with a player; the last value of a notebook's cell shows it.

    Attributes:
        title: above the player.
        picture: above it as well, its spectrogram say.
        text: below, what is said in it or what a model says of it.
    """

    X: ArrayLike
    title: str = ""
    picture: Picture | None = None
    text: str = ""

    @classmethod
    def with_spectrogram(
        cls, X: ArrayLike, title: str = "", text: str = "", words: Sequence[Word] = ()
    ) -> Sound:
        """X (S,) with its log-mel spectrogram, small enough to stand in a `Gallery`, and its words' boundaries."""
        return cls(X, title, spectrogram(X, words=words), text)

    @property
    def alt(self) -> str:
        """All of it in words, for a page without sound."""
        about = f"{self.title or 'Sound'}: {len(self.X) / SAMPLE_RATE:.1f} s of sound."
        return " ".join(filter(None, (about, self.picture and self.picture.alt, self.text)))

    def html(self) -> str:
        """A <figure> without anything from outside."""
        title = html.escape(self.title)
        parts = [f"<b>{title}</b><br>" if title else ""]
        if self.picture:
            alt, image = html.escape(self.picture.alt), _encoded(webp(self.picture))
            style = f"width: {self.picture.shown_width}px; max-width: 100%"
            parts.append(f'<img src="data:image/webp;base64,{image}" alt="{alt}" style="{style}"><br>')
        parts.append(
            f'<audio controls preload="auto" style="width: 100%; max-width: 24em" aria-label="{title}" '
            f'src="data:audio/mpeg;base64,{_encoded(mp3(self.X))}"></audio>'
        )
        if self.text:
            parts.append(f'<figcaption style="white-space: pre-line">{html.escape(self.text)}</figcaption>')
        return f'<figure style="margin: 0.5em 1em 1em 0">{"".join(parts)}</figure>'

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.alt}


@dataclass(frozen=True)
class Gallery:
    """Sounds side by side, as many as fit."""

    sounds: Sequence[Sound]
    width: str = "22em"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        style = f"display: grid; grid-template-columns: repeat(auto-fill, minmax({self.width}, 1fr))"
        cells = "".join(sound.html() for sound in self.sounds)
        return {
            "text/html": f'<div style="{style}">{cells}</div>',
            "text/plain": "\n".join(sound.alt for sound in self.sounds),
        }


def words_of(clip: Path | str) -> list[Word]:
    """The words of a clip of data_samples/ and when each begins and ends: `clips.json`, beside it, tells."""
    clip = Path(clip)
    known = json.loads((clip.parent / "clips.json").read_text(encoding="utf-8"))
    return [Word(*row) for row in known[clip.name]["words"]]


def spectrogram(X: ArrayLike, waveform: bool = False, words: Sequence[Word] = ()) -> Picture:
    """Whisper's log-mel of X (S,), small; with `waveform` larger, and the waveform above it."""
    X = np.asarray(X)
    mel, seconds = audio.log_mel(torch.as_tensor(X)).numpy(), len(X) / SAMPLE_RATE
    alt = f"Log-mel spectrogram of {seconds:.1f} s"
    if not waveform:
        picture = Picture(f"{alt}.{of_words(words)}", width=4.2, height=2.0)
        lower = picture.panel(xlabel="seconds")
    else:
        peak = float(np.abs(X).max(initial=0.0))
        picture = Picture(
            f"{alt}, below its waveform, peak {peak:.2f}.{of_words(words)}", width=7.5, height=3.6
        )
        upper, lower = picture.subplots(2, sharex=True, height_ratios=(1, 2))
        dress(upper, ylabel="amplitude").plot(np.arange(len(X)) / SAMPLE_RATE, X, color=BLUE, linewidth=0.5)
        dress(lower, xlabel="seconds")
    mel_image(lower, mel, seconds)
    mark_words(lower if not waveform else upper, words, 7.0)
    return picture


def mp3(X: ArrayLike) -> bytes:
    """X (S,) at 16 kHz as MP3, an eighth of WAV's size; louder than full scale is clipped."""
    file = io.BytesIO()
    clipped, small = np.clip(np.asarray(X, dtype=np.float32), -1, 1), {"compression_level": 0.8}
    soundfile.write(file, clipped, SAMPLE_RATE, format="MP3", bitrate_mode="VARIABLE", **small)
    return file.getvalue()


def webp(picture: Picture) -> bytes:
    """A picture as WebP, an eighth of PNG's size where it shows a spectrogram."""
    file = io.BytesIO()
    picture.savefig(file, format="webp", pil_kwargs={"quality": 50, "method": 6})
    return file.getvalue()


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
