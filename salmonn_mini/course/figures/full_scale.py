"""Figures of chapter 12: what a training step takes of a GPU's memory, what it computes, how long a run lasts.

All of it is arithmetic: no figure here was measured.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.plots import (
    BLUE,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Picture,
    annotate_bar,
)
from salmonn_mini.models.config import FRAMES_PER_SECOND, SalmonnConfig, preset
from salmonn_mini.tools.bench.flops import StepWork, step_flops, tokens_of
from salmonn_mini.tools.estimates import ADAM, LAYER, needs
from salmonn_mini.tools.plan import make_plan
from salmonn_mini.train.recipe import load_recipe

LARGE = ("small", "7b", "13b")
GPUS = {"24 GB": 24e9, "48 GB": 48e9, "80 GB": 80e9, "141 GB": 141e9}  # as many graphics cards have
SHARES = {
    "encoders": SKY,
    "LLM": BLUE,
    "trained parts": VERMILION,
    "layers": ORANGE,
    "encoder attention": GREEN,
    "logits": PURPLE,
}
WORK = {"whisper": SKY, "beats": GREEN, "connector": VERMILION, "llm": BLUE, "logits": PURPLE}
TICKS = (0.1, 1, 10, 100, 1000)  # hours
LOGIT = 12  # bytes: the number itself, its softmax, its gradient, in float32


def memory_parts(
    config: SalmonnConfig, clips: int, bits: int = 16, checkpointing: bool = False
) -> dict[str, float]:
    """Bytes of a training step on one GPU in bfloat16, part by part, for clips that are padded to 30 s.

    Args:
        clips: in the batch.
        bits: of each number in the LLM's matrices; the words' vectors keep 16.
        checkpointing: the LLM's layers keep their inputs alone.
    """
    need, shape = needs(config), config.llm
    vocabulary = shape.sizes()["vocab_size"]
    words = (1 if shape.tie_word_embeddings else 2) * vocabulary * shape.hidden_size
    tokens = clips * tokens_of(config, StepWork(seconds=30.0, pad_to_window=True))
    inputs = 2 * shape.num_hidden_layers if checkpointing else 0
    whole = LAYER * (1 if checkpointing else shape.num_hidden_layers)
    heads = max(one.encoder_attention_heads for one in (config.whisper, config.beats) if one)
    return {
        "encoders": 2 * need.parameters["whisper"] + 4 * need.parameters["beats"],
        "LLM": bits / 8 * (need.parameters["llm"] - words) + 2 * words,
        "trained parts": ADAM * need.parameters["trained"],
        "layers": tokens * shape.hidden_size * (inputs + whole),
        "encoder attention": clips * 3 * 4 * heads * (30 * FRAMES_PER_SECOND) ** 2,
        "logits": clips * StepWork.answer_tokens * vocabulary * LOGIT,
    }


def memory(model: str, clips: int, LLM_bits: int = 16, checkpointing: str = "off") -> Picture:
    """The parts of `memory_parts` as one bar, against the memory that GPUs have."""
    parts = memory_parts(preset(model), clips, LLM_bits, checkpointing == "on")
    total = sum(parts.values())
    holds = next(
        (f"fits into {name}" for name, size in GPUS.items() if total <= size), "fits into none of them"
    )
    alt = (
        f"{model}, {clips} clip{'s' * (clips > 1)}, LLM in {LLM_bits} bits, checkpointing {checkpointing}: "
        f"{total / 1e9:.1f} GB, {holds}. "
    )
    picture = Picture(alt + _listed(parts, 1e9, "GB"), height=2.4)
    axes = picture.panel(alt, xlabel="GB, by arithmetic", ylim=(-0.45, 0.65), yticks=[])
    _stack(axes, 0, parts, SHARES, 1e9)
    end = 1.08 * (GPUS["80 GB"] if total <= GPUS["80 GB"] else max(total, GPUS["141 GB"]))
    for name, size in GPUS.items():
        if size <= end:
            axes.axvline(size / 1e9, color=INK, linewidth=1.0, linestyle=":")
            axes.text(size / 1e9, 0.62, f" {name}", fontsize=9, color=INK, va="top")
    axes.set_xlim(0, end / 1e9)
    axes.legend(frameon=False, ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.32), fontsize=9)
    return picture


def step_work(model: str, seconds: float = StepWork.seconds) -> Picture:
    """FLOPs of a training step with one clip: as published, trimmed, and with features from the cache."""
    config = preset(model)
    rows = {
        "padded to 30 s, all logits": StepWork(seconds=seconds, pad_to_window=True, prompt_logits=True),
        "padded to 30 s": StepWork(seconds=seconds, pad_to_window=True),
        "the clip's own frames": StepWork(seconds=seconds),
        "own frames, features cached": StepWork(seconds=seconds, cached=True),
    }
    flops = {name: step_flops(config, work) for name, work in rows.items()}
    said = "; ".join(f"{name} {part['total'] / 1e12:.2f}" for name, part in flops.items())
    alt = f"{model}, one clip of {seconds:g} s, TFLOP of a training step"
    picture = Picture(f"{alt}: {said}.", height=2.7)
    places = {"yticks": range(len(flops)), "yticklabels": flops}
    axes = picture.panel(alt, xlabel="TFLOP, by arithmetic", **places)
    for row, parts in enumerate(flops.values()):
        _stack(axes, row, {name: parts[name] for name in WORK}, WORK, 1e12, row == 0)
        annotate_bar(axes, row, parts["total"] / 1e12, f"{parts['total'] / 1e12:.2f}")
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1 * max(part["total"] for part in flops.values()) / 1e12)
    axes.legend(frameon=False, ncols=5, loc="upper center", bbox_to_anchor=(0.4, -0.28), fontsize=9)
    return picture


def samples_per_second(
    config: SalmonnConfig, tflops: float, seconds: float = StepWork.seconds, padded: bool = True
) -> float:
    """Clips that a GPU trains on in a second if it reaches `tflops` TFLOP/s: an estimate."""
    work = StepWork(seconds=seconds, pad_to_window=padded)
    return tflops * 1e12 / step_flops(config, work)["total"]


def hours(model: str, GPUs: int, TFLOPs_reached: float, clips: str = "padded to 30 s") -> Picture:
    """Hours of a preset's stage 1 against the number of GPUs, at a speed that each of them is thought to reach."""
    recipe = load_recipe(f"{model}-stage1")
    speed = samples_per_second(preset(model), TFLOPs_reached, padded=clips == "padded to 30 s")
    counts = [2**i for i in range(9) if 2**i <= recipe.batch_size]
    curve = [make_plan(recipe, n, samples_per_second=speed).hours for n in counts]
    GPUs = min(GPUs, counts[-1])  # no more than the batch has clips
    here = make_plan(recipe, GPUs, samples_per_second=speed)
    alt = (
        f"{model}, stage 1, {clips}, {GPUs} GPU{'s' * (GPUs > 1)} at {TFLOPs_reached:g} TFLOP/s: "
        f"{speed:.1f} clips/s each, {_rounded(here.hours)} hours, {_rounded(here.hours * GPUs)} GPU hours (estimated)."
    )
    picture = Picture(alt)
    axes = picture.panel(alt, xlabel="GPUs", ylabel="hours")
    axes.loglog(counts, curve, color=BLUE, marker="o", markersize=4)
    axes.plot([GPUs], [here.hours], "o", color=VERMILION, markersize=9)
    for name, value in {"a day": 24, "a week": 168, "a month": 730}.items():
        axes.axhline(value, color=GRAY, linewidth=0.8, linestyle=":")
        axes.text(counts[-1] * 1.15, value, name, fontsize=9, color=INK, va="center")
    axes.set_xticks(counts, counts)
    axes.set_yticks(TICKS, [f"{tick:,g}" for tick in TICKS])
    axes.minorticks_off()
    axes.set_xlim(0.8 * counts[0], 1.1 * counts[-1])
    axes.set_ylim(TICKS[0], max(TICKS[-1], 1.5 * curve[0]))
    return picture


