"""Chapter 4, the Q-Former: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/04_qformer.py
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salmonn_mini.course.exercises import check, use


# Exercise 4.1: attention with heads and a mask (●●○, 15 minutes)
def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))  # (B, heads, N or T, width)
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None], -torch.inf)  # the same for all heads and queries
    weights = scores.softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2), weights


attend = use("4.1", attend)


# given in the notebook
def attention_parts(d: int, context_width: int) -> nn.ModuleDict:
    own = {
        name: nn.Linear(width, d)
        for name, width in (("query", d), ("key", context_width), ("value", context_width))
    }
    output = {"dense": nn.Linear(d, d), "LayerNorm": nn.LayerNorm(d, eps=1e-12)}
    return nn.ModuleDict({"self": nn.ModuleDict(own), "output": nn.ModuleDict(output)})


# Exercise 4.2: a masked Q-Former layer (●●○, 20 minutes)
class QFormerLayer(nn.Module):
    def __init__(self, d: int, D: int, d_ff: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention = attention_parts(d, d)
        self.crossattention = attention_parts(d, D)
        self.intermediate_query = nn.ModuleDict({"dense": nn.Linear(d, d_ff)})
        self.output_query = nn.ModuleDict(
            {"dense": nn.Linear(d_ff, d), "LayerNorm": nn.LayerNorm(d, eps=1e-12)}
        )

    def forward(self, x: Tensor, Z: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        for part, context, seen in ((self.attention, x, None), (self.crossattention, Z, mask)):
            q, k, v = part.self.query(x), part.self.key(context), part.self.value(context)
            heard, weights = attend(q, k, v, self.heads, seen)
            x = part.output.LayerNorm(x + part.output.dense(heard))
        hidden = F.gelu(self.intermediate_query.dense(x))
        x = self.output_query.LayerNorm(x + self.output_query.dense(hidden))
        return x, weights  # those of the cross-attention, the last


QFormerLayer = use("4.2", QFormerLayer)


# Exercise 4.3: from windows to H (●●●, 20 minutes)
class WindowQFormer(nn.Module):
    def __init__(self, qformer: nn.Module, N: int, d: int, d_llm: int) -> None:
        super().__init__()
        self.qformer = qformer
        self.queries = nn.Parameter(0.02 * torch.randn(1, N, d))
        self.projection = nn.Linear(d, d_llm)

    def forward(self, Z_l: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        own = mask.any(-1)  # (B, W): windows with at least one frame of their clip
        tokens = self.projection(self.qformer(self.queries, Z_l[own], mask[own])[0])  # (n, N, d_llm)
        B, W, N = *own.shape, self.queries.shape[1]
        H = tokens.new_zeros(B, W, N, tokens.shape[-1])
        H[own] = tokens
        return H.flatten(1, 2), own.sum(1) * N


WindowQFormer = use("4.3", WindowQFormer)


# Exercise 4.4: BLIP-2's three masks (●●○, 12 minutes)
def blip2_mask(kind: str, N: int, S: int) -> Tensor:
    sees = torch.ones(N + S, N + S, dtype=torch.bool)
    if kind != "bidirectional":
        sees[:N, N:] = False  # queries do not see words
    if kind == "unimodal":
        sees[N:, :N] = False  # nor words queries
    if kind == "multimodal_causal":
        sees[N:, N:] = sees[N:, N:].tril()  # a word sees those before it, and itself
    return sees


check("4.4", blip2_mask)
