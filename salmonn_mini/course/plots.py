"""Arrays in, figures out: what the notebooks show of sound, attention and results.

Every function returns a `Picture`: a matplotlib figure with its alt text, in colors that color-blind
readers can tell apart. Arrays may be numpy's or CPU tensors without gradient. Drawings of the model itself
are in `diagrams`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

# Okabe and Ito's palette, made for all kinds of color vision; its yellow is left out, too pale on white.
BLACK, BLUE, VERMILION, GREEN = "#000000", "#0072B2", "#D55E00", "#009E73"
SKY, ORANGE, PURPLE = "#56B4E9", "#E69F00", "#CC79A7"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS, DASHES = "osD^vPX", ("-", "--", "-.", ":")
INK, GRAY = "#222222", "#8A8F98"

Interval = tuple[float, float, float]
"""A value and the lower and upper ends of its interval."""


class Picture(Figure):
    """A figure with alt text, shown by a notebook when it is the last value of a cell.

    It does without pyplot, so no figure stays open behind a cell. The alt text stands in the output's
    metadata, where nbconvert finds it, and is the output's plain text, which nbval compares.
    """

    def __init__(self, alt: str, width: float = 8.0, height: float = 3.0) -> None:
        """`width` and `height` in inches, at 100 dots an inch."""
        super().__init__(figsize=(width, height), dpi=100, layout="constrained")
        self.alt = alt

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        png = io.BytesIO()
        self.savefig(png, format="png", metadata={"Software": None})
        encoded = base64.b64encode(png.getvalue()).decode("ascii")
        return {"image/png": encoded, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}


def waveform(X: ArrayLike, sample_rate: int, title: str = "") -> Picture:
    """Draw samples X (S,) against seconds."""
    X = np.asarray(X)
    seconds = len(X) / sample_rate
    peak = float(np.abs(X).max(initial=0.0))
    picture = Picture(_titled(title, f"Waveform of {seconds:.1f} s, peak {peak:.2f}."), height=1.8)
    axes = _axes(picture, title, "seconds", "amplitude")
    axes.plot(np.arange(len(X)) / sample_rate, X, color=BLUE, linewidth=0.5)
    axes.margins(x=0)
    return picture


def log_mel(mel: ArrayLike, frames_per_second: float = 100.0, title: str = "") -> Picture:
    """Draw Whisper's log-mel spectrogram (n_mels, F): seconds across, Hz upwards on Slaney's mel scale."""
    mel = np.asarray(mel)
    picture = Picture(_titled(title, _spectrogram_alt("Log-mel spectrogram", mel, frames_per_second)))
    _spectrogram(_axes(picture, title, "seconds", "Hz"), mel, frames_per_second, slaney_mel)
    return picture


def fbank(frames: ArrayLike, frames_per_second: float = 100.0, title: str = "") -> Picture:
    """Draw BEATs' filter bank (F, 128): seconds across, Hz upwards on Kaldi's mel scale."""
    bands = np.asarray(frames).T
    picture = Picture(_titled(title, _spectrogram_alt("Kaldi filter bank", bands, frames_per_second)))
    _spectrogram(_axes(picture, title, "seconds", "Hz"), bands, frames_per_second, kaldi_mel, lowest=20.0)
    return picture


def attention(weights: ArrayLike, mel: ArrayLike, seconds: float, title: str = "") -> Picture:
    """Draw what each of M speech tokens attends to, weights (M, T), under the clip's log-mel (n_mels, F)."""
    weights, mel = np.asarray(weights), np.asarray(mel)
    peaks = (weights.argmax(axis=1) + 0.5) * seconds / weights.shape[1]
    alt = (
        f"Attention of {len(weights)} speech tokens over {seconds:.1f} s of sound: "
        f"their peaks run from {peaks[0]:.1f} s to {peaks[-1]:.1f} s."
    )
    picture = Picture(_titled(title, alt), height=4.5)
    upper, lower = picture.subplots(2, 1, sharex=True)
    _spectrogram(_dress(upper, title, "", "Hz"), mel, mel.shape[1] / seconds, slaney_mel)
    _dress(lower, "", "seconds", "speech token")
    extent = (0.0, seconds, len(weights) + 0.5, 0.5)
    image = lower.imshow(weights, aspect="auto", cmap="cividis", extent=extent, interpolation="nearest")
    picture.colorbar(image, ax=lower, label="weight", pad=0.01)
    lower.yaxis.get_major_locator().set_params(integer=True)
    return picture


