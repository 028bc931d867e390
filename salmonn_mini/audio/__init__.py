"""Audio: files and arrays → X (16 kHz, mono, float32) → log-mel for Whisper, fbank for BEATs."""

from salmonn_mini.audio.ffmpeg import readable
from salmonn_mini.audio.spectra import FBANK_MEAN, FBANK_STD, WINDOW, fbank, log_mel
from salmonn_mini.audio.waveform import load_audio, save_wav, to_waveform

__all__ = [
    "FBANK_MEAN",
    "FBANK_STD",
    "WINDOW",
    "fbank",
    "load_audio",
    "log_mel",
    "readable",
    "save_wav",
    "to_waveform",
]
