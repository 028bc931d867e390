"""What is left of words, events and the speaker when windows of L frames have become N tokens.

    plans, answers = draw_plans(208, "train", voices, seed=1)          # clips of which every answer is known
    train = Clips(*model.fuse(model.encode(waves)), answers)           # or any other features (B, T, D) with lengths
    probe = train_probe(train, L=10, N=1)
    100 * accuracy(probe, test)                                        # (seeds, questions), in percent

A probe is small on purpose. N learned queries weigh the frames of each window, one linear layer scores all answers
by each token, and a clip's score is a soft maximum, logsumexp, over its tokens. So it finds what single tokens say,
and not what only their order would tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.features import length_mask
from salmonn_mini.models.windows import n_windows, split
from salmonn_mini.toy.world.clips import ClipPlan, draw_seed, draw_utterance
from salmonn_mini.toy.world.grammar import Statement, split_of

WORDS = {
    "subject": ("teacher", "doctor", "farmer", "baker", "singer", "painter", "dancer", "sailor"),
    "verb": ("sees", "buys", "finds", "hides", "sells", "carries", "wants", "holds"),
    "object": ("ball", "book", "cup", "flower", "hat", "key", "phone", "umbrella"),
}
ADJECTIVES = (
    "old",
    "young",
    "hungry",
    "tired",
    "clever",
    "kind",
)  # to make the sentences differ; not asked for
EVENTS = ("dog", "rain", "bell", "siren", "clock", "baby", "engine", "clapping")
CHOICES = 8  # answers to each question, so that chance is 1/8 for all
QUESTIONS = (*WORDS, "event", "speaker")
FAR = -1e4  # in place of -inf, which would make a window without frames NaN

Fold = Callable[[Tensor, int, Tensor], tuple[Tensor, Tensor]]
Unfold = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Clips:
    """Features Z (B, T, D), each clip's own frames, lengths (B,), and the numbers of the right answers (B, Q)."""

    Z: Tensor
    lengths: Tensor
    answers: Tensor

    def of(self, rows: Tensor) -> Clips:
        """Some of the clips, padded to the longest of these."""
        lengths = self.lengths[rows]
        return Clips(self.Z[rows, : int(lengths.max())], lengths, self.answers[rows])


def draw_plans(n: int, split_name: str, voices: Sequence[str], seed: int) -> tuple[list[ClipPlan], Tensor]:
    """Plans of n clips, each with a sentence of "train" or "test" and an event behind it, and the answers (n, 5).

    The voices take turns; the last column says which of them speaks. Raises SalmonnError for other than 8 voices.
    """
    if len(voices) != CHOICES:
        raise SalmonnError(f"{len(voices)} voices, but each question has {CHOICES} answers: give {CHOICES}")
    rng, plans, answers = np.random.default_rng(seed), [], []
    while len(plans) < n:
        *said, event = rng.integers(CHOICES, size=len(WORDS) + 1).tolist()
        subject, verb, thing = (words[i] for words, i in zip(WORDS.values(), said, strict=True))
        adjective = ADJECTIVES[rng.integers(len(ADJECTIVES))]
        text = Statement(subject, verb, thing, subject_adjective=adjective).text
        if split_of(text) == split_name:
            voice = len(plans) % CHOICES
            utterance = draw_utterance(text, rng, speaker=voices[voice])
            plans.append(ClipPlan(draw_seed(rng), (utterance,), events=(EVENTS[event],)))
            answers.append([*said, event, voice])
    return plans, torch.tensor(answers)


def fold(Z: Tensor, L: int, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Z (B, T, D) → windows (B·W, L, D), clip after clip, and a mask (B·W, L), True at a clip's own frames."""
    windows, mask = split(Z, L, lengths)
    return windows.flatten(0, 1), mask.flatten(0, 1)


def unfold(tokens: Tensor, lengths: Tensor, L: int) -> tuple[Tensor, Tensor]:
    """Tokens (B·W, N, D) of `fold`'s windows → H (B, W·N, D), zero beyond each clip's own, and their counts (B,)."""
    H = tokens.unflatten(0, (len(lengths), -1)).flatten(1, 2)
    counts = n_windows(lengths, L) * tokens.shape[1]
    return H * length_mask(counts, H.shape[1])[..., None], counts


class WindowProbe(nn.Module):
    """S probes at once, alike but for the queries that they begin with: Z (B, T, D) → scores (S, B, Q, 8).

    L is the frames in a window, None for the whole clip. `fold` and `unfold` may be anybody's.
    """

    def __init__(
        self, D: int, L: int | None, N: int, questions: int, seeds: Sequence[int], fold: Fold, unfold: Unfold
    ) -> None:
        super().__init__()
        self.L, self.fold, self.unfold = L, fold, unfold
        first = [torch.randn(N, D, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        self.queries = nn.Parameter(torch.stack(first) / D**0.5)
        self.weight = nn.Parameter(torch.zeros(len(seeds), D, questions * CHOICES))
        self.bias = nn.Parameter(torch.zeros(len(seeds), 1, questions * CHOICES))

    def tokens(self, Z: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """H (S, B, M, D), each token a weighted mean of its window's own frames, and the counts (B,)."""
        (S, N, _), L = self.queries.shape, self.L or Z.shape[1]
        windows, mask = self.fold(Z, L, lengths)
        scores = windows @ self.queries.flatten(0, 1).T  # (B·W, L, S·N)
        weights = scores.masked_fill(~mask[..., None], FAR).softmax(1)
        tokens = (weights.mT @ windows).unflatten(1, (S, N)).transpose(0, 1)  # (S, B·W, N, D)
        H, counts = self.unfold(tokens.flatten(0, 1), lengths.repeat(S), L)
        return H.unflatten(0, (S, -1)), counts[: len(lengths)]

    def forward(self, Z: Tensor, lengths: Tensor) -> Tensor:
        H, counts = self.tokens(Z, lengths)
        votes = torch.baddbmm(self.bias, H.flatten(1, 2), self.weight).unflatten(1, H.shape[1:3])
        is_own = length_mask(counts, H.shape[2])[..., None]
        scores = votes.masked_fill(~is_own, FAR).logsumexp(2) - counts[:, None].log()
        return scores.unflatten(2, (-1, CHOICES))


def train_probe(
    clips: Clips,
    L: int | None,
    N: int,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 120,
    batch: int = 32,
    fold: Fold = fold,
    unfold: Unfold = unfold,
) -> WindowProbe:
    """Probes of all questions together, for windows of L frames and N tokens each, one for each seed."""
    probe = WindowProbe(clips.Z.shape[2], L, N, clips.answers.shape[1], seeds, fold, unfold)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=0.01, weight_decay=0.1)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    shuffle = torch.Generator().manual_seed(seeds[0])
    rounds = -(-steps * batch // len(clips.lengths))
    order = torch.cat([torch.randperm(len(clips.lengths), generator=shuffle) for _ in range(rounds)])
    for rows in order[: steps * batch].split(batch):
        some = clips.of(rows)
        with torch.enable_grad():
            scores = probe(some.Z, some.lengths)
            answers = some.answers.expand(len(seeds), -1, -1)
            # Of all seeds together, so that each gets the gradient that it would have alone.
            loss = len(seeds) * F.cross_entropy(scores.flatten(0, 2), answers.flatten())
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
        decay.step()
    return probe


@torch.no_grad()
def accuracy(probe: WindowProbe, clips: Clips) -> Tensor:
    """(S, Q): the share of clips whose right answer has the highest score."""
    return (probe(clips.Z, clips.lengths).argmax(-1) == clips.answers).float().mean(1)
