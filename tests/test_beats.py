"""BEATs: equal to the published numbers, and a clip's tokens are its own whatever its batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from salmonn_mini.audio import fbank
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.encoders.beats import Beats, BeatsConfig, load_beats_checkpoint, relative_buckets

GOLDEN = Path(__file__).parent / "golden" / "beats"
INPUTS = load_file(GOLDEN / "beats_inputs.safetensors")
IO = {name: load_file(GOLDEN / f"beats_{name}_io.safetensors") for name in "ab"}
CLIPS = ["s100", "s237"]


@pytest.fixture(scope="module")
def models() -> dict[str, Beats]:
    a = Beats(BeatsConfig.from_dict(json.loads((GOLDEN / "beats_a_cfg.json").read_text()))).eval()
    a.load_weights(load_file(GOLDEN / "beats_a_state.safetensors"))
    return {"a": a, "b": load_beats_checkpoint(GOLDEN / "beats_tiny.pt")}


@pytest.fixture
def small() -> Beats:
    torch.manual_seed(0)
    sizes = {"embed_dim": 32, "encoder_embed_dim": 32, "encoder_layers": 2, "encoder_ffn_embed_dim": 64}
    return Beats(BeatsConfig(**sizes, encoder_attention_heads=4)).eval()


def close(ours: torch.Tensor, theirs: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)


def noise(*seconds: float) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(int(s * 16_000), generator=generator) for s in seconds]


# -- parity with the published code


@pytest.mark.parametrize("clip", [*CLIPS, "pad"])
def test_fbank_is_the_published_one(clip):
    """In float32, which is up to 4e-4 away from float64 in the quietest bands, each processor in its own way."""
    for wave, expected in zip(INPUTS[f"{clip}.wav"], INPUTS[f"{clip}.fbank"], strict=True):
        close(fbank(wave), expected, atol=1e-3)


def test_fbank_in_float64_is_the_published_loaders():
    wave, expected = INPUTS["s100.wav"][0], INPUTS["s100.fbank_from_f64"][0]
    close(fbank(wave.double()), expected)
    close(fbank(wave), expected, atol=2e-4)


def published(
    model: Beats, fbank: torch.Tensor, padding_mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Features and mask of tokens (B, T) as the published code has them: a patch in which a clip ends may count."""
    tokens = model.embed(fbank)
    if padding_mask is not None:
        T = tokens.shape[1]
        per_token = padding_mask.shape[1] // T
        padding_mask = padding_mask[:, : per_token * T].unflatten(1, (T, per_token)).all(-1)
    return model.encoder(tokens, padding_mask), padding_mask


@pytest.mark.parametrize("name", "ab")
@pytest.mark.parametrize("clip", CLIPS)
def test_features_are_the_published_ones(models, name, clip):
    features, mask = published(models[name], INPUTS[f"{clip}.fbank"])
    assert mask is None
    close(features, IO[name][f"{clip}.features"])
    close(features, IO[name][f"{clip}.features_from_f64_wav"], atol=1e-3)


@pytest.mark.parametrize("name", "ab")
def test_features_of_a_padded_batch_are_the_published_ones(models, name):
    features, mask = published(models[name], INPUTS["pad.fbank"], INPUTS["pad.frame_mask"])
    assert torch.equal(mask, IO[name]["pad.token_mask"])
    close(features, IO[name]["pad.features"])
    features, _ = published(models[name], INPUTS["pad.fbank"])
    close(features, IO[name]["pad.features_without_mask"])


def test_every_stage_on_the_way_is_the_published_one(models):
    model, seen = models["b"], {}
    stages = {"patch_embed_ln": model.layer_norm, "post_extract_proj": model.post_extract_proj}
    stages |= {f"layer{n}_out": layer for n, layer in enumerate(model.encoder.layers)}
    hooks = [
        stage.register_forward_hook(lambda module, x, y, name=name: seen.update({name: y}))
        for name, stage in stages.items()
    ]
    published(model, INPUTS["s100.fbank"])
    for hook in hooks:
        hook.remove()
    for name in stages:
        close(seen[name], IO["b"][f"s100.{name}"])
    assert torch.equal(model.encoder.position_bias(48), IO["b"]["s100.position_bias"])


def probabilities(model: Beats, *inputs: torch.Tensor) -> torch.Tensor:
    features, mask = published(model, *inputs)
    return model.class_logits(
        features, torch.zeros(features.shape[:2]).bool() if mask is None else mask
    ).sigmoid()


