"""Audio: what a file holds comes out at 16 kHz, mono and finite, or one clear error does."""

from __future__ import annotations

import io
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from salmonn_mini.audio import decoding, fbank, load_audio, log_mel, save_wav, to_waveform
from salmonn_mini.errors import SalmonnError

KINDS = {
    "wav": {"format": "WAV"},
    "float": {"format": "WAV", "subtype": "FLOAT"},
    "adpcm": {"format": "WAV", "subtype": "IMA_ADPCM"},
    "flac": {"format": "FLAC"},
    "mp3": {"format": "MP3"},
    "ogg": {"format": "OGG"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}


def tone(seconds: float, rate: int = 16_000, hertz: float = 440) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int, kind: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, **KINDS[kind])
    return buffer.getvalue()


@pytest.fixture
def file(tmp_path: Path):
    def write(content: bytes | np.ndarray, rate: int = 16_000, kind: str = "wav", name: str = "clip") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else encoded(content, rate, kind))
        return path

    return write


# -- what is sound


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_read(file, kind):
    notes = []
    X = load_audio(file(tone(0.5), kind=kind), notes=notes)
    assert X.dtype == torch.float32 and X.dim() == 1
    assert len(X) == pytest.approx(8_000, abs=600)  # a lossy kind rounds up to its blocks
    assert X.abs().max().item() == pytest.approx(0.5, abs=0.1)
    assert notes == []


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 44_101, 96_000])
def test_any_rate_becomes_16_khz(file, rate):
    notes = []
    X = load_audio(file(tone(1, rate), rate), notes=notes)
    assert notes == [f"resampled from {rate:,} Hz to 16,000 Hz"]
    assert len(X) == pytest.approx(16_000, abs=1)
    inner = slice(1_000, 15_000)
    np.testing.assert_allclose(X[inner], tone(1)[inner], atol=0.01)


def test_channels_are_mixed_or_the_first_is_kept(file):
    path, notes = file(np.stack([tone(0.1), np.zeros(1_600, np.float32)], axis=1), kind="float"), []
    torch.testing.assert_close(load_audio(path, notes=notes), torch.from_numpy(tone(0.1)) / 2)
    torch.testing.assert_close(load_audio(path, channels="first", notes=notes), torch.from_numpy(tone(0.1)))
    assert notes == ["2 channels, mixed to one", "2 channels, the first kept"]
    with pytest.raises(SalmonnError, match='"mix"'):
        load_audio(path, channels="left")


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_long_audio_is_cut_and_said(file, rate):
    path, notes = file(tone(3, rate), rate), []
    X = load_audio(path, max_seconds=2, notes=notes)
    assert notes[-1] == "cut from 3.0 s to 2 s"
    torch.testing.assert_close(X, load_audio(path)[:32_000], atol=1e-6, rtol=0)
    assert load_audio(path, max_seconds=3).shape == (48_000,)


def test_short_audio_is_padded_and_said(file):
    notes = []
    X = load_audio(file(tone(0.25)), min_seconds=1, notes=notes)
    assert notes == ["padded with silence from 0.25 s to 1 s"]
    assert X.shape == (16_000,) and not X[4_000:].any() and X[:4_000].any()


def test_a_name_without_a_suffix_or_with_a_wrong_one_does_not_matter(file):
    for name in ("clip.mp3", "clip.txt"):
        assert len(load_audio(file(tone(0.1), name=name))) == 1_600


# -- what is damaged but holds sound


