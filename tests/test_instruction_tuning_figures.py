"""Chapter 8's figures: the mixture over the whole range of its slider, and losses as they fall."""

import base64

import pytest

from salmonn_mini.course.figures import instruction_tuning, pretraining


def test_the_papers_sets_are_those_of_the_recipe() -> None:
    counts = instruction_tuning.paper_sets()
    assert len(counts) == 16 and sum(counts.values()) == 2_390_842
    assert next(iter(counts)) == "voxceleb1-verification" and list(counts)[-1] == "musicnet-qa"


def test_a_mixture_goes_from_as_many_of_each_to_each_clip_once() -> None:
    counts = instruction_tuning.paper_sets()
    assert set(instruction_tuning.smoothed_shares(counts, 0.0).values()) == {1 / 16}
    assert instruction_tuning.smoothed_shares(counts, 1.0)["musicnet-qa"] == pytest.approx(320 / 2_390_842)
    times = []
    for power in instruction_tuning.SMOOTHING.controls["power"]:
        shares = instruction_tuning.smoothed_shares(counts, power)
        assert sum(shares.values()) == pytest.approx(1.0)
        times.append(shares["musicnet-qa"] * sum(counts.values()) / 320)
        picture = instruction_tuning.SMOOTHING.figure(power=power)
        left, right = picture.axes
        assert [bar.get_width() for bar in left.patches] == pytest.approx([100 * s for s in shares.values()])
        assert list(right.lines[0].get_xdata())[-1] == pytest.approx(times[-1])
        assert f"to the power of {power:g}" in picture.alt
    assert times == sorted(times, reverse=True) and times[-1] == pytest.approx(1.0)
    assert times[0] == pytest.approx(2_390_842 / 16 / 320)


def test_each_task_has_a_panel_and_the_mean_of_the_last_steps_that_had_it() -> None:
    log = [{"asr": 4.0, "gender": 2.0}] * 5 + [{"asr": 1.0}] * 40
    picture = instruction_tuning.task_losses(log, ["asr", "gender", "emotion"], 50, "Stage 2")
    assert picture.alt == (
        "Stage 2. Step 45 of 50: loss a token, the mean of the last 40 steps: asr 1.00, gender 2.00."
    )
    shown = [axes for axes in picture.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["asr   1.00", "gender   2.00", "emotion"]
    assert list(shown[1].lines[0].get_xdata()) == [1, 2, 3, 4, 5]
    assert shown[0].lines[1].get_ydata()[5] == pytest.approx(21 / 6)
    assert (instruction_tuning.final_loss(log, "asr"), instruction_tuning.final_loss(log, "gender")) == (
        1.0,
        2.0,
    )


def test_a_live_run_keeps_the_losses_of_its_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(pretraining.LiveLoss, "_draw", lambda live: shown.append(live.picture()))
    live = instruction_tuning.LiveTaskLosses(3, ["asr", "gender"], "Stage 2")
    for loss in (3.0, 2.0, 1.0):
        live.add(loss, {"asr": loss})
    assert live.losses == [3.0, 2.0, 1.0] and live.log[-1] == {"asr": 1.0}
    assert [picture.alt.split(":")[0] for picture in shown] == [
        "Stage 2. Step 1 of 3",
        "Stage 2. Step 3 of 3",
    ]


def test_they_can_be_drawn() -> None:
    for picture in (
        instruction_tuning.SMOOTHING.figure(**instruction_tuning.SMOOTHING.start),
        instruction_tuning.task_losses([{"asr": 1.0}], ["asr"], 3),
    ):
        data, _ = picture._repr_mimebundle_()
        assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
