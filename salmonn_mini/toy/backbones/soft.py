"""Words as audio tokens come: repeated, mixed with fillers, blurred, noisy, half taken for others that sound alike.

A large LLM bears such input by its size; a small one has to be shown it. An audio token of the toy lies between the
words that sound like its sound ("what" and "one", "before" and "four"): only the sentence tells which is meant.
"""

from __future__ import annotations

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from salmonn_mini.toy.world.grammar import spoken_words
from salmonn_mini.toy.world.pronunciation import phonemes

SHARE = 0.5  # samples whose context is softened
CRISP = ("tags",)  # never softened: a tag that is written twice would be another sound
BLUR, NOISE = 0.4, 2.0  # at most: of the neighbors, and of noise in the embeddings' own deviations
MISTAKEN = 0.7  # at most: of a word that sounds alike
ALIKE = 4  # words that a word may be taken for


def stretch(context: list[int], filler: int, rng: np.random.Generator) -> list[int]:
    """Repeat tokens one to three times and put fillers between them, as audio tokens come."""
    stretched = []
    share = rng.random() * 0.4
    for token in context:
        stretched += [filler] * int(rng.random() < share)
        stretched += [token] * int(rng.choice(3, p=(0.45, 0.4, 0.15)) + 1)
    return stretched + [filler] * int(rng.integers(4))


def sound_alikes(tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """(V, ALIKE) for every token the tokens of the words that sound most alike; itself where it is no spoken word."""
    words = spoken_words()
    phones = [phonemes(word) for word in words]
    table = torch.arange(len(tokenizer))[:, None].repeat(1, ALIKE)
    tokens = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
    for own, said in zip(tokens, phones, strict=True):
        far = [Levenshtein.normalized_distance(said, other) for other in phones]
        nearest = [tokens[i] for i in np.argsort(far, kind="stable") if tokens[i] != own]
        if len(own) == 1:
            table[own[0]] = torch.tensor([ids[0] for ids in nearest if len(ids) == 1][:ALIKE])
    return table


def soften(embed: nn.Embedding, ids: Tensor, others: Tensor, where: Tensor) -> Tensor:
    """The embeddings (B, S, D) of ids (B, S); `where` (B, S) says so, half those of `others`, blurred and noisy."""
    clear = embed(ids)
    B, S = ids.shape
    mistaken = MISTAKEN * (torch.rand(B, 1, 1) * torch.rand(B, S, 1)).sqrt()
    soft = clear + mistaken * (embed(others) - clear)
    neighbors = (soft.roll(1, dims=1) + soft.roll(-1, dims=1)) / 2
    soft = soft + BLUR * torch.rand(B, 1, 1) * (neighbors - soft)
    soft = soft + NOISE * torch.rand(B, 1, 1) * clear.detach().std() * torch.randn_like(clear)
    return torch.where(where[..., None], soft, clear)
