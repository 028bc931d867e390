"""Figures of chapter 6: the whole model, spliced rows, logits against labels, the causal mask, the KV cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import FancyBboxPatch, Rectangle

from salmonn_mini.course import diagrams
from salmonn_mini.course.diagrams import BLANK, FROZEN, KINDS, TRAINED
from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.plots import BLUE, CENTERED, GRAY, INK, SKY, VERMILION, Picture, dress

BEFORE, AFTER, ANSWER = 3, 4, 3  # tokens of text around the sound in `padding`, fewer than there really are
SIDES = ("right", "left")
FORWARD = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
BACKWARD = FORWARD | {"color": VERMILION, "linewidth": 2.0, "linestyle": (0, (3, 1.5))}
BOXES = {  # left, bottom, width, height
    "Whisper": (9, 34, 15, 8),
    "BEATs": (9, 22, 15, 8),
    "LayerNorms": (31, 28, 13, 8),
    "Q-Former": (57, 28, 13, 8),
    "linear layer": (77, 28, 12, 8),
    "embedding": (31, 6, 13, 8),
    "language model": (67, 6, 19, 8),
}
TRAINS = ("LayerNorms", "Q-Former", "linear layer")


def blocks(shapes: Mapping[str, str], gradient: bool = False) -> Picture:
    """SALMONN block by block, from X to the logits, with the shapes of X, Z, H, ids, rows and logits on the arrows.

    With `gradient` also the way that it takes back from the loss.
    """
    said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    alt = (
        "SALMONN block by block. X goes into Whisper and BEATs, both frozen; two trained LayerNorms and a "
        "concatenation give Z; the trained Q-Former and linear layer give H. The frozen embedding looks up the "
        "text's token ids. H and text are spliced into rows; the frozen language model with trained LoRA gives "
        f"logits. {said}."
    )
    back = (
        " The gradient goes back from the loss through the language model, the rows and H to linear layer, "
        "Q-Former and LayerNorms, and stops before the encoders and the embedding."
    )
    picture = Picture(alt + (back if gradient else ""), width=10.0, height=4.6)
    axes = picture.subplots()
    axes.set(xlim=(0, 104), ylim=(0, 46))
    axes.axis("off")
    for name, place in BOXES.items():
        _block(axes, name, place)
    axes.add_patch(Rectangle((76, 7), 9, 3.2, **TRAINED | {"linewidth": 1.4}))
    axes.text(80.5, 8.5, "LoRA", fontsize=8.5, **CENTERED)
    axes.text(51, 10, "splice", fontsize=10.5, style="italic", **CENTERED)
    places = {
        "X": (4.5, 32),
        "Z": (50.5, 35),
        "H": (95, 35),
        "ids": (26, 13),
        "rows": (59, 13),
        "logits": (95, 13),
    }
    for name, (x, y) in places.items():
        axes.text(x, y, f"{name}\n{shapes[name]}", fontsize=9, **CENTERED)
    for start, end in (
        ((5, 35), (9, 38)),
        ((5, 29), (9, 26)),
        ((24, 38), (31, 33.5)),
        ((24, 26), (31, 30.5)),
        ((44, 32), (57, 32)),
        ((70, 32), (77, 32)),
        ((21, 10), (31, 10)),
        ((44, 10), (48, 10)),
        ((54, 10), (67, 10)),
        ((86, 10), (99, 10)),
    ):
        axes.annotate("", end, start, arrowprops=FORWARD)
    axes.plot((89, 101, 101, 51, 51), (32, 32, 19, 19, 14), color=INK, linewidth=1.1)
    axes.annotate("", (51, 11.5), (51, 14.5), arrowprops=FORWARD)
    if gradient:
        _gradient(axes)
    _legend(axes)
    return picture


def _block(axes: Axes, name: str, place: tuple[float, float, float, float]) -> None:
    x, y, width, height = place
    look = TRAINED if name in TRAINS else FROZEN
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=1", **look))
    up = 0.74 if name == "language model" else 0.5
    axes.text(x + width / 2, y + up * height, name, fontsize=10.5, **CENTERED)


def _gradient(axes: Axes) -> None:
    axes.plot((53, 53, 103, 103), (11.5, 17, 17, 30), color=VERMILION, linewidth=2.0, linestyle=(0, (3, 1.5)))
    for start, end in (
        ((99, 8), (86, 8)),
        ((67, 8), (54, 8)),
        ((103, 30), (89, 30)),
        ((77, 30), (70, 30)),
        ((57, 30), (44, 30)),
    ):
        axes.annotate("", end, start, arrowprops=BACKWARD)
    axes.text(95, 4.5, "gradient of the loss", fontsize=9, color=VERMILION, **CENTERED)


def _legend(axes: Axes) -> None:
    for x, look, text in ((1, FROZEN, "frozen"), (11, TRAINED, "trained")):
        axes.add_patch(Rectangle((x, 1), 2.4, 2.2, **look))
        axes.text(x + 3.2, 2.1, text, fontsize=9.5, ha="left", va="center")


def next_token(tokens: Sequence[str], kinds: Sequence[str], labels: Sequence[bool], place: int) -> Picture:
    """The spliced sequence as `diagrams.splice` draws it, read up to `place` (from 1): what comes next is asked for.

    The last place has no next token and is not asked. What is not read yet is pale; a frame marks what is asked for.

    Raises:
        ValueError: no such place, or tokens, kinds and labels are not of one length.
    """
    if not 1 <= place < len(tokens):
        raise ValueError(f"place {place} of {len(tokens)} tokens: choose one from 1 to {len(tokens) - 1}")
    picture = diagrams.splice(tokens, kinds, labels)
    verdict = "the loss counts it" if labels[place] else "the loss does not look"
    asked = "an audio token" if kinds[place] == "sound" else f"“{tokens[place]}”"
    picture.alt = f"Read: {place} of {len(tokens)} tokens. Comes next: {asked}; {verdict}."
    axes = picture.axes[0]
    axes.set_title(picture.alt, loc="left", fontsize=10)
    for box, text in zip(axes.patches[place:], axes.texts[place:], strict=True):
        box.set_alpha(0.25)
        text.set_alpha(0.35)
    frame = {"edgecolor": VERMILION if labels[place] else INK, "linewidth": 2.0}
    axes.patches[place].set(alpha=None, facecolor=to_rgba(KINDS[kinds[place]], 0.6), **frame)
    axes.texts[place].set_alpha(1)
    return picture


def shift(tokens: Sequence[str], labels: Sequence[bool], p: Sequence[float], first: int) -> Picture:
    """Places of a row from `first` on: the token read there, the probability that it gives the next one, the label.

    An arrow leads from the place that predicts to the label that it is compared with; `p` has a value for each token
    with a label.
    """
    shown, own = tokens[first:], labels[first:]
    chances = dict(zip(np.flatnonzero(labels), p, strict=True))
    described = "; ".join(
        f"at “{tokens[i - 1]}” “{tokens[i]}” has p = {value:.3f}" for i, value in chances.items()
    )
    picture = Picture(f"Logits against labels, one place apart: {described}.", width=10.0, height=2.5)
    axes = picture.panel("", xlim=(-2.4, len(shown)), ylim=(-0.2, 3.6))
    axes.axis("off")
    for y, name in ((2.9, "token read"), (1.7, "p of the next token"), (0.3, "label")):
        axes.text(-0.15, y, name, fontsize=9, ha="right", va="center")
    for x, (token, counts) in enumerate(zip(shown, own, strict=True)):
        small = {"fontsize": 8 if len(token) < 8 else 6.5, "family": "monospace"}
        axes.add_patch(Rectangle((x, 2.6), 0.94, 0.6, facecolor=KINDS["answer" if counts else "text"]))
        axes.text(x + 0.47, 2.88, token, **small, **CENTERED)
        axes.add_patch(Rectangle((x, 0), 0.94, 0.6, **({"facecolor": KINDS["answer"]} if counts else BLANK)))
        axes.text(x + 0.47, 0.28, token if counts else "-100", **small, **CENTERED)
        axes.annotate("", (x + 0.47, 2.0), (x + 0.47, 2.58), arrowprops=FORWARD | {"color": GRAY})
        if (value := chances.get(first + x + 1)) is not None:
            axes.text(x + 0.47, 1.72, f"{value:.3f}", fontsize=8.5, **CENTERED)
            axes.annotate("", (x + 1.3, 0.64), (x + 0.47, 1.45), arrowprops=BACKWARD | {"linestyle": "-"})
        else:
            axes.text(x + 0.47, 1.72, "–", fontsize=9, color=GRAY, **CENTERED)
    return picture


def causal_mask(kinds: Sequence[str]) -> Picture:
    """Which places each place of a row attends to: those up to itself, in the color of what stands there."""
    S = len(kinds)
    runs = [place for place in range(S) if not place or kinds[place] != kinds[place - 1]] + [S]
    described = ", ".join(f"{stop - start} of {kinds[start]}" for start, stop in pairwise(runs))
    alt = f"The causal mask of {S} places, {described}: a triangle. Each place attends to itself and to all before it."
    picture = Picture(alt, width=5.6, height=4.8)
    axes = picture.panel("", xlabel="place that is read (key)", ylabel="place that reads (query)")
    image = np.ones((S, S, 3))
    for key, kind in enumerate(kinds):
        image[key:, key] = to_rgba(KINDS[kind])[:3]
    axes.imshow(image, interpolation="nearest", extent=(0, S, S, 0))
    for start, stop in pairwise(runs):
        axes.axhline(start, color=INK, linewidth=0.5)
        axes.axvline(start, color=INK, linewidth=0.5)
        axes.text((start + stop) / 2, -0.6, kinds[start], fontsize=9, ha="center", va="bottom")
    axes.set(xlim=(0, S), ylim=(S, 0))
    return picture


def kv_cache(prompt: int, steps: int) -> Picture:
    """Places computed and places kept at each step of an answer, without the cache and with it."""
    plain = sum(prompt + step for step in range(steps))
    alt = (
        f"A prompt of {prompt} places and {steps} tokens of an answer. Without the cache each step computes the whole "
        f"row, {plain} places in all; with it the first step computes {prompt}, each later one a single place, "
        f"{prompt + steps - 1} in all, and reads the keys and values of all places before, which are kept."
    )
    picture = Picture(alt, width=8.0, height=3.0)
    left, right = picture.subplots(1, 2, sharey=True)
    for axes, cached, computed in ((left, False, plain), (right, True, prompt + steps - 1)):
        title = f"{'with' if cached else 'without'} the cache: {computed:,} places computed"
        dress(axes, title, xlabel="place of the row", xlim=(0, prompt + steps))
        for step in range(1, steps + 1):
            kept = prompt + step - 2 if cached and step > 1 else 0
            axes.barh(step, kept, color=SKY, alpha=0.35, height=0.8)
            axes.barh(step, prompt + step - 1 - kept, left=kept, color=BLUE, height=0.8)
    left.set(ylabel="step", ylim=(steps + 0.6, 0.4))
    right.text(1.5, steps, "pale: kept as keys and values", fontsize=8, va="center")
    return picture


def padding(first: int, second: int, side: str) -> Picture:
    """Two rows with `first` and `second` audio tokens, padded to one width, each place with its position.

    On the right, as for the loss, the rows hold answers; on the left, as for generation, they end where one begins.
    """
    rows = [_row(sound, answered=side == "right") for sound in (first, second)]
    width = max(map(len, rows))
    empty = width - min(map(len, rows))
    alt = f"Rows of {len(rows[0])} and {len(rows[1])} tokens, padded on the {side}: {empty} empty places."
    picture = Picture(alt, height=1.6)
    axes = picture.panel(alt, xlim=(0, max(width, 20)), ylim=(-0.1, 2.4))
    axes.axis("off")
    for y, row in zip((1.3, 0.0), rows, strict=True):
        start = width - len(row) if side == "left" else 0
        for x in set(range(width)) - set(range(start, start + len(row))):
            axes.add_patch(Rectangle((x, y), 1, 1, hatch="////", **BLANK))
        for position, kind in enumerate(row):
            x = start + position
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=KINDS[kind], edgecolor="white"))
            axes.text(x + 0.5, y + 0.47, str(position), fontsize=8, **CENTERED)
    return picture


PADDING = Explorer(
    padding,
    {"first": range(1, 13), "second": range(1, 13), "side": SIDES},
    {"first": 3, "second": 8, "side": "right"},
)


def explore_next_token(tokens: Sequence[str], kinds: Sequence[str], labels: Sequence[bool]) -> Explorer:
    """One spliced sequence, for a slider of how far it is read; it begins where the answer does."""
    start = list(labels).index(True)
    places = range(1, len(tokens))
    return Explorer(
        lambda place: next_token(tokens, kinds, labels, place), {"place": places}, {"place": start}
    )


def _row(sound: int, answered: bool) -> list[str]:
    return ["text"] * BEFORE + ["sound"] * sound + ["text"] * AFTER + ["answer"] * (ANSWER if answered else 0)
