"""data_samples/: what the names promise is in the files, and building again gives the same."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from salmonn_mini.audio import load_audio
from salmonn_mini.data.manifest import read_manifest
from salmonn_mini.data.tasks import TASKS
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import SAMPLE_RATE
from salmonn_mini.toy.samples import SAMPLES, SampleSpec, annotate, build_samples, draw_all
from salmonn_mini.toy.world.grammar import split_of

FOLDER = Path(__file__).parents[1] / "data_samples"
BY_NAME = {sample.file: sample for sample in SAMPLES}


@pytest.fixture(scope="module")
def examples():
    return draw_all()


def test_the_manifest_is_what_the_table_gives(examples) -> None:
    manifest = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    pairs = zip(SAMPLES, examples, strict=True)
    assert manifest == {"annotation": [row for pair in pairs for row in annotate(*pair)]}
    assert {sample.file for sample in SAMPLES} == {row["path"] for row in manifest["annotation"]}
    for row in read_manifest(FOLDER / "manifest.json"):
        gaps = ["{}" in prompt for prompt in TASKS[row.task].prompts]
        assert row.text and all(gaps) == any(gaps) == bool(row.Q)


def test_the_folder_is_flat_small_and_complete() -> None:
    files = [file for file in FOLDER.rglob("*") if not file.name.startswith(".")]
    assert {file.name for file in files} == {*BY_NAME, "manifest.json", "clips.json", "README.md"}
    assert len(BY_NAME) >= 24
    assert sum(file.stat().st_size for file in files) <= 10_000_000
    assert "CC0" in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", BY_NAME)
def test_every_clip_has_its_form_and_can_be_heard(name: str) -> None:
    info = soundfile.info(FOLDER / name)
    assert (info.samplerate, info.channels) == (BY_NAME[name].rate, 2 if BY_NAME[name].stereo else 1)
    assert info.format == Path(name).suffix[1:].upper()
    notes: list[str] = []
    X = load_audio(FOLDER / name, notes=notes)
    assert 0.01 < X.abs().max() <= 1
    assert len(notes) == (info.samplerate != SAMPLE_RATE) + (info.channels > 1) or "resampled" not in str(
        notes
    )
    assert not any("damaged" in note for note in notes)


def test_the_forms_that_clips_have_in_the_wild_are_there() -> None:
    seconds = {name: soundfile.info(FOLDER / name).duration for name in BY_NAME}
    assert max(seconds.values()) == pytest.approx(70, abs=0.1)
    assert min(seconds.values()) < 0.2
    assert {sample.rate for sample in SAMPLES} == {8_000, 16_000, 44_100}
    assert {Path(name).suffix for name in BY_NAME} == {".wav", ".mp3", ".ogg", ".flac"}


def test_every_word_has_its_time_within_its_clip(examples) -> None:
    clips = json.loads((FOLDER / "clips.json").read_text(encoding="utf-8"))
    assert list(clips) == list(BY_NAME)
    for clip, example, name in zip(clips.values(), examples, BY_NAME, strict=True):
        assert clip["seconds"] == pytest.approx(soundfile.info(FOLDER / name).duration, abs=0.05)
        said = [speaker["text"] for speaker in clip["speakers"]]
        assert " ".join(said) == example.words and clip["license"] == "CC0-1.0"
        assert [word for word, _, _ in clip["words"]] == re.findall(r"[\w']+", example.words)
        assert all(0 <= begin < end <= clip["seconds"] for _, begin, end in clip["words"])
        assert tuple(clip["sounds"]) == example.plan.events


def test_no_sentence_is_said_twice(examples) -> None:
    said = [example.words for example in examples if example.words]
    assert len(said) == len(set(said))


def test_no_sentence_was_ever_drawn_for_training(examples) -> None:
    for example in examples:
        utterances = example.plan.utterances if example.task != "co_reasoning" else ()
        for utterance in utterances:
            assert split_of(utterance.text) == "test"


def test_building_again_gives_the_same_bytes_and_of_ogg_the_same_samples(tmp_path: Path) -> None:
    names = (
        "speech_happy_woman.wav",
        "form_mp3.mp3",
        "form_ogg.ogg",
        "form_flac.flac",
        "form_very_short.wav",
    )
    rows = [BY_NAME[name] for name in names]
    first, again = (build_samples(tmp_path / folder, rows) for folder in ("first", "again"))
    assert [file.name for file in first] == [*names, "manifest.json", "clips.json", "README.md"]
    for one, other in zip(first, again, strict=True):
        if one.suffix == ".ogg":  # its stream number is random, and so are the checksums over it
            np.testing.assert_array_equal(soundfile.read(one)[0], soundfile.read(other)[0])
        else:
            assert one.read_bytes() == other.read_bytes(), one.name


def test_a_row_that_nothing_fits_is_refused() -> None:
    impossible = SampleSpec("nobody.wav", "audio_caption", fits=lambda example: False)
    with pytest.raises(
        SalmonnError, match=r"nobody\.wav: none of 20,000 drawn examples of audio_caption fits"
    ):
        draw_all([impossible])
