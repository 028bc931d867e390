"""Encoding, training and answering at the sizes at which the published code was timed, and on minutes of audio.

The unit "mm" is the time of a 2048³ float32 matrix product on the same thread, so that two machines can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from salmonn_mini.models.config import BeatsShape, ConnectorConfig, LlmShape, SalmonnConfig, WhisperShape
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.tools.bench.random_model import PROMPT, answer_of, noise, random_model
from salmonn_mini.tools.bench.timing import (
    Times,
    Work,
    calibrate,
    fastest,
    now,
    one_thread,
    peak_bytes,
    timed,
)


def _config(
    name: str, width: int, ffn: int, heads: int, layers: int, llm_layers: int, **parts: Any
) -> SalmonnConfig:
    """Published sizes but for Whisper's and the LLM's width, heads and layers."""
    whisper = WhisperShape(
        d_model=width, encoder_layers=layers, encoder_attention_heads=heads, encoder_ffn_dim=ffn,
        decoder_layers=1, decoder_attention_heads=heads, decoder_ffn_dim=ffn,
    )  # fmt: skip
    llm = LlmShape(
        hidden_size=width, intermediate_size=43 * width // 16, num_hidden_layers=llm_layers,
        num_attention_heads=heads, num_key_value_heads=heads,
    )  # fmt: skip
    return SalmonnConfig(name=name, whisper=whisper, llm=llm, **parts)


SMALL = _config("published-small", 512, 2048, 8, 6, 8, connector=ConnectorConfig(tail="drop"))
NARROW = _config(
    "long-audio", 256, 1024, 4, 2, 2,
    beats=BeatsShape(
        encoder_layers=2, encoder_embed_dim=256, encoder_ffn_embed_dim=1024, encoder_attention_heads=4, embed_dim=128
    ),
    connector=ConnectorConfig(hidden_size=256, num_attention_heads=4, intermediate_size=1024, tail="drop"),
)  # fmt: skip
# The published code at SMALL, in mm: 4 clips of 10 s, 88 tokens each, some 20 tokens to predict, 32 to write.
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
ANSWER_TOKENS = 20
MINUTES = (1, 2, 4, 8)


def bench(name: str, *, runs: int = 3) -> dict[str, Any]:
    """The measurements of published-small or long-audio, ready for JSON; each piece of work is timed `runs` times."""
    config, measure, summary = WORKLOADS[name]
    with one_thread():
        before = calibrate()
        model = random_model(config())
        times = measure(model, runs)
        mm = min(before, calibrate())
    return {
        "config": name,
        "torch": torch.__version__,
        "threads": 1,
        "dtype": "float32",
        "calibration": {"seconds": round(mm, 4), "gflops": round(2 * 2048**3 / mm / 1e9, 1)},
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "work": {row: {"seconds": round(t, 3), "mm": round(t / mm, 1)} for row, t in times.items()},
        **summary(times, mm),
        "peak_bytes": peak_bytes(),
    }


def measure_published(model: SalmonnModel, runs: int) -> Times:
    """Everything padded to 30 s, as published; then the same clips trimmed."""
    clips = [noise(SECONDS, seed) for seed in range(CLIPS)]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-5)
    times: Times = {}
    for kind, padded in (("", True), (", trimmed", False)):
        model.config = model.config.replace(pad_to_30s=padded)
        times |= fastest(_works(model, clips, optimizer, kind), runs)
    return times


def _works(
    model: SalmonnModel, clips: list[torch.Tensor], optimizer: torch.optim.Optimizer, kind: str
) -> list[Work]:
    four, one = clips[:4], clips[:1]
    cached = model.encode(four)
    return [
        timed(f"encode 4 clips{kind}", lambda: model.encode(four)),
        timed(f"encode 1 clip{kind}", lambda: model.encode(one)),
        lambda: _step(f"step{kind}", model, lambda: model.encode(four), optimizer),
        lambda: _step(f"step, cached{kind}", model, lambda: cached, optimizer),
        timed(f"greedy, 1 clip{kind}", lambda: write(model, model.encode(one))),
        timed(f"beam 4, 1 clip{kind}", lambda: write(model, model.encode(one), num_beams=4)),
        timed(f"greedy, 8 clips{kind}", lambda: write(model, model.encode(clips))),
    ]


def compare_published(times: Times, mm: float) -> dict[str, Any]:
    """How many times as fast as the published code each row is; 8 clips against 8 single ones."""
    often = {"step, cached": ("step", 1), "greedy, 8 clips": ("greedy, 1 clip", CLIPS)}
    rows = {
        row: often.get(row.removesuffix(", trimmed"), (row.removesuffix(", trimmed"), 1)) for row in times
    }
    faster = {
        row: round(count * PUBLISHED_MM[published] * mm / times[row], 2)
        for row, (published, count) in rows.items()
        if published in PUBLISHED_MM
    }
    return {"published_mm": PUBLISHED_MM, "times_as_fast": faster, "published_peak_bytes": PUBLISHED_BYTES}


def measure_long(model: SalmonnModel, runs: int) -> Times:
    """Encoding and an answer for each length."""
    clips = {f"{minutes} min": noise(60 * minutes, seed=0) for minutes in MINUTES}
    write(model, model.encode([clips[f"{MINUTES[0]} min"]]))  # what only the first call costs
    return fastest(
        [timed(name, lambda clip=clip: write(model, model.encode([clip]))) for name, clip in clips.items()],
        runs,
    )


def growth(times: Times, mm: float) -> dict[str, Any]:
    """How much longer each doubling takes: 2 where time grows with the length, 4 with its square."""
    return {"growth": {f"{a} to {b}": round(times[b] / times[a], 2) for a, b in pairwise(times)}}


WORKLOADS = {
    "published-small": (lambda: SMALL, measure_published, compare_published),
    "long-audio": (lambda: NARROW, measure_long, growth),
}


def write(model: SalmonnModel, features: Features, *, num_beams: int = 1) -> None:
    """Write NEW_TOKENS tokens for each clip."""
    prompts = [PROMPT] * len(features)
    model.generate(
        features, prompts, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, num_beams=num_beams
    )


def _step(
    name: str, model: SalmonnModel, encode: Callable[[], Features], optimizer: torch.optim.Optimizer
) -> Times:
    """A training step, its forward pass (encoding included) and its backward pass."""
    model.train()
    start = now()
    features = encode()
    loss = model(features, [PROMPT] * len(features), [answer_of(ANSWER_TOKENS)] * len(features)).mean
    forward = now()
    loss.backward()
    backward = now()
    optimizer.step()
    optimizer.zero_grad()
    end = now()
    model.eval()
    return {name: end - start, f"{name}: forward": forward - start, f"{name}: backward": backward - forward}
