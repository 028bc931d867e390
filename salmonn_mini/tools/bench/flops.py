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
from accelerate.utils import calculate_maximum_sizes
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from salmonn_mini.models.config import FRAMES_PER_SECOND, HOP, SAMPLE_RATE, SalmonnConfig
from salmonn_mini.models.windows import n_windows, window_frames
from salmonn_mini.tools.doctor.memory import meta_parts, needs

CLIP_SECONDS, TEXT_TOKENS, ANSWER_TOKENS = 10.0, 30, 20  # of a clip in `arithmetic`: sound, prompt, answer
STEPS = {"padded to 30 s": True, "clips of 10 s trimmed": False}
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
    """

    clips: int
    seconds: float
    text_tokens: int
    answer_tokens: int
    pad_to_30s: bool = False
    cached: bool = False
    prompt_logits: bool = False
    eager: bool = False

    @property
    def attention_backward(self) -> float:
        """Forward passes that attention's backward pass costs."""
        return 2 if self.eager else FUSED_BACKWARD


def step_flops(config: SalmonnConfig, work: StepWork) -> dict[str, float]:
    """FLOPs of each part in one step with a window-level Q-Former, and their "total"."""
    encoded = 0 if work.cached else work.clips
    parts = {
        "whisper": encoded * sum(_whisper(config, T) for T in whisper_frames(config, work)),
        "beats": encoded * sum(_beats(config, T) for T in beats_frames(config, work)),
        "connector": work.clips * 3 * _connector(config, _frames(config, work)),
        **_llm(config, work),
    }
    return parts | {"total": sum(parts.values())}


def tokens_of(config: SalmonnConfig, work: StepWork) -> int:
    """Tokens that the LLM reads for each clip: text, sound and answer."""
    connector = config.connector
    stride = connector.stride_seconds and window_frames(connector.stride_seconds)
    windows = n_windows(
        _frames(config, work), window_frames(connector.window_seconds), stride, connector.tail
    )
    return work.text_tokens + windows * connector.num_query_tokens + work.answer_tokens


def arithmetic(config: SalmonnConfig) -> dict[str, Any]:
    """FLOPs of a step for one clip of CLIP_SECONDS, and bytes; beside them those of Adam on all weights."""
    need, steps = needs(config), {}
    for name, padded in STEPS.items():
        work = StepWork(1, CLIP_SECONDS, TEXT_TOKENS, ANSWER_TOKENS, pad_to_30s=padded)
        steps[name] = step_flops(config, work) | {"tokens": tokens_of(config, work)}
    total, _ = calculate_maximum_sizes(nn.ModuleDict(meta_parts(config)))  # in float32
    return {
        "parameters": need.parameters,
        "flops_per_sample": steps,
        "bytes": {"weights": need.weights, "answering": need.answering, "training": need.training},
        "accelerate": {
            "weights in 16 bits": total // 2,
            "Adam on all weights": 4 * total,  # weight, gradient and two moments
        },
    }


def counted(do: Callable[[], Any]) -> int:
    """FLOPs of what `do` does, by torch's own counter, extended by the CPU's fused attention."""
    with FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
        do()
    return counter.get_total_flops()


