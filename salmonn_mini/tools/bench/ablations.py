"""A training step of a preset's sizes, with each lever of speed and memory on and off.

The first row has the settings of a training run: bfloat16 on a GPU (float32 on a CPU), fused attention, logits for
the answer alone, Whisper on the clip's own frames, the ears at work. Each other row changes what its name says.
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

from salmonn_mini.models.config import SalmonnConfig
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import Salmonn
from salmonn_mini.models.splice import IGNORE_INDEX
from salmonn_mini.pretrained.devices import missing_for_quantization
from salmonn_mini.tools.bench.flops import StepWork, step_flops, tokens_of
from salmonn_mini.tools.bench.random_model import PROMPT, answer_of, noise, random_model
from salmonn_mini.tools.bench.timing import calibrate, forget_peak, one_thread, peak_bytes, seconds
from salmonn_mini.train.optim import compiled

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
ANSWER_TOKENS, LONG_ANSWER_TOKENS, PIECE = 20, 400, 64
PRODUCT = {"cpu": 2048, "cuda": 8192}  # size of the matrix product that is the measure of MFU
NO_LIMIT = 2**62


@dataclass(frozen=True)
class Ablation:
    """One setting of all levers."""

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


def rows(device: torch.device, *, compiled: bool = False) -> dict[str, Ablation]:
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


def measure(
    config: SalmonnConfig,
    *,
    clips: int,
    clip_seconds: float,
    runs: int,
    device: torch.device,
    compiled: bool = False,
) -> dict[str, Any]:
    """Every row's seconds, samples and tokens a second, FLOPs, MFU and peak memory, ready for JSON."""
    table = rows(device, compiled=compiled)
    results: dict[str, dict[str, Any]] = {}
    with one_thread() if device.type == "cpu" else nullcontext(), tqdm(total=len(table), leave=False) as bar:
        rates = {name: matrix_rate(device, DTYPES[name]) for name in DTYPES}
        for (dtype, bits), group in groupby(table.items(), lambda row: (row[1].dtype, row[1].bits)):
            model = random_model(config, device=device, dtype=DTYPES[dtype], bits=bits)
            step = Step(model, clips, clip_seconds)
            for name, levers in group:
                bar.set_description(name)
                try:
                    results[name] = step.row(levers, runs, rates[dtype])
                except torch.OutOfMemoryError:
                    results[name] = {"error": "out of memory"}
                bar.update()
            del model, step
            gc.collect()  # two models would not fit
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread",
        "clips": clips,
        "clip_seconds": clip_seconds,
        "matrix_product_flops": {name: round(rate) for name, rate in rates.items()},
        "rows": results,
        "left_out": {"LLM in 8 and 4 bits": lacks} if (lacks := missing_for_quantization(device)) else {},
    }


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOPs a second of a large matrix product."""
    size = PRODUCT[device.type]
    return 2 * size**3 / calibrate(size, device=device, dtype=dtype)


class Step:
    """A model with its optimizer and clips, ready to take a training step under any levers."""

    def __init__(self, model: Salmonn, clips: int, clip_seconds: float) -> None:
        self.model, self.config, self.clip_seconds = model, model.config, clip_seconds
        self.device = model.device
        self.waves = [noise(clip_seconds, seed).to(self.device) for seed in range(clips)]
        self.asked = [PROMPT] * clips
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=3e-5, fused=True)

    def row(self, levers: Ablation, runs: int, rate: float) -> dict[str, Any]:
        """What a step costs."""
        work = self.work(levers)
        with self.pulled(levers) as features:
            forget_peak(self.device)
            self.learn(levers, features)  # what only the first step costs
            spent = min(seconds(lambda: self.learn(levers, features), self.device) for _ in range(runs))
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

    def work(self, levers: Ablation) -> StepWork:
        """The same step for the arithmetic."""
        prompt = self.model.prompt
        return StepWork(
            clips=len(self.waves),
            seconds=self.clip_seconds,
            text_tokens=len(prompt.before) + len(prompt.after(PROMPT)),
            answer_tokens=levers.answer_tokens,
            pad_to_30s=levers.pad_to_30s,
            cached=levers.cached,
            prompt_logits=levers.prompt_logits,
            eager=levers.attention == "eager",
        )

    def learn(self, levers: Ablation, features: Features | None) -> None:
        """A step; without features the ears listen first."""
        answers = [answer_of(levers.answer_tokens)] * len(self.asked)
        encoded = self.model.encode(self.waves) if features is None else features
        with torch.autocast(self.device.type, torch.bfloat16, enabled=levers.dtype == "bfloat16"):
            if levers.prompt_logits:
                loss = loss_with_all_logits(self.model, encoded, self.asked, answers)
            else:
                loss = self.model(encoded, self.asked, answers).mean
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    @contextmanager
    def pulled(self, levers: Ablation) -> Iterator[Features | None]:
        """The levers as they are told within the block; the features, where they were heard before."""
        model = self.model
        for part in (model.llm.get_base_model(), model.whisper and model.whisper.encoder):
            if isinstance(part, PreTrainedModel):
                part.set_attn_implementation(levers.attention)
        model.config = self.config.replace(pad_to_30s=levers.pad_to_30s)
        model.max_logits = PIECE * model.llm.config.vocab_size if levers.pieces else NO_LIMIT
        if levers.checkpointing:
            model.gradient_checkpointing_enable()
        model.train()
        try:
            with compiled(model, levers.compiled):
                yield model.encode(self.waves) if levers.cached else None
        finally:
            model.eval()
            model.config = self.config
            model.gradient_checkpointing_disable()


def loss_with_all_logits(model: Salmonn, features: Features, asked: list[str], answers: list[str]) -> Tensor:
    """The same loss as `Salmonn.forward` gives, by way of every token's logits, as the published code takes it."""
    spliced = model.splice(*model.get_audio_features(features), asked, answers)
    logits = model.llm.get_base_model()(
        inputs_embeds=spliced.inputs_embeds,
        attention_mask=spliced.attention_mask,
        position_ids=spliced.position_ids,
        use_cache=False,
    ).logits
    return cross_entropy(
        logits[:, :-1].float().flatten(0, 1), spliced.labels[:, 1:].flatten(), ignore_index=IGNORE_INDEX
    )
