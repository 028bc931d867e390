"""Arrays in, figures out: what the notebooks show of sound, attention and results.

Every function returns a `Picture`: a matplotlib figure with its alt text, in colors that color-blind
readers can tell apart. Arrays may be numpy's or CPU tensors without gradient. Drawings of the model itself
are in `diagrams`, a chapter's own figures in `figures`.
"""

from __future__ import annotations

import base64
import html
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from salmonn_mini.course.word_times import mark_words, of_words

if TYPE_CHECKING:
    from salmonn_mini.toy.world.voice import Word

# Okabe and Ito's palette, made for all kinds of color vision; its yellow is left out, too pale on white.
BLACK, BLUE, VERMILION, GREEN = "#000000", "#0072B2", "#D55E00", "#009E73"
SKY, ORANGE, PURPLE = "#56B4E9", "#E69F00", "#CC79A7"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS, DASHES = "osD^vPX", ("-", "--", "-.", ":")
INK, GRAY = "#222222", "#8A8F98"
CENTERED = {"ha": "center", "va": "center"}
RIGHT_OF_AXES = {"frameon": False, "loc": "center left", "bbox_to_anchor": (1.0, 0.5)}  # a legend's place
SPECTRAL = colormaps["magma"].resampled(
    48
)  # for spectrograms: steps of a decibel or two, and a PNG half as large
DPI, SHOWN = 150, 100  # dots an inch: as drawn, and as a page shows them, so that the letters are sharp

Interval = tuple[float, float, float]
"""A value and the lower and upper ends of its interval."""


class Picture(Figure):
    """A figure with alt text, shown by a notebook when it is the last value of a cell.

    It does without pyplot, so no figure stays open behind a cell. The alt text stands in the output's
    metadata, where nbconvert finds it; it is the output's plain text, which nbval compares; and it stands in
    the page, unseen, for JupyterLab gives a picture none.
    """

    def __init__(self, alt: str, width: float = 8.0, height: float = 3.0) -> None:
        """`width` and `height` in inches."""
        super().__init__(figsize=(width, height), dpi=DPI, layout="constrained")
        self.alt = alt

    def panel(self, title: str = "", **settings: Any) -> Axes:
        """The figure's only axes, dressed."""
        return dress(self.subplots(), title, **settings)

    def headline(self, text: str) -> None:
        """A title over all axes."""
        self.suptitle(text, fontsize=10, x=0.01, ha="left")

    def png(self) -> str:
        """The picture as a PNG of 128 colors, a third of the size of one in full color, in base64."""
        full, small = io.BytesIO(), io.BytesIO()
        self.savefig(full, format="png")
        colors = Image.open(full).convert("RGB").quantize(128, dither=Image.Dither.NONE)
        colors.save(small, format="PNG", optimize=True)
        return base64.b64encode(small.getvalue()).decode("ascii")

    @property
    def shown_width(self) -> int:
        """In a page's pixels."""
        return round(SHOWN * self.get_figwidth())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        look = {"alt": self.alt, "width": self.shown_width}
        return {"image/png": self.png(), "text/plain": self.alt}, {"image/png": look}

    def _ipython_display_(self) -> None:
        from IPython.display import display

        data, metadata = self._repr_mimebundle_()
        display(data, metadata=metadata, raw=True)
        unseen = (
            f'<div style="width: 1px; height: 1px; overflow: hidden">Figure: {html.escape(self.alt)}</div>'
        )
        display({"text/html": unseen}, raw=True)


def register(shell: Any) -> None:
    """Let an IPython shell show each `Picture` by its own `png`: pyplot's way, for all figures, has full color."""
    shell.display_formatter.formatters["image/png"].for_type(Picture, Picture.png)


if (ipython := sys.modules.get("IPython")) and (shell := ipython.get_ipython()):
    register(shell)


def dress(axes: Axes, title: str = "", **settings: Any) -> Axes:
    """Axes in the course's style; `settings` as matplotlib's `Axes.set` takes them: xlabel, ylim, yticks …"""
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(**settings)
    return axes


def titled(title: str, alt: str) -> str:
    """The alt text, after the title if there is one."""
    return f"{title}. {alt}" if title else alt


