"""Chapter 3's figures: words over windows, the way of a batch, and curves that say what was read."""

from math import ceil

import numpy as np
import pytest
import torch

from salmonn_mini.course.figures import windows
from salmonn_mini.models.config import SAMPLE_RATE
from salmonn_mini.toy.world.voice import Word

WORDS = (Word("a", 0.1, 0.2), Word("dog", 0.25, 0.9))


def texts(picture) -> list[str]:
    return [text.get_text() for axes in picture.axes for text in axes.texts]


def test_words_and_the_numbers_of_windows_stand_at_a_clip() -> None:
    picture = windows.windowed(np.zeros(SAMPLE_RATE), 0.2, words=WORDS)
    assert picture.alt.endswith("5 windows, 5 tokens. Words, in seconds: a 0.10 to 0.20, dog 0.25 to 0.90.")
    assert texts(picture) == ["a", "dog", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize(("lengths", "L", "N"), [((10, 4), 3, 2), ((9, 3), 3, 1), ((5, 7), 7, 4)])
def test_a_batch_is_drawn_with_every_frame_and_every_row(lengths: tuple[int, int], L: int, N: int) -> None:
    picture = windows.folded(lengths, L, N)
    own = [ceil(length / L) for length in lengths]
    W = max(own)
    assert f"Folded with L = {L}: {2 * W} rows of {L} frames" in picture.alt
    assert (
        f"H: 2 rows of {W * N} tokens, of which {own[0] * N} and {own[1] * N} are the clips' own."
        in picture.alt
    )
    boxes = picture.axes[0].patches
    assert len(boxes) == 2 * max(lengths) + 2 * W * (L + N) + 2 * W * N
    numbers = [int(text) for text in texts(picture) if text.isdigit()]
    assert sorted(numbers) == sorted(2 * [*range(1, lengths[0] + 1), *range(1, lengths[1] + 1)])
    hatched = sum(bool(box.get_hatch()) for box in boxes)
    missing = 2 * W * L - sum(lengths), 2 * max(lengths) - sum(lengths), 2 * (2 * W - sum(own)) * N
    assert hatched == sum(missing)


READ = {
    (5, 1): torch.tensor([60.0, 62.0, 61.0]),
    (50, 1): torch.tensor([40.0, 41.0, 45.0]),
    (50, 4): torch.tensor([50.0, 50.0, 50.0]),
    (None, 1): torch.tensor([35.0, 30.0, 40.0]),
}


def test_what_was_read_stands_in_the_curves_and_in_their_words() -> None:
    picture = windows.read_by_length({"words": READ, "event": READ}, 12.5, "Read")
    assert "for L = 5, 50, the whole clip: words 61, 42, 35; event 61, 42, 35. Chance is 12.5." in picture.alt
    (axes,) = picture.axes
    assert [line.get_ydata().tolist() for line in axes.lines[:2]] == 2 * [[61, 42, 35]]
    assert "chance" in texts(picture)


def test_the_budget_counts_tokens_a_second() -> None:
    picture = windows.read_by_budget(READ, 12.5, 2.5, "Words")
    assert "L = 50: 42 with N = 1, 50 with N = 4; whole clip: 35 with N = 1." in picture.alt
    x = [line.get_xdata() for line in picture.axes[0].lines[:3]]
    assert [list(map(float, points)) for points in x] == [[10.0], [1.0, 4.0], [0.4]]
