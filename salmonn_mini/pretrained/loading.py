"""Whole models: from a preset, a folder or the Hub, and into a folder.

A saved model is what training changed, and its configuration; the frozen parts stay where they are.

    config.json           SalmonnConfig, and under "info" what its maker wrote down (stage, recipe, …)
    adapter.safetensors   SalmonnModel.trainable_state()
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from huggingface_hub import ModelHubMixin

from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import load_json
from salmonn_mini.models.config import SalmonnConfig
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.models.state import load_tensors, save_folder
from salmonn_mini.pretrained.answering import Answering
from salmonn_mini.pretrained.backbones import (
    Backbones,
    PathLike,
    download,
    load_backbones,
    load_beats,
    load_llm,
    load_whisper,
)
from salmonn_mini.pretrained.devices import pick_runtime
from salmonn_mini.pretrained.published import load_published_weights, published_config, read_published
from salmonn_mini.pretrained.source import ADAPTER_FILE, ModelSource, resolve


class Salmonn(
    Answering,
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
        name_or_path: PathLike,
        stage: int | None = None,
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "float32",
        bits: int | None = None,
    ) -> Salmonn:
        """The same as `salmonn_mini.load`."""
        return load(name_or_path, stage, revision=revision, device=device, dtype=dtype, bits=bits)

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
        alpha: int | None = None,
        heads: int | None = None,
        window_seconds: float | None = None,
        stride_seconds: float | None = None,
        pad_to_30s: bool = True,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "float32",
        bits: int | None = None,
    ) -> Salmonn:
        """The authors' model from their own files: Whisper, BEATs, Vicuna, and the trained checkpoint.

        Rank, N, layers and widths follow from the checkpoint; the front end is the published one (first channel,
        1 to 30 s, 30 s of Whisper, tail frames dropped: 88 tokens).

        Args:
            whisper: a folder of transformers, or a Hub id; likewise `llm`.
            beats: a file `{'cfg', 'model'}`, or a Hub id; None for a model without BEATs.
            checkpoint: a file `{'model': …}`, or a Hub id.
            alpha, window_seconds, stride_seconds: LoRA's and the windows', which no weight tells. None: as the
                settings of a training run's checkpoint say, else as released: 32 and 0.333333 s.
            heads: the Q-Former's, which no weight tells either. None: 12, as released; at a width other than the
                released 768 it must be given.
            pad_to_30s: False spends Whisper on the clip's own frames alone. That is not what the weights were trained
                on: on the random ones of the tests, a clip of 2.4 s moves its tokens by 63 % of their norm.
            device, dtype, bits: as of `load`.

        Raises:
            SalmonnError: a file that is missing or damaged; keys that are missing, unexpected or wrongly shaped;
                heads that are not given.
        """
        runtime = pick_runtime(device, dtype, bits)
        published = read_published(checkpoint).with_overrides(
            lora_alpha=alpha,
            qformer_heads=heads,
            second_per_window=window_seconds,
            second_stride=stride_seconds,
        )
        named = {"whisper": whisper, "beats": beats, "llm": llm, "checkpoint": checkpoint}
        sources = {part: str(source) for part, source in named.items()}
        with torch.random.fork_rng(devices=[]):
            encoders = load_whisper(whisper, runtime.dtype), None if beats is None else load_beats(beats)
            parts = Backbones(*encoders, *load_llm(llm, runtime.dtype, add_pad_row=True, bits=bits))
            config = published_config(published, parts, sources).replace(pad_to_30s=pad_to_30s)
            model = cls(config, parts.whisper, parts.beats, parts.llm, parts.tokenizer)
        load_published_weights(model, published)
        return model.to(runtime.device)


def build(
    config: SalmonnConfig, *, seed: int = 0, dtype: torch.dtype = torch.float32, bits: int | None = None
) -> Salmonn:
    """The parts that a configuration names, with a connector and LoRA that are still untrained.

    Args:
        seed: of the connector's and LoRA's first weights; the caller's generator is left alone.
        dtype: of Whisper and the LLM.
        bits: as of `load`.

    Raises:
        SalmonnError: a part that is missing, or whose weights do not fit; or as `quantization_kwargs`.
    """
    with torch.random.fork_rng(devices=[]):
        parts = load_backbones(config, dtype, bits)
        torch.manual_seed(seed)
        return Salmonn(config, parts.whisper, parts.beats, parts.llm, parts.tokenizer)


def load(
    name_or_path: PathLike = "toy",
    stage: int | None = None,
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "float32",
    bits: int | None = None,
) -> Salmonn:
    """A model in evaluation mode, by its name.

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
    if source.repository:
        folder = download(source.repository, ["config.json", ADAPTER_FILE], source.revision)
    if folder:
        return _load_folder(folder, dtype, bits)
    assert preset
    if not preset.checkpoint:
        return build(preset, dtype=dtype, bits=bits)
    assert preset.whisper and preset.beats
    model = Salmonn.from_published(
        whisper=preset.whisper.hub,
        beats=preset.beats.hub,
        llm=preset.llm.hub,
        checkpoint=preset.checkpoint,
        dtype=dtype,
        bits=bits,
    )
    model.config = model.config.replace(name=preset.name)
    return model


def _load_folder(folder: Path, dtype: torch.dtype, bits: int | None) -> Salmonn:
    config, info = _read_config(folder)
    state = load_tensors(folder / ADAPTER_FILE)
    model = build(config, dtype=dtype, bits=bits)
    model.load_trainable(state, folder / ADAPTER_FILE)
    model.info = info
    return model


def _read_config(folder: Path) -> tuple[SalmonnConfig, dict[str, Any]]:
    file = folder / "config.json"
    values = load_json(file)
    info = values.pop("info", {}) if isinstance(values, dict) else None
    if not isinstance(info, dict):
        raise SalmonnError(
            f"{file}: not a table of settings, or its info is none; write it with save_pretrained"
        )
    try:
        return SalmonnConfig.from_dict(values), info
    except SalmonnError as problem:
        raise SalmonnError(f"{file}: {problem}") from problem