def _stack(
    axes: Axes,
    row: float,
    parts: Mapping[str, float],
    colors: Mapping[str, str],
    unit: float,
    named: bool = True,
) -> None:
    """A bar of parts, one behind the other; `named`: they enter the legend."""
    starts = np.cumsum([0.0, *parts.values()]) / unit
    for (name, value), start in zip(parts.items(), starts, strict=False):
        label = name if named else None
        axes.barh(row, value / unit, left=start, height=0.6, color=colors[name], label=label)


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _listed(parts: Mapping[str, float], unit: float, name: str) -> str:
    return "; ".join(f"{part} {value / unit:.2f} {name}" for part, value in parts.items()) + "."


MEMORY = Explorer(
    memory,
    {
        "model": ("13b", "7b", "small"),
        "clips": (1, 2, 4, 8, 16, 32, 64),
        "LLM_bits": (16, 8, 4),
        "checkpointing": ("off", "on"),
    },
    {"model": "13b", "clips": 8, "LLM_bits": 16, "checkpointing": "off"},
)
HOURS = Explorer(
    hours,
    {
        "model": ("13b", "7b", "small"),
        "GPUs": (1, 2, 4, 8, 16, 32, 64, 128, 256),
        "TFLOPs_reached": (10, 25, 50, 100, 200, 400),
        "clips": ("padded to 30 s", "own frames"),
    },
    {"model": "13b", "GPUs": 32, "TFLOPs_reached": 100, "clips": "padded to 30 s"},
)
