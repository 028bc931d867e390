"""Chapter 4, the Q-Former: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/04_qformer.py
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from salmonn_mini.course.exercises import check


# Exercise 4.1: whom a query hears (●○○, 8 minutes)
def weights(q: Tensor, k: Tensor, own: Tensor) -> Tensor:
    scores = q @ k.T / q.shape[1] ** 0.5
    return scores.masked_fill(~own, -torch.inf).softmax(-1)


check("4.1", weights)


# Exercise 4.2: cross-attention (●●○, 12 minutes)
def cross(x: Tensor, Z: Tensor, W_q: Tensor, W_k: Tensor, W_v: Tensor) -> Tensor:
    q, k, v = x @ W_q, Z @ W_k, Z @ W_v
    return (q @ k.T / q.shape[1] ** 0.5).softmax(-1) @ v


check("4.2", cross)


# Exercise 4.3: BLIP-2's three masks (●●●, 12 minutes)
def mask(kind: str, N: int, S: int) -> Tensor:
    sees = torch.ones(N + S, N + S, dtype=torch.bool)
    if kind != "bidirectional":
        sees[:N, N:] = False  # queries do not see words
    if kind == "unimodal":
        sees[N:, :N] = False  # nor words queries
    if kind == "multimodal_causal":
        sees[N:, N:] = sees[N:, N:].tril()  # a word sees those before it, and itself
    return sees


check("4.3", mask)


# Exercise 4.4: the contrastive loss (●●○, 10 minutes)
def contrastive_loss(similarity: Tensor) -> Tensor:
    own = torch.arange(len(similarity))
    return (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2


check("4.4", contrastive_loss)