@pytest.mark.parametrize("kind", ["wav", "float", "flac", "mp3", "ogg"])
def test_the_good_beginning_of_a_cut_file_is_used_and_said(file, kind):
    noise = np.random.default_rng(0).normal(0, 0.1, 96_000).astype(np.float32)
    whole = encoded(noise, 16_000, kind)
    notes = []
    X = load_audio(file(whole[: len(whole) // 2]), notes=notes)
    assert 24_000 < len(X) < 60_000
    assert len(notes) == 1 and notes[0].startswith("damaged: ")
    if kind != "ogg":  # its header does not tell the length
        assert " s of 6.00 s could be read" in notes[0]


@pytest.mark.parametrize("riff", [0, 36, 0x7FFFF024, 2**32 - 1])
@pytest.mark.parametrize("data", [0, 0x7FFFF000, 2**31, 2**32 - 1])
def test_a_wav_written_to_a_pipe_is_read_whole_and_not_damaged(file, riff, data):
    streamed = bytearray(encoded(tone(0.5), 16_000, "wav"))
    streamed[4:8], streamed[40:44] = riff.to_bytes(4, "little"), data.to_bytes(4, "little")
    path, notes = file(bytes(streamed)), []
    np.testing.assert_allclose(load_audio(path, notes=notes), tone(0.5), atol=1e-4)
    assert load_audio(path, 0.1, 0.2).shape == (1_600,) and notes == []


def test_a_flac_that_does_not_tell_its_length_is_read_whole(file):
    streamed = bytearray(encoded(tone(1.412), 16_000, "flac"))
    streamed[21] &= 0xF0
    streamed[22:26] = bytes(4)  # the number of samples in STREAMINFO
    path, notes = file(bytes(streamed)), []
    np.testing.assert_allclose(load_audio(path, notes=notes), tone(1.412), atol=1e-4)
    assert load_audio(path, max_seconds=1, notes=notes).shape == (16_000,)
    assert notes == ["cut to 1 s"]
    assert load_audio(path, 1.0, 1.25).shape == (4_000,)
    refused(path, "segment from 1 s to 3 s is outside its 1.41 s", begin=1, end=3)
    refused(path, "segment from 2 s to its end is outside", begin=2)
    notes = []
    X = load_audio(file(bytes(streamed[: len(streamed) // 2])), notes=notes)
    assert 8_000 < len(X) < 16_000 and notes[0].startswith("damaged: the end is missing")


def test_a_cut_mp3_is_found_by_the_header_that_counts_its_frames(file):
    noise = np.random.default_rng(0).normal(0, 0.1, 96_000).astype(np.float32)
    content = encoded(noise, 16_000, "mp3")
    second = content.index(content[:2], 2)
    tag = b"ID3\4\0\0\0\0\x03\x7f" + b"x" * (3 * 128 + 127)
    for head, said in ((b"", True), (tag, True), (None, False)):
        cut = content[second : len(content) // 2] if head is None else head + content[: len(content) // 2]
        notes = []
        assert 20_000 < len(load_audio(file(cut), notes=notes)) < 60_000
        assert bool(notes) == said and (not said or " s of 6.00 s could be read" in notes[0])


@pytest.mark.parametrize("kind", ["wav", "float", "flac", "mp3", "ogg"])
def test_damage_that_leaves_next_to_nothing_is_refused(file, kind):
    noise = np.random.default_rng(0).normal(0, 0.1, 160_000).astype(np.float32)
    content = encoded(noise, 16_000, kind)
    for share in (0.001, 0.003, 0.006):
        try:
            X = load_audio(file(content[: int(share * len(content))]))
        except SalmonnError as error:
            assert "\n" not in str(error)
        else:
            assert len(X) >= 1_600


# -- segments


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_segment_is_that_part_of_the_file_and_the_rest_is_not_decoded(file, kind, rate, monkeypatch):
    rate = 48_000 if kind == "opus" else rate
    noise = np.random.default_rng(0).normal(0, 0.1, 4 * rate).astype(np.float32)
    path = file(noise, rate, kind)
    whole, read = load_audio(path), []
    monkeypatch.setattr(decoding, "mix", lambda block, channels: read.append(len(block)) or block.mean(1))
    for begin, end in ((1.0, 2.5), (None, 0.5), (2.0, None), (3.1, 3.2)):
        X = load_audio(path, begin, end)
        start, stop = round((begin or 0) * 16_000), len(whole) if end is None else round(end * 16_000)
        assert len(X) == pytest.approx(stop - start, abs=1)
        edge = 0 if rate == 16_000 else 800
        inner = slice(edge, min(len(X), stop - start) - edge)
        torch.testing.assert_close(X[inner], whole[start:stop][inner], atol=1e-4, rtol=0)
    assert sum(read) == pytest.approx((1.5 + 0.5 + len(whole) / 16_000 - 2 + 0.1) * rate, abs=4)
    assert load_audio(path, 1.0, 2.5, max_seconds=1.0).shape == (16_000,)


@pytest.mark.parametrize("kind", KINDS)
def test_a_segment_outside_its_file_is_refused(file, kind):
    path = file(tone(1.0), kind=kind)
    assert len(load_audio(path, 0.5, 1.05)) == pytest.approx(8_000, abs=1_200)  # annotations are rounded
    refused(path, "from 0.5 s to 2 s is outside its 1.0", "correct begin and end", begin=0.5, end=2)
    refused(path, "from 5 s to its end is outside its 1.0", begin=5)
    for begin, end in ((-1, None), (0.5, 0.5), (0.6, 0.5), (float("nan"), None), (0, float("nan"))):
        refused(path, "0 <= begin < end", begin=begin, end=end)


# -- resampling


@pytest.mark.parametrize("rate", [48_000, 44_100, 32_000])
def test_resampling_keeps_what_16_khz_can_hold_and_nothing_above_folds_back(file, rate):
    def decibels(hertz: float) -> float:
        X = load_audio(file(tone(2, rate, hertz), rate, "float"))[1_600:-1_600].double()
        return float(10 * (X.square().mean() / 0.125).log10())

    assert all(abs(decibels(hertz)) < 0.5 for hertz in (100, 1_000, 4_000, 6_000, 7_000))
    assert all(decibels(hertz) < -60 for hertz in (8_500, 9_000, 12_000, 15_500))


# -- what cannot be mended


def refused(path: Path | str, *words: str, **segment: float | None) -> None:
    with pytest.raises(SalmonnError) as error:
        load_audio(path, **segment)
    message = str(error.value)
    assert "\n" not in message and str(path) in message
    for word in words:
        assert word in message


def test_files_that_are_none_are_refused(tmp_path, file):
    refused(tmp_path / "nowhere.wav", "no such file", "check the path")
    refused(tmp_path, "a folder")
    refused(file(b""), "empty (0 bytes)")
    refused(file(b"\0To whom it may concern"), "not audio", "ffmpeg")
    refused(file(bytes(5_000)), "not audio")
    refused(file(b"RIFF", name="clip.raw"), "not audio")
    refused("clip\0.wav", "no such file")
    refused(tmp_path / ("x" * 5_000))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refused(tmp_path / "pipe", "neither a file")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
            "git-lfs pointer.*git lfs pull",
        ),
        (b"\n <!DOCTYPE html>\n<html>Sign in</html>", "an HTML page.*download"),
        (b"<HTML>404</HTML>", "an HTML page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error>AccessDenied</Error>", "an XML text.*download"),
        (b'{"message": "not found"}', "a JSON text"),
        (b"PK\3\4" + bytes(99), "a zip archive.*unpack"),
        (b"\x1f\x8b\x08\0" + bytes(99), "a gzip archive.*unpack"),
        ("Bitte schön".encode() * 99, "a text file, not audio"),
    ],
)
def test_what_a_file_is_instead_of_audio_is_said(file, content, words):
    with pytest.raises(SalmonnError, match=words):
        load_audio(file(content))


@pytest.mark.skipif(os.name != "posix", reason="names are Unicode there")
def test_a_name_that_is_not_unicode_is_read(file, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    try:
        file(tone(0.1)).rename(path)
    except OSError:
        pytest.skip("this file system takes Unicode names alone")
    assert load_audio(path).shape == (1_600,)


def test_a_file_that_may_not_be_read_is_refused(file, monkeypatch):
    path = file(tone(0.1))

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)
    refused(path, "permission")


def test_no_samples_are_refused(file):
    refused(file(np.zeros(0, np.float32)), "no samples")


@pytest.mark.parametrize(
    "bad, word", [(np.nan, "NaN or infinite"), (-np.inf, "NaN or infinite"), (12_345.0, "peak 12345")]
)
def test_samples_that_are_no_sound_are_refused(file, bad, word):
    samples = tone(0.1)
    samples[[5, 7]] = bad
    refused(file(samples, kind="float"), word)


@pytest.mark.parametrize("rate", [1, 999, 400_000, 2**31 - 1])
def test_absurd_rates_are_refused(file, rate):
    refused(file(tone(0.01), rate), f"{rate:,} Hz", "1,000 to 384,000 Hz")


def test_too_many_channels_are_refused(file):
    refused(file(np.zeros((10, 65), np.float32)), "65 channels", "at most 64")
    assert len(load_audio(file(np.zeros((10, 64), np.float32)))) == 10


# -- broken files by the thousand: an error or sound, never anything else

WHOLE = {
    kind: encoded(tone(0.1) if kind == "mp3" else np.stack([tone(0.1)] * 2, axis=1), 16_000, kind)
    for kind in KINDS
}


ANYWHERE = st.one_of(st.integers(0, 99), st.integers(0, 30_000))  # often in the header


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A good file with bytes overwritten, then perhaps cut; or a good beginning and nonsense."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb"])) + draw(
            st.binary()
        )
    content = bytearray(WHOLE[draw(st.sampled_from(sorted(WHOLE)))])
    for place, patch in draw(st.lists(st.tuples(ANYWHERE, st.binary(min_size=1, max_size=8)), max_size=3)):
        start = place % len(content)
        content[start : start + len(patch)] = patch
    return bytes(content[: draw(st.none() | ANYWHERE)])


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("broken") / "clip"


@settings(max_examples=1_200, deadline=None, database=None)
@given(content=broken(), channels=st.sampled_from(["mix", "first"]), longest=st.sampled_from([None, 0.05]))
def test_a_broken_file_gives_sound_or_a_clear_error(scratch, content, channels, longest):
    scratch.write_bytes(content)
    notes: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            X = load_audio(scratch, channels=channels, max_seconds=longest, notes=notes)
        except SalmonnError as error:
            assert "\n" not in str(error)
            return
    assert X.dtype == torch.float32 and X.dim() == 1 and len(X) and X.isfinite().all()
    assert all(isinstance(note, str) for note in notes)


def test_decoders_do_not_print(file, capfd):
    good = encoded(np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32), 16_000, "mp3")
    middle = len(good) // 2
    for content in (
        good[:middle],
        good[:middle] + os.urandom(3_000) + good[middle:],
        b"\xff\xfb" + os.urandom(500),
    ):
        with suppress(SalmonnError):
            load_audio(file(content))
    assert capfd.readouterr() == ("", "")


def test_mp3s_are_decoded_at_the_same_time(file, monkeypatch, capfd):
    path, both = file(tone(0.5), kind="mp3"), Barrier(2, timeout=600)
    decode = decoding._decode

    def together(*arguments):
        both.wait()  # broken by its timeout if the other decode waits for this one
        os.write(2, b"what libmpg123 says")
        return decode(*arguments)

    monkeypatch.setattr(decoding, "_decode", together)
    with ThreadPoolExecutor(2) as pool:
        assert len(set(map(len, pool.map(load_audio, [path, path])))) == 1
    os.write(2, b"stderr is back")
    assert capfd.readouterr().err == "stderr is back"


# -- writing


def test_a_wav_comes_back_as_it_was(tmp_path):
    X = torch.randint(-(2**15), 2**15, (1_000,)) / 2**15
    save_wav(tmp_path / "clip.wav", X)
    assert torch.equal(load_audio(tmp_path / "clip.wav"), X)
    assert soundfile.info(tmp_path / "clip.wav").subtype == "PCM_16"
    save_wav(tmp_path / "clip.wav", torch.tensor([2.0, -2.0]))
    assert load_audio(tmp_path / "clip.wav").tolist() == [1 - 2**-15, -1.0]
    assert [path.name for path in tmp_path.iterdir()] == ["clip.wav"]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "clip.wav"
    save_wav(path, torch.ones(10) / 2)

    def full(self, content):
        with open(self, "wb") as file:
            file.write(content[:4])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SalmonnError, match="No space left"):
        save_wav(path, torch.zeros(10))
    assert [p.name for p in tmp_path.iterdir()] == ["clip.wav"]
    assert load_audio(path)[0] == 0.5


