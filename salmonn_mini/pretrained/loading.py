"""Whole models: from a preset, a folder or the Hub, and into a folder.

A saved model is what training changed, and its configuration; the frozen parts stay where they are.

    config.json           SalmonnConfig, and under "info" what its maker wrote down (stage, recipe, …)
    adapter.safetensors   SalmonnModel.trainable_state()
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import RLock
from types import MappingProxyType
from typing import Any, overload

import numpy as np
import torch
from huggingface_hub import ModelHubMixin
from torch import Tensor

from salmonn_mini.audio import load_audio, to_waveform
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import load_json
from salmonn_mini.models.config import SAMPLE_RATE, SalmonnConfig
from salmonn_mini.models.features import Features
from salmonn_mini.models.generation import stream_text
from salmonn_mini.models.lora import lora_scale
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.models.state import load_tensors, save_folder
from salmonn_mini.pretrained.backbones import PathLike, download, load_backbones
from salmonn_mini.pretrained.devices import pick_runtime
from salmonn_mini.pretrained.published import load_published_weights, read_published, with_sizes
from salmonn_mini.pretrained.source import ADAPTER_FILE, ModelSource, resolve

Samples = Tensor | np.ndarray
Audio = str | os.PathLike[str] | Samples | tuple[Samples, int] | Mapping[str, Any]
MAX_NEW_TOKENS = 80  # of `generate`
BATCH = 8  # clips that are answered at once
GENERATING = (
    RLock()
)  # while a streamed answer is generated in its thread, no other one changes the LoRA scale


class Salmonn(
    SalmonnModel,
    ModelHubMixin,
    library_name="salmonn-mini",
    license="apache-2.0",
    pipeline_tag="audio-text-to-text",
    paper_url="https://huggingface.co/papers/2310.13289",
):
    """`SalmonnModel` that is loaded and saved, and answers questions about audio files and arrays.

    `save_pretrained` and `push_to_hub` are huggingface_hub's; they store what `save` stores.

    Attributes:
        info: what its maker wrote down: the stage, the recipe, …; empty before training.
    """

    info: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def from_pretrained(  # type: ignore[override]  # the mixin's would swallow unknown arguments
        cls,
        name_or_path: PathLike = "toy",
        stage: int | None = None,
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "float32",
        bits: int | None = None,
    ) -> Salmonn:
        """A model in evaluation mode, by its name; `salmonn_mini.load` is the same.

        Args:
            name_or_path: "toy"; "7b" or "13b", the released models; "small", whose parts come from the Hub and whose
                connector is untrained; a folder that `save` or a training run wrote; or a Hub id `owner/name`. The
                BEATs of "small", "7b" and "13b" must lie in the working folder.
            stage: of the toy: 1, 2, 3, by default the newest; 0 is untrained.
            revision: of a Hub id: a branch, a tag or a commit.
            device: "auto" (CUDA, else MPS, else the CPU), "cpu", "cuda" or "mps"; None: the CPU, as in transformers.
            dtype: of Whisper and the LLM: "float32", "bfloat16", "float16", or "auto" (bfloat16 on a GPU that computes
                in it, else float32). BEATs and what is trained stay in float32.
            bits: 8 or 4 to quantize the LLM, on a CUDA GPU with bitsandbytes, which is then the device.

        Raises:
            SalmonnError: no such model, stage or device, or weights that do not fit.
        """
        source = resolve(name_or_path, stage, revision)
        runtime = pick_runtime(device, dtype, bits)
        return _load_source(source, runtime.dtype, bits).to(runtime.device)

    def _save_pretrained(self, save_directory: Path) -> None:
        save(self, save_directory)

    @classmethod
    def from_published(
        cls,
        *,
        whisper: PathLike,
        beats: PathLike | None,
        llm: PathLike,
        checkpoint: PathLike,
        lora_alpha: int | None = None,
        heads: int | None = None,
        window_seconds: float | None = None,
        pad_to_window: bool = True,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "float32",
        bits: int | None = None,
    ) -> Salmonn:
        """The authors' model from their own files: Whisper, BEATs, Vicuna, and the trained checkpoint.

        Rank, N, layers and widths follow from the checkpoint; the front end is the published one (first channel,
        1 to 30 s, 30 s of Whisper, tail frames dropped: 88 tokens).

        Args:
            whisper, llm: a folder of transformers, or a Hub id.
            beats: a file `{'cfg', 'model'}`, or a Hub id; None for a model without BEATs.
            checkpoint: a file `{'model': …}`, or a Hub id.
            lora_alpha, heads, window_seconds: LoRA's, the Q-Former's and the windows', which no weight tells. None:
                as a training run's checkpoint says, else as released: 32, 12 (at a width other than 768 they must
                be given) and 0.333333 s.
            pad_to_window: False spends Whisper on the clip's own frames alone. That is not what the weights were
                trained on: on the random ones of the tests, a clip of 2.4 s moves its tokens by 63 % of their norm.
            device, dtype, bits: as of `from_pretrained`.

        Raises:
            SalmonnError: a file that is missing or damaged; keys that are missing, unexpected or wrongly shaped;
                heads that are not given.
        """
        runtime = pick_runtime(device, dtype, bits)
        known = {"lora_alpha": lora_alpha, "qformer_heads": heads, "second_per_window": window_seconds}
        published = read_published(checkpoint, known)
        sources = {
            "name": "published",
            "whisper": {"name_or_path": str(whisper)},
            "beats": None if beats is None else {"name_or_path": str(beats)},
            "llm": {"name_or_path": str(llm), "add_pad_row": True},
            "checkpoint": str(checkpoint),
        }
        config = SalmonnConfig.from_dict(sources).as_published().replace(pad_to_window=pad_to_window)
        with torch.random.fork_rng(devices=[]):
            parts = load_backbones(config, runtime.dtype, bits)
            model = cls(with_sizes(config, published, parts), *parts)
        load_published_weights(model, published)
        return model.to(runtime.device)

    @overload
    def answer(self, audio: list[Audio], prompt: str, **decoding: Any) -> list[str]: ...

    @overload
    def answer(self, audio: Audio, prompt: str, **decoding: Any) -> str: ...

    def answer(
        self, audio: Audio | list[Audio], prompt: str, *, lora_scale: float | None = None, **decoding: Any
    ) -> str | list[str]:
        """The answer about one clip, or the answers about a list of clips.

        Args:
            audio: a file's path; samples (S,) at 16 kHz; `(samples, sampling_rate)` or `{"array", "sampling_rate"}`,
                as the library datasets has them; or a list of those.
            lora_scale: the factor s in W + s·BA for this answer; None: as the model stands (4.0 as trained).
            decoding: as for `generate`: `max_new_tokens=80`, `num_beams=4`, `do_sample=True`, …

        Raises:
            SalmonnError: audio that cannot be read, an empty prompt, or more tokens than the LLM's context holds.
        """
        if not isinstance(audio, list):
            return self.answer([audio], prompt, lora_scale=lora_scale, **decoding)[0]
        texts: list[str] = []
        with self._at_scale(lora_scale):
            for start in range(0, len(audio), BATCH):
                features = self._encode_audio(audio[start : start + BATCH], prompt, decoding)
                answers = self.generate(features, [prompt] * len(features), **decoding)
                texts += [answer.text for answer in answers]
        return texts

    def stream(
        self, audio: Audio | Features, prompt: str, *, lora_scale: float | None = None, **decoding: Any
    ) -> Iterator[str]:
        """The answer about one clip, or its features, in pieces of text as they come; arguments as for `answer`."""
        clips = audio if isinstance(audio, Features) else [audio]
        features = self._encode_audio(clips, prompt, decoding)

        def generate(**streamer: Any) -> None:
            with self._at_scale(lora_scale):
                self.generate(features, [prompt], **streamer, **decoding)

        yield from stream_text(generate, self.tokenizer)

    def load_waveform(self, audio: Audio, notes: list[str] | None = None) -> Tensor:
        """X (S,) by the configuration's rules; `notes` gains a line for each fix of a file."""
        rules = {name: getattr(self.config, name) for name in ("channels", "max_seconds", "min_seconds")}
        if isinstance(audio, str | os.PathLike):
            return load_audio(audio, **rules, notes=notes)
        parts: tuple[Any, ...] = audio if isinstance(audio, tuple) else (audio,)
        if not isinstance(audio, tuple | Tensor | np.ndarray):
            with suppress(
                LookupError, TypeError
            ):  # datasets' decoders have these keys without being mappings
                parts = audio["array"], audio["sampling_rate"]
        samples, rate = parts if len(parts) == 2 else (audio, None)
        if not isinstance(samples, Tensor | np.ndarray) or not isinstance(rate, int | None):
            given = ", ".join(type(part).__name__ for part in parts)
            remedy = "give a path, samples at 16 kHz, or (samples, sampling_rate) in this order"
            raise SalmonnError(f"{given} is not audio: {remedy}")
        if rate is None and samples.ndim != 1:
            raise SalmonnError(
                f"samples of shape {tuple(samples.shape)} are (S,) for one clip: give a list for several clips, "
                f"(samples, sampling_rate) for several channels"
            )
        return to_waveform(samples, rate or SAMPLE_RATE, **rules)

    @contextmanager
    def _at_scale(self, s: float | None) -> Iterator[None]:
        with GENERATING, nullcontext() if s is None else lora_scale(self.llm, s):
            yield

    def _encode_audio(
        self, clips: list[Audio] | Features, prompt: str, decoding: Mapping[str, Any]
    ) -> Features:
        if not isinstance(prompt, str) or not prompt.strip():
            raise SalmonnError(f"the prompt is {prompt!r}: ask something, such as 'Transcribe the speech.'")
        if not isinstance(clips, Features):
            clips = self.encode([self.load_waveform(clip) for clip in clips])
        self.check_context(clips, prompt, decoding.get("max_new_tokens") or MAX_NEW_TOKENS)
        return clips

    def check_context(self, features: Features, prompt: str, max_new_tokens: int) -> None:
        """Raises SalmonnError if prompt, audio tokens and answer do not fit into the LLM's context."""
        if fault := self.context_fault(max(self.audio_token_count(features)), prompt, max_new_tokens):
            raise SalmonnError(f"{fault}: cut the clip, shorten the prompt, or lower max_new_tokens")


