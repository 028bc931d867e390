"""Questions about audio files and arrays, answered in text."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, overload

import numpy as np
from torch import Tensor

from salmonn_mini.audio import load_audio, to_waveform
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import SAMPLE_RATE
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel

Audio = str | os.PathLike[str] | Tensor | np.ndarray | tuple[Tensor | np.ndarray, int]
MAX_NEW_TOKENS = 80  # of `generate`
BATCH = 8  # clips that are answered at once


class Answering(SalmonnModel):
    """`SalmonnModel` with `answer` and `stream`."""

    @overload
    def answer(self, audio: list[Audio], prompt: str, **decoding: Any) -> list[str]: ...

    @overload
    def answer(self, audio: Audio, prompt: str, **decoding: Any) -> str: ...

    def answer(self, audio: Audio | list[Audio], prompt: str, **decoding: Any) -> str | list[str]:
        """The answer about one clip, or the answers about a list of clips.

        Args:
            audio: a file's path; `(samples, rate)`, samples (S,) at `rate` Hz; samples (S,) at 16 kHz; or a list of
                those.
            decoding: as for `generate`: `max_new_tokens=80`, `num_beams=4`, `do_sample=True`, …

        Raises:
            SalmonnError: audio that cannot be read, an empty prompt, or more tokens than the LLM's context holds.
        """
        if not isinstance(audio, list):
            return self.answer([audio], prompt, **decoding)[0]
        answers: list[str] = []
        for start in range(0, len(audio), BATCH):
            features = self._encode_audio(audio[start : start + BATCH], prompt, decoding)
            given = self.generate(features, [prompt] * len(features), **decoding)
            answers += [one.text for one in given]
        return answers

    def stream(self, audio: Audio, prompt: str, **decoding: Any) -> Iterator[str]:
        """The answer about one clip in pieces of text, as they are generated; arguments as for `answer`."""
        features = self._encode_audio([audio], prompt, decoding)
        return self.stream_generate(features, prompt, **decoding)

    def check_context(self, features: Features, prompt: str, max_new_tokens: int) -> None:
        """Whether prompt, audio tokens and answer fit into the LLM's context.

        Raises:
            SalmonnError: they do not.
        """
        text = len(self.prompt.before) + len(self.prompt.after(prompt))
        sound = max(self.audio_token_count(features))
        context = self.llm.config.max_position_embeddings
        if text + sound + max_new_tokens > context:
            shorter = "cut the clip" if sound > text else "shorten the prompt"
            raise SalmonnError(
                f"prompt {text:,} + audio {sound:,} + answer {max_new_tokens:,} tokens exceed the language model's "
                f"context of {context:,}: {shorter}, or lower max_new_tokens"
            )

    def _encode_audio(self, clips: list[Audio], prompt: str, decoding: Mapping[str, Any]) -> Features:
        if not prompt.strip():
            raise SalmonnError(f"the prompt is {prompt!r}: ask something, such as 'Transcribe the speech.'")
        features = self.encode([self._waveform(clip) for clip in clips])
        self.check_context(features, prompt, decoding.get("max_new_tokens", MAX_NEW_TOKENS))
        return features

    def _waveform(self, audio: Audio) -> Tensor:
        """X (S,) by the configuration's rules."""
        longest, shortest = self.config.max_seconds, self.config.min_seconds
        if isinstance(audio, str | os.PathLike):
            channels = self.config.channels
            return load_audio(audio, channels=channels, max_seconds=longest, min_seconds=shortest)
        samples, rate = audio if isinstance(audio, tuple) and len(audio) == 2 else (audio, SAMPLE_RATE)
        if not isinstance(samples, Tensor | np.ndarray):
            kind = type(samples).__name__
            raise SalmonnError(
                f"a {kind} is not audio: give a path, (samples, rate), or a waveform at 16 kHz"
            )
        return to_waveform(samples, rate, max_seconds=longest, min_seconds=shortest)
