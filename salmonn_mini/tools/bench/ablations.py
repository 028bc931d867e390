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

from salmonn_mini.models.config import SalmonnConfig, preset
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.pretrained.devices import DTYPES, missing_for_quantization, pick_device
from salmonn_mini.tools.bench.flops import StepWork, step_flops, tokens_of
from salmonn_mini.tools.bench.random_model import PROMPT, answer_of, noise, random_model
from salmonn_mini.tools.bench.timing import fastest, one_thread, peak_bytes, product_rate, report, reset_peak
from salmonn_mini.train.optim import compiled

LONG_ANSWER_TOKENS, PIECE = 400, 64
NO_LIMIT = 2**62
STAND_IN_LAYERS = 2  # of small, where there is no GPU
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
        "padded to 30 s": replace(base, pad_to_window=True),
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
    return rows | {f"LLM in {bits} bits": replace(base, bits=bits) for bits in (8, 4)}


def compare(
    config: SalmonnConfig,
    *,
    layers: int | None = None,
    batch: int | None = None,
    device: str | None = None,
    compile: bool = False,
    runs: int = 3,
) -> dict[str, Any]:
    """Every row's seconds, samples and tokens a second, FLOPs, MFU and peak memory.

    Args:
        config: a preset; on a CPU small stands in for 7b and 13b.
        layers: keep so many of both encoders' and of the LLM's layers; None: all, on a CPU two.
        batch: clips in one step.
        device: "cpu" or "cuda"; None: the GPU, if there is one.
        compile: also a row for torch.compile.

    Raises:
        SalmonnError: no such device.
    """
    device = pick_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    clips = batch or CLIPS[device.type]
    if device.type == "cpu" and layers is None and config.name != "toy":
        config, layers = preset("small"), STAND_IN_LAYERS
    rows, lacking = ablations(device, compiled=compile), missing_for_quantization(device)
    results: dict[str, dict[str, Any]] = {}
    with one_thread() if device.type == "cpu" else nullcontext(), tqdm(total=len(rows), leave=False) as bar:
        rates = {row.dtype: product_rate(device, DTYPES[row.dtype]) for row in rows.values()}
        for (dtype, bits), group in groupby(rows.items(), lambda row: (row[1].dtype, row[1].bits)):
            if bits and lacking:
                results |= {row: {"error": f"needs {lacking}"} for row, _ in group}
                continue
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
    sizes = {"preset": config.name, "layers": layers, "clips": clips, "clip_seconds": CLIP_SECONDS}
    return report("ablations", device, rates, results, **sizes)


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
            spent = fastest(lambda: self.train(ablation, features), runs, self.device)
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

    def train(self, ablation: Ablation, features: Features | None = None) -> None:
        """A training step; without features the clips are encoded first."""
        self.loss(ablation, features).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def loss(self, ablation: Ablation, features: Features | None = None) -> Tensor:
        """The mean loss, before the step."""
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
        model.config = self.config.replace(pad_to_window=ablation.pad_to_window)
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