load = Salmonn.from_pretrained


def build(
    config: SalmonnConfig, *, seed: int = 0, dtype: torch.dtype = torch.float32, bits: int | None = None
) -> Salmonn:
    """The parts that a configuration names, with a connector and LoRA that are still untrained.

    `seed` is that of their first weights, and the caller's generator is left alone; `dtype` and `bits` are as of
    `load_backbones`, and so is what is raised.
    """
    with torch.random.fork_rng(devices=[]):
        parts = load_backbones(config, dtype, bits)
        torch.manual_seed(seed)
        return Salmonn(config, *parts)


def save(model: SalmonnModel, folder: PathLike, *, info: Mapping[str, Any] | None = None) -> None:
    """Write what training changed, and the configuration; each file whole or not at all.

    Args:
        info: what else should stand in config.json (the stage, the recipe, …); None: the model's own.

    Raises:
        SalmonnError: the folder cannot be written to.
    """
    info = getattr(model, "info", {}) if info is None else info
    save_folder(folder, model.trainable_state(), ADAPTER_FILE, model.config.to_dict() | {"info": dict(info)})


def read_info(name_or_path: PathLike, stage: int | None = None) -> dict[str, Any]:
    """What `save` wrote down about a model; {} for one that is not trained here."""
    folder = resolve(name_or_path, stage).folder
    return _read_config(folder)[1] if folder else {}


