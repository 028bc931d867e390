"""Chapter 6's figures, over the whole range of their sliders."""

import base64

import pytest
from matplotlib.colors import to_hex

from salmonn_mini.course.diagrams import KINDS
from salmonn_mini.course.figures import salmonn
from salmonn_mini.course.plots import BLUE, VERMILION, Picture

ROW = ("<s>", "user:", "h1", "h2", "␣say", "⏎", "dog", "</s>")
WHAT = ("text", "text", "sound", "sound", "text", "text", "answer", "answer")
COUNTS = (False,) * 6 + (True,) * 2


def test_what_is_read_asked_and_still_to_come_over_the_whole_range() -> None:
    explorer = salmonn.explore_next_token(ROW, WHAT, COUNTS)
    assert explorer.start["place"] == 6 and list(explorer.controls["place"]) == list(range(1, 8))
    for place in explorer.controls["place"]:
        picture = explorer.figure(place=place)
        asked = "an audio token" if WHAT[place] == "sound" else f"“{ROW[place]}”"
        assert f"Read: {place} of 8 tokens. Comes next: {asked};" in picture.alt
        assert ("the loss counts it" in picture.alt) == COUNTS[place]
        boxes = picture.axes[0].patches
        assert [box.get_facecolor()[3] for box in boxes] == [1.0] * place + [0.6] + [0.25] * (7 - place)
        assert [box.get_linewidth() for box in boxes].index(2.0) == place


@pytest.mark.parametrize("place", [0, 8])
def test_a_place_without_a_next_token_is_refused(place: int) -> None:
    with pytest.raises(ValueError, match=f"place {place} of 8 tokens: choose one from 1 to 7"):
        salmonn.next_token(ROW, WHAT, COUNTS, place)


def colors(picture: Picture) -> list[list[str]]:
    """What stands at each place of the two rows, the upper one first; "" where nothing does."""
    names = {color.lower(): kind for kind, color in KINDS.items()} | {"#ffffff": ""}
    boxes = picture.axes[0].patches
    rows = []
    for y in (1.3, 0.0):
        row = sorted((box.get_x(), names[to_hex(box.get_facecolor())]) for box in boxes if box.get_y() == y)
        rows.append([kind for _, kind in row])
    return rows


def test_rows_are_padded_on_their_side_over_the_whole_range() -> None:
    for first in salmonn.PADDING.controls["first"]:
        for second in (1, 12):
            for side in salmonn.SIDES:
                picture = salmonn.PADDING.figure(first=first, second=second, side=side)
                rows = colors(picture)
                empty = abs(first - second)
                assert f"padded on the {side}: {empty} empty places." in picture.alt
                for row, sound in zip(rows, (first, second), strict=True):
                    assert row.count("sound") == sound
                    assert row.count("answer") == (3 if side == "right" else 0)
                    missing = max(first, second) - sound
                    assert (row[len(row) - missing :] if side == "right" else row[:missing]) == [""] * missing
                numbers = [text.get_text() for text in picture.axes[0].texts]
                assert numbers.count("0") == 2, "each row counts from 0 at its own first token"


SHAPES = {
    "X": "(1, 9)",
    "Z": "(1, 8, 7)",
    "H": "(1, 3, 6)",
    "ids": "(1, 5)",
    "rows": "(1, 8, 6)",
    "logits": "(1, 8, 4)",
}


@pytest.mark.parametrize("gradient", [False, True])
def test_the_blocks_bear_their_shapes_and_the_gradient_leads_back(gradient: bool) -> None:
    picture = salmonn.blocks(SHAPES, gradient)
    texts = [text.get_text() for text in picture.axes[0].texts]
    assert {f"{name}\n{shape}" for name, shape in SHAPES.items()} <= set(texts)
    assert set(salmonn.BOXES) <= set(texts)
    arrows = [text for text in picture.axes[0].texts if getattr(text, "arrow_patch", None)]
    back = [one for one in arrows if to_hex(one.arrow_patch.get_edgecolor()).upper() == VERMILION]
    assert len(back) == (5 if gradient else 0)
    assert all(one.xy[0] < one.xyann[0] for one in back), "from right to left"
    assert ("stops before the encoders" in picture.alt) is gradient
    assert ("gradient of the loss" in texts) is gradient


def test_each_label_is_compared_with_the_place_before_it() -> None:
    picture = salmonn.shift(ROW, COUNTS, [0.25, 0.5], 3)
    assert "at “⏎” “dog” has p = 0.250; at “dog” “</s>” has p = 0.500." in picture.alt
    texts = [(text.get_text(), text.get_position()) for text in picture.axes[0].texts]
    places = {said: round(x, 2) for said, (x, y) in texts if y == 1.72}
    assert places == {"0.250": 2.47, "0.500": 3.47, "–": 4.47}
    labels = [said for said, (_, y) in texts if y == 0.28]
    assert labels == ["-100"] * 3 + ["dog", "</s>"]


def test_a_place_reads_itself_and_what_stands_before_it() -> None:
    picture = salmonn.causal_mask(WHAT)
    assert "8 places, 2 of text, 2 of sound, 2 of text, 2 of answer" in picture.alt
    image = picture.axes[0].images[0].get_array()
    for query in range(8):
        for key in range(8):
            color = to_hex(image[query, key])
            assert color == (KINDS[WHAT[key]].lower() if key <= query else "#ffffff")


def test_the_cache_computes_one_place_a_step() -> None:
    picture = salmonn.kv_cache(5, 3)
    assert "18 places in all" in picture.alt and "7 in all" in picture.alt
    for axes, widths in zip(picture.axes, ([5, 6, 7], [5, 1, 1]), strict=True):
        bars = [bar for bar in axes.patches if to_hex(bar.get_facecolor()).upper() == BLUE]
        assert [round(bar.get_width()) for bar in bars] == widths
        assert str(sum(widths)) in axes.get_title(loc="left")


def test_they_can_be_drawn() -> None:
    for picture in (
        salmonn.PADDING.figure(**salmonn.PADDING.start),
        salmonn.next_token(ROW, WHAT, COUNTS, 6),
        salmonn.blocks(SHAPES, gradient=True),
        salmonn.shift(ROW, COUNTS, [0.25, 0.5], 3),
        salmonn.causal_mask(WHAT),
        salmonn.kv_cache(5, 3),
    ):
        data, _ = picture._repr_mimebundle_()
        assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
