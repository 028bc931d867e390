"""Players and figures with controls: right over the whole range of every control, and they follow."""

import base64
import io
import re
from collections.abc import Iterator
from itertools import product
from math import ceil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from salmonn_mini.course.explorer import Explorer, explore_answers
from salmonn_mini.course.figures import sound, windows
from salmonn_mini.course.player import Gallery, Sound, spectrogram
from salmonn_mini.course.plots import Picture
from salmonn_mini.models.config import SAMPLE_RATE

SAMPLES = Path(__file__).parents[1] / "data_samples"
TONE = 0.5 * np.sin(2 * np.pi * 2700 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)


def sweep(explorer: Explorer) -> Iterator[dict]:
    """Every value of each control, with all others at their first and at their last."""
    for name, values in explorer.controls.items():
        for value, end in product(values, (0, -1)):
            yield {other: choices[end] for other, choices in explorer.controls.items()} | {name: value}


def audio_in(html: str) -> np.ndarray:
    encoded = re.search(r'src="data:audio/mpeg;base64,([^"]+)"', html)[1]
    return soundfile.read(io.BytesIO(base64.b64decode(encoded)))[0]


# --- players ---------------------------------------------------------------------------------------------------------


def test_a_player_holds_its_sound_and_says_it_in_words() -> None:
    shown = Sound(TONE, "A <tone>", spectrogram(TONE), "beep & no more")._repr_mimebundle_()
    played = audio_in(shown["text/html"])
    assert np.abs(np.fft.rfft(played)).argmax() / len(played) * SAMPLE_RATE == pytest.approx(2700, abs=5)
    assert len(played) / SAMPLE_RATE == pytest.approx(1.0, abs=0.15)  # MP3 has whole blocks
    assert shown["text/plain"] == "A <tone>: 1.0 s of sound. Log-mel spectrogram of 1.0 s. beep & no more"
    assert "A &lt;tone&gt;" in shown["text/html"]
    assert "beep &amp; no more" in shown["text/html"]
    assert 'alt="Log-mel spectrogram of 1.0 s."' in shown["text/html"]


def test_nothing_is_loaded_from_elsewhere() -> None:
    shown = Gallery([Sound.with_spectrogram(TONE, "one"), Sound(torch.from_numpy(TONE))])._repr_mimebundle_()
    assert set(re.findall(r'src="([a-z]+:[a-z/]+)', shown["text/html"])) == {
        "data:image/webp",
        "data:audio/mpeg",
    }
    assert "http" not in re.sub(r"base64,[^\"]+", "", shown["text/html"])
    assert len(shown["text/plain"].splitlines()) == 2


def test_the_same_sound_gives_the_same_bytes_and_a_loud_one_is_clipped() -> None:
    assert Sound(TONE).html() == Sound(torch.from_numpy(TONE)).html()
    assert np.abs(audio_in(Sound(9 * TONE).html())).max() < 2


# --- figures, over the whole range of their controls -----------------------------------------------------------------


def test_windows_over_their_whole_range() -> None:
    for at in sweep(windows.WINDOWS):
        T, L, N = at["T"], at["L"], at["N"]
        count = ceil(T / L) if at["tail"] == "pad" else T // L
        fate = f"zeros added: {count * L - T}" if at["tail"] == "pad" else f"frames dropped: {T - count * L}"
        assert f"{count} windows, {count * N} tokens; {fate}." in windows.WINDOWS.figure(**at).alt


@pytest.mark.parametrize("seconds", [0.01, 1.0, 2.27])
def test_windows_over_a_clip(seconds: float) -> None:
    X = np.zeros(round(seconds * SAMPLE_RATE))
    explorer = windows.explore_windows(X)
    for at in sweep(explorer):
        T, L = ceil(len(X) / 320), round(50 * at["window_seconds"])
        assert f": {ceil(T / L)} windows, {ceil(T / L) * at['N']} tokens." in explorer.figure(**at).alt


def test_sampling_folds_what_is_too_high_unless_it_is_filtered_out() -> None:
    explorer = sound.explore_sampling(TONE)
    for at in sweep(explorer):
        shown = explorer.figure(**at)
        rate, first = at["samples_a_second"], at["filter"] == "filter first"
        spectrum = np.abs(np.fft.rfft(shown.X))
        assert len(shown.X) == len(TONE)
        assert np.abs(shown.X).max() < 1
        assert ("filtered first" in shown.title) == first
        if rate < 2 * 2700 and first:
            assert spectrum.max() < 1
        else:
            assert spectrum.argmax() == abs(2700 - rate * round(2700 / rate))


def test_a_longer_window_tells_closer_frequencies_apart() -> None:
    explorer = sound.explore_time_frequency(TONE)
    for at in sweep(explorer):
        milliseconds = at["milliseconds"]
        assert f"bins {1000 / milliseconds:.0f} Hz apart" in explorer.figure(**at).alt


@pytest.mark.parametrize("X", [np.zeros(0), np.zeros(100), TONE], ids=["no", "little", "some"])
def test_pictures_of_sound_can_be_drawn(X: np.ndarray) -> None:
    pictures = [
        spectrogram(X, waveform=True),
        windows.windowed(X, 0.2),
        sound.time_frequency_of(X, 25),
    ]
    for picture in pictures:
        assert isinstance(picture, Picture)
        assert base64.b64decode(picture._repr_mimebundle_()[0]["image/png"]).startswith(b"\x89PNG")


def test_every_clip_and_every_instruction_can_be_asked() -> None:
    clips = sorted(path.name for path in SAMPLES.iterdir() if path.suffix not in (".json", ".md"))
    asked = explore_answers(SAMPLES, clips, ("What is said?", "What sounds?"), lambda X, I: f"{len(X)} {I}")
    for clip in clips:
        shown = asked.figure(clip, "What is said?")
        assert shown.title == clip
        assert shown.text == f"What is said?\n→ {len(shown.X)} What is said?"
        assert len(shown.X) <= 30 * SAMPLE_RATE
    assert "What sounds?" in asked.figure(clips[0], "What sounds?").text


# --- controls --------------------------------------------------------------------------------------------------------


def test_numbers_get_a_slider_words_a_drop_down_and_the_figure_follows() -> None:
    seen = []
    explorer = Explorer(
        lambda **chosen: seen.append(chosen), {"L": (1, 2, 3), "tail": ("pad", "drop")}, {"L": 2}
    )
    slider, choice, _ = explorer.show().children
    assert type(slider).__name__ == "SelectionSlider"
    assert type(choice).__name__ == "Dropdown"
    slider.value = 3
    choice.value = "drop"
    assert seen == [{"L": 2, "tail": "pad"}, {"L": 3, "tail": "pad"}, {"L": 3, "tail": "drop"}]


@pytest.mark.parametrize("explorer", [windows.WINDOWS, sound.explore_sampling(TONE)])
def test_an_explorer_begins_with_values_that_can_be_chosen(explorer: Explorer) -> None:
    assert set(explorer.start) <= set(explorer.controls)
    assert all(explorer.start[name] in explorer.controls[name] for name in explorer.start)
