"""Drawings of chapter 2: how the two encoders were trained, and what one layer of each is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle

from salmonn_mini.course.diagrams import BLANK, FROZEN
from salmonn_mini.course.plots import BLUE, CENTERED, INK, VERMILION, Picture

ARROW = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}

TRAINING = (
    "How the two encoders were trained. Above, Whisper: the log-mel of 30 s goes through the encoder; a decoder "
    "writes the words, and is corrected by the web's own transcripts. Below, BEATs: a tokenizer gives each patch of "
    "the filter bank a label; BEATs sees one patch in four, and a label predictor guesses the labels of the hidden "
    "ones. For the next round a new tokenizer learns from this BEATs. SALMONN keeps Whisper's encoder and BEATs."
)


def training() -> Picture:
    """Whisper's and BEATs' training, with the parts that SALMONN keeps in blue."""
    picture = Picture(TRAINING, width=9.0, height=4.6)
    axes = _canvas(picture, 100, 51)
    for x, y, width, text, look in (
        (1, 37, 15, "log-mel\nof 30 s", BLANK),
        (26, 37, 18, "Whisper's\nencoder", FROZEN),
        (52, 37, 15, "decoder", BLANK),
        (76, 37, 23, "<|en|> <|transcribe|>\nThe tired baker …", BLANK),
        (1, 17, 15, "patches", BLANK),
        (26, 17, 18, "BEATs", FROZEN),
        (52, 17, 15, "label\npredictor", BLANK),
        (76, 17, 23, "guesses for\nthe hidden patches", BLANK),
        (26, 2, 18, "tokenizer", BLANK),
        (76, 2, 23, "a label of 1,024\nfor every patch", BLANK),
    ):
        _box(axes, x, y, width, 9, text, look)
    for start, end in (
        *(((x, y), (end, y)) for y in (41.5, 21.5) for x, end in ((16, 26), (44, 52), (67, 76))),
        ((8.5, 17), (26, 6.5)),
        ((44, 6.5), (76, 6.5)),
        ((30, 17), (30, 11)),
    ):
        axes.annotate("", end, start, arrowprops=ARROW)
    axes.annotate("", (87.5, 17), (87.5, 11), arrowprops=ARROW | {"arrowstyle": "<|-|>", "color": VERMILION})
    for x, y, text, color in (
        (87.5, 48.5, "corrected by the web's own text", VERMILION),
        (21, 24, "1 in 4", INK),
        (37.5, 14, "teaches the next", INK),
        (93, 14, "compared", VERMILION),
        (1, 49, "Whisper: 680,000 hours with text", INK),
        (1, 29, "BEATs: sound alone, in rounds", INK),
    ):
        axes.text(x, y, text, fontsize=9, color=color, va="center", ha="left" if x == 1 else "center")
    return picture


BLOCKS = (
    "One layer of each encoder. Whisper's, pre-norm: x goes through a LayerNorm and attention, and is added; the sum "
    "goes through a LayerNorm and the feed-forward, and is added again. BEATs', post-norm: attention with the gated "
    "bias is added to alpha times x, then comes a LayerNorm; the feed-forward is added to alpha times that, then a "
    "LayerNorm."
)
PRE = ("LayerNorm", "attention", "+", "LayerNorm", "feed-\nforward", "+")
POST = ("attention,\ngated bias", "+", "LayerNorm", "feed-\nforward", "+", "LayerNorm")
STEP, WIDE, RADIUS = 16.5, 12.0, 2.2  # from part to part, and the sizes of a box and of a sum


def blocks() -> Picture:
    """A layer of Whisper and one of BEATs, from x to x; the arches are the residual connections."""
    picture = Picture(BLOCKS, width=9.0, height=3.6)
    axes = _canvas(picture, 112, 44)
    _layer(axes, 26, "Whisper, pre-norm", PRE, "")
    _layer(axes, 4, "BEATs, post-norm", POST, "$\\alpha\\,\\cdot$")
    return picture


def _layer(axes: Axes, y: float, name: str, parts: Sequence[str], factor: str) -> None:
    """A layer's parts in a row; from each sum's beginning an arch, with a factor on it, leads around what is added."""
    axes.text(0, y + 15, name, fontsize=10, color=INK, va="center")
    axes.text(1, y + 4, "$x$", fontsize=12, **CENTERED)
    at = begin = 3.0
    for number, part in enumerate(parts):
        left, middle = 10 + STEP * number, 10 + STEP * number + WIDE / 2
        half = RADIUS if part == "+" else WIDE / 2
        axes.annotate("", (middle - half, y + 4), (at, y + 4), arrowprops=ARROW)
        at = middle + half
        if part == "+":
            axes.add_patch(Circle((middle, y + 4), RADIUS, facecolor="white", edgecolor=INK, linewidth=1.1))
            axes.text(middle, y + 4, "+", fontsize=12, **CENTERED)
            axes.plot((begin + 2, begin + 2, middle), (y + 4, y + 11, y + 11), color=BLUE, linewidth=1.6)
            axes.annotate("", (middle, y + 4 + RADIUS), (middle, y + 11), arrowprops=ARROW | {"color": BLUE})
            axes.text((begin + middle) / 2, y + 13, factor, fontsize=11, color=BLUE, **CENTERED)
            begin = at
        else:
            _box(axes, left, y, WIDE, 8, part, FROZEN)
            begin = at if parts[number - 1] == "+" and factor else begin
    axes.annotate("", (110, y + 4), (at, y + 4), arrowprops=ARROW)


def _canvas(picture: Picture, width: float, height: float) -> Axes:
    axes = picture.panel(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return axes


def _box(axes: Axes, x: float, y: float, width: float, height: float, text: str, look: Mapping) -> None:
    axes.add_patch(Rectangle((x, y), width, height, **look))
    axes.text(x + width / 2, y + height / 2, text, fontsize=9, **CENTERED)
