"""Probes of windows: tokens are a clip's own, what is in the features is found, what is not stays at chance."""

import pytest
import torch

from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation import probes
from salmonn_mini.evaluation.probes import CHOICES, Clips, WindowProbe, accuracy, fold, train_probe, unfold
from salmonn_mini.models.windows import n_windows
from salmonn_mini.toy.world.grammar import split_of
from salmonn_mini.toy.world.voice import speakers_of

VOICES = speakers_of("test")


def clips(n: int, seed: int, T: int = 24, D: int = 20) -> Clips:
    """Question 0: one direction of eight, in 2 frames out of T; question 1: nothing."""
    draw = torch.Generator().manual_seed(seed)
    Z = 0.3 * torch.randn(n, T, D, generator=draw)
    answers = torch.randint(CHOICES, (n, 2), generator=draw)
    lengths = torch.randint(T // 2, T + 1, (n,), generator=draw)
    for row, place in enumerate((torch.rand(n, generator=draw) * (lengths - 2)).long().tolist()):
        Z[row, place : place + 2, answers[row, 0]] += 6.0
        Z[row, lengths[row] :] = 50.0  # what stands behind a clip's end must not count
    return Clips(Z, lengths, answers)


def test_what_is_in_few_frames_is_found_and_what_is_not_there_is_not() -> None:
    train, test = clips(160, 1), clips(240, 2)
    found = 100 * accuracy(train_probe(train, 4, 1), test)
    assert found.shape == (3, 2)
    assert (found[:, 0] > 90).all()
    assert (found[:, 1] < 100 / CHOICES + 10).all()


@pytest.mark.parametrize(("L", "N"), [(4, 1), (7, 3), (None, 2)])
def test_a_clip_has_the_same_tokens_and_scores_alone_and_in_a_batch(L: int | None, N: int) -> None:
    some = clips(5, 3)
    probe = WindowProbe(20, L, N, 2, (0, 1), fold, unfold)
    torch.nn.init.normal_(probe.weight)
    H, counts = probe.tokens(some.Z, some.lengths)
    scores = probe(some.Z, some.lengths)
    assert scores.shape == (2, 5, 2, CHOICES)
    for row in range(5):
        alone = some.of(torch.tensor([row]))
        own, count = probe.tokens(alone.Z, alone.lengths)
        assert counts[row] == count == (n_windows(int(some.lengths[row]), L) if L else 1) * N
        torch.testing.assert_close(H[:, row : row + 1, :count], own[:, :, :count])
        assert not H[:, row, count:].any()
        torch.testing.assert_close(scores[:, row : row + 1], probe(alone.Z, alone.lengths))


def test_a_token_is_a_weighted_mean_of_its_window() -> None:
    some = clips(3, 4)
    H, _ = WindowProbe(20, 1, 1, 2, (0,), fold, unfold).tokens(some.Z, some.lengths)
    for row, length in enumerate(some.lengths.tolist()):
        torch.testing.assert_close(H[0, row, :length], some.Z[row, :length])


def test_unfolding_the_windows_themselves_gives_the_frames() -> None:
    some = clips(4, 5)
    windows, mask = fold(some.Z, 5, some.lengths)
    W = int(n_windows(some.lengths, 5).max())
    assert windows.shape == (4 * W, 5, 20) and mask.sum() == some.lengths.sum()
    H, counts = unfold(windows, some.lengths, 5)
    for row, length in enumerate(some.lengths.tolist()):
        assert torch.equal(H[row, :length], some.Z[row, :length])
        assert counts[row] == -(-length // 5) * 5 and not H[row, length:].any()


def test_each_seed_has_the_gradient_that_it_would_have_alone() -> None:
    some = clips(40, 6)
    together = train_probe(some, 5, 2, seeds=(0, 7), steps=6)
    alone = train_probe(some, 5, 2, seeds=(0,), steps=6)
    torch.testing.assert_close(together.queries[:1], alone.queries, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(together.queries[:1], together.queries[1:])


@pytest.mark.parametrize("split", ["train", "test"])
def test_plans_are_of_the_split_and_the_answers_are_what_is_in_them(split: str) -> None:
    plans, answers = probes.draw_plans(24, split, VOICES, seed=1)
    assert answers.shape == (24, len(probes.QUESTIONS))
    for plan, row in zip(plans, answers.tolist(), strict=True):
        (said,) = plan.utterances
        assert split_of(said.text) == split
        assert all(words[i] in said.text for words, i in zip(probes.WORDS.values(), row, strict=False))
        assert plan.events == (probes.EVENTS[row[3]],) and said.speaker == VOICES[row[4]]
    assert answers[:8, 4].tolist() == list(range(8))
    assert probes.draw_plans(24, split, VOICES, seed=1)[0] == plans


def test_other_than_eight_voices_are_refused() -> None:
    with pytest.raises(SalmonnError, match="3 voices, but each question has 8 answers: give 8"):
        probes.draw_plans(4, "train", VOICES[:3], seed=1)
