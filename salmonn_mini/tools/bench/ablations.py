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
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import PreTrainedModel

from salmonn_mini.evaluation.tables import aligned
from salmonn_mini.models.config import SalmonnConfig, preset
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.models.splice import IGNORE_INDEX
from salmonn_mini.pretrained.devices import missing_for_quantization, pick_device
from salmonn_mini.tools.bench.flops import (
    ANSWER_TOKENS,
    CLIP_SECONDS,
    StepWork,
    arithmetic,
    step_flops,
    tokens_of,
)
from salmonn_mini.tools.bench.random_model import PROMPT, answer_of, noise, random_model
from salmonn_mini.tools.bench.timing import calibrate, one_thread, peak_bytes, reset_peak, seconds
from salmonn_mini.tools.doctor.finding import size
from salmonn_mini.train.optim import compiled

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
LONG_ANSWER_TOKENS, PIECE = 400, 64
PRODUCT = {"cpu": 2048, "cuda": 8192}  # size of the matrix product that is the measure of MFU
NO_LIMIT = 2**62
LARGE = ("7b", "13b")
STAND_IN, STAND_IN_LAYERS = "small", 2  # for LARGE where there is no GPU
CLIPS = {"cpu": 2, "cuda": 16}


@dataclass(frozen=True)
class Ablation:
    """A row of the table: the settings of a step."""

    dtype: str
    bits: int | None = None  # of the LLM's matrices, None: as many as dtype has
    attention: str = "sdpa"
    prompt_logits: bool = False
    answer_tokens: int = ANSWER_TOKENS
    pieces: bool = False  # of the logits
    checkpointing: bool = False
    pad_to_30s: bool = False
    cached: bool = False
    compiled: bool = False


def ablations(device: torch.device, *, compiled: bool = False) -> dict[str, Ablation]:
    """The settings to compare, by name; those with one model stand together."""
    usual, other = ("bfloat16", "float32") if device.type == "cuda" else ("float32", "bfloat16")
    base = Ablation(usual)
    long = replace(base, answer_tokens=LONG_ANSWER_TOKENS)
    table = {
        "as usual": base,
        "padded to 30 s": replace(base, pad_to_30s=True),
        "cached features": replace(base, cached=True),
        "eager attention": replace(base, attention="eager"),
        "logits of the prompt too": replace(base, prompt_logits=True),
        "gradient checkpointing": replace(base, checkpointing=True),
        f"answers of {LONG_ANSWER_TOKENS} tokens": long,
        f"answers of {LONG_ANSWER_TOKENS} tokens, logits in pieces": replace(long, pieces=True),
    }
    if compiled:
        table["torch.compile"] = replace(base, compiled=True)
    table[other] = replace(base, dtype=other)
    if not missing_for_quantization(device):
        table |= {f"LLM in {bits} bits": replace(base, bits=bits) for bits in (8, 4)}
    return table


def compare(
    name: str | None = None,
    *,
    layers: int | None = None,
    clips: int | None = None,
    runs: int = 3,
    compiled: bool = False,
    device: str | None = None,
) -> dict[str, Any]:
    """Every row's seconds, samples and tokens a second, FLOPs, MFU and peak memory; 7b and 13b by arithmetic.

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
    config = preset(name or STAND_IN)
    if device.type == "cpu" and layers is None:
        config = preset(STAND_IN) if config.name in LARGE else config
        layers = None if config.name == "toy" else STAND_IN_LAYERS
    clips = clips or CLIPS[device.type]
    table = ablations(device, compiled=compiled)
    with one_thread() if device.type == "cpu" else nullcontext():
        rates = {dtype: matrix_rate(device, DTYPES[dtype]) for dtype in DTYPES}
        rows = measure(cut(config, layers), table, clips=clips, runs=runs, device=device, rates=rates)
    lacks = missing_for_quantization(device)
    return {
        "config": "ablations",
        "preset": config.name,
        "layers": layers,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread",
        "clips": clips,
        "clip_seconds": CLIP_SECONDS,
        "matrix_product_flops": {dtype: round(rate) for dtype, rate in rates.items()},
        "rows": rows,
        "left_out": {"LLM in 8 and 4 bits": lacks} if lacks else {},
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


def measure(
    config: SalmonnConfig,
    table: dict[str, Ablation],
    *,
    clips: int,
    runs: int,
    device: torch.device,
    rates: dict[str, float],
) -> dict[str, dict[str, Any]]:
    """The rows; one that does not fit into memory costs itself alone."""
    results: dict[str, dict[str, Any]] = {}
    with tqdm(total=len(table), leave=False) as bar:
        for (dtype, bits), group in groupby(table.items(), lambda row: (row[1].dtype, row[1].bits)):
            step = Step(
                random_model(config, device=device, dtype=DTYPES[dtype], bits=bits), clips, CLIP_SECONDS
            )
            for name, ablation in group:
                bar.set_description(name)
                try:
                    results[name] = step.row(ablation, runs, rates[dtype])
                except torch.OutOfMemoryError:
                    results[name] = {"error": "out of memory"}
                bar.update()
            del step
            gc.collect()  # two models would not fit
    return results


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOPs a second of a large matrix product."""
    n = PRODUCT[device.type]
    return 2 * n**3 / calibrate(n, device=device, dtype=dtype)


