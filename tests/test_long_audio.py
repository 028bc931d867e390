"""Minutes of sound: windows running on, tokens in proportion, neighbors in a batch not noticed."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_config, tiny_salmonn
from torch import Tensor

from salmonn_mini.models.config import ConnectorConfig, SalmonnConfig, WhisperEncoderConfig
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel


def noise(seconds: float, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(round(seconds * 16_000), generator=generator) * 0.1


def full_scale(**changes: object) -> SalmonnConfig:
    """Tiny widths in the published arithmetic: 30 s of Whisper at once, windows of 0.333333 s."""
    config = tiny_config()
    whisper = WhisperEncoderConfig.from_dict(config.whisper.to_dict() | {"max_source_positions": 1500})
    connector = ConnectorConfig.from_dict(config.connector.to_dict() | {"window_seconds": 0.333333})
    return config.replace(whisper=whisper, connector=connector).replace(**changes)


@pytest.fixture(scope="module")
def published() -> SalmonnModel:
    return tiny_salmonn(config=full_scale().as_published())


@pytest.fixture(scope="module")
def minutes(published: SalmonnModel) -> Features:
    return published.encode([noise(120)])


def test_thirty_seconds_are_88_tokens(published: SalmonnModel) -> None:
    """However much of them is sound; 89 where the last window is filled up (the paper's formula)."""
    for seconds in (1, 12.3, 30):
        encoded = published.encode([noise(seconds)])
        assert encoded.whisper_lengths.tolist() == [1500]
        assert published.get_audio_features(encoded)[1].tolist() == [88]
    paper = tiny_salmonn(config=full_scale(pad_to_window=True))
    assert paper.get_audio_features(paper.encode([noise(12.3)]))[1].tolist() == [89]


def test_over_minutes_windows_run_on(published: SalmonnModel, minutes: Features) -> None:
    """Encoder after encoder, 1500 frames every 30 s; the Q-Former's windows run on across their seams."""
    assert minutes.whisper_lengths.tolist() == [6000]
    assert minutes.beats_lengths.tolist() == [3 * 1500 + 1496]
    H, lengths = published.get_audio_features(minutes)
    assert lengths.tolist() == [6000 // 17]  # 352 = 4 · 88
    half = published.encode([noise(120)[: 60 * 16_000]])
    torch.testing.assert_close(minutes.whisper[:, :3000], half.whisper)
    start, count = published.get_audio_features(half)
    assert count.tolist() == [3000 // 17]
    same = 2996 // 17  # the windows that end before the last frames, which BEATs leaves empty at a clip's end
    torch.testing.assert_close(H[:, :same], start[:, :same], atol=1e-5, rtol=0)


def test_a_clip_over_minutes_and_a_short_one_share_a_batch(
    published: SalmonnModel, minutes: Features
) -> None:
    short = published.encode([noise(3, seed=2)])
    batch = Features.stack([minutes, short])
    H, lengths = published.get_audio_features(batch)
    instructions = ["What is said?", "What is heard?"]
    answers = published.generate(batch, instructions, max_new_tokens=5)
    for i, alone in enumerate((minutes, short)):
        tokens, (length,) = published.get_audio_features(alone)
        assert length == lengths[i]
        torch.testing.assert_close(H[i, :length], tokens[0], atol=1e-4, rtol=0)
        assert published.generate(alone, [instructions[i]], max_new_tokens=5) == [answers[i]]


def test_work_grows_in_proportion(published: SalmonnModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the sound is twice the frames through the encoders, and no attention ever spans more than a window."""
    widths: list[int] = []
    layer = published.whisper.encoder.layers[0]
    layer.register_forward_pre_hook(lambda _, inputs: widths.append(inputs[0].shape[0] * inputs[0].shape[1]))
    spans: list[int] = []
    encoder = published.beats.encoder
    encoder.register_forward_pre_hook(lambda _, inputs: spans.append(inputs[0].shape[1]))
    frames = {}
    for seconds in (60, 120):
        widths.clear()
        published.encode([noise(seconds)])
        frames[seconds] = sum(widths)
    assert frames == {60: 3000, 120: 6000}
    assert max(spans) == 1496


def test_the_clips_own_frames_over_several_windows() -> None:
    """As the toy hears: windows of 10 s, no silence behind the clip."""
    model = tiny_salmonn()
    encoded = model.encode([noise(25.3), noise(10)])
    assert encoded.whisper_lengths.tolist() == [1265, 500]
    H, lengths = model.get_audio_features(encoded)
    assert lengths.tolist() == [127, 50]  # windows of 0.2 s, the last one filled up
    first, _ = model.get_audio_features(model.encode([noise(25.3)[: 10 * 16_000]]))
    torch.testing.assert_close(H[0, :49], first[0, :49], atol=1e-5, rtol=0)


def test_a_scrap_behind_a_window_is_heard(published: SalmonnModel) -> None:
    """One sample more than a window: a frame of Whisper's, a patch of BEATs'."""
    model = tiny_salmonn()
    encoded = model.encode([noise(10.0)[:160_000], torch.cat([noise(10.0), torch.ones(1)])])
    assert encoded.whisper_lengths.tolist() == [500, 501]
    assert encoded.beats_lengths.tolist() == [496, 508]
    assert model.get_audio_features(encoded)[0].isfinite().all()
