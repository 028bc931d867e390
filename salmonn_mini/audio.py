"""Sound in, numbers out: a file or an array → X (16 kHz, mono, float32) → log-mel (Whisper) or fbank (BEATs)."""

from __future__ import annotations

import torch
from torch import Tensor
from torchaudio.compliance import kaldi

SAMPLE_RATE = 16_000

FBANK_BINS = 128
FBANK_WINDOW = SAMPLE_RATE * 25 // 1000  # 400 samples
FBANK_HOP = SAMPLE_RATE * 10 // 1000  # 160 samples
FBANK_MEAN, FBANK_STD = 15.41663, 6.55582


def fbank(X: Tensor) -> Tensor:
    """BEATs' input: Kaldi's log-mel filter bank of X · 2^15, 25 ms windows every 10 ms, normalised.

    X (S,) in [-1, 1] at 16 kHz → (F, 128) with F = 1 + (S − 400) // 160, or 0 when S < 400.
    Normalised as published: (x − 15.41663) / (2 · 6.55582). Source: published code of BEATs.
    """
    frames = kaldi.fbank(
        X.float()[None] * 2**15,
        num_mel_bins=FBANK_BINS,
        sample_frequency=SAMPLE_RATE,
        frame_length=1000 * FBANK_WINDOW / SAMPLE_RATE,
        frame_shift=1000 * FBANK_HOP / SAMPLE_RATE,
    )
    return (frames.reshape(-1, FBANK_BINS) - FBANK_MEAN) / (2 * FBANK_STD)
