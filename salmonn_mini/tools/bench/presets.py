"""`salmonn-mini bench --preset P`: what can be measured here, and the arithmetic of sizes that cannot."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.commands.estimate import estimate_training_usage
from accelerate.utils import calculate_maximum_sizes
from torch import nn

from salmonn_mini.models.config import SalmonnConfig, preset
from salmonn_mini.pretrained.devices import pick_device
from salmonn_mini.tools.bench import ablations
from salmonn_mini.tools.bench.flops import StepWork, step_flops, tokens_of
from salmonn_mini.tools.doctor.finding import size
from salmonn_mini.tools.doctor.memory import meta_parts, needs

ON_A_CPU = (
    "small",
    2,
)  # stands in for 7b and 13b where there is no GPU: a preset, and how many of its layers
LARGE = ("7b", "13b")
CLIP_SECONDS = 10.0
CLIPS = {"cpu": 2, "cuda": 16}
TEXT_TOKENS = 30  # of instruction and layout, in the arithmetic
STEPS = {"padded to 30 s": True, "clips of 10 s trimmed": False}


def compare(
    name: str | None = None,
    *,
    layers: int | None = None,
    clips: int | None = None,
    runs: int = 3,
    compiled: bool = False,
    device: str | None = None,
) -> dict[str, Any]:
    """The ablations' report for a preset, all that a machine without a GPU can say of 7b and 13b included.

    Args:
        name: the preset; None is small.
        layers: keep so many of both ears' and of the LLM's layers; None: all, on a CPU two.
        clips: in one step.
        compiled: also a row for torch.compile.
        device: "cpu" or "cuda"; None: the GPU, if there is one.

    Raises:
        SalmonnError: no such preset or device.
    """
    device = pick_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    config = preset(name or ON_A_CPU[0])
    if device.type == "cpu" and layers is None:
        stand_in = ON_A_CPU[0] if config.name in LARGE else config.name
        config, layers = preset(stand_in), None if stand_in == "toy" else ON_A_CPU[1]
    measured = ablations.measure(
        cut(config, layers),
        clips=clips or CLIPS[device.type],
        clip_seconds=CLIP_SECONDS,
        runs=runs,
        device=device,
        compiled=compiled,
    )
    return {
        "config": "ablations",
        "preset": config.name,
        "layers": layers,
        "torch": torch.__version__,
        **measured,
        "arithmetic": {large: arithmetic(preset(large)) for large in LARGE},
    }


def cut(config: SalmonnConfig, layers: int | None) -> SalmonnConfig:
    """The same widths with at most so many layers."""
    if layers is None:
        return config
    whisper, beats, llm = config.whisper, config.beats, config.llm
    return config.replace(
        whisper=whisper and whisper.replace(encoder_layers=min(layers, whisper.encoder_layers)),
        beats=beats and beats.replace(encoder_layers=min(layers, beats.encoder_layers)),
        llm=llm.replace(num_hidden_layers=min(layers, llm.num_hidden_layers)),
    )


def arithmetic(config: SalmonnConfig) -> dict[str, Any]:
    """FLOPs of a step for one clip of 10 s, and bytes; beside them what `accelerate estimate-memory` reckons."""
    need = needs(config)
    steps = {}
    for name, padded in STEPS.items():
        work = StepWork(1, CLIP_SECONDS, TEXT_TOKENS, ablations.ANSWER_TOKENS, pad_to_30s=padded)
        steps[name] = step_flops(config, work) | {"tokens": tokens_of(config, work)}
    total, (largest, _) = calculate_maximum_sizes(nn.ModuleDict(meta_parts(config)))
    return {
        "parameters": need.parameters,
        "flops_per_sample": steps,
        "bytes": {"weights": need.weights, "answering": need.answering, "training": need.training},
        "accelerate": {
            "weights in float32": total,
            "weights in 16 bits": total // 2,
            "largest layer in float32": largest,
            "Adam on all weights": estimate_training_usage(total, "float32")["step"],
        },
    }


def table(report: dict[str, Any]) -> str:
    """The report for reading."""
    layers = f", {report['layers']} of each part's layers" if report["layers"] else ""
    lines = [
        f"{report['preset']}{layers}, on {report['device']}, {report['clip_seconds']:g}-second clips, "
        f"{report['clips']} a step",
        f"{'':42}{'s':>9}{'samples/s':>11}{'tokens/s':>10}{'TFLOP':>9}{'MFU':>7}{'peak':>10}",
    ]
    lines += [f"{name:42}{_cells(row)}" for name, row in report["rows"].items()]
    lines += [f"left out: {what} (needs {lacks})" for what, lacks in report["left_out"].items()]
    lines.append(
        "by arithmetic, a step with one clip of 10 s; beside it what `accelerate estimate-memory` reckons"
    )
    for name, sums in report["arithmetic"].items():
        steps = ", ".join(
            f"{flops['total'] / 1e12:.2f} TFLOP {kind}" for kind, flops in sums["flops_per_sample"].items()
        )
        own, theirs = sums["bytes"], sums["accelerate"]
        lines += [
            f"{name}: {steps}",
            f"  weights {size(own['weights'])}, training {size(own['training'])}; accelerate: weights "
            f"{size(theirs['weights in 16 bits'])} in 16 bits, Adam on all of them "
            f"{size(theirs['Adam on all weights'])}",
        ]
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['error']:>18}"
    return (
        f"{row['seconds']:9.3f}{row['samples_per_second']:11.2f}{row['tokens_per_second']:10.0f}"
        f"{row['flops'] / 1e12:9.3f}{row['mfu']:7.0%}{size(row['peak_bytes']):>10}"
    )
