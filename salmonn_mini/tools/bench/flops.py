"""Floating-point operations of a training step, by arithmetic; `counted` lets torch count them as they are done.

A product of (n, k) and (k, m) takes 2·n·k·m. Attention counts in full, though a causal one needs half of it, as is
usual. The backward pass costs

    frozen encoders      nothing
    frozen LLM           one forward pass: the gradient passes through it, its weights have none
    connector and LoRA   two, for gradient and weights
    fused attention      two and a half, as the scores are computed anew
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from salmonn_mini.models.config import CONV_STRIDE, HOP, SAMPLE_RATE, SalmonnConfig
from salmonn_mini.models.windows import n_windows, window_frames

FRAME = HOP * CONV_STRIDE  # samples of a frame of Z
WINDOW = SAMPLE_RATE // 40  # samples that a frame of a spectrogram looks at
FUSED_BACKWARD = 2.5


@dataclass(frozen=True)
class StepWork:
    """A training step on equal clips.

    Attributes:
        text_tokens: before and after the audio tokens, the start symbol included.
        answer_tokens: the end symbol included.
        cached: the clips were encoded before.
        prompt_logits: of every token, not of the answer's alone.
        eager: attention is not fused.
    """

    clips: int = 1
    seconds: float = 10.0
    text_tokens: int = 30
    answer_tokens: int = 20
    pad_to_window: bool = False
    cached: bool = False
    prompt_logits: bool = False
    eager: bool = False


def step_flops(config: SalmonnConfig, work: StepWork) -> dict[str, float]:
    """FLOPs of each part in one step with a window-level Q-Former, and their "total"."""
    whisper, beats, T = _lengths(config, work)
    encoded = 0 if work.cached else work.clips
    parts = {
        "whisper": encoded * sum(_whisper(config, frames) for frames in whisper),
        "beats": encoded * sum(_beats(config, tokens) for tokens in beats),
        "connector": work.clips * 3 * _connector(config, T),
        **_llm(config, work),
    }
    return parts | {"total": sum(parts.values())}


def tokens_of(config: SalmonnConfig, work: StepWork) -> int:
    """Tokens that the LLM reads for each clip: text, audio and answer."""
    windows = _windows(config, _lengths(config, work)[2])
    return work.text_tokens + windows * config.connector.num_query_tokens + work.answer_tokens


def counted(do: Callable[[], Any]) -> int:
    """FLOPs of what `do` does, by torch's own counter; the CPU's fused attention, which it lacks, is added."""
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    known = {fused: _fused, backward: lambda grad, *qkv, **_: FUSED_BACKWARD * _fused(*qkv)}
    with FlopCounterMode(display=False, custom_mapping=known) as counter:
        do()
    return counter.get_total_flops()


def _lengths(config: SalmonnConfig, work: StepWork) -> tuple[list[int], list[int], int]:
    """Whisper's frames and BEATs' tokens in each window of a clip, and T of Z, whose windows but the last are full."""
    window = round((config.whisper.window_seconds if config.whisper else 30.0) * SAMPLE_RATE)
    full, rest = divmod(round(work.seconds * SAMPLE_RATE), window)
    samples = [window] * full + [rest] * bool(rest)
    whisper, beats = [], []
    if config.whisper:
        whisper = [-(-(window if work.pad_to_window else n) // FRAME) for n in samples]
    if shape := config.beats:
        beats = [shape.bands * ((1 + (n - WINDOW) // HOP) // shape.input_patch_size) for n in samples]
    return whisper, beats, (len(samples) - 1) * window // FRAME + max(whisper[-1:] + beats[-1:])


def _windows(config: SalmonnConfig, T: int) -> int:
    shape = config.connector
    stride = shape.stride_seconds and window_frames(shape.stride_seconds)
    return n_windows(T, window_frames(shape.window_seconds), stride, shape.tail)


def _whisper(config: SalmonnConfig, T: int) -> float:
    shape = config.whisper
    d, kernel = shape.d_model, 3
    convolutions = 2 * (2 * T) * d * shape.num_mel_bins * kernel + 2 * T * d * d * kernel
    return convolutions + shape.encoder_layers * _layer(T, d, shape.encoder_ffn_dim)


def _beats(config: SalmonnConfig, T: int) -> float:
    shape = config.beats
    d, patch = shape.encoder_embed_dim, shape.input_patch_size
    patches = 2 * T * shape.embed_dim * patch**2 + 2 * T * shape.embed_dim * d * (shape.embed_dim != d)
    positions = 2 * (T + 1 - shape.conv_pos % 2) * d * (d // shape.conv_pos_groups) * shape.conv_pos
    gate = 2 * T * d * 8  # eight numbers a head
    return patches + positions + shape.encoder_layers * (_layer(T, d, shape.encoder_ffn_embed_dim) + gate)


def _layer(T: int, d: int, ffn: int) -> float:
    """A Transformer layer on T places of width d."""
    return 2 * T * (4 * d * d + 2 * d * ffn) + _attention(T, T, d)


def _connector(config: SalmonnConfig, T: int) -> float:
    shape, D = config.connector, config.feature_width
    d, N, L = shape.hidden_size, shape.num_query_tokens, window_frames(shape.window_seconds)
    cross_attention = 2 * (2 * N * d * d) + 2 * (2 * L * D * d) + _attention(N, L, d)
    layers = shape.num_hidden_layers * (_layer(N, d, shape.intermediate_size) + cross_attention)
    return _windows(config, T) * (layers + 2 * N * d * config.llm.hidden_size)


def _llm(config: SalmonnConfig, work: StepWork) -> dict[str, float]:
    shape, S, B = config.llm, tokens_of(config, work), work.clips
    d = shape.hidden_size
    keys = d // shape.num_attention_heads * shape.num_key_value_heads
    width = {"q_proj": d, "o_proj": d, "k_proj": keys, "v_proj": keys}
    matrices = d * sum(width.values()) + 3 * d * shape.intermediate_size
    lora = sum(config.lora.r * (d + width[name]) for name in config.lora.target_modules if name in width)
    attention = (1 + (2 if work.eager else FUSED_BACKWARD)) * _attention(S, S, d)
    rows = S if work.prompt_logits else work.answer_tokens
    return {
        "llm": B * shape.num_hidden_layers * (2 * S * (2 * matrices + 3 * lora) + attention),
        "logits": B * 2 * 2 * rows * d * shape.sizes()["vocab_size"],
    }


def _attention(queries: int, keys: int, width: int) -> float:
    """Scores and their sums of values, all heads together."""
    return 2 * 2 * queries * keys * width


def _fused(q: torch.Size, k: torch.Size, *_: Any, **__: Any) -> float:
    """Attention over q (B, heads, N, D) and k (B, heads, L, D)."""
    return q[0] * _attention(q[2], k[2], q[1] * q[3])
