"""The Transformer inside BEATs: position convolution, gated relative position bias, deep norm.

Source: BEATs (Chen et al. 2022, arXiv 2212.09058) and its published code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import BeatsEncoderConfig

# What every published BEATs has in common, and the only form built here.
FIXED = {
    "activation_fn": "gelu",
    "deep_norm": True,
    "layer_norm_first": False,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
}


@dataclass(frozen=True)
class BeatsConfig(BeatsEncoderConfig):
    """All of an official `cfg` that is built here, under its names."""

    conv_bias: bool = False
    dropout: float = 0.0
    finetuned_model: bool = False
    predictor_class: int = 527

    @classmethod
    def from_dict(cls, cfg: dict[str, Any]) -> BeatsConfig:
        """From an official `cfg` dict, whose other keys are ignored; raises SalmonnError where `FIXED` is broken."""
        for name, value in FIXED.items():
            if (found := cfg.get(name, value)) != value:
                raise SalmonnError(
                    f"BEATs cfg has {name} = {found!r}; only {value!r}, as published, is built here"
                )
        return super().from_dict({field.name: cfg[field.name] for field in fields(cls) if field.name in cfg})


def relative_buckets(distance: Tensor, num_buckets: int, max_distance: int) -> Tensor:
    """Distance (key index − query index), any shape, int64 → bucket 0 … num_buckets − 1, as in T5.

    Each direction has half of the buckets: near distances one each, far ones share logarithmic ones, and what is
    farther than `max_distance` falls into the last.
    """
    half = num_buckets // 2
    near = half // 2
    far = distance.abs()
    spread = torch.log(far.clamp(min=1).float() / near) / math.log(max_distance / near)
    logarithmic = (near + (spread * (half - near)).long()).clamp(max=half - 1)
    return torch.where(far < near, far, logarithmic) + half * (distance > 0)


class GatedAttention(nn.Module):
    """Self-attention with the gated relative position bias (BEATs 3.1, after WavLM, Chen et al. 2021).

    score(i, j) = q_i · k_j / √d + gate(q_i) · bias(j − i). The gate is a · (b · grep_a − 1) + 2 with a and b, in
    (0, 1), from the query alone and grep_a learned, one a head.
    """

    def __init__(self, config: BeatsConfig, table: nn.Embedding) -> None:
        super().__init__()
        width, heads = config.encoder_embed_dim, config.encoder_attention_heads
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.grep_linear = nn.Linear(width // heads, 8)
        self.grep_a = nn.Parameter(torch.ones(1, heads, 1, 1))
        self.relative_attention_bias = table  # held by every layer, as in the checkpoint; one tensor

    def gate(self, q: Tensor) -> Tensor:
        """q (B, H, T, d), unscaled → (B, H, T, 1)."""
        a, b = self.grep_linear(q).unflatten(-1, (2, 4)).sum(-1).sigmoid().chunk(2, dim=-1)
        return a * (b * self.grep_a - 1) + 2

    def forward(self, x: Tensor, bias: Tensor, padding_mask: Tensor | None) -> Tensor:
        """x (B, T, D), bias (H, T, T), padding_mask (B, T) true where padded → (B, T, D)."""
        projections = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in projections)
        scores = self.gate(q) * bias
        if padding_mask is not None:
            scores = scores.masked_fill(padding_mask[:, None, None, :], float("-inf"))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=scores)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class BeatsLayer(nn.Module):
    """Attention and feed-forward, each in deep norm (Wang et al. 2022), LayerNorm(alpha · x + f(x))."""

    def __init__(self, config: BeatsConfig, table: nn.Embedding) -> None:
        super().__init__()
        width = config.encoder_embed_dim
        self.alpha = (2 * config.encoder_layers) ** 0.25
        self.dropout = nn.Dropout(config.dropout)
        self.self_attn = GatedAttention(config, table)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, config.encoder_ffn_embed_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_embed_dim, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, bias: Tensor, padding_mask: Tensor | None) -> Tensor:
        """x (B, T, D) → (B, T, D)."""
        x = self.self_attn_layer_norm(self.alpha * x + self.dropout(self.self_attn(x, bias, padding_mask)))
        return self.final_layer_norm(self.alpha * x + self.dropout(self.fc2(F.gelu(self.fc1(x)))))


class PositionConv(nn.Module):
    """A wide grouped convolution over time, which tells a token its place among its neighbors.

    Weight norm as published, with one norm a tap: weight = weight_g · weight_v / |weight_v|.
    """

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        width, self.groups, self.taps = config.encoder_embed_dim, config.conv_pos_groups, config.conv_pos
        self.weight_g = nn.Parameter(torch.empty(1, 1, self.taps))
        self.weight_v = nn.Parameter(torch.empty(width, width // self.groups, self.taps))
        self.bias = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, D) → (B, T, D)."""
        weight = self.weight_v * (self.weight_g / self.weight_v.norm(dim=(0, 1), keepdim=True))
        y = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=self.taps // 2, groups=self.groups)
        return F.gelu(y[..., : x.shape[1]]).transpose(1, 2)  # an even number of taps gives one frame too many

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight_v, std=math.sqrt(4 / (self.taps * len(self.bias))))
        self.weight_g.data = self.weight_v.data.norm(dim=(0, 1), keepdim=True)
        nn.init.zeros_(self.bias)


class BeatsEncoder(nn.Module):
    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        self.config = config
        table = nn.Embedding(config.num_buckets, config.encoder_attention_heads)
        self.pos_conv: Any = nn.ModuleList([PositionConv(config)])  # the checkpoint's key is `pos_conv.0`
        self.layers: Any = nn.ModuleList(BeatsLayer(config, table) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(config.encoder_embed_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As published: N(0, 0.02) and zero biases, then deep norm's Xavier weights.

        The gain beta = (8 · layers)^(−1/4) keeps the updates of a deep stack small; queries and keys get 1.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        self.pos_conv[0].reset_parameters()
        beta = (8 * len(self.layers)) ** -0.25
        for layer in self.layers:
            own = layer.self_attn
            for linear in (own.q_proj, own.k_proj, own.v_proj, own.out_proj, layer.fc1, layer.fc2):
                gain = 1 if linear in (own.q_proj, own.k_proj) else beta
                nn.init.xavier_normal_(linear.weight, gain)

    def position_bias(self, T: int) -> Tensor:
        """(H, T, T): the bias of key j for query i. It depends on j − i alone: 2T − 1 numbers a head."""
        table: nn.Embedding = self.layers[0].self_attn.relative_attention_bias
        distance = torch.arange(-(T - 1), T, device=table.weight.device)
        buckets = relative_buckets(distance, self.config.num_buckets, self.config.max_distance)
        starting_at = table(buckets).T.unfold(1, T, 1)  # row s holds the distances s − (T − 1) … s
        return starting_at.flip(1).contiguous()

    def forward(self, x: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """x (B, T, D), padding_mask (B, T) true where padded → (B, T, D).

        Padded tokens are zero before the position convolution and never attended to; their outputs mean nothing.
        """
        if padding_mask is not None:
            x = x.masked_fill(padding_mask[..., None], 0)
        x = self.dropout(self.layer_norm(x + self.pos_conv[0](x)))
        bias = self.position_bias(x.shape[1])
        for layer in self.layers:
            x = layer(x, bias, padding_mask)
        return x
