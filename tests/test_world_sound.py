"""The toy world's acoustics, sound events and music."""

from __future__ import annotations

import numpy as np
import pytest

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import SAMPLE_RATE
from salmonn_mini.toy.world import acoustics
from salmonn_mini.toy.world.events import EVENTS, synthesize
from salmonn_mini.toy.world.music import MODES, MUSIC, TEMPI, compose


def is_sound(wave: np.ndarray) -> bool:
    """float32, one channel, finite, bounded, not silent."""
    return (
        wave.dtype == np.float32
        and wave.ndim == 1
        and bool(np.isfinite(wave).all())
        and 0.05 < np.abs(wave).max() <= 1
    )


def profile(wave: np.ndarray) -> np.ndarray:
    """Mean and spread of the log spectrum in 32 bands, enough to tell kinds of sounds apart."""
    wave = wave / (acoustics.rms(wave) + 1e-9)
    frames = np.lib.stride_tricks.sliding_window_view(wave, 512)[::160] * np.hanning(512)
    edges = np.unique(np.geomspace(1, 256, 33).astype(int))
    bands = np.log(np.add.reduceat(np.abs(np.fft.rfft(frames)) ** 2, edges[:-1], axis=1) + 1e-2)
    return np.concatenate([bands.mean(0), bands.std(0)])


def nearest_class(train: np.ndarray, test: np.ndarray) -> float:
    """Accuracy of the nearest neighbor; train (C, N, D) and test (C, M, D) are grouped by class."""
    spread = train.reshape(-1, train.shape[-1]).std(0) + 1e-6
    gaps = [
        [(((one - kind) / spread) ** 2).sum(-1).min() for kind in train] for group in test for one in group
    ]
    truth = np.repeat(np.arange(len(test)), test.shape[1])
    return float(np.mean(np.argmin(gaps, axis=1) == truth))


# --- acoustics ------------------------------------------------------------


def tone(seconds: float, hertz: float = 300, level: float = 0.5) -> np.ndarray:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (level * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


@pytest.mark.parametrize("wave", [tone(1), tone(0.01), np.zeros(800, np.float32), np.zeros(0, np.float32)])
def test_acoustics_keep_length_and_bounds(wave):
    rng = np.random.default_rng(0)
    done = [
        acoustics.normalize(wave, 0.9),
        acoustics.add_noise(wave, rng, -20),
        acoustics.reverberate(wave, rng, 0.4),
        acoustics.mix(wave, tone(0.3), 0),
    ]
    for out in done:
        assert out.dtype == np.float32 and len(out) == len(wave)
        assert np.isfinite(out).all() and np.abs(out).max(initial=0) <= 1


def test_noise_and_background_stand_at_their_ratio():
    wave, rng = tone(2, level=0.1), np.random.default_rng(1)
    for louder in (acoustics.add_noise(wave, rng, 12), acoustics.mix(wave, tone(0.7, 1234), 12)):
        assert 20 * np.log10(acoustics.rms(wave) / acoustics.rms(louder - wave)) == pytest.approx(12, abs=0.3)


def test_overlap_keeps_both_whole_and_join_leaves_gaps():
    a, b = tone(1, level=0.2), tone(0.8, 500, level=0.2)
    assert len(acoustics.overlap(a, b, delay=0.5)) == round(1.3 * SAMPLE_RATE)
    joined = acoustics.join([a, b], gap_seconds=0.25)
    np.testing.assert_array_equal(joined[: len(a)], a)
    assert not joined[len(a) : len(a) + 4000].any() and len(joined) == len(a) + len(b) + 4000
    assert len(acoustics.join([])) == 0


# --- events and music ------------------------------------------------------------


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("seconds", [0.5, 1.2345])
def test_events_have_their_length_and_are_never_alike(name, seconds):
    clips = [synthesize(name, np.random.default_rng(seed), seconds) for seed in (0, 1, 2)]
    assert all(is_sound(clip) and len(clip) == round(seconds * SAMPLE_RATE) for clip in clips)
    assert len({clip.tobytes() for clip in clips}) == 3
    np.testing.assert_array_equal(clips[0], synthesize(name, np.random.default_rng(0), seconds))


def test_events_tell_apart():
    clips = np.array(
        [[profile(synthesize(n, np.random.default_rng(s), 2)) for s in range(20)] for n in EVENTS]
    )
    assert nearest_class(clips[:, :14], clips[:, 14:]) > 0.95


def test_events_and_music_are_described():
    assert all(event.name == name and event.phrase.islower() for name, event in EVENTS.items())
    assert (len(EVENTS), len(MUSIC)) == (26, 10)


@pytest.mark.parametrize("style", MUSIC)
def test_music_has_its_length_and_is_never_alike(style):
    clips = [
        compose(style, np.random.default_rng(i), 1.5, tempo, mode)
        for i in (0, 1)
        for tempo in TEMPI
        for mode in MODES
    ]
    assert all(is_sound(clip) and len(clip) == 24_000 for clip in clips)
    assert len({clip.tobytes() for clip in clips}) == len(clips)
    np.testing.assert_array_equal(clips[0], compose(style, np.random.default_rng(0), 1.5))


def test_styles_of_music_tell_apart():
    def clip(style: str, seed: int) -> np.ndarray:
        tempo, mode = list(TEMPI)[seed % 2], list(MODES)[seed // 2 % 2]
        return profile(compose(style, np.random.default_rng(seed), 1.5, tempo, mode))

    clips = np.array([[clip(style, seed) for seed in range(12)] for style in MUSIC])
    assert nearest_class(clips[:, :8], clips[:, 8:]) > 0.95


@pytest.mark.parametrize("style", ["piano", "guitar", "xylophone"])
def test_fast_music_has_more_onsets(style):
    def onsets(tempo: str) -> int:
        wave = compose(style, np.random.default_rng(3), 6, tempo)
        energy = np.log10(np.square(wave).reshape(-1, 320).sum(1) + 1e-6)
        rises = np.diff(energy) > 0.3
        return int((rises[1:] & ~rises[:-1]).sum())

    assert onsets("fast") > 1.5 * onsets("slow")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda rng: synthesize("ufo", rng, 2),
        lambda rng: synthesize("dog", rng, 0.1),
        lambda rng: compose("kazoo", rng, 2),
        lambda rng: compose("piano", rng, 2, tempo="presto"),
        lambda rng: compose("piano", rng, 2, mode="angry"),
        lambda rng: compose("piano", rng, 0.0),
    ],
)
def test_unknown_sounds_are_refused(wrong):
    with pytest.raises(SalmonnError, match=r"unknown|seconds"):
        wrong(np.random.default_rng(0))
