"""What the encoders take: log-mel for Whisper, Kaldi's filter bank for BEATs."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.compliance import kaldi

from salmonn_mini.models.config import BEATS_MELS, HOP, SAMPLE_RATE

WINDOW = SAMPLE_RATE // 40  # samples: both spectra look at 25 ms at a time, every 10 ms

FBANK_MEAN, FBANK_STD = 15.41663, 6.55582


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
    mel = (mel_filters(n_mels).to(X.device) @ power).clamp(min=1e-10).log10()
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


@lru_cache
def mel_filters(n_mels: int) -> Tensor:
    """(n_mels, 201): triangles on Slaney's mel scale up to 8 kHz, as Whisper has them."""
    from transformers.audio_utils import mel_filter_bank  # takes seconds, and fbank does without

    bins, scale = WINDOW // 2 + 1, {"norm": "slaney", "mel_scale": "slaney"}
    filters = mel_filter_bank(bins, n_mels, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, **scale)
    return torch.from_numpy(filters.T).float().contiguous()
