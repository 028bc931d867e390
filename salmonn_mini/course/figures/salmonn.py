"""Figures of chapter 6 that a slider moves: what the language model reads, is asked, and where rows are padded."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from salmonn_mini.course import diagrams
from salmonn_mini.course.diagrams import BLANK, KINDS
from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.plots import CENTERED, INK, VERMILION, Picture

BEFORE, AFTER, ANSWER = 3, 4, 3  # tokens of text around the sound in `padding`, fewer than there really are
SIDES = ("right", "left")


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
