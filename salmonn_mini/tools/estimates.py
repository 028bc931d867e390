"""Memory and FLOPs of a configuration, by arithmetic over a model that takes no memory (the meta device).

answering   weights + keys and values of 4 beams + the encoders' attention scores
training    weights + 16 bytes a trained parameter + what the LLM's layers keep for the backward pass
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from accelerate.utils import calculate_maximum_sizes

from salmonn_mini.models.config import FRAMES_PER_SECOND, SalmonnConfig
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.tools.bench.flops import StepWork, step_flops
from salmonn_mini.tools.bench.random_model import random_model

SMALL = 100e6  # parameters that a CPU can train; such models train in float32
BEAMS, NEW_TOKENS = 4, 200
TEXT_TOKENS = 100  # of instruction and answer together in training
LIBRARIES = 0.6e9  # bytes that Python with torch and transformers takes
ADAM = 16  # bytes a trained parameter: weight, gradient, two moments, in float32
LAYER = 34  # numbers of 16 bits that a layer keeps for each token and width (Korthikanti et al. 2022)
STEPS = {"padded to 30 s": StepWork(pad_to_window=True), "clips of 10 s trimmed": StepWork()}


@dataclass(frozen=True)
class Needs:
    """What a configuration takes: parameters of each part, and bytes of its weights, to answer and to train."""

    parameters: dict[str, int]
    dtype: torch.dtype
    weights: float
    answering: float
    training: float
    batch: int


@cache
def meta_model(config: SalmonnConfig) -> SalmonnModel:
    """The model of a configuration, without memory."""
    return random_model(config, device=torch.device("meta"))


@cache
def needs(config: SalmonnConfig, dtype: torch.dtype | None = None, bits: int | None = None) -> Needs:
    """The arithmetic; accurate to a tenth or so at full scale, generous for the toy.

    `dtype` is Whisper's and the LLM's, None: as the preset is trained; `bits` are the LLM's.
    """
    model = meta_model(config)
    parameters = dict.fromkeys(("whisper", "beats", "llm", "trained"), 0)
    for name, parameter in model.named_parameters():
        parameters["trained" if parameter.requires_grad else name.split(".")[0]] += parameter.numel()
    trained, small = parameters["trained"], sum(parameters.values()) < SMALL
    dtype = dtype or (torch.float32 if small else torch.bfloat16)
    batch, width = 32 if small else 1, dtype.itemsize

    seconds = 5.0 if small else 30.0  # of a clip
    frames = seconds * FRAMES_PER_SECOND
    tokens = seconds / config.connector.window_seconds * config.connector.num_query_tokens
    llm = parameters["llm"] * (bits / 8 if bits else width)
    frozen = width * parameters["whisper"] + llm + 4 * parameters["beats"]  # BEATs stays in float32
    heads = max(part.encoder_attention_heads for part in (config.whisper, config.beats) if part)
    scores = 3 * 4 * heads * frames**2  # of attention, BEATs' bias, their sum
    shape = config.llm
    pair = 2 * shape.num_key_value_heads * (shape.hidden_size // shape.num_attention_heads)
    cache = BEAMS * (tokens + NEW_TOKENS) * shape.num_hidden_layers * pair * width
    kept = batch * (tokens + TEXT_TOKENS) * shape.num_hidden_layers * shape.hidden_size * LAYER / 2 * width
    return Needs(
        parameters,
        dtype,
        weights=frozen + 4 * trained,
        answering=LIBRARIES + frozen + 4 * trained + scores + cache,
        training=LIBRARIES + frozen + ADAM * trained + batch * scores + kept,
        batch=batch,
    )


def arithmetic(config: SalmonnConfig) -> dict[str, Any]:
    """FLOPs of a step for one clip of 10 s, and bytes; beside them what `accelerate estimate-memory` reckons."""
    need, (total, _) = needs(config), calculate_maximum_sizes(meta_model(config))
    return {
        "flops_per_sample": {name: step_flops(config, work) for name, work in STEPS.items()},
        "bytes": {"weights": need.weights, "answering": need.answering, "training": need.training},
        # Adam keeps weight, gradient and two moments.
        "accelerate": {"weights in 16 bits": total // 2, "Adam on all weights": 4 * total},
    }