def whisper_frames(config: SalmonnConfig, work: StepWork) -> list[int]:
    """T of each window of a clip."""
    if config.whisper is None:
        return []
    whole = config.whisper.max_source_positions
    frames = [-(-samples // (2 * HOP)) for samples in _windows(config, work)]
    return [whole if work.pad_to_30s else T for T in frames]


def beats_frames(config: SalmonnConfig, work: StepWork) -> list[int]:
    """Tokens of each window of a clip."""
    if config.beats is None:
        return []
    spectrum = [1 + (samples - WINDOW) // HOP for samples in _windows(config, work)]
    return [config.beats.bands * (F // config.beats.input_patch_size) for F in spectrum]


def _windows(config: SalmonnConfig, work: StepWork) -> list[int]:
    """Samples of each window that the encoders take at once."""
    at_once = round((config.whisper.window_seconds if config.whisper else 30.0) * SAMPLE_RATE)
    whole, rest = divmod(round(work.seconds * SAMPLE_RATE), at_once)
    return [at_once] * whole + [rest] * bool(rest)


def _frames(config: SalmonnConfig, work: StepWork) -> int:
    """T of Z: the longer stream, whose windows but the last are filled up."""
    streams = [whisper_frames(config, work), beats_frames(config, work)]
    window = round(FRAMES_PER_SECOND * (config.whisper.window_seconds if config.whisper else 30.0))
    return max(window * (len(stream) - 1) + stream[-1] for stream in streams if stream)


def _whisper(config: SalmonnConfig, T: int) -> float:
    shape = config.whisper
    d, kernel = shape.d_model, 3
    convolutions = 2 * (2 * T) * d * shape.num_mel_bins * kernel + 2 * T * d * d * kernel
    matrices = 4 * d * d + 2 * d * shape.encoder_ffn_dim
    return convolutions + shape.encoder_layers * (2 * T * matrices + _attention(T, T, d))


def _beats(config: SalmonnConfig, T: int) -> float:
    shape = config.beats
    d, patch = shape.encoder_embed_dim, shape.input_patch_size
    patches = 2 * T * shape.embed_dim * patch**2 + 2 * T * shape.embed_dim * d * (shape.embed_dim != d)
    positions = 2 * (T + 1 - shape.conv_pos % 2) * d * (d // shape.conv_pos_groups) * shape.conv_pos
    gate = d * 8  # eight numbers a head
    matrices = 4 * d * d + 2 * d * shape.encoder_ffn_embed_dim + gate
    return patches + positions + shape.encoder_layers * (2 * T * matrices + _attention(T, T, d))


def _connector(config: SalmonnConfig, T: int) -> float:
    shape, D = config.connector, config.feature_width
    d, N, L = shape.hidden_size, shape.num_query_tokens, window_frames(shape.window_seconds)
    keys_and_values = 2 * (2 * L * D * d) + _attention(N, L, d)
    own = 2 * N * 4 * d * d + _attention(N, N, d)
    layer = own + 2 * N * 2 * d * d + keys_and_values + 2 * N * 2 * d * shape.intermediate_size
    window = shape.num_hidden_layers * layer + 2 * N * d * config.llm.hidden_size
    stride = shape.stride_seconds and window_frames(shape.stride_seconds)
    return n_windows(T, L, stride, shape.tail) * window


def _llm(config: SalmonnConfig, work: StepWork) -> dict[str, float]:
    shape, S, B = config.llm, tokens_of(config, work), work.clips
    d = shape.hidden_size
    width = {"q_proj": d, "o_proj": d}
    width |= dict.fromkeys(("k_proj", "v_proj"), d // shape.num_attention_heads * shape.num_key_value_heads)
    matrices = d * sum(width.values()) + 3 * d * shape.intermediate_size
    low_rank = sum(config.lora.r * (d + width[name]) for name in config.lora.target_modules if name in width)
    attention = (1 + work.attention_backward) * _attention(S, S, d)
    asked = S if work.prompt_logits else work.answer_tokens
    vocabulary = shape.sizes()["vocab_size"]
    return {
        "llm": B * shape.num_hidden_layers * (2 * S * (2 * matrices + 3 * low_rank) + attention),
        "logits": B * 2 * 2 * asked * d * vocabulary,
    }


def _attention(queries: int, keys: int, width: int) -> float:
    """Scores and their sums of values, all heads together."""
    return 2 * 2 * queries * keys * width


def _cpu_attention(q: torch.Size, k: torch.Size, *_: Any, **__: Any) -> float:
    B, heads, queries, width = q
    return B * _attention(queries, k[2], heads * width)


def _cpu_attention_backward(grad: torch.Size, q: torch.Size, k: torch.Size, *_: Any, **__: Any) -> float:
    return FUSED_BACKWARD * _cpu_attention(q, k)


_CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _cpu_attention_backward,
}
