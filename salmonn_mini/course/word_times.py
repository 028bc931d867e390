"""When each word is said: marks on the axes of a spectrogram or a wave, and the same for its alt text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes

if TYPE_CHECKING:
    from salmonn_mini.toy.world.voice import Word

# One over the other: seen on dark and on bright.
STRIPES = ({"color": "black"}, {"color": "white", "linestyle": (0, (3, 3))})


def mark_words(axes: Axes, words: Sequence[Word], size: float = 8.0) -> None:
    """Lines where each word begins and ends, over axes of seconds, and the words above them."""
    for word in words:
        for edge in (word.begin, word.end):
            for stripe in STRIPES:
                axes.axvline(edge, linewidth=0.8, **stripe)
        place = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        axes.text((word.begin + word.end) / 2, 1.01, word.text, fontsize=size, clip_on=False, **place)
    if words:
        axes.set_title(axes.get_title(loc="left"), loc="left", fontsize=10, y=1.1)


def of_words(words: Sequence[Word]) -> str:
    """What the alt text says of marked words."""
    said = ", ".join(f"{word.text} {word.begin:.2f} to {word.end:.2f}" for word in words)
    return f" Words, in seconds: {said}." if words else ""
