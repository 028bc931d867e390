"""All of BEATs: fbank in, features out, under the published checkpoint's own keys.

    fbank (F, 128) ─ 16×16 patches ─ LayerNorm ─ Linear ─ encoder ─ features (T, D)

A patch spans 16 frames (160 ms) by 16 mel bins: 6.25 moments a second of 8 tokens each, "50 Hz". Token 8t + f is
frequency band f, low to high, of moment t.

Source: BEATs (Chen et al. 2022, arXiv 2212.09058) and its published code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from salmonn_mini.audio import WINDOW, fbank
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import HOP
from salmonn_mini.models.encoders.beats.encoder import BeatsConfig, BeatsEncoder
from salmonn_mini.models.features import encode_in_windows, length_mask
from salmonn_mini.models.state import check_fit, load_pickle

if TYPE_CHECKING:
    from typing import Self

SHARED_TABLE = "self_attn.relative_attention_bias.weight"


class Beats(nn.Module):
    """BEATs with the official checkpoint's keys. D = encoder_embed_dim.

    Its weights stay in float32 whatever type a model is cast to: float16 overflows (unilm issues 1569 and 1672).
    """

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        self.config = config
        patch, width = config.input_patch_size, config.encoder_embed_dim
        self.patch_embedding = nn.Conv2d(1, config.embed_dim, patch, stride=patch, bias=config.conv_bias)
        self.layer_norm = nn.LayerNorm(config.embed_dim)
        self.post_extract_proj = nn.Linear(config.embed_dim, width) if config.embed_dim != width else None
        self.encoder = BeatsEncoder(config)
        if config.finetuned_model:
            self.predictor = nn.Linear(width, config.predictor_class)

    def class_logits(self, features: Tensor, padding_mask: Tensor) -> Tensor:
        """Fine-tuned head: features (B, T, D), padding_mask (B, T) → logits (B, C), the mean over the other tokens."""
        valid = ~padding_mask[..., None]
        return (self.predictor(features) * valid).sum(1) / valid.sum(1)

    def forward(self, waves: Sequence[Tensor], *, window_seconds: float = 30.0) -> tuple[Tensor, Tensor]:
        """Clips of any length → features (B, T, D), zero beyond a clip's length, and lengths (B,).

        waves: tensors (S,) at 16 kHz, see `encode_in_windows`. What is shorter than one patch (2,800 samples,
        0.175 s) is padded with zeros to one patch: 8 tokens.

        Raises:
            SalmonnError: no clips, a clip without samples, or features that are not finite.
        """
        one_patch = WINDOW + (self.config.input_patch_size - 1) * HOP

        def encode(windows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
            return self.encode_fbanks([fbank(F.pad(x, (0, max(0, one_patch - len(x))))) for x in windows])

        return encode_in_windows(waves, window_seconds, encode)

    def encode_fbanks(self, fbanks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """fbanks of (F, 128), F at least 16 → features (B, T, D), zero where padded, and lengths (B,)."""
        device = self.patch_embedding.weight.device
        frames = torch.tensor([len(fbank) for fbank in fbanks], device=device)
        lengths = self.config.bands * (frames // self.config.input_patch_size)
        tokens = self.embed(pad_sequence([fbank.to(device) for fbank in fbanks], batch_first=True))
        padding_mask = ~length_mask(lengths, tokens.shape[1])
        features = self.encoder(tokens, padding_mask if padding_mask.any() else None)
        if not features.isfinite().all():
            remedy = "check that its input and its weights are, and leave float16 autocast off"
            raise SalmonnError(f"BEATs' features are not finite, in {features.dtype}: {remedy}")
        return features.masked_fill(padding_mask[..., None], 0), lengths

    def embed(self, fbank: Tensor) -> Tensor:
        """fbank (B, F, 128), F at least 16 → tokens (B, T, D): patches by time, at one time from low to high."""
        patches = self.patch_embedding(fbank.to(self.patch_embedding.weight.dtype)[:, None])
        tokens = self.layer_norm(patches.flatten(2).transpose(1, 2))
        return tokens if self.post_extract_proj is None else self.post_extract_proj(tokens)

    def load_weights(self, state: dict[str, Tensor], source: str = "the state dict") -> None:
        """Load official keys; the shared table may stand in every layer, as published, or in layer 0 alone.

        Raises:
            SalmonnError: naming every missing, unexpected and wrongly shaped key.
        """
        own = self.state_dict()
        table = state.get(f"encoder.layers.0.{SHARED_TABLE}")
        if table is not None:
            state = {key: table for key in own if key.endswith(SHARED_TABLE)} | state
        check_fit(own, state, source, "its cfg and its weights must belong together")
        self.load_state_dict(state)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """As of nn.Module, behind `to` and `half`; a move to float16 or bfloat16 leaves the weights in float32."""

        def keep_type(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return tensor.to(moved.device) if moved.dtype in (torch.float16, torch.bfloat16) else moved

        return super()._apply(keep_type, recurse)


def load_beats_checkpoint(path: str | os.PathLike[str]) -> Beats:
    """Read an official checkpoint `{'cfg', 'model'}` → Beats in float32, eval mode; no code of the file runs.

    Raises:
        SalmonnError: for a file that is missing or no such checkpoint, or weights that do not fit its cfg.
    """
    rule = "a BEATs checkpoint is a file {'cfg', 'model'} as published by its authors"
    checkpoint = load_pickle(path, rule)
    if not all(isinstance(checkpoint.get(part), dict) for part in ("cfg", "model")):
        raise SalmonnError(f"{path} holds {sorted(map(str, checkpoint))}; {rule}")
    beats = Beats(BeatsConfig.from_dict(checkpoint["cfg"]))
    beats.load_weights(checkpoint["model"], str(path))
    return beats.eval()
