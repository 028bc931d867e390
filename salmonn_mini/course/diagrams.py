"""Drawings of the model: the architecture, the windows over Z, the splice of sound and text.

They take the plain numbers that they draw, so that a slider can call them, and return `plots.Picture`s.
`python -m salmonn_mini.course.diagrams FILE.svg` writes the architecture, the README's picture.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

from salmonn_mini.course.plots import BLUE, CENTERED, GRAY, GREEN, INK, ORANGE, SKY, VERMILION, Picture

FROZEN = {"facecolor": "#EAF1F7", "edgecolor": BLUE, "linewidth": 1.1}
TRAINED = {"facecolor": "#FDEFD9", "edgecolor": VERMILION, "linewidth": 2.2}
BLANK = {"facecolor": "white", "edgecolor": GRAY, "linewidth": 0.8}
KINDS = {"text": "#D5E8F5", "sound": "#F6C667", "answer": "#BFE3D3"}
NUMBERED, SEPARATED = 40, 150  # frames that fit with their numbers, and as single squares

ARCHITECTURE = (
    "SALMONN. Sound X goes through two frozen encoders side by side: Whisper for speech, BEATs for audio "
    "events and music. Their features, joined frame by frame, are Z. Z is cut into windows of L frames. "
    "A trained Q-Former turns each window into N tokens with its N queries Q; together they are H. H stands "
    "in the prompt between <Speech> and </Speech>, before the instruction I. The frozen language model, with "
    "trained LoRA, writes the answer Y."
)


def architecture() -> Picture:
    """Draw SALMONN from the sound X to the answer Y: the paper's section 3.1."""
    picture = Picture(ARCHITECTURE, width=10.0, height=6.4)
    axes = _canvas(picture, 100, 64)
    _sound(axes, 2, 50)
    _box(axes, 16, 53, 17, 8.5, "Whisper encoder", "speech", FROZEN)
    _box(axes, 16, 39, 17, 8.5, "BEATs", "audio events, music", FROZEN)
    _features(axes, 39, 45)
    _box(axes, 68, 45.2, 15, 10, "Q-Former", "and linear layer", TRAINED)
    _queries(axes, 75.5, 39.5)
    _tokens(axes, 88, 48.2)
    _prompt(axes, 4, 27, arrows_to=21.5)
    _box(axes, 4, 11, 87, 10.5, "Large language model", "", FROZEN)
    _box(axes, 73, 12.3, 16, 7.9, "LoRA", "on q and v", TRAINED)
    _cell(axes, 32, 1, 31, "$Y$   the answer, token by token", "answer")
    _legend(axes, 4, 1)
    for start, end in (
        ((12.5, 52), (16, 56)),
        ((12.5, 48.5), (16, 44.5)),
        ((33, 57.2), (38.6, 54.2)),
        ((33, 43.2), (38.6, 46.4)),
        ((64.2, 50.2), (68, 50.2)),
        ((75.5, 41.7), (75.5, 45.2)),
        ((83, 50.2), (87.2, 50.2)),
        ((47.5, 11), (47.5, 5.4)),
    ):
        _arrow(axes, start, end)
    # H turns the corner and takes its place in the prompt.
    axes.plot((93, 93, 31), (43.2, 35.6, 35.6), color=INK, linewidth=1.1, solid_joinstyle="round")
    _arrow(axes, (31, 35.7), (31, 31.4))
    return picture


