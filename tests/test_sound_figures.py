"""Chapter 1's figures: what they draw is what was measured, and pitch is a voice's."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torchaudio.compliance import kaldi

from salmonn_mini.audio import fbank, log_mel, spectra
from salmonn_mini.course import plots
from salmonn_mini.course.figures import sound, voices
from salmonn_mini.course.player import spectrogram, words_of
from salmonn_mini.models.config import SAMPLE_RATE
from salmonn_mini.toy.world.voice import Speech, Word

SAMPLES = Path(__file__).parents[1] / "data_samples"
WORDS = (Word("a", 0.1, 0.2), Word("dog", 0.25, 0.9))


def buzz(f0: float, seconds: float = 1.0) -> np.ndarray:
    """A voice's source: harmonics of f0, the higher the softer."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return sum(np.cos(2 * np.pi * k * f0 * t) / k for k in range(1, 11)).astype(np.float32) / 10


@pytest.mark.parametrize("f0", [80, 120, 200, 250, 333, 500])
def test_the_pitch_of_a_buzz_is_its_f0_and_no_octave_of_it(f0: float) -> None:
    found = voices.pitch(buzz(f0))
    assert len(found) == pytest.approx(100, abs=1)
    assert np.nanmedian(found) == pytest.approx(f0, rel=0.03)
    assert np.isfinite(found).mean() > 0.9


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE)
    assert np.isfinite(voices.pitch(noise)).mean() < 0.1
    assert np.isnan(voices.pitch(np.zeros(SAMPLE_RATE))).all()
    half = np.concatenate([buzz(200), 1e-3 * buzz(200)])
    assert np.isnan(voices.pitch(half)[110:]).all()


def test_what_the_exercises_ask_for_makes_the_package_s_log_mel() -> None:
    X = torch.from_numpy(buzz(140, 0.4))
    mirrored = torch.nn.functional.pad(X[None], (200, 200), mode="reflect")[0]
    power = sound.power_spectrogram(mirrored, 400, 160)[:-1]
    log = (spectra.mel_filters(80) @ power.T).clamp(min=1e-10).log10()
    torch.testing.assert_close((log.clamp(min=log.max() - 8) + 4) / 4, log_mel(X), rtol=0, atol=1e-5)


def test_what_the_exercises_ask_for_makes_the_package_s_filter_bank() -> None:
    X = torch.from_numpy(buzz(140, 0.4))
    window = torch.hann_window(400, periodic=False, dtype=torch.float64) ** 0.85
    power = sound.kaldi_power(X, window, 2.0**15, True, 0.97, 512)
    filters, _ = kaldi.get_mel_banks(128, 512, SAMPLE_RATE, 20.0, 0.0, 100.0, -500.0, 1.0)
    log = (power[:, :-1] @ filters.double().T).clamp(min=torch.finfo(torch.float32).eps).log()
    own = ((log - spectra.FBANK_MEAN) / (2 * spectra.FBANK_STD)).float()
    torch.testing.assert_close(own, fbank(X.double()), rtol=0, atol=1e-3)


@pytest.mark.parametrize("N", [1, 7, 8, 400])
def test_the_fourier_matrix_transforms(N: int) -> None:
    x = torch.from_numpy(np.random.default_rng(N).normal(size=N)).to(torch.complex64)
    torch.testing.assert_close(sound.fourier_matrix(N) @ x, torch.fft.rfft(x.real), rtol=1e-4, atol=1e-3)


def test_the_fourier_sums_are_the_transform_s_real_and_imaginary_parts() -> None:
    x = torch.cos(2 * torch.pi * (3 * torch.arange(80) / 80 - 1 / 8))
    picture = sound.fourier_sums({"a tone": (x, 3), "another k": (x, 5)})
    assert torch.fft.rfft(x)[3].item() == pytest.approx(28.28 - 28.28j, abs=0.01)
    assert "a tone, x · cos sums to 28, x · sin sums to 28; another k, x · cos sums to 0," in picture.alt
    assert [axes.get_title("left") for axes in picture.axes[2:4]] == ["x · cos: sum 28", "x · cos: sum 0"]


@pytest.mark.parametrize("filtered", [True, False])
def test_resampling_keeps_low_tones_and_rings_nowhere(filtered: bool) -> None:
    X = np.zeros(SAMPLE_RATE)
    X[8000:12000] = buzz(100, 0.25) * np.hanning(4000)  # harmonics up to 1,000 Hz
    back = sound.resampled(X, 4000, filtered)
    np.testing.assert_allclose(back.X, X, atol=0.02 * np.abs(X).max())
    click = np.zeros(SAMPLE_RATE)
    click[8000] = 1.0
    rings = np.abs(sound.resampled(click, 4000, filtered).X)
    assert rings[:7600].max() < 2e-3 * rings.max()
    assert back.picture.axes[0].get_ylim() == (0, 2.5)
    np.testing.assert_array_equal(sound.resampled(X, SAMPLE_RATE, filtered).X, X)


