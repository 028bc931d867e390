"""Chapter 6's figures, over the whole range of their sliders."""

import base64

import pytest
from matplotlib.colors import to_hex

from salmonn_mini.course.diagrams import KINDS
from salmonn_mini.course.figures import salmonn
from salmonn_mini.course.plots import Picture

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


def test_they_can_be_drawn() -> None:
    for picture in (
        salmonn.PADDING.figure(**salmonn.PADDING.start),
        salmonn.next_token(ROW, WHAT, COUNTS, 6),
    ):
        data, _ = picture._repr_mimebundle_()
        assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