def two_uses() -> Picture:
    """Draw the same Q-Former as BLIP-2 uses it for images and as SALMONN uses it for sound."""
    alt = (
        "The Q-Former twice. Above, for images: an image is cut into patches, a frozen image encoder gives one row of "
        "features, and 32 queries look at all of them: 32 tokens for any image. Below, for sound: two frozen "
        "encoders give 50 frames a second, cut into windows; one query looks at each window: a token every third "
        "of a second."
    )
    picture = Picture(alt, width=10.0, height=4.4)
    axes = _canvas(picture, 100, 44)
    _image(axes, 3, 28)
    _sound(axes, 2, 13)
    for y, encoder, job, queries, result in (
        (28, "image encoder", "frozen", "32 queries", "32 tokens an image"),
        (7, "Whisper, BEATs", "frozen", "1 query a window", "3 tokens a second"),
    ):
        _box(axes, 20, y, 17, 10, encoder, job, FROZEN)
        _box(axes, 62, y, 15, 10, "Q-Former", "trained", TRAINED)
        _note(axes, 69.5, y - 2, queries)
        _note(axes, 90, y - 2, result)
        for start, end in (
            ((14.5, y + 5), (20, y + 5)),
            ((37, y + 5), (39.8, y + 5)),
            ((59.2, y + 5), (62, y + 5)),
        ):
            _arrow(axes, start, end)
        _arrow(axes, (77, y + 5), (81.5, y + 5))
    for i in range(12):
        gap = 0.45 * (i // 3)
        tall = {"edgecolor": "white", "linewidth": 0.8}
        axes.add_patch(Rectangle((41 + 1.4 * i, 29.5), 1.4, 7, facecolor=SKY, **tall))
        axes.add_patch(Rectangle((40.4 + 1.4 * i + gap, 8.5), 1.4, 7, facecolor=SKY, **tall))
    _note(axes, 49.4, 26, "all patches at once")
    _note(axes, 49.4, 5, "windows in time")
    for y, count in ((30.5, 8), (9.5, 4)):
        for i in range(count):
            left = 90 - 0.9 * count + 1.8 * i
            look = {"facecolor": KINDS["sound"], "edgecolor": INK, "linewidth": 0.6}
            axes.add_patch(Rectangle((left, y), 1.4, 5, **look))
    return picture


def windows(T: int, L: int, N: int = 1, tail: str = "pad") -> Picture:
    """Draw Z's T frames cut into windows of L, and the N tokens that each window becomes.

    `tail` is the fate of the frames that fill no whole window: "pad" keeps them with zeros, ⌈T/L⌉ windows as
    in the paper's section 3.1; "drop" leaves them out, ⌊T/L⌋ windows as in the published code.
    """
    count = -(-T // L) if tail == "pad" else T // L
    covered = count * L
    width = max(covered, T)
    fate = f"zeros added: {covered - T}" if tail == "pad" else f"frames dropped: {T - covered}"
    alt = f"T = {T} frames, windows of L = {L}, N = {N}: {count} windows, {count * N} tokens; {fate}."
    picture = Picture(alt, height=2.0)
    axes = _canvas(picture, width, 3.5)
    axes.set_title(alt, loc="left", fontsize=10)
    for turn, color in enumerate((SKY, ORANGE)):
        starts = np.arange(turn * L, covered, 2 * L)
        axes.broken_barh([(start, L) for start in starts], (2, 1), facecolor=color, alpha=0.8)
        axes.vlines(starts + L / 2, 1.3, 1.85, color=INK, linewidth=0.7)
        x = (starts[:, None] + L / 2 + (np.arange(N) - (N - 1) / 2) * L / (N + 1)).ravel()
        dots = {"markersize": np.clip(330 * L / width / (N + 1), 1, 9), "markeredgewidth": 0.4}
        axes.plot(x, np.full(len(x), 0.8), "o", color=color, markeredgecolor=INK, **dots)
    rest = min(T, covered)
    axes.add_patch(Rectangle((rest, 2), width - rest, 1, hatch="////" if tail == "pad" else "xx", **BLANK))
    if width <= SEPARATED:
        axes.vlines(range(1, width), 2, 3, color="white", linewidth=0.8)
    for t in range(T) if width <= NUMBERED else ():
        axes.text(t + 0.5, 2.48, str(t + 1), fontsize=8, **CENTERED)
    return picture


def splice(tokens: Sequence[str], kinds: Sequence[str], labels: Sequence[bool], per_row: int = 80) -> Picture:
    """Draw the sequence that the language model reads, token by token, `per_row` characters a row.

    `kinds` says of each token whether it is "text", "sound" (H) or "answer"; `labels` whether the loss counts
    it: a thick line below.

    Raises:
        ValueError: tokens, kinds and labels are not of one length.
    """
    if not len(tokens) == len(kinds) == len(labels):
        raise ValueError(
            f"{len(tokens)} tokens, {len(kinds)} kinds, {len(labels)} labels: give each token both"
        )
    places = _wrap([len(token) + 1.4 for token in tokens], per_row)
    depth = places[-1][0] + 1
    counts = ", ".join(f"{list(kinds).count(kind)} of {kind}" for kind in KINDS)
    alt = f"The spliced sequence, {len(tokens)} tokens: {counts}; the loss counts {sum(labels)}."
    picture = Picture(alt, width=8.0, height=0.4 + 0.36 * depth)
    axes = _canvas(picture, per_row, depth)
    axes.set_title(alt, loc="left", fontsize=10)
    for (row, x), token, kind, label in zip(places, tokens, kinds, labels, strict=True):
        y, width = depth - row - 0.8, len(token) + 1.2
        axes.add_patch(Rectangle((x, y), width, 0.6, facecolor=KINDS[kind]))
        axes.text(x + width / 2, y + 0.29, token, fontsize=8, family="monospace", **CENTERED)
        if label:
            axes.plot(
                (x, x + width), (y - 0.07, y - 0.07), color=VERMILION, linewidth=2.5, solid_capstyle="butt"
            )
    return picture


def save_svg(picture: Picture, path: Path) -> None:
    """Write a picture as SVG: letters as outlines, its alt text within, the same bytes every time."""
    with mpl.rc_context({"svg.hashsalt": "salmonn-mini"}):
        picture.savefig(path, format="svg", metadata={"Date": None, "Description": picture.alt})


def _canvas(picture: Picture, width: float, height: float) -> Axes:
    axes = picture.subplots()
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.axis("off")
    return axes


def _wrap(widths: Sequence[float], per_row: float) -> list[tuple[int, float]]:
    """Row and left edge of each token, wrapped as words are."""
    places, row, x = [], 0, 0.0
    for width in widths:
        if x and x + width > per_row:
            row, x = row + 1, 0.0
        places.append((row, x))
        x += width
    return places


def _box(
    axes: Axes, x: float, y: float, width: float, height: float, name: str, job: str, look: dict
) -> None:
    """A part of the model: its name, and beneath it what it is for."""
    shape = "round,pad=0,rounding_size=1.2"
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, **look))
    middle = x + width / 2
    axes.text(middle, y + height * (0.62 if job else 0.5), name, fontsize=12.5, **CENTERED)
    _note(axes, middle, y + height * 0.25, job)