class Step:
    """A model with its optimizer and clips, ready to take a training step under any ablation."""

    def __init__(self, model: SalmonnModel, clips: int, clip_seconds: float) -> None:
        self.model, self.config, self.clip_seconds = model, model.config, clip_seconds
        self.device = model.device
        self.waves = [noise(clip_seconds, seed).to(self.device) for seed in range(clips)]
        self.prompts = [PROMPT] * clips
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=3e-5, fused=True)

    def row(self, ablation: Ablation, runs: int, rate: float) -> dict[str, Any]:
        """What a step costs; `rate` is the FLOPs a second of which MFU is the share."""
        work = self.work(ablation)
        with self.applied(ablation) as features:
            reset_peak(self.device)
            self.train(ablation, features)  # what only the first step costs
            spent = min(seconds(lambda: self.train(ablation, features), self.device) for _ in range(runs))
            peak = peak_bytes(self.device)
        flops = step_flops(self.config, work)["total"]
        return {
            "seconds": spent,
            "samples_per_second": work.clips / spent,
            "tokens_per_second": work.clips * tokens_of(self.config, work) / spent,
            "flops": flops,
            "mfu": flops / spent / rate,
            "peak_bytes": peak,
        }

    def work(self, ablation: Ablation) -> StepWork:
        """The same step for the arithmetic."""
        prompt = self.model.prompt
        return StepWork(
            clips=len(self.waves),
            seconds=self.clip_seconds,
            text_tokens=len(prompt.before) + len(prompt.after(PROMPT)),
            answer_tokens=ablation.answer_tokens,
            pad_to_30s=ablation.pad_to_30s,
            cached=ablation.cached,
            prompt_logits=ablation.prompt_logits,
            eager=ablation.attention == "eager",
        )

    def loss(self, ablation: Ablation, features: Features | None) -> Tensor:
        """The mean loss; without features the clips are encoded first."""
        answers = [answer_of(ablation.answer_tokens)] * len(self.prompts)
        encoded = self.model.encode(self.waves) if features is None else features
        with torch.autocast(self.device.type, torch.bfloat16, enabled=ablation.dtype == "bfloat16"):
            if ablation.prompt_logits:
                return loss_with_all_logits(self.model, encoded, self.prompts, answers)
            return self.model(encoded, self.prompts, answers).mean

    def train(self, ablation: Ablation, features: Features | None) -> None:
        """A training step."""
        self.loss(ablation, features).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    @contextmanager
    def applied(self, ablation: Ablation) -> Iterator[Features | None]:
        """The settings hold within the block; yields the features where they are cached."""
        model = self.model
        for part in (model.llm.get_base_model(), model.whisper and model.whisper.encoder):
            if isinstance(part, PreTrainedModel):
                part.set_attn_implementation(ablation.attention)
        model.config = self.config.replace(pad_to_30s=ablation.pad_to_30s)
        model.max_logits = PIECE * model.llm.config.vocab_size if ablation.pieces else NO_LIMIT
        if ablation.checkpointing:
            model.gradient_checkpointing_enable()
        model.train()
        try:
            with compiled(model, ablation.compiled):
                yield model.encode(self.waves) if ablation.cached else None
        finally:
            model.eval()
            model.config = self.config
            model.gradient_checkpointing_disable()


def loss_with_all_logits(
    model: SalmonnModel, features: Features, prompts: list[str], answers: list[str]
) -> Tensor:
    """The loss of `SalmonnModel.forward` by way of every token's logits, as the published code takes it."""
    spliced = model.splice(*model.get_audio_features(features), prompts, answers)
    logits = model.llm.get_base_model()(
        inputs_embeds=spliced.inputs_embeds,
        attention_mask=spliced.attention_mask,
        position_ids=spliced.position_ids,
        use_cache=False,
    ).logits
    return cross_entropy(
        logits[:, :-1].float().flatten(0, 1), spliced.labels[:, 1:].flatten(), ignore_index=IGNORE_INDEX
    )


def table(report: dict[str, Any]) -> str:
    """The report for reading."""
    layers = f", {report['layers']} of each part's layers" if report["layers"] else ""
    head = ["", "seconds", "samples/s", "tokens/s", "TFLOP", "MFU", "peak"]
    lines = [
        f"{report['preset']}{layers}, on {report['device']}, {report['clips']} clips of {CLIP_SECONDS:g} s a step",
        *aligned([head, *([name, *_cells(row)] for name, row in report["rows"].items())]),
        *(f"left out: {what} (needs {lacks})" for what, lacks in report["left_out"].items()),
        f"by arithmetic, a step with one clip of {CLIP_SECONDS:g} s:",
    ]
    for name, sums in report["arithmetic"].items():
        steps = ", ".join(
            f"{flops['total'] / 1e12:.2f} TFLOP {kind}" for kind, flops in sums["flops_per_sample"].items()
        )
        memory = ", ".join(f"{what} {size(bytes_)}" for what, bytes_ in sums["bytes"].items())
        lines.append(f"{name}: {steps}; {memory}")
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> list[str]:
    if "error" in row:
        return [row["error"], *[""] * 5]
    return [
        f"{row['seconds']:.3f}", f"{row['samples_per_second']:.2f}", f"{row['tokens_per_second']:.0f}",
        f"{row['flops'] / 1e12:.3f}", f"{row['mfu']:.0%}", size(row["peak_bytes"]),
    ]  # fmt: skip
