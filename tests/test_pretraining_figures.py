"""Chapter 7's figures, over the whole range of their sliders, and the loss that is drawn while it falls."""

import base64
import re

import numpy as np
import pytest

from salmonn_mini.course.figures import pretraining

RNG = np.random.default_rng(0)
LENGTHS = [int(n) for n in RNG.integers(40, 300, size=200)]
TASKS = [str(task) for task in RNG.choice(["asr", "audio_caption"], size=200)]


def share(alt: str) -> int:
    return int(re.search(r"(\d+)% of their frames", alt)[1])


def test_batches_of_like_length_hold_less_padding_over_the_whole_range() -> None:
    explorer = pretraining.explore_batches(LENGTHS, TASKS)
    assert list(explorer.controls["batch_size"]) == [2, 4, 8, 16, 32]
    for size in explorer.controls["batch_size"]:
        as_drawn, like = (explorer.figure(batch_size=size, order=order) for order in pretraining.ORDERS)
        assert share(like.alt) < share(as_drawn.alt), size
        for picture in (as_drawn, like):
            assert [len(axes.patches) for axes in picture.axes] == [2 * size] * pretraining.SHOWN


def test_padding_is_counted_as_drawn() -> None:
    picture = pretraining.batches([100, 50, 100, 100, 10, 10, 20, 20], ["asr"] * 8, 2, "as drawn")
    assert picture.alt == "Batches of 2, as drawn: 11% of their frames are padding."  # 50 of 460


def test_the_schedule_goes_up_and_down_over_the_whole_range() -> None:
    for steps in pretraining.SCHEDULE.controls["steps"]:
        for warmup in pretraining.SCHEDULE.controls["warmup"]:
            for min_lr_ratio in pretraining.SCHEDULE.controls["min_lr_ratio"]:
                picture = pretraining.schedule(steps, warmup, min_lr_ratio)
                curve = picture.axes[0].lines[0].get_ydata()
                top = max(warmup, 1)
                assert len(curve) == steps and curve.argmax() + 1 == top
                assert curve[0] == pytest.approx(1 / top)
                assert min_lr_ratio <= curve[-1] < min_lr_ratio + 0.01
                assert f"at step {top}, then" in picture.alt


def test_tokens_near_a_word_are_counted_for_each_model() -> None:
    near = [[0.1, 0.9], [0.6, 0.0]]
    picture = pretraining.similarity({"before": np.zeros((2, 2)), "after": near}, ["dog", "rain"])
    assert picture.alt == "Words of 2 that an audio token is near to, cosine above 0.4: before 0; after 2."
    assert [axes.get_title(loc="left") for axes in picture.axes][:2] == ["before", "after"]
    assert [label.get_text() for label in picture.axes[0].get_yticklabels()] == ["dog", "rain"]


def test_a_falling_loss_tells_its_last_mean() -> None:
    picture = pretraining.loss_curve([8.0] * 10 + [2.0] * 25, 100, "Stage 1")
    assert picture.alt == "Stage 1. Step 35 of 100: loss 2.00, the mean of the last 25 steps."
    thin, thick = (line.get_ydata() for line in picture.axes[0].lines)
    assert list(thin) == [8.0] * 10 + [2.0] * 25
    assert thick[9] == 8.0 and thick[10] == pytest.approx(82 / 11) and thick[-1] == 2.0


def test_a_live_loss_is_drawn_at_once_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    class Handle:
        update = staticmethod(shown.append)

    def display(picture: object, display_id: bool) -> Handle:
        shown.append(picture)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    live = pretraining.LiveLoss(4)
    for loss in (4.0, 3.0, 2.0, 1.0):
        live.add(loss)
    assert [picture.alt.split(":")[0] for picture in shown] == ["Step 1 of 4", "Step 4 of 4"]
    assert live.losses == [4.0, 3.0, 2.0, 1.0]


def test_they_can_be_drawn() -> None:
    for picture in (
        pretraining.SCHEDULE.figure(**pretraining.SCHEDULE.start),
        pretraining.batches(LENGTHS, TASKS, 16, "similar lengths"),
        pretraining.similarity({"one": np.eye(3)}, ["a", "b", "c"]),
        pretraining.loss_curve([1.0], 10),
    ):
        data, _ = picture._repr_mimebundle_()
        assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