def _image(axes: Axes, x: float, y: float) -> None:
    """An image, a house under the sun, cut into patches."""
    sky = Rectangle((x, y), 10, 10, facecolor="#D5E8F5", edgecolor=INK, linewidth=1.0)
    axes.add_patch(sky)
    axes.add_patch(Rectangle((x, y), 10, 2.5, facecolor="#BFE3D3"))
    axes.add_patch(Rectangle((x + 2, y + 1.5), 4, 3.2, facecolor=ORANGE))
    axes.fill((x + 1.5, x + 4, x + 6.5), (y + 4.7, y + 7.2, y + 4.7), color=VERMILION)
    axes.plot([x + 8.2], [y + 8.2], "o", color="#F0C000", markersize=13)
    for i in range(1, 4):
        axes.plot(
            (x + 2.5 * i,) * 2, (y, y + 10), (x, x + 10), (y + 2.5 * i,) * 2, color="white", linewidth=1.2
        )


def _letter(axes: Axes, x: float, y: float, letter: str, meaning: str) -> None:
    """One of the paper's letters, and beneath it what it means."""
    axes.text(x, y, f"${letter}$", fontsize=17, **CENTERED)
    _note(axes, x, y - 3.2, meaning)


def _note(axes: Axes, x: float, y: float, text: str) -> None:
    axes.text(x, y, text, fontsize=10, color="#555555", **CENTERED)


