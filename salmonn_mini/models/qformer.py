"""(Q, Z_l) → H_l: the Q-Former, N trainable queries that look at the frames of a window (paper, section 3.1).

A BERT with cross-attention in every layer, under BERT's own keys, as published checkpoints have them:

    x = LayerNorm(Q)                              embeddings
    x = LayerNorm(x + Attention(x, x))            layer.N.attention
    x = LayerNorm(x + Attention(x, Z))            layer.N.crossattention, queries only
    x = LayerNorm(x + W_2 gelu(W_1 x))            layer.N.intermediate_query, output_query

BLIP-2 (arXiv 2301.12597) trains the same layers on pairs with text. Give a vocabulary size and the text
side is built too: word and position embeddings and a feed-forward of the text's own. Which tokens see which
others is then decided by one of three masks, see `blip2_mask`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import ConnectorConfig

MASKS = ("bidirectional", "unimodal", "multimodal_causal")
INIT_STD = 0.02  # of BERT, and of the published query tokens


class QFormerOutput(NamedTuple):
    """What a Q-Former returns; the attentions only on request, one tensor a layer."""

    hidden: Tensor  # (B, N + S, d): N queries, then S text tokens
    self_attention: tuple[Tensor, ...] = ()  # (B, heads, N + S, N + S)
    cross_attention: tuple[Tensor, ...] = ()  # (B, heads, N, T)


def blip2_mask(kind: str, n_queries: int, text_mask: Tensor) -> Tensor:
    """Who may look at whom in self-attention: (B, N+S, N+S), True where the row's token sees the column's.

                       bidirectional     unimodal      multimodal_causal
                         Q    text       Q    text        Q    text
        queries Q        all  all        all  –           all  –
        text             all  all        –    all         all  earlier

    BLIP-2 (arXiv 2301.12597, figure 2) trains matching with the first, contrast with the second, and grounded
    generation with the third. Padding in the text is seen by nobody.

    Args:
        kind: one of MASKS.
        n_queries: N.
        text_mask: (B, S), True at real text tokens.

    Raises:
        SalmonnError: an unknown kind.
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

    def __init__(self, width: int, context_width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(context_width, width)
        self.value = nn.Linear(context_width, width)

    def forward(
        self, x: Tensor, context: Tensor, mask: Tensor | None = None, return_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Result (B, N, d), and on request weights (B, heads, N, T). Mask: (B, N or 1, T), True is seen."""
        q = self._split(self.query(x))
        mask = None if mask is None else mask[:, None]
        if self._folding_pays(x.shape[1], context.shape[1]):
            out, weights = self._attend_folded(q, context, mask)
        elif return_weights:
            weights = self._weights(q @ self._split(self.key(context)).mT, mask)
            out = self._drop(weights) @ self._split(self.value(context))
        else:
            k, v = self._split(self.key(context)), self._split(self.value(context))
            dropout = self.dropout if self.training else 0.0
            out, weights = F.scaled_dot_product_attention(q, k, v, mask, dropout), None
        return out.transpose(1, 2).flatten(2), weights if return_weights else None

    def _folding_pays(self, N: int, T: int) -> bool:
        """Whether moving the queries to the context's width costs less than moving all T frames to theirs."""
        width = self.query.out_features
        return N * (width + self.heads * T) < T * width

    def _attend_folded(self, q: Tensor, context: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same attention by the associative law: qᵀ(W_k z) = (W_kᵀq)ᵀz and Σ a W_v z = W_v(Σ a z).

        One query a window then projects one vector where 17 frames would be projected: a tenth of the work.
        """
        heads_first = (self.heads, -1, context.shape[-1])
        folded = torch.einsum("bhne,hec->bhnc", q, self.key.weight.view(heads_first))
        scores = (folded.flatten(1, 2) @ context.mT).unflatten(1, q.shape[1:3])
        scores = scores + q @ self.key.bias.view(self.heads, -1, 1)
        weights = self._weights(scores, mask)
        kept = self._drop(weights)
        summary = (kept.flatten(1, 2) @ context).unflatten(1, q.shape[1:3])
        out = torch.einsum("bhnc,hec->bhne", summary, self.value.weight.view(heads_first))
        return out + kept.sum(-1, keepdim=True) * self.value.bias.view(self.heads, 1, -1), weights

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _weights(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        scores = scores * (self.query.out_features // self.heads) ** -0.5
        return (scores if mask is None else scores.masked_fill(~mask, float("-inf"))).softmax(-1)

    def _drop(self, weights: Tensor) -> Tensor:
        return F.dropout(weights, self.dropout, self.training)


class AddAndNorm(nn.Module):
    """LayerNorm(x + W h), BERT's `output`."""

    def __init__(self, from_width: int, config: ConnectorConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(from_width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        return self.LayerNorm(x + self.dropout(self.dense(h)))


class Attention(nn.Module):
    """Attention with its residual: on x itself, or on a context of `context_width`."""

    def __init__(self, config: ConnectorConfig, context_width: int | None = None) -> None:
        super().__init__()
        width, heads = config.hidden_size, config.num_attention_heads
        self.self = MultiHeadAttention(width, context_width or width, heads, config.dropout)
        self.output = AddAndNorm(width, config)

    def forward(
        self, x: Tensor, context: Tensor, mask: Tensor | None, return_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        h, weights = self.self(x, context, mask, return_weights)
        return self.output(h, x), weights


class Intermediate(nn.Module):
    """gelu(W x), exact (erf), the first half of a feed-forward."""

    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.dense(x))


class Layer(nn.Module):
    """Self-attention for all, cross-attention for the queries, a feed-forward for each kind."""

    def __init__(self, config: ConnectorConfig, context_width: int, with_text: bool) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.crossattention = Attention(config, context_width)
        self.intermediate_query = Intermediate(config)
        self.output_query = AddAndNorm(config.intermediate_size, config)
        if with_text:
            self.intermediate = Intermediate(config)
            self.output = AddAndNorm(config.intermediate_size, config)

    def forward(
        self, x: Tensor, N: int, Z: Tensor, mask: Tensor | None, Z_mask: Tensor | None, return_weights: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        x, own = self.attention(x, x, mask, return_weights)
        queries, text = x[:, :N], x[:, N:]
        queries, cross = self.crossattention(queries, Z, Z_mask, return_weights)
        queries = self.output_query(self.intermediate_query(queries), queries)
        if text.shape[1]:
            text = self.output(self.intermediate(text), text)
            queries = torch.cat([queries, text], dim=1)
        return queries, own, cross


class Embeddings(nn.Module):
    """Queries, and text as word + position, behind one LayerNorm."""

    def __init__(self, config: ConnectorConfig, vocab_size: int | None, max_positions: int) -> None:
        super().__init__()
        if vocab_size is not None:
            self.word_embeddings = nn.Embedding(vocab_size, config.hidden_size)
            self.position_embeddings = nn.Embedding(max_positions, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, queries: Tensor, text_ids: Tensor | None) -> Tensor:
        if text_ids is not None:
            text = self.word_embeddings(text_ids) + self.position_embeddings.weight[: text_ids.shape[1]]
            queries = torch.cat([queries, text], dim=1)
        return self.dropout(self.LayerNorm(queries))


class QFormer(nn.Module):
    """The Querying Transformer. Its keys begin with `bert.`, as in published checkpoints.

    Args:
        config: sizes (hidden_size, num_attention_heads, intermediate_size, num_hidden_layers, …).
        context_width: D, the width of Z.
        vocab_size: builds the text side, for BLIP-2's objectives; None leaves it out, as SALMONN does.
        max_positions: longest text, in tokens.
    """

    def __init__(
        self,
        config: ConnectorConfig,
        context_width: int,
        vocab_size: int | None = None,
        max_positions: int = 512,
    ) -> None:
        super().__init__()
        self.has_text = vocab_size is not None
        layers = (Layer(config, context_width, self.has_text) for _ in range(config.num_hidden_layers))
        self.bert = nn.ModuleDict(
            {
                "embeddings": Embeddings(config, vocab_size, max_positions),
                "encoder": nn.ModuleDict({"layer": nn.ModuleList(layers)}),
            }
        )
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
        """Let the queries look at Z, and at text where there is some.

        Args:
            queries: (B, N, d), or (1, N, d) for the same queries everywhere.
            Z: the frames (B, T, D).
            Z_mask: (B, T), True at frames that may be seen; None means all.
            text_ids, text_mask: (B, S) tokens, and True at the real ones (None: all).
            mask: one of MASKS, where there is text.
            return_attention: also return the attention weights of every layer.

        Raises:
            SalmonnError: text for a Q-Former without a text side, or an unknown mask.
        """
        if text_ids is not None and not self.has_text:
            raise SalmonnError("this Q-Former has no text side: build it with vocab_size=… to give it text")
        N = queries.shape[1]
        self_mask = None
        if text_ids is not None:
            text_mask = torch.ones_like(text_ids, dtype=torch.bool) if text_mask is None else text_mask
            self_mask = blip2_mask(mask, N, text_mask)
        Z_mask = None if Z_mask is None else Z_mask[:, None]
        x = self.bert["embeddings"](queries.expand(Z.shape[0], -1, -1), text_ids)
        own, cross = [], []
        for layer in self.bert["encoder"]["layer"]:
            x, own_weights, cross_weights = layer(x, N, Z, self_mask, Z_mask, return_attention)
            own.append(own_weights)
            cross.append(cross_weights)
        return QFormerOutput(x, tuple(own), tuple(cross)) if return_attention else QFormerOutput(x)


def new_queries(n: int, width: int) -> nn.Parameter:
    """n trainable queries (1, n, width) from N(0, 0.02), as published."""
    return nn.Parameter(nn.init.normal_(torch.empty(1, n, width), std=INIT_STD))


def _initialize(module: nn.Module) -> None:
    """BERT's initialization."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INIT_STD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