def test_what_is_no_sound_is_not_written(tmp_path):
    for X in (torch.tensor([0.0, float("nan")]), torch.zeros(2, 5)):
        with pytest.raises(SalmonnError):
            save_wav(tmp_path / "clip.wav", X)
    (tmp_path / "file").touch()
    with pytest.raises(SalmonnError, match="cannot write"):
        save_wav(tmp_path / "file" / "clip.wav", torch.zeros(5))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# -- arrays


@pytest.mark.parametrize("channels", ["mix", "first"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int32", "uint8"])
def test_an_array_is_what_its_file_is(file, dtype, channels):
    stereo = np.stack([tone(0.2, 8_000), tone(0.2, 8_000, 300)], axis=1)
    path = file(stereo, 8_000, "float")
    scale = {"int16": 2**15, "int32": 2**31, "uint8": 2**7}.get(dtype, 1)
    array = (np.round(stereo * scale) if scale > 1 else stereo) + 128 * (dtype == "uint8")
    expected = load_audio(path, channels=channels)
    for same in (array.astype(dtype), array.astype(dtype).T, torch.from_numpy(array.astype(dtype))):
        X = to_waveform(same, 8_000, channels=channels)
        torch.testing.assert_close(X, expected, atol=0.01 if dtype == "uint8" else 1e-4, rtol=0)
    assert to_waveform(tone(0.1).tolist(), 16_000).shape == (1_600,)


@pytest.mark.parametrize(
    ("array", "rate", "words"),
    [
        (None, 16_000, "not an audio array"),
        ("clip.wav", 16_000, "not an audio array"),
        (np.zeros(9, np.int64), 16_000, "torch.int64 of shape .9,. is not an audio array.*int16"),
        (np.zeros((2, 2, 9)), 16_000, "not an audio array"),
        (np.zeros((99, 100)), 16_000, "at most 64 channels"),
        (np.zeros(0), 16_000, "no samples"),
        (np.full(9, np.nan), 16_000, "9 of 9 samples are NaN"),
        (np.full(9, 99.0), 16_000, "peak 99"),
        (np.zeros(9), 16, "sampling_rate = 16; it must be 1,000 to 384,000 Hz"),
        (np.zeros(9), None, "sampling_rate = None"),
    ],
)
def test_what_is_no_audio_array_is_refused(array, rate, words):
    with pytest.raises(SalmonnError, match=words):
        to_waveform(array, rate)


# -- spectra (fbank's numbers are in test_beats.py)


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("samples", [480_000, 48_000, 480])
def test_log_mel_is_transformers_own(n_mels, samples):
    X = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(0))
    X[: samples // 3] = 0
    extractor = WhisperFeatureExtractor(feature_size=n_mels)
    theirs = extractor(
        X.numpy(), sampling_rate=16_000, padding="do_not_pad", return_tensors="pt"
    ).input_features[0]
    torch.testing.assert_close(log_mel(X, n_mels), theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 161, 399, 400, 401, 16_000])
def test_frames_are_counted_as_promised(samples):
    X = torch.full((samples,), 0.1)
    mel, filters = log_mel(X), fbank(X)
    assert mel.shape == (80, -(-samples // 160)) and mel.isfinite().all()
    assert (
        filters.shape == (0 if samples < 400 else 1 + (samples - 400) // 160, 128)
        and filters.isfinite().all()
    )


def test_silence_has_finite_spectra():
    assert log_mel(torch.zeros(4_800)).isfinite().all() and fbank(torch.zeros(4_800)).isfinite().all()