def waveform(X: ArrayLike, sample_rate: int, title: str = "", words: Sequence[Word] = ()) -> Picture:
    """Draw samples X (S,) against seconds, with its words' boundaries."""
    X = np.asarray(X)
    seconds = len(X) / sample_rate
    peak = float(np.abs(X).max(initial=0.0))
    alt = f"Waveform of {seconds:.1f} s, peak {peak:.2f}.{of_words(words)}"
    picture = Picture(titled(title, alt), height=1.8)
    axes = picture.panel(title, xlabel="seconds", ylabel="amplitude")
    axes.plot(np.arange(len(X)) / sample_rate, X, color=BLUE, linewidth=0.5)
    axes.margins(x=0)
    mark_words(axes, words)
    return picture


def log_mel(
    mel: ArrayLike, frames_per_second: float = 100.0, title: str = "", words: Sequence[Word] = ()
) -> Picture:
    """Draw Whisper's log-mel spectrogram (n_mels, F): seconds across, Hz upwards on Slaney's mel scale."""
    bands = np.asarray(mel)
    return _spectrogram("Log-mel spectrogram", bands, frames_per_second, title, slaney_mel, words=words)


def fbank(
    frames: ArrayLike, frames_per_second: float = 100.0, title: str = "", words: Sequence[Word] = ()
) -> Picture:
    """Draw BEATs' filter bank (F, 128): seconds across, Hz upwards on Kaldi's mel scale."""
    bands = np.asarray(frames).T
    return _spectrogram("Kaldi filter bank", bands, frames_per_second, title, kaldi_mel, 20.0, words)


def attention(weights: ArrayLike, mel: ArrayLike, seconds: float, title: str = "") -> Picture:
    """Draw what each of M speech tokens attends to, weights (M, T), under the clip's log-mel (n_mels, F)."""
    weights, mel = np.asarray(weights), np.asarray(mel)
    peaks = (weights.argmax(axis=1) + 0.5) * seconds / weights.shape[1]
    alt = (
        f"Attention of {len(weights)} speech tokens over {seconds:.1f} s of sound: "
        f"their peaks run from {peaks[0]:.1f} s to {peaks[-1]:.1f} s."
    )
    picture = Picture(titled(title, alt), height=4.5)
    upper, lower = picture.subplots(2, 1, sharex=True)
    mel_image(dress(upper, title), mel, seconds)
    dress(lower, xlabel="seconds", ylabel="speech token")
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
    picture = Picture(titled(title, alt), width=2.5 + 0.95 * len(columns), height=1.2 + 0.45 * len(rows))
    axes = picture.panel(title)
    image = axes.imshow(values, aspect="auto", cmap="cividis")
    picture.colorbar(image, ax=axes, label=label)
    axes.set_xticks(range(len(columns)), columns, rotation=20, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    for (i, j), value in np.ndenumerate(values):
        shade = "white" if image.norm(value) < 0.5 else "black"
        axes.text(j, i, f"{value:{form}}", color=shade, fontsize=9, **CENTERED)
    return picture


def curves(
    x: ArrayLike, series: Mapping[str, ArrayLike], xlabel: str, ylabel: str, title: str = ""
) -> Picture:
    """Draw a line for each series: values (P,), or (P, 3) with the interval's ends, which is shaded."""
    x = np.asarray(x, dtype=float)
    picture = Picture(titled(title, _curves_alt(x, series, xlabel, ylabel)), height=3.6)
    axes = picture.panel(title, xlabel=xlabel, ylabel=ylabel)
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
        axes.legend(**RIGHT_OF_AXES)
    return picture


def bars(values: Mapping[str, float | Interval], xlabel: str, title: str = "", form: str = ".2f") -> Picture:
    """Draw one bar a name, with its number next to it; an `Interval` also gets its whisker."""
    triples = {name: v if isinstance(v, tuple) else (v, v, v) for name, v in values.items()}
    alt = (
        f"Bars of {xlabel}: "
        + "; ".join(f"{name} {value:{form}}" for name, (value, _, _) in triples.items())
        + "."
    )
    picture = Picture(titled(title, alt), height=0.9 + 0.34 * len(values))
    axes = picture.panel(title, xlabel=xlabel)
    ends = [high for _, _, high in triples.values()]
    for row, (value, low, high) in enumerate(triples.values()):
        axes.barh(row, value, color=BLUE, height=0.62)
        if low < high:
            axes.plot((low, high), (row, row), color=INK, marker="|", markersize=7, linewidth=1.2)
        annotate_bar(axes, row, high, f"{value:{form}}")
    axes.set_yticks(range(len(values)), values)
    axes.invert_yaxis()
    axes.set_xlim(min(0.0, *ends), max(ends) * 1.12 or 1.0)
    return picture


def annotate_bar(axes: Axes, row: float, end: float, text: str) -> None:
    """Write next to the bar in `row` that ends at `end`."""
    axes.annotate(text, (end, row), (5, 0), textcoords="offset points", va="center", fontsize=9)


def dots(
    rows: Mapping[str, Mapping[str, float | Interval | None]], xlabel: str, title: str = "", form: str = ".0f"
) -> Picture:
    """Draw a row a name, and in it a mark for each series; an `Interval` also gets its whisker, None no mark."""
    series = list(dict.fromkeys(name for row in rows.values() for name in row))
    marks = {
        name: {
            one: value if isinstance(value, tuple) else (value,) * 3
            for one, value in row.items()
            if value is not None
        }
        for name, row in rows.items()
    }
    said = (
        f"{name} " + ", ".join(f"{one} {value:{form}}" for one, (value, _, _) in row.items())
        for name, row in marks.items()
    )
    step = min(0.24, 0.8 / len(series))
    picture = Picture(
        titled(title, f"{xlabel}: {'; '.join(said)}."), height=1.2 + (0.15 + 0.13 * len(series)) * len(rows)
    )
    axes = picture.panel(title, xlabel=xlabel, yticks=range(len(rows)), yticklabels=rows)
    for number, name in enumerate(series):
        color, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        heights = [
            row + step * (number - (len(series) - 1) / 2)
            for row, own in enumerate(marks.values())
            if name in own
        ]
        values = [own[name] for own in marks.values() if name in own]
        axes.plot([value for value, _, _ in values], heights, marker, color=color, label=name, markersize=6)
        axes.hlines(heights, *np.array(values).T[1:], color=color, linewidth=1.4, alpha=0.6)
    for line in range(1, len(rows)):
        axes.axhline(line - 0.5, color=GRAY, linewidth=0.4, alpha=0.5)
    axes.axvline(0, linewidth=0.0)  # zero is always in sight
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.legend(**RIGHT_OF_AXES)
    return picture


def slaney_mel(hz: ArrayLike) -> np.ndarray:
    """Hz → Slaney's mel, Whisper's scale: straight to 1,000 Hz, logarithmic above."""
    hz = np.asarray(hz, dtype=float)
    return np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4))