def heat_map(
    values: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    label: str,
    title: str = "",
    form: str = ".2f",
) -> Picture:
    """Draw values (R, C) as colored cells with their numbers; `label` names what the color means."""
    values = np.asarray(values, dtype=float)
    if values.shape != (len(rows), len(columns)):
        raise ValueError(
            f"values are {values.shape}, but there are {len(rows)} rows and {len(columns)} columns"
        )
    cells = [
        f"{row} × {column} {values[i, j]:{form}}"
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
    ]
    alt = f"Heat map of {label}: " + "; ".join(cells) + "."
    picture = Picture(_titled(title, alt), width=2.5 + 0.95 * len(columns), height=1.2 + 0.45 * len(rows))
    axes = _axes(picture, title)
    image = axes.imshow(values, aspect="auto", cmap="cividis")
    picture.colorbar(image, ax=axes, label=label)
    axes.set_xticks(range(len(columns)), columns, rotation=20, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    for (i, j), value in np.ndenumerate(values):
        shade = "white" if image.norm(value) < 0.5 else "black"
        axes.text(j, i, f"{value:{form}}", ha="center", va="center", color=shade, fontsize=9)
    return picture


def curves(
    x: ArrayLike, series: Mapping[str, ArrayLike], xlabel: str, ylabel: str, title: str = ""
) -> Picture:
    """Draw a line for each series: values (P,), or (P, 3) with the interval's ends, which is shaded."""
    x = np.asarray(x, dtype=float)
    picture = Picture(_titled(title, _curves_alt(x, series, xlabel, ylabel)), height=3.6)
    axes = _axes(picture, title, xlabel, ylabel)
    for index, (name, values) in enumerate(series.items()):
        color, marker, dashes = (styles[index % len(styles)] for styles in (PALETTE, MARKERS, DASHES))
        values = np.asarray(values, dtype=float)
        middle = values if values.ndim == 1 else values[:, 0]
        marks = marker if len(x) <= 40 else None
        axes.plot(x, middle, color=color, marker=marks, linestyle=dashes, label=name, markersize=5)
        if values.ndim == 2:
            axes.fill_between(x, values[:, 1], values[:, 2], color=color, alpha=0.15, linewidth=0)
    axes.grid(axis="y", alpha=0.25)
    if len(series) > 1:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return picture


def bars(values: Mapping[str, float | Interval], xlabel: str, title: str = "", form: str = ".2f") -> Picture:
    """Draw one bar a name, with its number beside it; an `Interval` also gets its whisker."""
    triples = {name: v if isinstance(v, tuple) else (v, v, v) for name, v in values.items()}
    alt = (
        f"Bars of {xlabel}: "
        + "; ".join(f"{name} {value:{form}}" for name, (value, _, _) in triples.items())
        + "."
    )
    picture = Picture(_titled(title, alt), height=0.9 + 0.34 * len(values))
    axes = _axes(picture, title, xlabel)
    ends = [high for _, _, high in triples.values()]
    for row, (value, low, high) in enumerate(triples.values()):
        axes.barh(row, value, color=BLUE, height=0.62)
        if low < high:
            axes.plot((low, high), (row, row), color=INK, marker="|", markersize=7, linewidth=1.2)
        axes.annotate(
            f"{value:{form}}", (high, row), (5, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_yticks(range(len(values)), values)
    axes.invert_yaxis()
    axes.set_xlim(min(0.0, *ends), max(ends) * 1.12 or 1.0)
    return picture


def slaney_mel(hz: ArrayLike) -> np.ndarray:
    """Hz → Slaney's mel, Whisper's scale: straight to 1,000 Hz, logarithmic above."""
    hz = np.asarray(hz, dtype=float)
    return np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4))


def kaldi_mel(hz: ArrayLike) -> np.ndarray:
    """Hz → Kaldi's mel, BEATs' scale (HTK's formula)."""
    return 1127 * np.log1p(np.asarray(hz, dtype=float) / 700)


def _spectrogram(
    axes: Axes,
    bands: np.ndarray,
    frames_per_second: float,
    to_mel: Callable[[ArrayLike], np.ndarray],
    lowest: float = 0.0,
    highest: float = 8000.0,
) -> None:
    """Show bands (n, F), low ones below, with ticks in Hz where the mel scale puts them."""
    seconds = bands.shape[1] / frames_per_second
    axes.imshow(bands, origin="lower", aspect="auto", cmap="magma", extent=(0.0, seconds, 0.0, 1.0))
    hz = np.array([250, 500, 1000, 2000, 4000, 8000])
    low, high = to_mel(lowest), to_mel(highest)
    axes.set_yticks((to_mel(hz) - low) / (high - low), [f"{f:,}" for f in hz])


def _spectrogram_alt(name: str, bands: np.ndarray, frames_per_second: float) -> str:
    loudest = (bands.mean(axis=0).argmax() + 0.5) / frames_per_second
    seconds = bands.shape[1] / frames_per_second
    return f"{name}: {len(bands)} bands over {seconds:.1f} s, loudest near {loudest:.1f} s."


def _curves_alt(x: np.ndarray, series: Mapping[str, ArrayLike], xlabel: str, ylabel: str) -> str:
    ends = []
    for name, values in series.items():
        middle = np.asarray(values, dtype=float).reshape(len(x), -1)[:, 0]
        ends.append(f"{name} from {middle[0]:.3g} to {middle[-1]:.3g}")
    return f"Curves of {ylabel} against {xlabel}, {x[0]:g} to {x[-1]:g}: " + "; ".join(ends) + "."


def _titled(title: str, alt: str) -> str:
    return f"{title}. {alt}" if title else alt


def _axes(picture: Picture, title: str = "", xlabel: str = "", ylabel: str = "") -> Axes:
    return _dress(picture.subplots(), title, xlabel, ylabel)


def _dress(axes: Axes, title: str, xlabel: str, ylabel: str) -> Axes:
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
