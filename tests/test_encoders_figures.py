"""Chapter 2's figures over the whole range of their controls, against the encoders themselves."""

import base64
import itertools
import re

import numpy as np
import pytest
import torch
from torch import nn

from salmonn_mini.audio import fbank
from salmonn_mini.course.figures import encoder_layers, encoders
from salmonn_mini.course.plots import Picture
from salmonn_mini.models.config import PRESETS, SAMPLE_RATE
from salmonn_mini.models.encoders.beats import Beats, BeatsConfig
from salmonn_mini.toy.world.voice import Word

NOISE = 0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)
WORDS = (Word("a", 0.05, 0.1), Word("dog", 0.15, 0.3))


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


def test_what_the_exercises_ask_for_is_what_beats_computes() -> None:
    torch.manual_seed(0)
    beats = Beats(BeatsConfig.from_dict(PRESETS["toy"].beats.sizes())).eval().requires_grad_(False)
    bank = torch.randn(41, 128)
    rows = encoders.cut_patches(bank)
    assert rows.shape == (16, 256)
    tokens = beats.layer_norm(rows @ beats.patch_embedding.weight.flatten(1).T)
    torch.testing.assert_close(tokens, beats.embed(bank[None])[0], rtol=1e-4, atol=1e-5)
    table = beats.encoder.layers[0].self_attn.relative_attention_bias.weight
    torch.testing.assert_close(encoders.position_bias(table, 900), beats.encoder.position_bias(900))


def test_the_probe_s_weights_are_at_the_minimum() -> None:
    torch.manual_seed(0)
    A, Y = torch.randn(9, 4).double(), torch.randn(9, 2).double()
    W = encoders.ridge(A, Y, 3.0).requires_grad_()
    ((A @ W - Y).square().sum() + 3.0 * W.square().sum()).backward()
    torch.testing.assert_close(W.grad, torch.zeros_like(W))


@pytest.mark.parametrize("frames", [(6, 4), (3, 4)])
def test_z_holds_nothing_of_the_padding_and_its_mask_all_own_frames(frames: tuple[int, int]) -> None:
    torch.manual_seed(0)
    norms = nn.LayerNorm(5), nn.LayerNorm(3)
    nn.init.ones_(norms[1].bias)
    speech, audio = torch.randn(2, frames[0], 5), torch.randn(2, frames[1], 3)
    lengths = torch.tensor([frames[0], 2]), torch.tensor([frames[1], 3])
    Z, mask = encoders.fuse(speech, lengths[0], audio, lengths[1], *norms)
    assert Z.shape == (2, max(frames), 8)
    assert mask.sum(1).tolist() == [max(frames), 3]
    assert not Z[~mask].any()
    torch.testing.assert_close(Z[1, :2, :5], norms[0](speech[1, :2]))
    assert not Z[1, 2:, :5].any() and not Z[1, 3:].any()


def test_patches_bear_labels_and_hide_some() -> None:
    labels, hidden = np.arange(48) % 7, np.arange(48) % 4 > 0
    picture = encoders.patches(NOISE, words=WORDS, labels=labels, hidden=hidden)
    assert "7 different labels, 36 patches hidden. Words, in seconds: a 0.05 to 0.10, dog" in picture.alt
    shown = [text.get_text() for text in picture.axes[0].texts]
    assert shown[:48] == [str(label) for label in labels]
    assert shown[48:] == ["a", "dog"]


def test_the_drawings_name_every_part_and_keep_the_residual_around_it() -> None:
    training, blocks = encoder_layers.training(), encoder_layers.blocks()
    said = [text.get_text() for text in blocks.axes[0].texts]
    assert said.count("LayerNorm") == 4 and said.count("+") == 4
    assert {"decoder", "tokenizer", "BEATs"} <= {text.get_text() for text in training.axes[0].texts}
    assert is_png(training) and is_png(blocks)


def test_attention_distance_is_the_mean_distance_in_seconds() -> None:
    assert encoders.attention_distance(torch.eye(50)) == 0
    assert encoders.attention_distance(torch.eye(50).roll(1, 0)[1:-1, 1:-1]) == pytest.approx(0.02 * 47 / 48)
    assert encoders.attention_distance(np.full((2, 2), 0.5)) == pytest.approx(0.01)


def test_the_pictures_can_be_drawn_and_say_what_they_show() -> None:
    maps = encoders.attention_maps(
        {"near": torch.eye(20), "all": torch.full((20, 20), 0.05)}, "Two heads", WORDS
    )
    assert maps.alt.startswith("Two heads. near looks 0.00 s away on average; all looks 0.13 s")
    assert maps.alt.endswith("dog 0.15 to 0.30.")
    bias = encoders.gated_bias(torch.ones(5, 5), torch.linspace(1, 2, 5))
    assert "5 tokens from 1.00 to 1.00" in bias.alt and "gates from 1.00 to 2.00" in bias.alt
    streams = encoders.streams(torch.zeros(9, 5), {"Whisper": (3, 9), "BEATs": (2, 8)}, WORDS)
    assert "BEATs: 2 numbers, 8 frames" in streams.alt
    assert all(map(is_png, (maps, bias, streams, encoders.receptive_field(0), encoders.patches(NOISE, 3))))


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(T, T\)"):
        encoders.attention_maps({"one": torch.ones(2, 3)})
    with pytest.raises(ValueError, match="2 gates"):
        encoders.gated_bias(torch.ones(3, 3), torch.ones(2))