@pytest.mark.parametrize("clip", CLIPS)
def test_class_probabilities_are_the_published_ones(models, clip):
    close(probabilities(models["b"], INPUTS[f"{clip}.fbank"]), IO["b"][f"{clip}.probs"])


def test_class_probabilities_of_a_padded_batch_are_the_published_ones(models):
    close(probabilities(models["b"], INPUTS["pad.fbank"], INPUTS["pad.frame_mask"]), IO["b"]["pad.probs"])


@pytest.mark.parametrize("buckets, distance", [(320, 800), (320, 1280), (32, 128)])
def test_buckets_are_the_published_ones(buckets, distance):
    table = load_file(GOLDEN / "rel_bucket.safetensors")
    ours = relative_buckets(table["relative_position"].long(), buckets, distance)
    assert torch.equal(ours, table[f"bucket_{buckets}_{distance}"].long())


# -- waves: a clip's tokens are its own


def encode(model: Beats, waves: list[torch.Tensor], **how: float) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        return model(waves, **how)


@pytest.mark.parametrize("name", "ab")
def test_a_clip_alone_is_encoded_as_published(models, name):
    features, lengths = encode(models[name], [INPUTS["s237.wav"][0]])
    assert lengths.tolist() == [112]
    close(features, published(models[name], fbank(INPUTS["s237.wav"][0])[None])[0])
    close(features, IO[name]["s237.features"], atol=1e-3)  # fbank in float32: see above


@pytest.mark.parametrize("name", "ab")
def test_a_clip_is_the_same_alone_and_in_a_batch(models, name):
    waves = noise(1.0, 2.37, 0.3, 3.1)
    together, lengths = encode(models[name], waves)
    for wave, row, length in zip(waves, together, lengths.tolist(), strict=True):
        alone, own = encode(models[name], [wave])
        assert own.tolist() == [length]
        close(row[:length], alone[0])
        assert not row[length:].any()


def test_the_published_batch_leaks_padding_and_ours_does_not(models):
    """Why the module has masks of its own: the published one counts some bands of the padding as sound."""
    short = INPUTS["pad.wav"][1, : INPUTS["pad.lengths"][1]]
    alone, lengths = encode(models["a"], [short])
    assert (IO["a"]["pad.features"][1, : lengths[0]] - alone[0]).abs().max() > 1e-2
    together, _ = encode(models["a"], [INPUTS["pad.wav"][0], short])
    close(together[1, : lengths[0]], alone[0])


@pytest.mark.parametrize(
    "samples, tokens", [(1, 8), (100, 8), (2800, 8), (5359, 8), (5360, 16), (16_000, 48)]
)
def test_tokens_come_eight_a_patch_and_never_less_than_one_patch(small, samples, tokens):
    features, lengths = encode(small, [torch.full((samples,), 0.1)])
    assert lengths.tolist() == [tokens] and features.shape == (1, tokens, 32)


def test_thirty_seconds_are_1496_tokens(small):
    assert encode(small, noise(30))[1].tolist() == [1496]


def test_long_audio_is_its_windows_joined(small):
    (wave,) = noise(5.2)
    together, lengths = encode(small, [wave, wave[:100]], window_seconds=2)
    windows = [encode(small, [window])[0][0] for window in wave.split(32_000)]
    assert len(windows) == 3
    for number, window in enumerate(windows):
        close(together[0, 100 * number :][: len(window)], window)  # 100 frames in 2 s: time does not drift
    assert lengths.tolist() == [200 + len(windows[2]), 8]


def test_a_clip_without_samples_is_refused(small):
    with pytest.raises(SalmonnError, match="at least one sample"):
        small([torch.zeros(0)])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_weights_stay_in_float32(small, dtype):
    """Here float16 would overflow: 1e5 is beyond it."""
    with torch.no_grad():
        small.encoder.layers[0].fc1.bias += 1e5
    features, _ = encode(small, noise(1))
    cast, _ = encode(torch.nn.Sequential(small).to(dtype)[0], noise(1))
    assert torch.equal(cast, features) and features.isfinite().all()
    assert {p.dtype for p in small.parameters()} == {torch.float32}
    assert {p.dtype for p in small.double().parameters()} == {torch.float64}
    assert {p.device.type for p in small.to("meta", dtype).parameters()} == {"meta"}


def test_features_that_are_not_finite_are_refused(small):
    with torch.no_grad():
        small.encoder.layers[0].fc1.weight *= float("inf")
    with pytest.raises(SalmonnError, match=r"not finite, in torch.float32: check"):
        encode(small, noise(1))