def kaldi_mel(hz: ArrayLike) -> np.ndarray:
    """Hz → Kaldi's mel, BEATs' scale (HTK's formula)."""
    return 1127 * np.log1p(np.asarray(hz, dtype=float) / 700)


def mel_image(
    axes: Axes,
    bands: np.ndarray,
    seconds: float,
    to_mel: Callable[[ArrayLike], np.ndarray] = slaney_mel,
    lowest: float = 0.0,
) -> None:
    """Show bands (n, F) of `lowest` to 8,000 Hz over `seconds`, with ticks in Hz where the mel scale puts them."""
    extent = (0.0, max(seconds, 0.01), 0.0, 1.0)
    axes.imshow(bands, aspect="auto", cmap=SPECTRAL, extent=extent, origin="lower", interpolation="nearest")
    hz = np.array([250, 1000, 4000])
    low, high = to_mel(lowest), to_mel(8000.0)
    axes.set_yticks((to_mel(hz) - low) / (high - low), [f"{f:,}" for f in hz])
    axes.set_ylabel("Hz")


def _spectrogram(
    name: str,
    bands: np.ndarray,
    frames_per_second: float,
    title: str,
    to_mel: Callable[[ArrayLike], np.ndarray],
    lowest: float = 0.0,
    words: Sequence[Word] = (),
) -> Picture:
    seconds = bands.shape[1] / frames_per_second
    loudest = (bands.mean(axis=0).argmax() + 0.5) / frames_per_second
    alt = f"{name}: {len(bands)} bands over {seconds:.1f} s, loudest near {loudest:.1f} s.{of_words(words)}"
    picture = Picture(titled(title, alt))
    axes = picture.panel(title, xlabel="seconds")
    mel_image(axes, bands, seconds, to_mel, lowest)
    mark_words(axes, words)
    return picture


def _curves_alt(x: np.ndarray, series: Mapping[str, ArrayLike], xlabel: str, ylabel: str) -> str:
    ends = []
    for name, values in series.items():
        middle = np.asarray(values, dtype=float).reshape(len(x), -1)[:, 0]
        ends.append(f"{name} from {middle[0]:.3g} to {middle[-1]:.3g}")
    return f"Curves of {ylabel} against {xlabel}, {x[0]:g} to {x[-1]:g}: " + "; ".join(ends) + "."
