"""The sizes and the work at which the published code was timed, and what it cannot do: trimmed, cached, in one batch.

The unit "mm" is the time of a 2048³ float32 matrix product on the same thread, so that two machines can be compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from salmonn_mini.models.config import ConnectorConfig, LlmShape, SalmonnConfig, WhisperShape
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import Salmonn
from salmonn_mini.tools.bench.random_model import PROMPT, answer_of, noise, random_model
from salmonn_mini.tools.bench.timing import Times, Work, least, timed

SMALL = SalmonnConfig(
    name="published-small",
    whisper=WhisperShape(
        d_model=512,
        encoder_layers=6,
        encoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_layers=1,
        decoder_attention_heads=8,
        decoder_ffn_dim=2048,
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
# The published code at these sizes, in mm: 4 clips of 10 s, 88 tokens each, some 20 tokens to predict, 32 to write.
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


def make() -> Salmonn:
    """The model to be timed."""
    return random_model(SMALL)


def measure(model: Salmonn, runs: int) -> Times:
    """Everything padded to 30 s, as published; then the same clips trimmed."""
    clips = [noise(SECONDS, seed) for seed in range(CLIPS)]
    four, one = clips[:4], clips[:1]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-5)
    cached, encoded = model.encode(four), model.encode(clips)

    def step(name: str, encode: Callable[[], Features]) -> Work:
        return lambda: _step(name, model, encode, optimizer)

    times = least(
        [
            timed("encode 4 clips", lambda: model.encode(four)),
            timed("encode 1 clip", lambda: model.encode(one)),
            step("step", lambda: model.encode(four)),
            step("step, cached", lambda: cached),
            timed("greedy, 1 clip", lambda: write(model, model.encode(one))),
            timed("beam 4, 1 clip", lambda: write(model, model.encode(one), num_beams=4)),
            timed("greedy, 8 clips", lambda: write(model, model.encode(clips))),
            *_batched(model, encoded, ""),
        ],
        runs,
    )
    model.config = model.config.replace(pad_to_30s=False)
    return times | least(
        [
            timed("encode 4 clips, trimmed", lambda: model.encode(four)),
            timed("encode 1 clip, trimmed", lambda: model.encode(one)),
            step("step, trimmed", lambda: model.encode(four)),
            timed("greedy, 8 clips, trimmed", lambda: write(model, model.encode(clips))),
            *_batched(model, model.encode(clips), ", trimmed"),
        ],
        runs,
    )


def report(times: Times, mm: float) -> dict[str, Any]:
    """Seconds and mm of every row, and how many times as fast as the published code they are."""

    def faster(what: str, published: str, often: int = 1) -> float:
        return round(often * PUBLISHED_MM[published] * mm / times[what], 2)

    work = in_mm(times, mm)
    for what in PUBLISHED_MM.keys() & work.keys():
        work[what] |= {"published_mm": PUBLISHED_MM[what], "times_as_fast": faster(what, what)}
    against = {
        f"{what}, against the published step": faster(what, "step")
        for what in ("step", "step, trimmed", "step, cached")
    } | {
        f"{what}, against the published clip by clip": faster(what, "greedy, 1 clip", CLIPS)
        for what in ("greedy, 8 clips", "greedy, 8 clips, trimmed")
    }
    return {
        "work": work,
        "times_as_fast": against | _of_batches(times, "") | _of_batches(times, ", trimmed"),
        "published_peak_bytes": PUBLISHED_BYTES,
    }


def in_mm(times: Times, mm: float) -> dict[str, dict[str, float]]:
    """Each row in seconds and in mm."""
    return {what: {"seconds": round(spent, 3), "mm": round(spent / mm, 1)} for what, spent in times.items()}


def write(model: Salmonn, features: Features, *, num_beams: int = 1, tokens: int | None = None) -> None:
    """Write NEW_TOKENS tokens for each clip, or so many."""
    tokens = tokens or NEW_TOKENS
    prompts = [PROMPT] * len(features)
    model.generate(features, prompts, max_new_tokens=tokens, min_new_tokens=tokens, num_beams=num_beams)


def _batched(model: Salmonn, encoded: Features, kind: str) -> list[Work]:
    """Answers to all clips in one batch and one by one: all tokens, and the first alone."""
    singles = encoded.clips()
    works = []
    for tokens, which in ((NEW_TOKENS, ""), (1, ", 1 token")):
        together, alone = f"8 clips in a batch{kind}{which}", f"8 clips one by one{kind}{which}"
        works.append(timed(together, lambda tokens=tokens: write(model, encoded, tokens=tokens)))
        works.append(
            timed(alone, lambda tokens=tokens: [write(model, single, tokens=tokens) for single in singles])
        )
    return works


def _of_batches(times: Times, kind: str) -> dict[str, float]:
    together, alone = f"8 clips in a batch{kind}", f"8 clips one by one{kind}"
    first = times[f"{together}, 1 token"], times[f"{alone}, 1 token"]
    return {
        f"{together}, against one by one": round(times[alone] / times[together], 2),
        f"{together}, after the first token": round(
            (times[alone] - first[1]) / (times[together] - first[0]), 2
        ),
    }


def _step(
    name: str, model: Salmonn, encode: Callable[[], Features], optimizer: torch.optim.Optimizer
) -> Times:
    """A training step, its forward pass (encoding included) and its backward pass."""
    model.train()
    start = time.process_time()
    features = encode()
    loss = model(features, [PROMPT] * len(features), [answer_of(ANSWER_TOKENS)] * len(features)).mean
    forward = time.process_time()
    loss.backward()
    backward = time.process_time()
    optimizer.step()
    optimizer.zero_grad()
    end = time.process_time()
    model.eval()
    return {name: end - start, f"{name}: forward": forward - start, f"{name}: backward": backward - forward}