def _cell(axes: Axes, x: float, y: float, width: float, text: str, kind: str) -> None:
    axes.add_patch(Rectangle((x, y), width, 4.2, facecolor=KINDS[kind], edgecolor="white", linewidth=1.5))
    axes.text(x + width / 2, y + 2, text, fontsize=11, **CENTERED)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style)


def _sound(axes: Axes, x: float, y: float) -> None:
    """X as a little waveform."""
    t = np.linspace(0, 1, 300)
    wave = np.sin(75 * t) * np.sin(np.pi * t) * (0.55 + 0.45 * np.sin(13 * t))
    axes.plot(x + 10 * t, y + 4 * wave, color=BLUE, linewidth=1.0)
    _letter(axes, x + 5, y - 7, "X", "sound")


def _features(axes: Axes, x: float, y: float) -> None:
    """Z as columns of frames, Whisper's rows over BEATs': T = 10 in windows of 3, the last ends in zeros."""
    step, windows, frames = 1.95, 4, 3
    for t in range(windows * frames):
        left = x + t * step + 0.45 * (t // frames)
        for row, color in ((5.1, SKY), (0, GREEN)):
            frame = {"facecolor": color, "alpha": 0.75, "edgecolor": "white"}
            look = frame if t < 10 else {"hatch": "////", **BLANK}
            axes.add_patch(Rectangle((left, y + row), step, 5.1, **look))
    for w in range(windows):
        left = x + w * (frames * step + 0.45)
        axes.plot((left + 0.2, left + frames * step - 0.2), (y - 0.9, y - 0.9), color=INK, linewidth=1.4)
    _letter(axes, x + 11.9, y + 13.5, "Z", "")
    _note(axes, x + 11.9, y - 2.9, "windows of $L$ frames")


def _queries(axes: Axes, x: float, y: float) -> None:
    axes.plot([x - 1, x + 1], [y + 1] * 2, "o", color=VERMILION, markersize=7, markeredgecolor="white")
    _note(axes, x, y - 1.6, "$N$ queries $Q$")


def _tokens(axes: Axes, x: float, y: float) -> None:
    """H as a row of tokens: four windows, two queries."""
    for i in range(8):
        left = x + 1.15 * i + 0.4 * (i // 2)
        axes.add_patch(Rectangle((left, y), 1.0, 3.8, facecolor=KINDS["sound"], edgecolor=INK, linewidth=0.6))
    _letter(axes, x + 5, y + 7.2, "H", "")
    _note(axes, x + 5, y - 3, r"$\lceil T/L\rceil\cdot N$ tokens")


def _prompt(axes: Axes, x: float, y: float, arrows_to: float) -> None:
    """What the language model reads, and an arrow from each piece down to it."""
    for width, text, kind in (
        (18, "USER: <Speech>", "text"),
        (18, "$H$", "sound"),
        (12, "</Speech>", "text"),
        (24, "$I$   the instruction", "text"),
        (15, "ASSISTANT:", "text"),
    ):
        _cell(axes, x, y, width, text, kind)
        _arrow(axes, (x + width / 2, y), (x + width / 2, arrows_to))
        x += width


def _legend(axes: Axes, x: float, y: float) -> None:
    for left, look, text in ((x, FROZEN, "frozen"), (x + 13, TRAINED, "trained")):
        axes.add_patch(Rectangle((left, y + 0.5), 2.6, 2.2, **look))
        axes.text(left + 3.6, y + 1.6, text, ha="left", va="center", fontsize=10.5)


if __name__ == "__main__":
    save_svg(architecture(), Path(sys.argv[1]))