def _load_source(source: ModelSource, dtype: torch.dtype, bits: int | None) -> Salmonn:
    folder, preset = source.folder, source.preset
    if not (folder or preset):
        folder = download(source.name, ["config.json", ADAPTER_FILE], source.revision)
    if folder:
        config, info = _read_config(folder)
        state = load_tensors(folder / ADAPTER_FILE)
        model = build(config, dtype=dtype, bits=bits)
        model.load_trainable(state, folder / ADAPTER_FILE)
        model.info = info
        return model
    assert preset
    if not preset.checkpoint:
        return build(preset, dtype=dtype, bits=bits)
    hubs = {part: getattr(preset, part).name_or_path for part in ("whisper", "beats", "llm")}
    model = Salmonn.from_published(**hubs, checkpoint=preset.checkpoint, dtype=dtype, bits=bits)
    model.config = model.config.replace(name=preset.name)
    return model


def _read_config(folder: Path) -> tuple[SalmonnConfig, dict[str, Any]]:
    file = folder / "config.json"
    values = load_json(file)
    try:
        info = values.pop("info", {}) if isinstance(values, dict) else {}
        return SalmonnConfig.from_dict(values), dict(info)
    except (TypeError, ValueError) as problem:
        raise SalmonnError(f"{file}: {problem}") from problem
