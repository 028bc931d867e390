"""A clip of one's own: good files, files that are fixed, broken files, and what the button does with them."""

import io
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from salmonn_mini.course.figures import tour
from salmonn_mini.course.player import Sound
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import SAMPLE_RATE

SAMPLES = Path(__file__).parents[1] / "data_samples"
ASK = "What sounds?"


def tone(seconds: float, rate: int = SAMPLE_RATE, form: str = "WAV", channels: int = 1) -> bytes:
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    file = io.BytesIO()
    soundfile.write(file, np.stack([wave] * channels, 1), rate, format=form)
    return file.getvalue()


def length(X: object, instruction: str) -> str:
    return f"{len(X) / SAMPLE_RATE:.2f} s, asked: {instruction}"


def own(content: bytes, name: str = "mine.wav", instruction: str = ASK) -> Sound:
    return tour.own_clip(name, content, instruction, length)


def test_a_good_file_is_taken_as_it_is() -> None:
    sound = own(tone(1.5))
    assert sound.title == "mine.wav"
    assert sound.text == f"{ASK}\n→ 1.50 s, asked: {ASK}"
    assert len(sound.X) == 1.5 * SAMPLE_RATE
    assert np.abs(np.fft.rfft(sound.X)).argmax() / 1.5 == pytest.approx(440, abs=1)
    assert "Log-mel spectrogram of 1.5 s" in sound.alt


@pytest.mark.parametrize(
    ("content", "said", "seconds"),
    [
        (tone(1.0, rate=8_000), "resampled from 8,000 Hz to 16,000 Hz", 1.0),
        (tone(1.0, rate=44_100), "resampled from 44,100 Hz to 16,000 Hz", 1.0),
        (tone(1.0, channels=2), "2 channels, mixed to one", 1.0),
        (tone(31.0, rate=8_000), "cut from 31.0 s to 30 s", 30.0),
        (tone(1.0)[:-8_000], "damaged: 0.75 s of 1.00 s could be read and are used", 0.75),
    ],
    ids=["8 kHz", "44.1 kHz", "stereo", "too long", "cut off"],
)
def test_what_was_fixed_is_said(content: bytes, said: str, seconds: float) -> None:
    sound = own(content)
    assert said in sound.text.splitlines()[-1]
    assert len(sound.X) == pytest.approx(seconds * SAMPLE_RATE, abs=2)


@pytest.mark.parametrize("form", ["WAV", "FLAC", "MP3", "OGG"])
def test_the_content_decides_and_not_the_ending(form: str) -> None:
    assert len(own(tone(1.0, form=form), name="mine.raw").X) == pytest.approx(SAMPLE_RATE, rel=0.2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty (0 bytes)"),
        (b"<html>not a sound</html>" * 40, "an HTML page, not audio"),
        (b"\0\0\0\x20ftypM4A " + bytes(2_000), "MPEG-4 (M4A), which only ffmpeg can read here"),
        (tone(0), "no samples"),
        (tone(1.0, rate=500), "sample rate 500 Hz"),
    ],
    ids=["empty", "text", "m4a", "no samples", "rate"],
)
def test_a_broken_file_costs_one_line_that_names_it(
    content: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # ffmpeg may be installed here
    with pytest.raises(SalmonnError) as refused:
        own(content, name="holiday song.m4a")
    line = tour.respond([{"name": "holiday song.m4a", "content": memoryview(content)}], ASK, length)
    assert line == f"✗ {refused.value}"
    assert line.startswith(f"✗ holiday song.m4a: {said}")
    assert "\n" not in line
    assert "/clip" not in line


def test_an_empty_instruction_is_refused_before_anything_is_read() -> None:
    said = tour.respond([{"name": "mine.wav", "content": tone(1.0)}], "  ", length)
    assert said == '✗ the instruction is empty; ask something, such as "Transcribe the speech."'


def test_the_button_answers_and_answers_again_when_the_question_changes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown() -> str:
        return capsys.readouterr().out.strip("\r\n\x1b[2K")

    def chosen(content: bytes) -> tuple[dict]:
        file = {"name": "mine.wav", "type": "audio/wav", "size": len(content), "content": memoryview(content)}
        return (file | {"last_modified": datetime(2024, 1, 1)},)

    monkeypatch.setattr("IPython.display.display", lambda sound: print(sound.text))
    file, line, _ = tour.Upload(("Transcribe the speech.", ASK), length).show().children
    assert shown() == tour.NOTHING
    file.value = chosen(tone(0.5))
    assert shown() == "Transcribe the speech.\n→ 0.50 s, asked: Transcribe the speech."
    line.value = "in my own words"
    assert shown() == "in my own words\n→ 0.50 s, asked: in my own words"
    file.value = chosen(b"no sound")
    assert shown().startswith("✗ mine.wav: a text file, not audio")


def test_each_shipped_clip_can_be_uploaded() -> None:
    for clip in sorted(path for path in SAMPLES.iterdir() if path.suffix not in (".json", ".md")):
        assert isinstance(
            tour.respond([{"name": clip.name, "content": clip.read_bytes()}], ASK, length), Sound
        )
