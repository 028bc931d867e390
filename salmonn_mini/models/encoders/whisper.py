"""Whisper's encoder, for speech: transformers' own modules, and a forward pass that can skip the silence.

    X (S,) ─ log-mel (80, M) ─ conv, conv /2 ─ + positions ─ N layers ─ LayerNorm ─ features (T, D), 50 Hz

Source: Whisper (Radford et al. 2022, arXiv 2212.04356) and transformers' WhisperEncoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import WhisperConfig
from transformers.models.whisper import modeling_whisper

from salmonn_mini.audio import WINDOW, log_mel
from salmonn_mini.models.config import FRAMES_PER_SECOND, HOP, SAMPLE_RATE
from salmonn_mini.models.features import encode_in_windows, length_mask


class WhisperEncoder(nn.Module):
    """Whisper's encoder alone; transformers' keys stand under `encoder.`. D = d_model."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.config = config
        self.window_seconds = config.max_source_positions / FRAMES_PER_SECOND  # 30 as published
        self.encoder = modeling_whisper.WhisperEncoder(config)

    def forward(self, waves: Sequence[Tensor], *, pad_to_window: bool = True) -> tuple[Tensor, Tensor]:
        """Clips of any length → features (B, T, D), zero beyond a clip's length, and lengths (B,).

        waves: tensors (S,) at 16 kHz, see `encode_in_windows`.
        pad_to_window=True, as published: each window is filled up with silence, and all its frames are kept, 1500
        per 30 s. pad_to_window=False: the clip's own frames alone, T = ceil(S / 320). The two differ, for a padded
        Whisper attends to the silence: use a model as it was trained.
        Raises SalmonnError where there are no clips, or one without samples.
        """

        def encode(windows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
            return self.encode_mels([self._mel(window, pad_to_window) for window in windows])

        return encode_in_windows(waves, self.window_seconds, encode)

    def encode_mels(self, mels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Log-mels (n_mels, M) → features (B, T, D), zero where padded, and lengths (B,) = ceil(M / 2).

        Padding is zero before each convolution and never attended to, so a clip does not notice its batch.
        """
        encoder, like = self.encoder, self.encoder.conv1.weight
        x = pad_sequence([mel.T for mel in mels], batch_first=True).to(like).transpose(1, 2)
        frames = torch.tensor([mel.shape[1] for mel in mels], device=like.device)
        ragged = bool((frames < x.shape[2]).any())
        lengths = (frames + 1) // 2

        x = F.gelu(encoder.conv1(x))
        x = x.masked_fill(~length_mask(frames, x.shape[2])[:, None], 0)
        x = F.gelu(encoder.conv2(x)).transpose(1, 2)
        x = F.dropout(x + encoder.embed_positions.weight[: x.shape[1]], encoder.dropout, self.training)
        padding = ~length_mask(lengths, x.shape[1])
        mask = torch.zeros_like(padding, dtype=x.dtype).masked_fill(padding, float("-inf"))
        for layer in encoder.layers:
            x = layer(x, mask[:, None, None] if ragged else None)  # no mask: the fastest attention
        return encoder.layer_norm(x).masked_fill(padding[..., None], 0), lengths

    def _mel(self, wave: Tensor, fill: bool) -> Tensor:
        """The log-mel (n_mels, M) of the window filled up with silence, or the clip's own frames of it.

        A frame looks 12.5 ms ahead: a little silence behind the clip makes its last frames the same.
        """
        window = round(self.window_seconds * SAMPLE_RATE)
        padded = window if fill else min(window, len(wave) + WINDOW)
        mel = log_mel(F.pad(wave, (0, padded - len(wave))), self.config.num_mel_bins)
        return mel if fill else mel[:, : -(-len(wave) // HOP)]
