"""A clip of one's own: good files and recordings, those that are fixed, broken ones, and what the controls do."""

import io
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from salmonn_mini.course.figures import tour
from salmonn_mini.course.player import Sound
from salmonn_mini.course.recorder import Recorder
from salmonn_mini.models.config import SAMPLE_RATE

SAMPLES = Path(__file__).parents[1] / "data_samples"
ASK = "What sounds?"


def encode(
    samples: np.ndarray, rate: int = SAMPLE_RATE, form: str = "WAV", subtype: str | None = None
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def tone(seconds: float, rate: int = SAMPLE_RATE, form: str = "WAV", channels: int = 1) -> bytes:
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    return encode(np.stack([wave] * channels, 1), rate, form)


def ask(X: torch.Tensor, instruction: str, scale: float) -> tuple[str, torch.Tensor]:
    """In place of a model: the answer tells what came, and there are five audio tokens a second."""
    H = torch.eye(max(2, len(X) * 5 // SAMPLE_RATE), 8)
    return f"{len(X) / SAMPLE_RATE:.2f} s, asked: {instruction}", H


def own(content: bytes, name: str = "mine.wav", instruction: str = ASK) -> Sound | str:
    return tour.respond(tour.Upload(name, content), instruction, 4.0, ask)


def hertz(X: torch.Tensor) -> float:
    return float(np.abs(np.fft.rfft(X)).argmax()) * SAMPLE_RATE / len(X)


def test_a_good_file_is_taken_as_it_is() -> None:
    sound = own(tone(1.5))
    assert sound.title == "mine.wav"
    assert sound.text == f"{ASK} (LoRA scale 4)\n→ 1.50 s, asked: {ASK}"
    assert len(sound.X) == 1.5 * SAMPLE_RATE and hertz(sound.X) == pytest.approx(440, abs=1)
    assert "Log-mel spectrogram of 1.5 s; below it its 7 audio tokens" in sound.alt


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
    line = own(content, name="holiday song.m4a")
    assert isinstance(line, str) and line.startswith(f"✗ holiday song.m4a: {said}")
    assert "\n" not in line
    assert "/clip" not in line


def test_an_empty_instruction_is_refused_before_anything_is_read() -> None:
    said = own(b"no sound", instruction="  ")
    assert said == '✗ the instruction is empty; ask something, such as "Transcribe the speech."'


# --- recordings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 96_000])
def test_a_recording_is_heard_at_any_rate_and_never_written_to_a_file(
    rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a recording belongs in no file")

    wav = tone(1.5, rate)
    for name in ("mkdtemp", "mkstemp", "TemporaryFile"):
        monkeypatch.setattr(tempfile, name, refuse)
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    clip = tour.Recording(wav).read()
    monkeypatch.undo()
    assert len(clip.X) == pytest.approx(1.5 * SAMPLE_RATE, abs=2)
    assert hertz(clip.X) == pytest.approx(440, abs=1)
    assert clip.notes == [f"recorded at {rate:,} Hz"]


@pytest.mark.parametrize("seconds", [31.0, 30.0, 0.005])
def test_a_recording_may_be_long_or_short(seconds: float) -> None:
    sound = tour.respond(tour.Recording(tone(seconds)), ASK, 0.0, ask)
    assert isinstance(sound, Sound) and len(sound.X) == min(seconds, tour.LONGEST) * SAMPLE_RATE


BROKEN = {
    "empty": b"",
    "zeros": bytes(1_000),
    "text": b"dear diary",
    "M4A": b"\0\0\0\x20ftypM4A " + bytes(2_000),
    "half a header": tone(1.0)[:30],
    "no samples": tone(0),
    "not a number": encode(np.full(100, np.nan), subtype="FLOAT"),
    "far too loud": encode(np.full(100, 1e6), subtype="FLOAT"),
    "absurd rate": tone(1.0, rate=500),
}


@pytest.mark.parametrize("wav", BROKEN.values(), ids=BROKEN)
def test_a_broken_recording_costs_one_line(wav: bytes) -> None:
    line = tour.respond(tour.Recording(wav), ASK, 4.0, ask)
    assert isinstance(line, str) and line.startswith("✗ recording: no sound in it (")
    assert line.endswith("; record it again") and "\n" not in line and "BytesIO" not in line


def test_a_recorder_takes_its_wav_out_of_a_message_and_keeps_it_out_of_the_state_that_is_saved() -> None:
    recorder, wav = Recorder(seconds=tour.LONGEST, microphone=tour.MICROPHONE), tone(0.5)
    state = recorder.get_state()
    assert state["seconds"] == 30 and state["microphone"]["noiseSuppression"] is False
    recorder._handle_custom_msg("something else", [memoryview(b"x")])
    recorder._handle_custom_msg("recording", [])
    assert recorder.value == b""
    recorder._handle_custom_msg("recording", [memoryview(wav)])
    assert recorder.value == wav and recorder.get_state() == state


# --- the controls ----------------------------------------------------------------------------------------------------


@pytest.fixture
def panel(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[list, Callable[[], str]]:
    """The controls without their page, in the order in which they stand, and what they have shown since last asked."""

    def shown() -> str:
        return capsys.readouterr().out.rpartition("\x1b[2K")[2].strip("\r\n")

    monkeypatch.setattr("IPython.display.display", lambda sound: print(sound.title + sound.text))
    clips = {"sample.wav": SAMPLES / "form_8000_hz.wav"}
    recorder, files, *rest = tour.OwnClip(ask, ("Transcribe the speech.", ASK), clips, 4.0).show().children
    return [recorder, *files.children, *rest], shown


def chosen(content: bytes) -> tuple[dict]:
    file = {"name": "mine.wav", "type": "audio/wav", "size": len(content), "content": memoryview(content)}
    return (file | {"last_modified": datetime(2024, 1, 1)},)


def test_the_controls_answer_and_answer_again_when_the_question_or_the_scale_changes(panel) -> None:
    (recorder, file, _, line, scale, _), shown = panel
    assert shown() == "No clip yet: record one, choose a file, or take a sample."
    file.value = chosen(tone(0.5))
    said = "Transcribe the speech."
    assert shown() == f"{said} (LoRA scale 4)\n→ 0.50 s, asked: {said}\nmine.wav"
    line.value = "in my own words"
    assert shown() == "in my own words (LoRA scale 4)\n→ 0.50 s, asked: in my own words\nmine.wav"
    scale.value = 0.5
    assert shown() == "in my own words (LoRA scale 0.5)\n→ 0.50 s, asked: in my own words\nmine.wav"
    recorder.value = tone(0.75, rate=48_000)
    assert shown().endswith("→ 0.75 s, asked: in my own words\n(recorded at 48,000 Hz)\nrecording")


def test_the_same_file_or_sample_can_be_chosen_again_after_another(panel) -> None:
    (recorder, file, sample, *_), shown = panel
    for _ in range(2):
        file.value = chosen(b"no sound")
        assert shown().startswith("✗ mine.wav: a text file, not audio")
        recorder.value = tone(0.5)
        assert shown().endswith("Hz)\nrecording")
        sample.value = "sample.wav"
        assert shown().endswith("Hz)\nsample.wav")
        recorder.value = b"broken"
        assert shown().startswith("✗ recording: no sound in it")


def test_each_shipped_clip_can_be_uploaded() -> None:
    for clip in sorted(path for path in SAMPLES.iterdir() if path.suffix not in (".json", ".md")):
        assert isinstance(own(clip.read_bytes(), clip.name), Sound)
