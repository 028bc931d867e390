"""Chapter 12's figures and their arithmetic, over the whole range of their sliders."""

import base64
import itertools
import re

import pytest

from salmonn_mini.course.figures import full_scale
from salmonn_mini.course.plots import Picture
from salmonn_mini.models.config import preset
from salmonn_mini.tools.bench.flops import StepWork, step_flops
from salmonn_mini.tools.estimates import needs


def number(pattern: str, picture: Picture) -> float:
    return float(re.search(pattern, picture.alt)[1].replace(",", ""))


def values(explorer):
    """Each slider over its whole range for each model, the others where they start."""
    for model, name in itertools.product(explorer.controls["model"], list(explorer.controls)[1:]):
        for value in explorer.controls[name]:
            yield explorer.start | {"model": model, name: value}


def test_the_bar_of_memory_is_the_sum_of_its_parts_over_the_whole_range() -> None:
    for chosen in values(full_scale.MEMORY):
        parts = full_scale.memory_parts(
            preset(chosen["model"]), chosen["clips"], chosen["LLM_bits"], chosen["checkpointing"] == "on"
        )
        total = sum(parts.values()) / 1e9
        picture = full_scale.MEMORY.figure(**chosen)
        assert number(r"checkpointing o\w+: ([\d.]+) GB", picture) == pytest.approx(total, abs=0.06)
        width = sum(bar.get_width() for bar in picture.axes[0].patches)
        assert width == pytest.approx(total)
        assert picture.axes[0].get_xlim()[1] >= total
        fitting = [name for name, size in full_scale.GPUS.items() if total * 1e9 <= size]
        assert (f"fits into {fitting[0]}" if fitting else "fits into none of them") in picture.alt
    assert full_scale.memory("13b", 1).alt.startswith("13b, 1 clip, LLM in 16 bits, checkpointing off: 2")


@pytest.mark.parametrize("name", full_scale.LARGE)
def test_weights_are_those_that_the_doctor_counts(name: str) -> None:
    config, parts = preset(name), full_scale.memory_parts(preset(name), 1)
    need = needs(config)
    frozen = parts["encoders"] + parts["LLM"]
    assert frozen + 4 * need.parameters["trained"] == pytest.approx(
        need.weights, rel=0.02
    )  # small: float32 or not
    assert parts["trained parts"] == 16 * need.parameters["trained"]


def test_what_grows_with_the_clips_and_what_each_lever_saves() -> None:
    config = preset("13b")
    one, eight = full_scale.memory_parts(config, 1), full_scale.memory_parts(config, 8)
    for part in ("layers", "encoder attention", "logits"):
        assert eight[part] == pytest.approx(8 * one[part])
    for part in ("encoders", "LLM", "trained parts"):
        assert eight[part] == one[part]
    four = full_scale.memory_parts(config, 8, bits=4)
    words = 2 * 32_001 * 5120
    assert four["LLM"] - 2 * words == pytest.approx((eight["LLM"] - 2 * words) / 4)
    assert full_scale.memory_parts(config, 8, checkpointing=True)["layers"] < 0.1 * eight["layers"]


@pytest.mark.parametrize("name", full_scale.LARGE)
def test_the_work_of_a_step_is_the_bench_s(name: str) -> None:
    picture = full_scale.step_work(name)
    for text, changes in (
        ("padded to 30 s", {"pad_to_window": True}),
        ("the clip's own frames", {}),
        ("own frames, features cached", {"cached": True}),
    ):
        total = step_flops(preset(name), StepWork(1, 10.0, 30, 20, **changes))["total"]
        assert number(rf"{text} ([\d.]+)[;.]", picture) == pytest.approx(total / 1e12, abs=0.006)
    totals = [bar.get_x() + bar.get_width() for bar in picture.axes[0].patches]
    assert max(totals) <= picture.axes[0].get_xlim()[1]


def test_hours_follow_from_clips_and_speed_over_the_whole_range() -> None:
    for chosen in values(full_scale.HOURS):
        picture = full_scale.HOURS.figure(**chosen)
        gpus = min(chosen["GPUs"], 32 if chosen["model"] == "small" else 256)
        assert f", {gpus} GPU" in picture.alt
        speed, gpu_hours = number(r"([\d,.]+) clips/s", picture), number(r"([\d,.]+) GPU hours", picture)
        clips = 60_000 * 32 if chosen["model"] == "small" else 80_000 * 256
        assert gpu_hours == pytest.approx(clips / speed / 3600, rel=0.05)
        assert number(r"s each, ([\d,.]+) hours", picture) == pytest.approx(gpu_hours / gpus, rel=0.02)
        low, high = picture.axes[0].get_ylim()
        assert low < high and high > gpu_hours


def test_trimmed_clips_are_quicker_and_faster_gpus_in_proportion() -> None:
    config = preset("7b")
    assert full_scale.samples_per_second(config, 100, padded=False) > full_scale.samples_per_second(
        config, 100
    )
    assert full_scale.samples_per_second(config, 200) == pytest.approx(
        2 * full_scale.samples_per_second(config, 100)
    )


@pytest.mark.parametrize("explorer", [full_scale.MEMORY, full_scale.HOURS])
def test_each_begins_with_values_that_can_be_chosen_and_draws_them(explorer) -> None:
    assert all(explorer.start[name] in chosen for name, chosen in explorer.controls.items())
    data, _ = explorer.figure(**explorer.start)._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