def test_the_formants_of_a_buzz_are_its_resonances() -> None:
    pulses = np.zeros(2000)
    pulses[:: SAMPLE_RATE // 100] = 1.0
    for f, width in ((500, 80), (1500, 100), (2500, 120)):
        r, turn = np.exp(-np.pi * width / SAMPLE_RATE), np.cos(2 * np.pi * f / SAMPLE_RATE)
        for i in range(2, len(pulses)):  # a resonator, sample by sample
            pulses[i] += 2 * r * turn * pulses[i - 1] - r * r * pulses[i - 2]
    found = voices.formants(pulses)
    assert all(min(abs(f - own) for own in found) < 60 for f in (500, 1500, 2500)), found


def test_the_share_above_a_frequency() -> None:
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    X = np.sin(2 * np.pi * 1000 * t) + 0.5 * np.sin(2 * np.pi * 3000 * t)
    assert voices.share_above(X, 2000) == pytest.approx(0.2)


def test_each_image_gets_one_scale() -> None:
    picture = sound.with_scale(plots.log_mel(np.random.default_rng(0).normal(size=(80, 50))), "value")
    assert [axes.get_ylabel() for axes in picture.axes] == ["Hz", "value"]


def test_a_tone_is_drawn_at_its_frequency_and_its_moment() -> None:
    X = torch.zeros(SAMPLE_RATE)
    X[8000:] = torch.sin(2 * torch.pi * 1000 * torch.arange(8000) / SAMPLE_RATE)
    power = sound.power_spectrogram(X, 400, 40)
    picture = sound.time_frequency((power, 40), (sound.power_spectrogram(X, 1600, 80), 80), words=WORDS)
    for axes in picture.axes[:2]:
        image = axes.images[0]
        left, right, bottom, top = image.get_extent()
        decibels = np.asarray(image.get_array())
        rows, columns = decibels.shape
        band, moment = np.unravel_index(decibels.argmax(), decibels.shape)
        assert bottom + (band + 0.5) * (top - bottom) / rows == pytest.approx(1.0, abs=0.021)
        assert left + (moment + 0.5) * (right - left) / columns > 0.5
        onset = (decibels.max(0) > decibels.max() - 6).argmax()  # half of the frame's window holds the tone
        assert left + (onset + 0.5) * (right - left) / columns == pytest.approx(0.5, abs=0.01)
        assert {text.get_text() for text in axes.texts} == {"a", "dog"}
    assert "Window of 25 ms, bins 40 Hz apart. Window of 100 ms, bins 10 Hz apart." in picture.alt


def test_the_wave_stands_over_its_own_power() -> None:
    X = torch.from_numpy(buzz(200))
    picture = sound.wave_over_power(X, sound.power_spectrogram(X, 80, 8), 8, 0.2, 0.35, 4000)
    upper, lower = picture.axes[:2]
    assert upper.get_xlim() == lower.get_xlim() == (0.2, 0.35)
    assert lower.get_ylim() == (0, 4)


def test_moods_and_sounds_share_one_axis_of_time() -> None:
    own = np.full(80, 150.0, np.float32)
    own[40:] = 0.0
    slow, quick = Speech(buzz(150, 2.0), WORDS, (), own), Speech(buzz(250, 1.0), WORDS, (), own[:40])
    picture = voices.moods({"slow": slow, "quick": quick})
    assert "slow 2.00 s, quick 1.00 s" in picture.alt
    assert {axes.get_xlim() for axes in picture.axes} == {(0.0, 2.0)}
    spoken, *lines = picture.axes[-1].lines
    assert spoken.get_label() == "as spoken" and np.isfinite(spoken.get_ydata()).sum() == 40
    drawn = {line.get_label(): np.nanmedian(line.get_ydata()) for line in lines}
    found = {"slow": pytest.approx(150, rel=0.03), "quick": pytest.approx(250, rel=0.03)}
    assert found.items() <= drawn.items()
    rows = sound.spectrograms({"A": slow.wave, "B": quick.wave})
    assert {axes.get_xlim() for axes in rows.axes} == {(0.0, 2.0)}
    assert "A 2.00 s, B 1.00 s" in rows.alt


@pytest.mark.parametrize("n_mels", [80, 128])
def test_each_dot_of_a_filter_lies_on_its_triangle(n_mels: int) -> None:
    lines = sound.filter_bank(spectra.mel_filters(n_mels)).axes[0].lines
    triangles, dots = lines[::2], lines[1::2]
    assert len(triangles) == 2 * len(range(5, n_mels, 10))
    for triangle, dot in zip(triangles, dots, strict=True):
        (left, _, right), height = triangle.get_xdata(), max(triangle.get_ydata())
        assert height * (right - left) / 2 == pytest.approx(1)
        on_it = np.interp(dot.get_xdata(), triangle.get_xdata(), triangle.get_ydata())
        np.testing.assert_allclose(dot.get_ydata(), on_it, atol=5e-5)


@pytest.mark.parametrize("S", [34_400, 30_439, 16_000])
def test_the_ladder_has_the_shapes_that_the_package_gives(S: int) -> None:
    alt, X = sound.ladder(S).alt, torch.randn(S)
    bands, frames = log_mel(X).shape
    assert f"power {frames} × 201, log-mel {bands} × {frames}" in alt
    assert f"filter bank {len(fbank(X))} × {fbank(X).shape[1]}." in alt


def test_a_clip_s_words_come_from_its_own_row_and_are_those_of_its_text() -> None:
    words = words_of(SAMPLES / "speech_neutral_woman.wav")
    assert " ".join(word.text for word in words) == "The tired baker carries a flower"
    assert all(word.begin < word.end for word in words)
    assert re.search(r"Words, in seconds: The 0\.\d\d to", spectrogram(np.zeros(40_000), words=words).alt)
    assert words_of(SAMPLES / "sound_dog.wav") == []
