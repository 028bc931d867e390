"""(Q, Z_l) → H_l: the Q-Former, N trainable queries that look at the frames of a window (paper, section 3.1).

A BERT with cross-attention in every layer, under BERT's own keys, as published checkpoints have them:

    x = LayerNorm(Q)                              embeddings
    x = LayerNorm(x + Attention(x, x))            layer.N.attention
    x = LayerNorm(x + Attention(x, Z))            layer.N.crossattention, queries only
    x = LayerNorm(x + W_2 gelu(W_1 x))            layer.N.intermediate_query, output_query
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import ConnectorConfig
from salmonn_mini.models.features import LayerNorm

MASKS = ("bidirectional", "unimodal", "multimodal_causal")
MAX_POSITIONS = 512
INIT_STD = 0.02  # of BERT, and of the published query tokens


class QFormerOutput(NamedTuple):
    hidden: Tensor  # (B, N + S, d): N queries, then S text tokens
    self_attention: tuple[Tensor, ...] = ()  # on request (B, heads, N + S, N + S) for each layer
    cross_attention: tuple[Tensor, ...] = ()  # (B, heads, N, T)


def blip2_mask(kind: str, n_queries: int, text_mask: Tensor) -> Tensor:
    """Who may look at whom in self-attention: (B, N+S, N+S), True where the row's token sees the column's.

                       bidirectional     unimodal      multimodal_causal
                         Q    text       Q    text        Q    text
        queries Q        all  all        all  –           all  –
        text             all  all        –    all         all  earlier

    text_mask (B, S) is True at real tokens; padding is seen by nobody. Raises SalmonnError at an unknown kind.
    Source: BLIP-2 (arXiv 2301.12597), figure 2.
    """
    if kind not in MASKS:
        raise SalmonnError(f"mask is {kind!r}, but it must be one of {', '.join(MASKS)}: choose one")
    B, S = text_mask.shape
    total = n_queries + S
    is_text = torch.arange(total, device=text_mask.device) >= n_queries
    sees = torch.ones(total, total, dtype=torch.bool, device=text_mask.device)
    if kind == "unimodal":
        sees = is_text[:, None] == is_text
    elif kind == "multimodal_causal":
        sees = sees.tril() | ~is_text
    real = torch.cat([text_mask.new_ones(B, n_queries, dtype=torch.bool), text_mask.bool()], dim=1)
    return sees & real[:, None]


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention of x (B, N, d) on a context (B, T, c), BERT's `self`."""

    def __init__(self, config: ConnectorConfig, context_width: int) -> None:
        super().__init__()
        width, self.heads, self.dropout = config.hidden_size, config.num_attention_heads, config.dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(context_width, width)
        self.value = nn.Linear(context_width, width)

    def forward(
        self, x: Tensor, context: Tensor, mask: Tensor | None = None, return_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Result (B, N, d), and on request weights (B, heads, N, T). Mask: (B, N or 1, T), True is seen."""
        projected = self.query(x), self.key(context), self.value(context)
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in projected)
        mask = None if mask is None else mask[:, None]
        dropout = self.dropout if self.training else 0.0
        if not return_weights:
            out = F.scaled_dot_product_attention(q, k, v, mask, dropout)
            return out.transpose(1, 2).flatten(2), None
        scores = q @ k.mT * q.shape[-1] ** -0.5
        weights = (scores if mask is None else scores.masked_fill(~mask, float("-inf"))).softmax(-1)
        return (F.dropout(weights, dropout) @ v).transpose(1, 2).flatten(2), weights


class AddAndNorm(nn.Module):
    """LayerNorm(x + W h), BERT's `output`."""

    def __init__(self, from_width: int, config: ConnectorConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(from_width, config.hidden_size)
        self.LayerNorm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        return self.LayerNorm(x + self.dropout(self.dense(h)))


class Attention(nn.Module):
    """Attention on a context of `context_width`, with its residual."""

    def __init__(self, config: ConnectorConfig, context_width: int) -> None:
        super().__init__()
        self.self = MultiHeadAttention(config, context_width)
        self.output = AddAndNorm(config.hidden_size, config)

    def forward(
        self, x: Tensor, context: Tensor, mask: Tensor | None, return_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        h, weights = self.self(x, context, mask, return_weights)
        return self.output(h, x), weights


class Layer(nn.Module):
    """Self-attention for all, cross-attention for the queries, a feed-forward for each kind."""

    def __init__(self, config: ConnectorConfig, context_width: int, with_text: bool) -> None:
        super().__init__()
        d, d_ff = config.hidden_size, config.intermediate_size
        self.attention = Attention(config, d)
        self.crossattention = Attention(config, context_width)
        self.intermediate_query = nn.ModuleDict({"dense": nn.Linear(d, d_ff)})
        self.output_query = AddAndNorm(d_ff, config)
        if with_text:
            self.intermediate = nn.ModuleDict({"dense": nn.Linear(d, d_ff)})
            self.output = AddAndNorm(d_ff, config)

    def forward(
        self, x: Tensor, N: int, Z: Tensor, mask: Tensor | None, Z_mask: Tensor | None, return_weights: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        x, own = self.attention(x, x, mask, return_weights)
        queries, text = x[:, :N], x[:, N:]
        queries, cross = self.crossattention(queries, Z, Z_mask, return_weights)
        queries = self.output_query(F.gelu(self.intermediate_query["dense"](queries)), queries)
        if text.shape[1]:
            text = self.output(F.gelu(self.intermediate["dense"](text)), text)
            queries = torch.cat([queries, text], dim=1)
        return queries, own, cross


class Embeddings(nn.Module):
    """Queries, and text as word + position, behind one LayerNorm."""

    def __init__(self, config: ConnectorConfig, vocab_size: int | None) -> None:
        super().__init__()
        if vocab_size is not None:
            self.word_embeddings = nn.Embedding(vocab_size, config.hidden_size)
            self.position_embeddings = nn.Embedding(MAX_POSITIONS, config.hidden_size)
        self.LayerNorm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, queries: Tensor, text_ids: Tensor | None) -> Tensor:
        if text_ids is not None:
            text = self.word_embeddings(text_ids) + self.position_embeddings.weight[: text_ids.shape[1]]
            queries = torch.cat([queries, text], dim=1)
        return self.dropout(self.LayerNorm(queries))


class QFormer(nn.Module):
    """The Querying Transformer over Z of width D = context_width.

    `vocab_size` builds the text side for BLIP-2's objectives, up to MAX_POSITIONS tokens; None leaves it out, as
    SALMONN does.
    """

    def __init__(self, config: ConnectorConfig, context_width: int, vocab_size: int | None = None) -> None:
        super().__init__()
        self.has_text = vocab_size is not None
        layers = (Layer(config, context_width, self.has_text) for _ in range(config.num_hidden_layers))
        encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
        embeddings = Embeddings(config, vocab_size)
        self.bert: Any = nn.ModuleDict({"embeddings": embeddings, "encoder": encoder})
        self.apply(_initialize)

    def forward(
        self,
        queries: Tensor,
        Z: Tensor,
        *,
        Z_mask: Tensor | None = None,
        text_ids: Tensor | None = None,
        text_mask: Tensor | None = None,
        mask: str = "bidirectional",
        return_attention: bool = False,
    ) -> QFormerOutput:
        """Let the queries (B or 1, N, d) look at the frames Z (B, T, D), and at text, text_ids (B, S), if any.

        Z_mask (B, T) and text_mask (B, S) are True where there is something to see, None everywhere. `mask` is one
        of MASKS, for text.

        Raises:
            SalmonnError: text for a Q-Former without a text side, or an unknown mask.
        """
        if text_ids is not None and not self.has_text:
            raise SalmonnError("this Q-Former has no text side: build it with vocab_size=… to give it text")
        N = queries.shape[1]
        self_mask = None
        if text_ids is not None:
            self_mask = blip2_mask(mask, N, torch.ones_like(text_ids) if text_mask is None else text_mask)
        Z_mask = None if Z_mask is None else Z_mask[:, None]
        x = self.bert["embeddings"](queries.expand(Z.shape[0], -1, -1), text_ids)
        weights = []
        for layer in self.bert["encoder"]["layer"]:
            x, *layer_weights = layer(x, N, Z, self_mask, Z_mask, return_attention)
            weights.append(layer_weights)
        return QFormerOutput(x, *zip(*weights, strict=True)) if return_attention else QFormerOutput(x)


def new_queries(n: int, width: int) -> nn.Parameter:
    """n trainable queries (1, n, width) from N(0, 0.02), as published."""
    return nn.Parameter(nn.init.normal_(torch.empty(1, n, width), std=INIT_STD))


def _initialize(module: nn.Module) -> None:
    """BERT's initialization."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INIT_STD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
