"""Chapter 5's figures, over the whole range of their sliders."""

import base64
import re

import numpy as np
import pytest

from salmonn_mini.course.figures import lora
from salmonn_mini.course.plots import Picture

RANDOM = np.random.default_rng(0)
MATRIX = RANDOM.normal(size=(6, 9))


def number(pattern: str, picture: Picture) -> float:
    return float(re.search(pattern, picture.alt)[1])


def test_the_thin_matrices_hold_what_lora_holds_over_the_whole_range() -> None:
    for d in lora.LORA_SIZE.controls["d"]:
        for r in lora.LORA_SIZE.controls["r"]:
            said = lora.LORA_SIZE.figure(d=d, r=r).alt
            assert f"W holds {d * d:,} numbers, A and B {r * (d + d):,}, or {2 * r / d:.2%} of it" in said
    assert lora.lora_size(**lora.LORA_SIZE.start).alt.endswith("or 0.31% of it.")


def test_a_low_rank_keeps_the_largest_singular_values_over_the_whole_range() -> None:
    explorer = lora.explore_rank(MATRIX)
    squares = np.linalg.svd(MATRIX)[1] ** 2
    assert explorer.controls["r"] == (1, 2, 3, 4, 6)
    for r in explorer.controls["r"]:
        picture = explorer.figure(r=r)
        kept = 100 * squares[:r].sum() / squares.sum()
        assert number(r"keep ([\d.]+)%", picture) == pytest.approx(kept, abs=0.06)
        assert f"Rank {r} of 6: {15 * r} numbers for 54" in picture.alt
        assert np.linalg.matrix_rank(np.asarray(picture.axes[1].images[0].get_array())) == r


def test_the_scale_moves_the_change_and_not_w_over_the_whole_range() -> None:
    W, A, B = MATRIX, RANDOM.normal(size=(2, 9)), RANDOM.normal(size=(6, 2))
    explorer = lora.explore_scale(W, A, B)
    assert explorer.controls["s"][0] == 0 and explorer.controls["s"][-1] == 8
    for s in explorer.controls["s"]:
        picture = explorer.figure(s=s)
        drift = np.linalg.norm(s * B @ A) / np.linalg.norm(W)
        assert number(r"is ([\d.]+) times", picture) == pytest.approx(drift, abs=0.006)
        frozen, change, total = (np.asarray(axes.images[0].get_array()) for axes in picture.axes)
        np.testing.assert_allclose(frozen, W)
        np.testing.assert_allclose(total, W + change)
        np.testing.assert_allclose(change, s * B @ A)


@pytest.mark.parametrize(
    "explorer", [lora.LORA_SIZE, lora.explore_rank(MATRIX), lora.explore_scale(MATRIX, MATRIX, MATRIX[:, :6])]
)
def test_each_begins_with_values_that_can_be_chosen_and_draws_them(explorer) -> None:
    assert all(explorer.start[name] in values for name, values in explorer.controls.items())
    data, _ = explorer.figure(**explorer.start)._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")


def test_the_flow_has_both_ways_and_their_sum() -> None:
    picture = lora.flow()
    said = " ".join(text.get_text() for text in picture.axes[0].texts)
    for part in ("$W$", "frozen", "$A$", "$B$", "trained", "d_{in}", "d_{out}", "$r$ numbers", "$+$"):
        assert part in said
    assert len(picture.axes[0].patches) >= 8
    assert "down to r numbers" in picture.alt and "times s" in picture.alt


def test_the_words_of_a_spectrogram_are_marked_in_both_pictures() -> None:
    picture = lora.low_rank(MATRIX, 2, [("The", 0.5, 2.0), ("baker", 2.5, 7.0)])
    assert picture.alt.endswith("The words, from left to right: The baker.")
    for axes in picture.axes:
        assert [line.get_xdata()[0] for line in axes.lines] == [0.5, 2.0, 2.5, 7.0]
        assert [text.get_text() for text in axes.texts] == ["The", "baker"]
    assert "words" not in lora.low_rank(MATRIX, 2).alt


def test_nothing_but_zeros_has_a_picture_too() -> None:
    assert "keep 0.0% of the squares" in lora.low_rank(np.zeros((3, 4)), 1).alt
