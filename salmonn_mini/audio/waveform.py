"""Files and arrays as the model takes them: X (S,), 16 kHz, mono, float32."""

from __future__ import annotations

import io
import math
import os
from fractions import Fraction
from typing import Any

import soundfile
import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.functional import resample

from salmonn_mini.audio.decoding import MAX_CHANNELS, RATES, Sound, decode, mix
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import write_bytes
from salmonn_mini.models.config import SAMPLE_RATE

MAX_PEAK = 16.0  # full scale is 1; lossy decoders overshoot slightly, integers stored as floats by thousands
KAISER = {  # flat up to 7 kHz, below -60 dB from 8.2 kHz on
    "lowpass_filter_width": 64,
    "rolloff": 0.9475937167399596,
    "resampling_method": "sinc_interp_kaiser",
    "beta": 14.769656459379492,
}
FULL_SCALE = {torch.uint8: 2**7, torch.int16: 2**15, torch.int32: 2**31}


def load_audio(
    path: str | os.PathLike,
    begin: float | None = None,
    end: float | None = None,
    *,
    channels: str = "mix",
    max_seconds: float | None = None,
    min_seconds: float = 0,
    notes: list[str] | None = None,
) -> Tensor:
    """Read an audio file, or a segment of it → X (S,), float32 at 16 kHz, full scale ±1.

    Args:
        begin, end: seconds; the rest of the file is not decoded.
        channels: "mix" averages them; "first" keeps only the first, as the published loader does.
        max_seconds, min_seconds: longer is cut, shorter is padded with zeros.
        notes: gains a line for each fix (resampled, mixed down, damaged, cut, padded).

    Raises:
        SalmonnError: a file that is missing, unreadable or not audio; samples that are none, not finite or far beyond
            full scale; an absurd rate or number of channels; a segment outside the file; nearly nothing undamaged.
    """
    sound = decode(path, begin, end, channels, max_seconds)
    X = _finish(path, sound, max_seconds, min_seconds)
    if notes is not None:
        notes += sound.notes
    return X


def to_waveform(
    array: Any,
    sampling_rate: int,
    *,
    channels: str = "mix",
    max_seconds: float | None = None,
    min_seconds: float = 0,
) -> Tensor:
    """Samples in memory → X (S,), float32 at 16 kHz, full scale ±1.

    Args:
        array: (S,), (S, channels) or (channels, S): floats of full scale ±1, or integers of their own.
        channels, max_seconds, min_seconds: as in `load_audio`.

    Raises:
        SalmonnError: for what is no such array or not finite, an absurd rate, or no samples.
    """
    try:
        samples = torch.as_tensor(array).detach()
    except (TypeError, ValueError, RuntimeError) as problem:
        raise SalmonnError(f"{array!r:.60} is not an audio array ({problem}); give its samples") from problem
    if sampling_rate not in RATES:
        raise SalmonnError(f"sampling_rate = {sampling_rate!r}; it must be {RATES[0]:,} to {RATES[-1]:,} Hz")
    if samples.dim() == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T
    known = samples.is_floating_point() or samples.dtype in FULL_SCALE
    if samples.dim() not in (1, 2) or samples[:1].numel() > MAX_CHANNELS or not known:
        raise SalmonnError(
            f"{samples.dtype} of shape {tuple(samples.shape)} is not an audio array; it must be (samples,) or "
            f"(samples, at most {MAX_CHANNELS} channels) of floats, uint8, int16 or int32"
        )
    if not samples.is_floating_point():
        samples = samples.double() / FULL_SCALE[samples.dtype] - int(samples.dtype == torch.uint8)
    X = mix(samples.float() if samples.dim() == 2 else samples.float()[:, None], channels)
    sound = Sound(X, int(sampling_rate), len(X) / sampling_rate, [])
    return _finish("the audio array", sound, max_seconds, min_seconds)


def save_wav(path: str | os.PathLike, X: Tensor) -> None:
    """Write X (S,), 16 kHz, as 16-bit mono WAV, atomically. Samples beyond full scale are clipped.

    Raises:
        SalmonnError: for samples that are not finite, or a place that cannot be written to.
    """
    if X.dim() != 1 or not X.isfinite().all():
        raise SalmonnError(
            f"{path}: X of shape {tuple(X.shape)} is not audio; it must be (samples,) and finite"
        )
    samples = (X.detach().cpu().double() * 2**15).round().clamp(-(2**15), 2**15 - 1).short()
    content = io.BytesIO()
    soundfile.write(content, samples.numpy(), SAMPLE_RATE, format="WAV", subtype="PCM_16")
    write_bytes(path, content.getvalue())


def _finish(source: str | os.PathLike, sound: Sound, max_seconds: float | None, min_seconds: float) -> Tensor:
    """X (S,) at 16 kHz, cut or padded; what was changed is noted in `sound.notes`."""
    X, notes = sound.samples, sound.notes
    _check_samples(source, X)
    if sound.rate != SAMPLE_RATE:
        notes.append(f"resampled from {sound.rate:,} Hz to {SAMPLE_RATE:,} Hz")
        # An odd rate (44,101 Hz) needs a huge filter: take the nearest small ratio, exact for usual rates.
        ratio = Fraction(sound.rate, SAMPLE_RATE).limit_denominator(1_000)
        X = resample(X, ratio.numerator, ratio.denominator, **KAISER)
    if max_seconds is not None and len(X) > (longest := round(max_seconds * SAMPLE_RATE)):
        before = f"from {sound.seconds:.1f} s " if sound.seconds < math.inf else ""
        notes.append(f"cut {before}to {max_seconds:g} s")
        X = X[:longest].clone()
    if len(X) < (shortest := round(min_seconds * SAMPLE_RATE)):
        notes.append(f"padded with silence from {len(X) / SAMPLE_RATE:.2f} s to {min_seconds:g} s")
        X = F.pad(X, (0, shortest - len(X)))
    return X


def _check_samples(source: str | os.PathLike, samples: Tensor) -> None:
    fault = ""
    if not len(samples):
        fault = "no samples; an audio file needs at least one: record or copy it again"
    elif bad := int((~samples.isfinite()).sum()):
        fault = f"{bad} of {len(samples)} samples are NaN or infinite; save it again as 16-bit"
    elif (peak := float(samples.abs().max())) > MAX_PEAK:
        fault = f"peak {peak:g}; full scale is 1; divide the samples by their peak and save them again"
    if fault:
        raise SalmonnError(f"{source}: {fault}")