# -- training from random weights


def test_weights_start_as_deep_norm_wants_them():
    layer = Beats(BeatsConfig(encoder_layers=2)).encoder.layers[1]
    beta, xavier = 16**-0.25, 768**-0.5
    for linear, std in [
        (layer.self_attn.q_proj, xavier),
        (layer.self_attn.k_proj, xavier),
        (layer.self_attn.v_proj, beta * xavier),
        (layer.self_attn.out_proj, beta * xavier),
        (layer.fc1, beta * (2 / (768 + 3072)) ** 0.5),
        (layer.fc2, beta * (2 / (768 + 3072)) ** 0.5),
    ]:
        assert linear.weight.std().item() == pytest.approx(std, rel=0.01)
        assert not linear.bias.any()
    assert layer.alpha == pytest.approx(4**0.25)


def test_every_parameter_learns(small):
    small.train()
    published(small, torch.randn(2, 64, 128))[0].pow(3).mean().backward()
    asleep = [name for name, p in small.named_parameters() if p.grad is None or not p.grad.any()]
    # A key's bias shifts all scores of a query alike, which softmax does not see.
    assert not [name for name in asleep if not name.endswith("k_proj.bias")]


def test_dropout_acts_in_training_alone():
    sizes = {"embed_dim": 32, "encoder_embed_dim": 32, "encoder_layers": 1, "encoder_ffn_embed_dim": 64}
    beats = Beats(BeatsConfig(**sizes, encoder_attention_heads=4, dropout=0.5)).eval()
    fbanks = torch.randn(1, 64, 128)
    calm, _ = published(beats, fbanks)
    assert torch.equal(published(beats, fbanks)[0], calm)
    assert not torch.allclose(published(beats.train(), fbanks)[0], calm)


# -- checkpoints


def test_a_state_dict_goes_through_its_own_keys_and_back(models):
    official = torch.load(GOLDEN / "beats_tiny.pt", weights_only=True)["model"]
    own = models["b"].state_dict()
    assert own.keys() == official.keys()
    assert all(torch.equal(own[key], official[key]) for key in own)


def test_the_shared_table_may_be_stored_once(models):
    state = models["b"].state_dict()
    for layer in (1, 2):
        del state[f"encoder.layers.{layer}.self_attn.relative_attention_bias.weight"]
    fresh = Beats(models["b"].config)
    fresh.load_weights(state)
    assert torch.equal(fresh.encoder.position_bias(9), models["b"].encoder.position_bias(9))


def test_every_fault_of_a_state_dict_is_named(small):
    state = small.state_dict()
    del state["layer_norm.bias"], state["encoder.layers.0.fc1.bias"]
    state |= {"predictor.bias": torch.zeros(3), "encoder.layer_norm.weight": torch.zeros(7)}
    with pytest.raises(SalmonnError) as error:
        small.load_weights(state, "toy.pt")
    for words in (
        "toy.pt does not fit",
        "missing layer_norm.bias",
        "missing encoder.layers.0.fc1.bias",
        "unexpected predictor.bias",
        "encoder.layer_norm.weight has shape (7,), expected (32,)",
    ):
        assert words in str(error.value)


def test_what_is_no_checkpoint_is_refused(tmp_path, models):
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "empty.pt").touch()
    torch.save({"model": {}}, tmp_path / "half.pt")
    torch.save([1], tmp_path / "list.pt")
    torch.save({"cfg": {"encoder_layers": "many"}, "model": {}}, tmp_path / "sizes.pt")
    torch.save({"cfg": {"deep_norm": False}, "model": {}}, tmp_path / "variant.pt")
    torch.save({"cfg": {}, "model": models}, tmp_path / "code.pt")  # would run code when unpickled
    for name in ("text", "empty", "half", "list", "sizes", "variant", "code", "missing"):
        with pytest.raises(SalmonnError) as error:
            load_beats_checkpoint(tmp_path / f"{name}.pt")
        assert "\n" not in str(error.value)
    with pytest.raises(SalmonnError, match="cannot read"):
        load_beats_checkpoint(tmp_path)


@pytest.mark.parametrize("name, value", [("encoder_attention_heads", 5), ("conv_pos", 0), ("dropout", "no")])
def test_sizes_that_do_not_fit_are_refused(name, value):
    with pytest.raises(SalmonnError, match=name):
        BeatsConfig.from_dict({name: value, "an_unknown_key": 1})
