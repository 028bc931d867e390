"""A training step of a preset's sizes, with each saving of time and memory on and off.

The first row has the settings of a training run: bfloat16 on a GPU (float32 on a CPU), fused attention, logits of the
answer alone, Whisper on the clip's own frames, no cached features. Each other row changes what its name says.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel

from salmonn_mini.evaluation.tables import aligned
from salmonn_mini.models.config import SalmonnConfig, preset
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.pretrained.devices import DTYPES, missing_for_quantization, pick_device
from salmonn_mini.tools import size
from salmonn_mini.tools.bench.flops import StepWork, step_flops, tokens_of
from salmonn_mini.tools.bench.random_model import PROMPT, answer_of, noise, random_model
from salmonn_mini.tools.bench.timing import calibrate, now, one_thread, peak_bytes, reset_peak, seconds
from salmonn_mini.train.optim import compiled

LONG_ANSWER_TOKENS, PIECE = 400, 64
PRODUCT = {"cpu": 2048, "cuda": 8192}  # size of the matrix product that is the measure of MFU
NO_LIMIT = 2**62
STAND_IN, STAND_IN_LAYERS = "small", 2  # for 7b and 13b where there is no GPU
CLIPS = {"cpu": 2, "cuda": 16}
CLIP_SECONDS = StepWork.seconds


@dataclass(frozen=True)
class Ablation(StepWork):
    """A row of the table: what a step computes, and how."""

    dtype: str = "float32"
    bits: int | None = None  # of the LLM's matrices, None: as many as dtype has
    pieces: bool = False  # of the logits
    checkpointing: bool = False
    compiled: bool = False


def ablations(device: torch.device, *, compiled: bool = False) -> dict[str, Ablation]:
    """The settings to compare, by name; those with one model stand together."""
    usual, other = ("bfloat16", "float32") if device.type == "cuda" else ("float32", "bfloat16")
    base = Ablation(dtype=usual)
    long = replace(base, answer_tokens=LONG_ANSWER_TOKENS)
    rows = {
        "as usual": base,
        "padded to 30 s": replace(base, pad_to_30s=True),
        "cached features": replace(base, cached=True),
        "eager attention": replace(base, eager=True),
        "logits of the prompt too": replace(base, prompt_logits=True),
        "gradient checkpointing": replace(base, checkpointing=True),
        f"answers of {LONG_ANSWER_TOKENS} tokens": long,
        f"answers of {LONG_ANSWER_TOKENS} tokens, logits in pieces": replace(long, pieces=True),
    }
    if compiled:
        rows["torch.compile"] = replace(base, compiled=True)
    rows[other] = replace(base, dtype=other)
    if not missing_for_quantization(device):
        rows |= {f"LLM in {bits} bits": replace(base, bits=bits) for bits in (8, 4)}
    return rows


def compare(
    name: str | None = None,
    *,
    layers: int | None = None,
    clips: int | None = None,
    runs: int = 3,
    compiled: bool = False,
    device: str | None = None,
) -> dict[str, Any]:
    """Every row's seconds, samples and tokens a second, FLOPs, MFU and peak memory, ready for JSON.

    Args:
        name: the preset; None is small. On a CPU small stands in for 7b and 13b.
        layers: keep so many of both encoders' and of the LLM's layers; None: all, on a CPU two.
        clips: in one step.
        compiled: also a row for torch.compile.
        device: "cpu" or "cuda"; None: the GPU, if there is one.

    Raises:
        SalmonnError: no such preset or device.
    """
    device = pick_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    config, product, clips = preset(name or STAND_IN), PRODUCT[device.type], clips or CLIPS[device.type]
    if device.type == "cpu" and layers is None and config.name != "toy":
        config, layers = preset(STAND_IN), STAND_IN_LAYERS
    rows, lacks = ablations(device, compiled=compiled), missing_for_quantization(device)
    results: dict[str, dict[str, Any]] = {}
    with one_thread() if device.type == "cpu" else nullcontext(), tqdm(total=len(rows), leave=False) as bar:
        spent = {row.dtype: calibrate(product, device, DTYPES[row.dtype]) for row in rows.values()}
        rates = {dtype: 2 * product**3 / seconds for dtype, seconds in spent.items()}
        for (dtype, bits), group in groupby(rows.items(), lambda row: (row[1].dtype, row[1].bits)):
            model = random_model(cut(config, layers), device=device, dtype=DTYPES[dtype], bits=bits)
            step = Step(model, clips, CLIP_SECONDS)
            for row, ablation in group:
                bar.set_description(row)
                try:
                    results[row] = step.row(ablation, runs, rates[dtype])
                except torch.OutOfMemoryError:
                    results[row] = {"error": "out of memory"}
                bar.update()
            del model, step
            gc.collect()  # two models would not fit
    return {
        "config": "ablations",
        "preset": config.name,
        "layers": layers,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread",
        "clips": clips,
        "clip_seconds": CLIP_SECONDS,
        "matrix_product_flops": {dtype: round(rate) for dtype, rate in rates.items()},
        "rows": results,
        "left_out": {"LLM in 8 and 4 bits": lacks} if lacks else {},
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


class Step:
    """A model with its optimizer and clips, ready to take a training step under any ablation."""

    def __init__(self, model: SalmonnModel, clips: int, clip_seconds: float) -> None:
        self.model, self.config, self.device = model, model.config, model.device
        self.waves = [noise(clip_seconds, seed).to(self.device) for seed in range(clips)]
        self.prompts = [PROMPT] * clips
        text_tokens = len(model.prompt.before) + len(model.prompt.after(PROMPT))
        self.sizes = {"clips": clips, "seconds": clip_seconds, "text_tokens": text_tokens}
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=3e-5, fused=True)

    def row(self, ablation: Ablation, runs: int, rate: float) -> dict[str, Any]:
        """What a step costs; `rate` is the FLOPs a second of which MFU is the share."""
        with self.applied(ablation) as features:
            reset_peak(self.device)
            self.train(ablation, features)  # what only the first step costs
            spent = min(seconds(lambda: self.train(ablation, features), self.device) for _ in range(runs))
            peak = peak_bytes(self.device)
        work = replace(ablation, **self.sizes)
        flops = step_flops(self.config, work)["total"]
        return {
            "seconds": spent,
            "samples_per_second": work.clips / spent,
            "tokens_per_second": work.clips * tokens_of(self.config, work) / spent,
            "flops": flops,
            "mfu": flops / spent / rate,
            "peak_bytes": peak,
        }

    def train(self, ablation: Ablation, features: Features | None = None) -> dict[str, float]:
        """A training step; the seconds of its forward pass, encoding included, and of its backward pass."""
        start = now(self.device)
        loss = self.loss(ablation, features)
        forward = now(self.device)
        loss.backward()
        backward = now(self.device)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {"forward": forward - start, "backward": backward - forward}

    def loss(self, ablation: Ablation, features: Features | None = None) -> Tensor:
        """The mean loss; without features the clips are encoded first."""
        self.model.train()
        answers = [answer_of(ablation.answer_tokens)] * len(self.prompts)
        encoded = self.model.encode(self.waves) if features is None else features
        with torch.autocast(self.device.type, torch.bfloat16, enabled=ablation.dtype == "bfloat16"):
            if not ablation.prompt_logits:
                return self.model(encoded, self.prompts, answers).mean
            spliced = self.model.splice(*self.model.get_audio_features(encoded), self.prompts, answers)
            return self.model.llm.get_base_model()(use_cache=False, **vars(spliced)).loss  # as published

    @contextmanager
    def applied(self, ablation: Ablation) -> Iterator[Features | None]:
        """The settings hold within the block; yields the features where they are cached."""
        model = self.model
        for part in (model.llm.get_base_model(), model.whisper and model.whisper.encoder):
            if isinstance(part, PreTrainedModel):
                part.set_attn_implementation("eager" if ablation.eager else "sdpa")
        model.config = self.config.replace(pad_to_30s=ablation.pad_to_30s)
        model.max_logits = PIECE * model.llm.config.vocab_size if ablation.pieces else NO_LIMIT
        if ablation.checkpointing:
            model.gradient_checkpointing_enable()
        try:
            with compiled(model, ablation.compiled):
                yield model.encode(self.waves) if ablation.cached else None
        finally:
            model.eval()
            model.config = self.config
            model.gradient_checkpointing_disable()


def table(report: dict[str, Any]) -> str:
    """The report for reading."""
    layers = f", {report['layers']} of each part's layers" if report["layers"] else ""
    cells = [["", "seconds", "samples/s", "tokens/s", "TFLOP", "MFU", "peak"]]
    for name, row in report["rows"].items():
        if "error" in row:
            cells.append([name, row["error"], *[""] * 5])
            continue
        numbers = [
            f"{row['seconds']:.3f}",
            f"{row['samples_per_second']:.2f}",
            f"{row['tokens_per_second']:.0f}",
        ]
        numbers += [f"{row['flops'] / 1e12:.3f}", f"{row['mfu']:.0%}", size(row["peak_bytes"])]
        cells.append([name, *numbers])
    lines = [
        f"{report['preset']}{layers}, on {report['device']}, {report['clips']} clips of {CLIP_SECONDS:g} s a step",
        *aligned(cells),
        *(f"left out: {what} (needs {lacks})" for what, lacks in report["left_out"].items()),
        "7b and 13b by arithmetic: salmonn-mini plan",
    ]
    return "\n".join(lines)
