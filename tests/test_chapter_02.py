"""Chapter 2's figures over the whole range of their controls, against the encoders themselves."""

import base64
import itertools
import re

import numpy as np
import pytest
import torch
from torch import nn

from salmonn_mini.audio import fbank
from salmonn_mini.course.figures import encoders
from salmonn_mini.course.plots import Picture
from salmonn_mini.models.config import SAMPLE_RATE

NOISE = 0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)


def is_png(picture: Picture) -> bool:
    return base64.b64decode(picture._repr_mimebundle_()[0]["image/png"]).startswith(b"\x89PNG")


@pytest.mark.parametrize("frame", encoders.RECEPTIVE_FIELD.controls["frame"])
def test_the_receptive_field_is_that_of_the_two_convolutions(frame: int) -> None:
    """Against the gradient of one frame of two such convolutions."""
    mel = torch.zeros(1, 1, 24, requires_grad=True)
    first, second = nn.Conv1d(1, 1, 3, padding=1), nn.Conv1d(1, 1, 3, stride=2, padding=1)
    second(first(mel))[0, 0, frame].backward()
    inputs = mel.grad[0, 0].nonzero().flatten().tolist()
    alt = encoders.receptive_field(frame).alt
    assert f"mel frames {inputs[0]} to {inputs[-1]}: {len(inputs)} frames, {10 * len(inputs) + 15} ms" in alt


def test_every_token_has_its_patch() -> None:
    explorer = encoders.explore_patches(NOISE)
    moments = len(fbank(torch.from_numpy(NOISE))) // 16
    assert len(explorer.controls["token"]) == 8 * moments
    for token in explorer.controls["token"]:
        alt = explorer.figure(token).alt
        assert f"token {token} is moment {token // 8} " in alt
        assert f"band {token % 8} " in alt


def test_the_bands_touch_and_reach_from_the_bottom_to_the_top() -> None:
    spans = [
        re.search(r"\(([\d,]+) to ([\d,]+) Hz\)", encoders.patches(NOISE, band).alt) for band in range(8)
    ]
    edges = [(int(span[1].replace(",", "")), int(span[2].replace(",", ""))) for span in spans]
    assert all(one[1] == other[0] for one, other in itertools.pairwise(edges))
    assert edges[0][0] < 40 and 7800 < edges[-1][1] < 8000


@pytest.mark.parametrize("token", [-1, 48])
def test_a_token_that_is_not_there_is_refused(token: int) -> None:
    with pytest.raises(ValueError, match=f"token {token} of 48"):
        encoders.patches(NOISE, token)


def test_attention_distance_is_the_mean_distance_in_seconds() -> None:
    assert encoders.attention_distance(torch.eye(50)) == 0
    assert encoders.attention_distance(torch.eye(50).roll(1, 0)[1:-1, 1:-1]) == pytest.approx(0.02 * 47 / 48)
    assert encoders.attention_distance(np.full((2, 2), 0.5)) == pytest.approx(0.01)


def test_the_pictures_can_be_drawn_and_say_what_they_show() -> None:
    maps = encoders.attention_maps({"near": torch.eye(20), "all": torch.full((20, 20), 0.05)}, "Two heads")
    assert maps.alt.startswith("Two heads. near looks 0.00 s away on average; all looks 0.13 s")
    bias = encoders.gated_bias(torch.ones(5, 5), torch.linspace(1, 2, 5))
    assert "5 tokens from 1.00 to 1.00" in bias.alt and "gates from 1.00 to 2.00" in bias.alt
    streams = encoders.streams(torch.zeros(9, 5), {"Whisper": (3, 9), "BEATs": (2, 8)})
    assert "BEATs: 2 numbers, 8 frames" in streams.alt
    assert all(map(is_png, (maps, bias, streams, encoders.receptive_field(0), encoders.patches(NOISE, 3))))


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(T, T\)"):
        encoders.attention_maps({"one": torch.ones(2, 3)})
    with pytest.raises(ValueError, match="2 gates"):
        encoders.gated_bias(torch.ones(3, 3), torch.ones(2))
