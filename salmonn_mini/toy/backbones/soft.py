"""Words as audio tokens come: some twice, blanks between them, mixed with other words and noise, of one norm.

A large LLM bears such input by its size; a small one has to be shown it. An audio token of the toy lies near its word
and not far from those that sound like it ("what" and "one", "before" and "four"): only the sentence tells which is
meant.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from salmonn_mini.toy.world.grammar import spoken_words
from salmonn_mini.toy.world.pronunciation import phonemes

SHARE = 0.5  # samples whose context is softened
CRISP = ("phone_copy", "count_words")  # never softened: what is written twice is there twice
TWICE = 0.5  # at most: of a sample's tokens, as a word over two windows
BLANKS = 0.5  # at most: of a sample's tokens, with one to three blanks before them
LOST_STOPS = 0.2  # at most: of the stops and commas of a sample, which are hardly heard
LOWEST_COSINE = 0.5  # of a row with its word's embedding
ALIKE = 4  # words that a word may be taken for


def stretch(context: list[int], blank: int, stops: set[int], rng: np.random.Generator) -> list[int]:
    """Write tokens twice, put blanks between them, and lose some of `stops`, as audio tokens come."""
    twice, blanks, lost = rng.random(3) * (TWICE, BLANKS, LOST_STOPS)
    stretched = []
    for token in context:
        if token in stops and rng.random() < lost:
            continue
        stretched += [blank] * int(rng.integers(1, 4) * (rng.random() < blanks))
        stretched += [token] * (1 + int(rng.random() < twice))
    return stretched + [blank] * int(rng.integers(4))


def sound_alikes(tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """(V, ALIKE) for every token the tokens of the words that sound most alike; itself where it is no spoken word."""
    words = [word for word in spoken_words() if len(tokenizer.tokenize(word)) == 1]
    phones = [phonemes(word) for word in words]
    own, capital = (
        [tokenizer(form(word), add_special_tokens=False).input_ids for word in words]
        for form in (str, lambda word: word[0].upper() + word[1:])
    )
    table = torch.arange(len(tokenizer))[:, None].repeat(1, ALIKE)
    for i, said in enumerate(phones):
        far = [Levenshtein.normalized_distance(said, other) for other in phones]
        nearest = [own[j][0] for j in np.argsort(far, kind="stable") if j != i][:ALIKE]
        for ids in (capital[i], own[i]):
            if len(ids) == 1:
                table[ids[0]] = torch.tensor(nearest)
    return table


def soften(
    embed: nn.Embedding,
    ids: Tensor,
    others: Tensor,
    where: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The embeddings (B, S, D) of ids (B, S); `where` (B, S) says so, as audio tokens of the mean embedding's norm.

    Each is turned away from its word's embedding, down to LOWEST_COSINE, towards a mixture of the word `others`, of
    the rows beside it, and of noise.
    """
    clear = embed(ids)
    B, S = ids.shape
    unit = lambda rows: nn.functional.normalize(rows, dim=-1)  # noqa: E731
    rand = partial(torch.rand, generator=generator)
    noise = torch.randn(clear.shape, generator=generator)
    sideways = (clear.roll(1, dims=1), embed(others), noise, clear.roll(-1, dims=1))
    weights = rand(B, S, len(sideways), 1)
    wrong = unit(sum(weights[:, :, i] * unit(rows) for i, rows in enumerate(sideways)))
    cosine = 1 - (1 - LOWEST_COSINE) * (rand(B, 1, 1) * rand(B, S, 1)).sqrt()
    soft = unit(cosine * unit(clear) + (1 - cosine**2).sqrt() * wrong)
    return torch.where(where[..., None], soft * embed.weight.detach().norm(dim=-1).mean(), clear)
