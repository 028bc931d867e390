"""Chapter 8's figures: the mixture over the whole range of its slider, tasks side by side, losses as they fall."""

import base64

import pytest

from salmonn_mini.course.figures import instruction_tuning, pretraining


def test_the_papers_sets_are_those_of_the_recipe() -> None:
    counts = instruction_tuning.paper_sets()
    assert len(counts) == 16 and sum(counts.values()) == 2_390_842
    assert next(iter(counts)) == "voxceleb1-verification" and list(counts)[-1] == "musicnet-qa"


def test_a_mixture_goes_from_as_many_of_each_to_each_clip_once() -> None:
    counts = instruction_tuning.paper_sets()
    assert set(instruction_tuning.smoothed(counts, 0.0).values()) == {1 / 16}
    assert instruction_tuning.smoothed(counts, 1.0)["musicnet-qa"] == pytest.approx(320 / 2_390_842)
    times = []
    for power in instruction_tuning.SMOOTHING.controls["power"]:
        shares = instruction_tuning.smoothed(counts, power)
        assert sum(shares.values()) == pytest.approx(1.0)
        times.append(shares["musicnet-qa"] * sum(counts.values()) / 320)
        picture = instruction_tuning.SMOOTHING.figure(power=power)
        left, right = picture.axes
        assert [bar.get_width() for bar in left.patches] == pytest.approx([100 * s for s in shares.values()])
        assert list(right.lines[0].get_xdata())[-1] == pytest.approx(times[-1])
        assert f"to the power of {power:g}" in picture.alt
    assert times == sorted(times, reverse=True) and times[-1] == pytest.approx(1.0)
    assert times[0] == pytest.approx(2_390_842 / 16 / 320)


def test_series_stand_side_by_side_in_their_rows() -> None:
    rows = {"asr": {"before": 3.0, "after": (4.0, 2.0, 6.0)}, "gender": {"after": (90.0, 90.0, 90.0)}}
    picture = instruction_tuning.beside(rows, "score", "Two models")
    assert picture.alt == "Two models. score: asr before 3, after 4; gender after 90."
    axes = picture.axes[0]
    before, after, whisker = axes.lines[:3]
    assert axes.get_xlim()[0] < 0 < 90 < axes.get_xlim()[1]
    assert before.get_label() == "before" and list(before.get_xdata()) == [3.0]
    assert list(after.get_xdata()) == [4.0, 90.0]
    assert before.get_ydata()[0] < after.get_ydata()[0]
    assert list(whisker.get_xdata()) == [2.0, 6.0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["asr", "gender"]
    assert len([line for line in axes.lines if line.get_label() in rows["asr"]]) == 2


def test_each_task_has_a_panel_and_the_mean_of_the_last_steps_that_had_it() -> None:
    log = [{"asr": 4.0, "gender": 2.0}] * 5 + [{"asr": 1.0}] * 40
    picture = instruction_tuning.by_task(log, ["asr", "gender", "emotion"], 50, "Stage 2")
    assert picture.alt == (
        "Stage 2. Step 45 of 50: loss a token, the mean of the last 40 steps: asr 1.00, gender 2.00."
    )
    shown = [axes for axes in picture.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["asr   1.00", "gender   2.00", "emotion"]
    assert list(shown[1].lines[0].get_xdata()) == [1, 2, 3, 4, 5]
    assert shown[0].lines[1].get_ydata()[5] == pytest.approx(21 / 6)
    assert (instruction_tuning.late(log, "asr"), instruction_tuning.late(log, "gender")) == (1.0, 2.0)


def test_a_live_run_keeps_the_losses_of_its_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(pretraining.Live, "_draw", lambda live: shown.append(live.picture()))
    live = instruction_tuning.LiveTasks(3, ["asr", "gender"], "Stage 2")
    for loss in (3.0, 2.0, 1.0):
        live.note(loss, {"asr": loss})
    assert live.losses == [3.0, 2.0, 1.0] and live.log[-1] == {"asr": 1.0}
    assert [picture.alt.split(":")[0] for picture in shown] == [
        "Stage 2. Step 1 of 3",
        "Stage 2. Step 3 of 3",
    ]


def test_they_can_be_drawn() -> None:
    for picture in (
        instruction_tuning.SMOOTHING.figure(**instruction_tuning.SMOOTHING.start),
        instruction_tuning.beside({"asr": {"one": 1.0}}, "score"),
        instruction_tuning.by_task([{"asr": 1.0}], ["asr"], 3),
    ):
        data, _ = picture._repr_mimebundle_()
        assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
