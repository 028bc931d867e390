"""Published-small and long-audio: their sizes, their work, and what follows from the times.

Published-small is the work that the published code was timed at, and what that cannot do: clips that are trimmed,
cached, in one batch. The unit "mm" is the time of a 2048³ float32 matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch

from salmonn_mini.models.config import ConnectorConfig, LlmShape, SalmonnConfig, WhisperShape, preset
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.tools.bench.ablations import Ablation, Step
from salmonn_mini.tools.bench.random_model import PROMPT, noise, random_model
from salmonn_mini.tools.bench.timing import Times, Work, calibrate, fastest, one_thread, peak_bytes

SMALL = SalmonnConfig(
    name="published-small",
    whisper=WhisperShape(
        d_model=512,
        encoder_layers=6,
        encoder_attention_heads=8,
        encoder_ffn_dim=2048,
    ),
    llm=LlmShape(
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
    ),
    connector=ConnectorConfig(tail="drop"),
)
TOY = preset("toy")
NARROW = TOY.replace(  # in the published windows: 30 s, 88 tokens
    name="long-audio",
    whisper=TOY.whisper.replace(max_source_positions=1500),
    llm=TOY.llm.replace(max_position_embeddings=2048, attention="sdpa"),
    connector=TOY.connector.replace(window_seconds=ConnectorConfig.window_seconds, tail="drop"),
    pad_to_30s=True,
)
# The published code at the sizes of SMALL, in mm: 4 clips of 10 s, 88 tokens each, some 20 tokens to predict, 32 to
# write.
PUBLISHED_MM = {
    "step": 113,
    "step: forward": 100,
    "step: backward": 13,
    "encode 4 clips": 84,
    "encode 1 clip": 20,
    "greedy, 1 clip": 25,
    "beam 4, 1 clip": 32,
}
PUBLISHED_BYTES = 2.8e9
SECONDS = 10  # of a clip
CLIPS = 8  # in a batch
NEW_TOKENS = 32
MINUTES = (1, 2, 4, 8)


def bench(name: str, *, runs: int = 3) -> dict[str, Any]:
    """The measurements of published-small or long-audio, ready for JSON; each piece of work is timed `runs` times."""
    small = name == "published-small"
    times: Times = {}
    with one_thread():
        before = calibrate()
        model = random_model(SMALL if small else NARROW)
        for works in published(model) if small else long_audio(model):
            times |= fastest(works, runs)
        mm = min(before, calibrate())
    conclusions = against_published(times, mm) if small else growth(times)
    return {
        "config": name,
        "torch": torch.__version__,
        "threads": 1,
        "dtype": "float32",
        "calibration": {"seconds": round(mm, 4), "gflops": round(2 * 2048**3 / mm / 1e9, 1)},
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "work": {row: {"seconds": round(t, 3), "mm": round(t / mm, 1)} for row, t in times.items()},
        **conclusions,
        "peak_bytes": peak_bytes(),
    }


def published(model: SalmonnModel) -> Iterator[dict[str, Work]]:
    """Everything padded to 30 s, as published; then the same clips trimmed."""
    clips = [noise(SECONDS, seed) for seed in range(CLIPS)]
    four, one, usual = clips[:4], clips[:1], Ablation()
    step = Step(model, len(four), SECONDS)
    for kind, padded in (("", True), (", trimmed", False)):
        model.config = model.config.replace(pad_to_30s=padded)
        cached = model.encode(four)
        works: dict[str, Work] = {
            "encode 4 clips": lambda: model.encode(four),
            "encode 1 clip": lambda: model.encode(one),
            "step": lambda: step.train(usual),
            "step, cached": lambda cached=cached: step.train(usual, cached),
            "greedy, 1 clip": lambda: write(model, model.encode(one)),
            "beam 4, 1 clip": lambda: write(model, model.encode(one), num_beams=4),
            "greedy, 8 clips": lambda: write(model, model.encode(clips)),
        }
        yield {f"{row}{kind}": work for row, work in works.items()}


def against_published(times: Times, mm: float) -> dict[str, Any]:
    """How many times as fast as the published code each row is; 8 clips against 8 single ones."""
    rivals = {"step, cached": ("step", 1), "greedy, 8 clips": ("greedy, 1 clip", CLIPS)}
    faster = {}
    for row, spent in times.items():
        work = row.removesuffix(", trimmed")
        rival, count = rivals.get(work, (work, 1))
        if rival in PUBLISHED_MM:
            faster[row] = round(count * PUBLISHED_MM[rival] * mm / spent, 2)
    return {"published_mm": PUBLISHED_MM, "times_as_fast": faster, "published_peak_bytes": PUBLISHED_BYTES}


def long_audio(model: SalmonnModel) -> Iterator[dict[str, Work]]:
    """Encoding and an answer for each length."""
    clips = {f"{minutes} min": noise(60 * minutes, seed=0) for minutes in MINUTES}
    write(model, model.encode([clips[f"{MINUTES[0]} min"]]))  # what only the first call costs
    yield {name: lambda clip=clip: write(model, model.encode([clip])) for name, clip in clips.items()}


def growth(times: Times) -> dict[str, Any]:
    """How much longer each doubling takes: 2 where time grows with the length, 4 with its square."""
    return {"growth": {f"{a} to {b}": round(times[b] / times[a], 2) for a, b in pairwise(times)}}


def write(model: SalmonnModel, features: Features, *, num_beams: int = 1) -> None:
    """Write NEW_TOKENS tokens for each clip."""
    model.eval()
    exactly = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS}
    model.generate(features, [PROMPT] * len(features), num_beams=num_beams, **exactly)
