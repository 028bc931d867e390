"""BEATs: equal to the published numbers, and a clip's tokens are its own whatever its batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from salmonn_mini.audio import fbank
from salmonn_mini.beats import Beats, BeatsConfig, load_beats, relative_buckets
from salmonn_mini.errors import SalmonnError

GOLDEN = Path(__file__).parent / "golden" / "beats"
INPUTS = load_file(GOLDEN / "beats_inputs.safetensors")
IO = {name: load_file(GOLDEN / f"beats_{name}_io.safetensors") for name in "ab"}
CLIPS = ["s100", "s237"]


@pytest.fixture(scope="module")
def models() -> dict[str, Beats]:
    a = Beats(BeatsConfig.from_dict(json.loads((GOLDEN / "beats_a_cfg.json").read_text()))).eval()
    a.load_weights(load_file(GOLDEN / "beats_a_state.safetensors"))
    return {"a": a, "b": load_beats(GOLDEN / "beats_tiny.pt")}


@pytest.fixture
def small() -> Beats:
    torch.manual_seed(0)
    sizes = dict(embed_dim=32, encoder_embed_dim=32, encoder_layers=2, encoder_ffn_embed_dim=64)
    return Beats(BeatsConfig(**sizes, encoder_attention_heads=4, encoder_layerdrop=0)).eval()


def close(ours: torch.Tensor, theirs: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)


def noise(*seconds: float) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(int(s * 16_000), generator=generator) for s in seconds]


# -- parity with the published code


@pytest.mark.parametrize("clip", [*CLIPS, "pad"])
def test_fbank_is_the_published_one(clip):
    for wave, expected in zip(INPUTS[f"{clip}.wav"], INPUTS[f"{clip}.fbank"], strict=True):
        close(fbank(wave), expected, atol=5e-5)


def test_fbank_in_float32_is_near_the_published_loaders_float64():
    close(fbank(INPUTS["s100.wav"][0]), INPUTS["s100.fbank_from_f64"][0], atol=2e-4)


@pytest.mark.parametrize("name", "ab")
@pytest.mark.parametrize("clip", CLIPS)
def test_features_are_the_published_ones(models, name, clip):
    features, mask = models[name].extract_features(INPUTS[f"{clip}.fbank"])
    assert mask is None
    close(features, IO[name][f"{clip}.features"])
    close(features, IO[name][f"{clip}.features_from_f64_wav"], atol=1e-3)


@pytest.mark.parametrize("name", "ab")
def test_features_of_a_padded_batch_are_the_published_ones(models, name):
    features, mask = models[name].extract_features(INPUTS["pad.fbank"], INPUTS["pad.frame_mask"])
    assert torch.equal(mask, IO[name]["pad.token_mask"])
    close(features, IO[name]["pad.features"])
    features, _ = models[name].extract_features(INPUTS["pad.fbank"])
    close(features, IO[name]["pad.features_without_mask"])


def test_every_stage_on_the_way_is_the_published_one(models):
    model, seen = models["b"], {}
    stages = {"patch_embed_ln": model.layer_norm, "post_extract_proj": model.post_extract_proj}
    stages |= {f"layer{n}_out": layer for n, layer in enumerate(model.encoder.layers)}
    hooks = [
        stage.register_forward_hook(lambda module, x, y, name=name: seen.update({name: y}))
        for name, stage in stages.items()
    ]
    model.extract_features(INPUTS["s100.fbank"])
    for hook in hooks:
        hook.remove()
    for name in stages:
        close(seen[name], IO["b"][f"s100.{name}"])
    assert torch.equal(model.encoder.position_bias(48), IO["b"]["s100.position_bias"])


@pytest.mark.parametrize("clip", CLIPS)
def test_class_probabilities_are_the_published_ones(models, clip):
    close(models["b"].classify(INPUTS[f"{clip}.fbank"]), IO["b"][f"{clip}.probs"])


def test_class_probabilities_of_a_padded_batch_are_the_published_ones(models):
    close(models["b"].classify(INPUTS["pad.fbank"], INPUTS["pad.frame_mask"]), IO["b"]["pad.probs"])


@pytest.mark.parametrize("buckets, distance", [(320, 800), (320, 1280), (32, 128)])
def test_buckets_are_the_published_ones(buckets, distance):
    table = load_file(GOLDEN / "rel_bucket.safetensors")
    ours = relative_buckets(table["relative_position"].long(), buckets, distance)
    assert torch.equal(ours, table[f"bucket_{buckets}_{distance}"].long())
