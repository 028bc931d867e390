"""Recordings of 1, 2, 4 and 8 minutes: time must grow with the length, not with its square.

The published window of 30 s and 88 tokens in it, with narrow parts, so that the whole takes a minute or so.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from salmonn_mini.models.config import BeatsShape, ConnectorConfig, LlmShape, SalmonnConfig, WhisperShape
from salmonn_mini.models.salmonn import Salmonn
from salmonn_mini.tools.bench.published import in_mm, write
from salmonn_mini.tools.bench.random_model import noise, random_model
from salmonn_mini.tools.bench.timing import Times, least, timed

NARROW = SalmonnConfig(
    name="long-audio",
    whisper=WhisperShape(
        d_model=256,
        encoder_layers=2,
        encoder_attention_heads=4,
        encoder_ffn_dim=1024,
        decoder_layers=1,
        decoder_attention_heads=4,
        decoder_ffn_dim=1024,
    ),
    beats=BeatsShape(
        encoder_layers=2,
        encoder_embed_dim=256,
        encoder_ffn_embed_dim=1024,
        encoder_attention_heads=4,
        embed_dim=128,
    ),
    llm=LlmShape(
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
    ),
    connector=ConnectorConfig(hidden_size=256, num_attention_heads=4, intermediate_size=1024, tail="drop"),
)
MINUTES = (1, 2, 4, 8)


def make() -> Salmonn:
    """The model to be timed."""
    return random_model(NARROW)


def measure(model: Salmonn, runs: int) -> Times:
    """Encoding and an answer for each length."""
    clips = {f"{minutes} min": noise(60 * minutes, seed=0) for minutes in MINUTES}
    write(model, model.encode([clips[f"{MINUTES[0]} min"]]))  # what only the first call costs
    return least(
        [timed(name, lambda clip=clip: write(model, model.encode([clip]))) for name, clip in clips.items()],
        runs,
    )


def report(times: Times, mm: float) -> dict[str, Any]:
    """Seconds, mm, and the growth at each doubling."""
    growth = {f"{a} to {b}": round(times[b] / times[a], 2) for a, b in pairwise(times)}
    return {"work": in_mm(times, mm), "growth": growth}
