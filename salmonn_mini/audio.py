"""Sound in, numbers out: a file → X (16 kHz, mono, float32) → log-mel for Whisper, fbank for BEATs.

Decoding is libsndfile's (wav, flac, mp3, ogg, opus and more). What can be mended is mended and said in
`notes`; what cannot is a SalmonnError. This is the only file that imports torchaudio.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.compliance import kaldi
from torchaudio.functional import resample

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import BEATS_MELS, CHANNELS, HOP, SAMPLE_RATE

WINDOW = SAMPLE_RATE // 40  # samples: both spectra look at 25 ms at a time, every 10 ms

FBANK_MEAN, FBANK_STD = 15.41663, 6.55582

RATES = range(1_000, 384_001)  # Hz
MAX_CHANNELS = 64
MAX_PEAK = (
    16.0  # full scale is 1; a lossy decoder overshoots by little, integers stored as floats by thousands
)
BLOCK = 4_096  # frames decoded at a time: a damaged file is lost from its damaged block on
USUAL = "re-encode it, for instance with: ffmpeg -i IN -ar 16000 -ac 1 OUT.wav"

_stderr_lock = threading.Lock()


def load_audio(
    path: str | os.PathLike,
    *,
    channels: str = "mix",
    max_seconds: float | None = None,
    min_seconds: float = 0,
    notes: list[str] | None = None,
) -> Tensor:
    """Read an audio file → X (S,), float32 at 16 kHz, full scale ±1.

    channels: "mix" averages them; "first" keeps the first alone, as the published loader does. Longer than
    `max_seconds` is cut, shorter than `min_seconds` is padded with zeros. Each mending (resampled, mixed
    down, damaged, cut, padded) adds a line to `notes`.

    Raises:
        SalmonnError: for a file that is missing, unreadable, empty, not audio or without samples; samples
            that are not finite or far beyond full scale; an absurd sample rate or number of channels.
    """
    if channels not in CHANNELS:
        raise SalmonnError(f'channels = {channels!r}; choose "mix" (their average) or "first" (it alone)')
    notes = [] if notes is None else notes
    head = _read_head(path)
    # libmpg123 prints to the process's stderr; the formats known by these heads never reach it.
    hush = nullcontext() if head in (b"RIFF", b"fLaC", b"OggS") else _quiet_stderr()
    try:
        with hush:
            sound = _decode(path, channels, max_seconds)
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as problem:
        if isinstance(problem, SalmonnError):
            raise
        raise SalmonnError(f"{path}: not audio that can be read ({_reason(problem)}); {USUAL}") from problem
    _check_samples(path, sound.samples)
    notes += sound.notes
    X = _to_16_khz(sound.samples, sound.rate, notes)
    return _fit(X, sound.seconds, max_seconds, min_seconds, notes)


def to_waveform(
    samples: Tensor | np.ndarray, rate: int, *, max_seconds: float | None = None, min_seconds: float = 0
) -> Tensor:
    """Mono samples (S,) at `rate` Hz → X (S',), float32 at 16 kHz; integers are divided by their full scale.

    Raises:
        SalmonnError: other shapes; samples that are not finite or far beyond full scale; an absurd sample rate.
    """
    X = torch.as_tensor(samples)
    if X.dim() != 1 or X.is_complex() or X.dtype == torch.bool:
        raise SalmonnError(
            f"an array of shape {tuple(X.shape)} and {X.dtype} is not mono audio: give samples (S,), float or integer"
        )
    if rate not in RATES:
        raise SalmonnError(f"a sampling rate of {rate!r} Hz: give {RATES[0]:,} to {RATES[-1]:,} Hz")
    X = X.float() if X.is_floating_point() else X.float() / (torch.iinfo(X.dtype).max + 1)
    _check_samples("the array", X)
    return _fit(_to_16_khz(X, rate, []), len(X) / rate, max_seconds, min_seconds, [])


def save_wav(path: str | os.PathLike, X: Tensor) -> None:
    """Write X (S,), 16 kHz, as 16-bit mono WAV, whole or not at all. What is beyond full scale is clipped.

    Raises:
        SalmonnError: for samples that are not finite, or a place that cannot be written to.
    """
    if X.dim() != 1 or not X.isfinite().all():
        raise SalmonnError(
            f"{path}: X of shape {tuple(X.shape)} is no sound; it must be (samples,) and finite"
        )
    samples = (X.detach().cpu().double() * 2**15).round().clamp(-(2**15), 2**15 - 1).short()
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        soundfile.write(beside, samples.numpy(), SAMPLE_RATE, format="WAV", subtype="PCM_16")
        beside.replace(path)
    except (soundfile.SoundFileError, OSError) as problem:
        raise SalmonnError(
            f"{path}: cannot be written ({problem}); check its folder and the free space"
        ) from problem
    finally:
        beside.unlink(missing_ok=True)


def log_mel(X: Tensor, n_mels: int = 80) -> Tensor:
    """Whisper's input: X (S,) at 16 kHz → (n_mels, ceil(S / 160)), log10 of the mel spectrum's power, scaled.

    The 8 decades below the loudest point are kept, then (x + 4) / 4. X is padded with zeros to whole frames
    of 10 ms; on such samples it equals transformers' WhisperFeatureExtractor. Source: published code of
    Whisper.
    """
    frames = -(-len(X) // HOP)
    # The transform mirrors half a window at both ends and so needs more than that of sound.
    X = F.pad(X.float(), (0, max(frames * HOP, WINDOW) - len(X)))
    window = torch.hann_window(WINDOW, device=X.device)
    power = torch.stft(X, WINDOW, HOP, window=window, return_complex=True)[:, :frames].abs() ** 2
    mel = (_mel_filters(n_mels).to(X.device) @ power).clamp(min=1e-10).log10()
    return (mel.clamp(min=mel.max() - 8) + 4) / 4 if frames else mel


def fbank(X: Tensor) -> Tensor:
    """BEATs' input: X (S,) at 16 kHz → (F, 128), Kaldi's log-mel filter bank of X · 2^15, normalized.

    Windows of 25 ms every 10 ms: F = 1 + (S − 400) // 160, and 0 below 400 samples. Normalized as
    published: (x − 15.41663) / (2 · 6.55582). A float64 X is computed in float64; float32 comes out either way.
    Source: published code of BEATs.
    """
    if len(X) < WINDOW:
        return X.new_zeros(0, BEATS_MELS, dtype=torch.float32)
    milliseconds = 1000 / SAMPLE_RATE
    frames = kaldi.fbank(
        (X if X.dtype == torch.float64 else X.float())[None] * 2**15,
        num_mel_bins=BEATS_MELS,
        sample_frequency=SAMPLE_RATE,
        frame_length=WINDOW * milliseconds,
        frame_shift=HOP * milliseconds,
    )
    return ((frames - FBANK_MEAN) / (2 * FBANK_STD)).float()


@dataclass
class _Sound:
    samples: Tensor  # (S,) float32, mono
    rate: int  # Hz
    seconds: float  # of the whole file, also where only its beginning was decoded
    notes: list[str]


def _read_head(path: str | os.PathLike) -> bytes:
    """The first four bytes of a file that is there, is a file, may be read and is not empty."""
    try:
        if os.path.isdir(path):
            raise SalmonnError(f"{path}: a folder, not an audio file; name a file in it")
        if not os.path.exists(path):
            raise SalmonnError(f"{path}: no such file; check the path")
        if not os.path.isfile(path):
            raise SalmonnError(f"{path}: neither a file nor a link to one; copy the sound into a file first")
        with open(path, "rb") as file:
            head = file.read(4)
    except PermissionError as problem:
        raise SalmonnError(
            f"{path}: may not be read (permission denied); change its permissions"
        ) from problem
    except OSError as problem:
        raise SalmonnError(f"{path}: cannot be opened ({problem.strerror}); check the path") from problem
    if not head:
        raise SalmonnError(f"{path}: empty (0 bytes); an audio file has samples: record or copy it again")
    return head


def _decode(path: str | os.PathLike, channels: str, max_seconds: float | None) -> _Sound:
    """Decode as mono until the end, the first damage, or a little beyond `max_seconds`."""
    with soundfile.SoundFile(path) as file:
        _check_form(path, file)
        rate, promised = file.samplerate, _promised_frames(file)
        wanted = float("inf") if max_seconds is None else (max_seconds + 0.1) * rate
        blocks, decoded, broken = [], 0, False
        try:
            while decoded < wanted and len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                sound = torch.from_numpy(block)
                blocks.append(sound[:, 0] if channels == "first" else sound.mean(1))
                decoded += len(block)
        except soundfile.SoundFileError:
            broken = True
        notes = [f"{file.channels} channels, {'mixed to one' if channels == 'mix' else 'the first kept'}"]
        notes = notes if file.channels > 1 else []
    whole = decoded >= wanted
    # Decoders round a file's length up to their blocks: a tenth of a second less than promised is no damage.
    if broken or (not whole and decoded < promised - rate / 10):
        notes.append(f"damaged: {decoded / rate:.2f} s of {promised / rate:.2f} s could be read and are used")
    elif not whole and _is_cut_ogg(path):
        notes.append(f"damaged: the end is missing; the {decoded / rate:.2f} s before it are used")
    samples = torch.cat(blocks) if blocks else torch.zeros(0)
    return _Sound(samples, rate, (promised if whole else decoded) / rate, notes)


def _reason(problem: Exception) -> str:
    reason = getattr(problem, "error_string", "") or str(problem) or type(problem).__name__
    if "File does not exist" in reason:  # what libsndfile says of an MP3 without one good frame
        return "malformed MP3"
    return reason.strip(" .")


def _check_form(path: str | os.PathLike, file: soundfile.SoundFile) -> None:
    if file.samplerate not in RATES:
        low, high = RATES[0], RATES[-1]
        raise SalmonnError(
            f"{path}: sample rate {file.samplerate:,} Hz; {low:,} to {high:,} Hz can be read; {USUAL}"
        )
    if file.channels > MAX_CHANNELS:
        raise SalmonnError(f"{path}: {file.channels} channels; at most {MAX_CHANNELS} can be read; {USUAL}")


def _promised_frames(file: soundfile.SoundFile) -> int:
    """The frames that the header speaks of; of a cut WAV libsndfile counts what is there, and logs why."""
    size = re.search(r"^data : (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if size is None:
        return file.frames
    claimed, found = int(size[1]), int(size[2])
    streamed = claimed == 0 or claimed >= 2**31 - 2**16  # written to a pipe: the size was not known yet
    return file.frames if streamed or not found else file.frames * claimed // found


def _is_cut_ogg(path: str | os.PathLike) -> bool:
    """Whether an Ogg file lacks the page that says "end of stream" (flag 4 in a page's sixth byte)."""
    with open(path, "rb") as file:
        if file.read(4) != b"OggS":
            return False
        file.seek(max(0, os.path.getsize(path) - 2**17))  # a page has at most 65,307 bytes
        tail = file.read()
    last = tail.rfind(b"OggS")
    return last < 0 or last + 5 >= len(tail) or not tail[last + 5] & 4


def _check_samples(path: str | os.PathLike, samples: Tensor) -> None:
    if not len(samples):
        raise SalmonnError(f"{path}: no samples; an audio file needs at least one: record or copy it again")
    if bad := int((~samples.isfinite()).sum()):
        raise SalmonnError(
            f"{path}: {bad} of {len(samples)} samples are NaN or infinite; save it again as 16-bit"
        )
    if (peak := float(samples.abs().max())) > MAX_PEAK:
        raise SalmonnError(
            f"{path}: peak {peak:g}; full scale is 1; divide the samples by their peak and save them again"
        )


def _to_16_khz(X: Tensor, rate: int, notes: list[str]) -> Tensor:
    if rate == SAMPLE_RATE:
        return X
    notes.append(f"resampled from {rate:,} Hz to {SAMPLE_RATE:,} Hz")
    # An odd rate (44,101 Hz) needs a huge filter: take the nearest small ratio, exact for usual rates.
    ratio = Fraction(rate, SAMPLE_RATE).limit_denominator(1_000)
    return resample(X, ratio.numerator, ratio.denominator)


def _fit(
    X: Tensor, seconds: float, max_seconds: float | None, min_seconds: float, notes: list[str]
) -> Tensor:
    if max_seconds is not None and len(X) > (longest := round(max_seconds * SAMPLE_RATE)):
        notes.append(f"cut from {seconds:.1f} s to {max_seconds:g} s")
        X = X[:longest].clone()
    if len(X) < (shortest := round(min_seconds * SAMPLE_RATE)):
        notes.append(f"padded with silence from {len(X) / SAMPLE_RATE:.2f} s to {min_seconds:g} s")
        X = F.pad(X, (0, shortest - len(X)))
    return X


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Send what C libraries print to stderr nowhere. One thread at a time."""
    with _stderr_lock:
        try:
            saved = os.dup(2)
        except OSError:  # closed already: nothing to silence
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(nowhere)


@lru_cache
def _mel_filters(n_mels: int) -> Tensor:
    """(n_mels, 201): Slaney's mel scale up to 8 kHz, as Whisper has it.

    The scale is linear up to 1 kHz (15 mels), then logarithmic (27 mels for each factor of 6.4). Each
    filter is a triangle from its left neighbor's peak to its right neighbor's, of area 1 over the hertz.
    """
    top = 15 + 27 * np.log(SAMPLE_RATE / 2 / 1000) / np.log(6.4)
    mels = np.linspace(0, top, n_mels + 2)
    hertz = np.where(mels < 15, mels * 1000 / 15, 1000 * 6.4 ** ((mels - 15) / 27))[:, None]
    left, peak, right = hertz[:-2], hertz[1:-1], hertz[2:]
    bins = np.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    triangles = np.minimum((bins - left) / (peak - left), (right - bins) / (right - peak)).clip(min=0)
    return torch.from_numpy(triangles * 2 / (right - left)).float()
