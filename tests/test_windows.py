"""windows.py: the paper's cutting and the published code's, clip by clip and in batches."""

from __future__ import annotations

import doctest

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models import windows
from salmonn_mini.models.windows import n_windows, split, window_frames


def test_worked_example():
    results = doctest.testmod(windows)
    assert results.attempted >= 5 and results.failed == 0


@pytest.mark.parametrize(
    ("seconds", "frames"),
    [(0.333333, 17), (0.5, 25), (1.0, 50), (0.25, 12), (0.2, 10), (0.35, 18), (0.02, 1)],
)
def test_window_frames_rounds_half_to_even(seconds, frames):
    assert window_frames(seconds) == frames


def test_a_window_without_frames_is_refused():
    with pytest.raises(SalmonnError, match=r"0\.001 s holds no frame"):
        window_frames(0.001)
    with pytest.raises(SalmonnError, match=r"'cut'.*pad, drop"):
        n_windows(10, 3, tail="cut")


@given(st.integers(1, 200), st.integers(1, 20), st.integers(1, 25))
def test_padding_covers_each_reachable_frame_and_no_window_is_empty(T, L, stride):
    W = n_windows(T, L, stride)
    starts = [window * stride for window in range(W)]
    assert all(start < T for start in starts)
    if stride <= L:
        assert starts[-1] + L >= T
    assert n_windows(torch.tensor([T]), L, stride).tolist() == [W]


@given(st.integers(1, 200), st.integers(1, 20), st.integers(1, 25))
def test_dropping_counts_full_windows(T, L, stride):
    full = sum(start + L <= T for start in range(0, T, stride))
    assert n_windows(T, L, stride, tail="drop") == full
    assert n_windows(torch.tensor([T]), L, stride, tail="drop").tolist() == [full]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.integers(1, 12),
    st.integers(1, 15),
    st.sampled_from(["pad", "drop"]),
)
def test_a_clip_is_cut_in_a_batch_as_it_is_alone(lengths, L, stride, tail):
    Z = torch.randn(len(lengths), max(lengths) + 3, 2)  # what lies beyond a clip's end is not zero
    batch, batch_mask = split(Z, L, torch.tensor(lengths), stride, tail)
    for i, T in enumerate(lengths):
        alone, mask = split(Z[i : i + 1, :T], L, None, stride, tail)
        W = alone.shape[1]
        assert n_windows(T, L, stride, tail) == W
        assert torch.equal(batch[i, :W], alone[0]) and torch.equal(batch_mask[i, :W], mask[0])
        assert not batch_mask[i, W:].any()


def test_touching_windows_side_by_side_are_the_features():
    Z = torch.randn(2, 10, 3)
    assert torch.equal(split(Z, 3)[0].flatten(1, 2)[:, :10], Z)


def test_gradient_flows_to_the_frames():
    Z = torch.randn(1, 5, 2, requires_grad=True)
    split(Z, 3)[0].sum().backward()
    assert torch.equal(Z.grad, torch.ones_like(Z))
