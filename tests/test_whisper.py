"""Whisper's encoder: equal to transformers and to the published numbers when padded; trimmed, a clip's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import WhisperConfig, WhisperModel

from salmonn_mini.audio import load_audio, log_mel
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.encoders.whisper import WhisperEncoder

GOLDEN = Path(__file__).parent / "golden" / "salmonn"


def encoder_of(whisper: WhisperModel) -> WhisperEncoder:
    encoder = WhisperEncoder(whisper.config).eval()
    encoder.encoder.load_state_dict(whisper.encoder.state_dict())
    return encoder


def tiny(max_source_positions: int) -> WhisperModel:
    torch.manual_seed(0)
    sizes = {
        "d_model": 32,
        "encoder_layers": 2,
        "encoder_ffn_dim": 64,
        "decoder_layers": 1,
        "decoder_ffn_dim": 64,
    }
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    ids = {
        "vocab_size": 8,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 3,
    }
    return WhisperModel(
        WhisperConfig(**sizes, **heads, **ids, max_source_positions=max_source_positions)
    ).eval()


@pytest.fixture(scope="module")
def whisper() -> WhisperModel:
    """A window of 2 s."""
    return tiny(100)


@pytest.fixture(scope="module")
def encoder(whisper) -> WhisperEncoder:
    return encoder_of(whisper)


def noise(*samples: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(n, generator=generator) for n in samples]


def encode(
    encoder: WhisperEncoder, waves: list[torch.Tensor], pad: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        return encoder(waves, pad_to_window=pad)


def close(ours: torch.Tensor, theirs: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)


def filled(wave: torch.Tensor, seconds: int) -> torch.Tensor:
    return torch.nn.functional.pad(wave, (0, 16_000 * seconds - len(wave)))


# -- padded: the published features


def test_the_golden_features_are_met():
    weights = load_file(GOLDEN / "whisper" / "model.safetensors")
    encoder = WhisperEncoder(WhisperConfig.from_pretrained(GOLDEN / "whisper")).eval()
    own = {
        key.removeprefix("model."): value
        for key, value in weights.items()
        if key.startswith("model.encoder.")
    }
    assert own.keys() == encoder.state_dict().keys()
    encoder.load_state_dict(own)
    features, lengths = encode(encoder, [load_audio(GOLDEN / "audio" / "a.wav")], pad=True)
    golden = load_file(GOLDEN / "salmonn_io.safetensors")
    assert lengths.tolist() == [1500]
    close(features[:, :400], golden["s1.whisper_last_hidden_first400"], atol=2e-5)
    close(features[:, -50:], golden["s1.whisper_last_hidden_last50"], atol=2e-5)


@pytest.mark.parametrize("positions, seconds", [(1500, 30), (100, 2)])
def test_padded_features_are_transformers_own(positions, seconds):
    whisper = tiny(positions)
    encoder = encoder_of(whisper)
    assert encoder.window_seconds == seconds
    waves = noise(9_000, 32_000)
    with torch.no_grad():
        theirs = whisper.encoder(
            torch.stack([log_mel(filled(wave, seconds)) for wave in waves])
        ).last_hidden_state
    features, lengths = encode(encoder, waves, pad=True)
    assert torch.equal(features, theirs)
    assert lengths.tolist() == [positions, positions]


def test_a_clip_that_fills_its_window_is_the_same_padded_and_trimmed(encoder):
    waves = noise(32_000, 31_900)
    padded, trimmed = encode(encoder, waves, pad=True), encode(encoder, waves, pad=False)
    close(trimmed[0], padded[0])
    assert trimmed[1].tolist() == padded[1].tolist() == [100, 100]


# -- trimmed: the clip's own frames


@pytest.mark.parametrize("samples", [1, 100, 320, 321, 16_000, 31_999])
def test_trimmed_frames_are_fifty_a_second(encoder, samples):
    features, lengths = encode(encoder, noise(samples), pad=False)
    frames = -(-samples // 320)
    assert features.shape == (1, frames, 32) and lengths.tolist() == [frames]
    assert features.isfinite().all()


@pytest.mark.parametrize("pad", [True, False])
def test_a_clip_is_the_same_alone_and_in_a_batch(encoder, pad):
    waves = noise(16_000, 30_321, 1, 100, 480, 70_000)
    together, lengths = encode(encoder, waves, pad)
    for wave, row, length in zip(waves, together, lengths.tolist(), strict=True):
        alone, own = encode(encoder, [wave], pad)
        assert own.tolist() == [length]
        close(row[:length], alone[0])
        assert not row[length:].any()


@pytest.mark.parametrize("pad, frames", [(True, 300), (False, 219)])
def test_long_audio_is_its_windows_joined(encoder, pad, frames):
    (wave,) = noise(70_000)
    features, lengths = encode(encoder, [wave], pad)
    windows = [encode(encoder, [window], pad)[0][0] for window in wave.split(32_000)]
    close(features[0], torch.cat(windows))
    assert lengths.tolist() == [frames]


def test_an_hour_is_encoded_in_bounded_steps(encoder, monkeypatch):
    monkeypatch.setattr("salmonn_mini.models.features.SECONDS_AT_ONCE", 4)
    waves, seen = noise(70_000, 40_000), []
    encode_mels = encoder.encode_mels
    monkeypatch.setattr(encoder, "encode_mels", lambda mels: seen.append(len(mels)) or encode_mels(mels))
    stepwise, lengths = encode(encoder, waves, pad=False)
    assert seen == [2, 2, 1]
    monkeypatch.undo()
    at_once, _ = encode(encoder, waves, pad=False)
    close(stepwise, at_once)
    assert lengths.tolist() == [219, 125]


def test_the_mel_of_a_trimmed_clip_is_the_beginning_of_the_padded_one(encoder):
    for wave in noise(1, 7_777, 31_700):
        trimmed, padded = encoder._mel(wave, fill=False), encoder._mel(wave, fill=True)
        assert padded.shape == (80, 200)
        close(trimmed, padded[:, : trimmed.shape[1]], atol=1e-6)


def test_gradients_reach_every_weight_through_a_ragged_batch(whisper):
    encoder = encoder_of(whisper).train()
    mels = [log_mel(wave) for wave in noise(5_000, 16_000)]
    features, lengths = encoder.encode_mels(mels)
    assert lengths.tolist() == [16, 50]
    features.pow(3).sum().backward()
    assert all(p.grad is not None for p in encoder.parameters() if p.requires_grad)


def test_bfloat16_works(whisper):
    features, _ = encode(encoder_of(whisper).bfloat16(), noise(5_000, 16_000), pad=False)
    assert features.dtype == torch.bfloat16 and features.isfinite().all()


def test_a_clip_without_samples_is_refused(encoder):
    with pytest.raises(SalmonnError, match="at least one sample"):
        encoder([torch.zeros(0)])
    with pytest.raises(SalmonnError, match=r"no clips.*at least one"):
        encoder([])
