"""Whole models: from a configuration, from the toy's stages, from a folder; and into one.

A saved model is what training changed, and its configuration; the frozen parts stay where they are.

    config.json           SalmonnConfig, and under "info" what its maker wrote down (stage, recipe, …)
    adapter.safetensors   Salmonn.trainable_state()
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelHubMixin, snapshot_download

from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import load_json
from salmonn_mini.models import salmonn as network
from salmonn_mini.models.config import PRESETS, SalmonnConfig
from salmonn_mini.models.state import load_tensors, save_folder
from salmonn_mini.pretrained.backbones import (
    Backbones,
    load_backbones,
    load_beats,
    load_llm,
    load_whisper,
    toy_folder,
)
from salmonn_mini.pretrained.published import load_published_weights, published_config, read_published

ADAPTER_FILE = "adapter.safetensors"


class Salmonn(
    network.Salmonn,
    ModelHubMixin,
    library_name="salmonn-mini",
    license="apache-2.0",
    pipeline_tag="audio-text-to-text",
    paper_url="https://huggingface.co/papers/2310.13289",
):
    """`model.Salmonn` that comes from files and goes into files, the hub's ways included.

    `save_pretrained`, `from_pretrained` and `push_to_hub` are huggingface_hub's; they store what `save` stores.
    """

    @classmethod
    def from_published(
        cls,
        *,
        whisper: str | os.PathLike,
        beats: str | os.PathLike | None,
        llm: str | os.PathLike,
        checkpoint: str | os.PathLike,
        alpha: int | None = None,
        heads: int | None = None,
        window_seconds: float | None = None,
        stride_seconds: float | None = None,
        pad_to_30s: bool = True,
        dtype: torch.dtype = torch.float32,
        bits: int | None = None,
    ) -> Salmonn:
        """The authors' model from their own files: Whisper, BEATs, Vicuna, and the trained checkpoint.

        Rank, N, layers and widths follow from the checkpoint; the front end is the published one (first channel,
        1 to 30 s, 30 s of Whisper, tail frames dropped: 88 tokens).

        Args:
            whisper: a folder of transformers, or a name on the hub; likewise `llm`.
            beats: a file `{'cfg', 'model'}`, or a name on the hub; None for a model without BEATs.
            checkpoint: a file `{'model': …}`, or a name on the hub.
            alpha, window_seconds, stride_seconds: LoRA's and the windows', which no weight tells. None: as the
                settings of a training run's checkpoint say, else as released: 32 and 0.333333 s.
            heads: the Q-Former's. None: 12 for BERT-base's width, else 4.
            pad_to_30s: False spends Whisper on the clip's own frames alone. That is not what the weights were trained
                on: on the random ones of the tests, a clip of 2.4 s moves its tokens by 63 % of their norm.
            dtype: of Whisper and the LLM.
            bits: as of `build`.

        Raises:
            SalmonnError: a file that is missing or damaged; keys that are missing, unexpected or wrongly shaped.
        """
        published = read_published(checkpoint).with_overrides(
            lora_alpha=alpha,
            qformer_heads=heads,
            second_per_window=window_seconds,
            second_stride=stride_seconds,
        )
        named = {"whisper": whisper, "beats": beats, "llm": llm, "checkpoint": checkpoint}
        places = {part: str(place) for part, place in named.items()}
        with torch.random.fork_rng(devices=[]):
            ears = load_whisper(whisper, dtype), None if beats is None else load_beats(beats)
            parts = Backbones(*ears, *load_llm(llm, dtype, add_pad_row=True, bits=bits))
            config = published_config(published, parts, places).replace(pad_to_30s=pad_to_30s)
            model = cls(config, parts.whisper, parts.beats, parts.llm, parts.tokenizer)
        load_published_weights(model, published)
        return model

    def _save_pretrained(self, save_directory: Path) -> None:
        save(self, save_directory)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        dtype: torch.dtype = torch.float32,
        **entries: Any,  # of config.json, which is read again below
    ) -> Salmonn:
        folder = model_id
        if not Path(folder).is_dir():
            folder = snapshot_download(
                model_id,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=["config.json", ADAPTER_FILE],
            )
        return _load_folder(Path(folder), dtype)


def build(
    config: SalmonnConfig, *, seed: int = 0, dtype: torch.dtype = torch.float32, bits: int | None = None
) -> Salmonn:
    """The parts that a configuration names, with a connector and LoRA that are still untrained.

    Args:
        seed: of the connector's and LoRA's first weights; the generator of the caller is left alone.
        dtype: of Whisper and the LLM.
        bits: 8 or 4 for an LLM whose matrices are kept in so many, on a GPU.

    Raises:
        SalmonnError: a part that is missing, or whose weights do not fit; or as `quantization_kwargs`.
    """
    with torch.random.fork_rng(devices=[]):
        parts = load_backbones(config, dtype, bits)
        torch.manual_seed(seed)
        return Salmonn(config, parts.whisper, parts.beats, parts.llm, parts.tokenizer)


def load(
    name_or_path: str | os.PathLike = "toy",
    stage: int | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    bits: int | None = None,
) -> Salmonn:
    """A model in evaluation mode: "toy" after a training stage, or a folder that `save` has written.

    Args:
        name_or_path: a folder, "toy", or another preset: "7b" and "13b" are the released models, "small" has
            its parts from the hub and an untrained connector. BEATs must lie in the working folder for them.
        stage: 1, 2 or 3 of the toy; None: its connector and LoRA untrained.
        dtype: of Whisper and the LLM.
        bits: as of `build`.

    Raises:
        SalmonnError: no such model or stage, or weights that do not fit.
    """
    if name_or_path != "toy" and stage is not None:
        raise SalmonnError(f"stage {stage} of {name_or_path}: only 'toy' has stages; leave the stage out")
    if name_or_path == "toy" and stage is not None:
        return _load_folder(_stage_folder(stage), dtype, bits)
    if name_or_path in PRESETS:
        return _from_preset(PRESETS[name_or_path], dtype, bits)
    if not Path(name_or_path).is_dir():
        raise SalmonnError(
            f"there is no model {str(name_or_path)!r}: give {', '.join(PRESETS)}, or a folder with "
            f"config.json and {ADAPTER_FILE}"
        )
    return _load_folder(Path(name_or_path), dtype, bits)


def save(model: network.Salmonn, folder: str | os.PathLike, *, info: dict[str, Any] | None = None) -> None:
    """Write what training changed, and the configuration; each file whole or not at all.

    Args:
        info: what else should stand in config.json: the stage, the recipe, …

    Raises:
        SalmonnError: the folder cannot be written to.
    """
    config = model.config.to_dict() | {"info": info or {}}
    save_folder(folder, model.trainable_state(), ADAPTER_FILE, config)


def read_info(name_or_path: str | os.PathLike, stage: int | None = None) -> dict[str, Any]:
    """What `save` was told about a model."""
    folder = _stage_folder(stage) if name_or_path == "toy" and stage is not None else Path(name_or_path)
    return _read_config(folder)[1]


def _from_preset(preset: SalmonnConfig, dtype: torch.dtype, bits: int | None) -> Salmonn:
    if not preset.checkpoint:
        return build(preset, dtype=dtype, bits=bits)
    return Salmonn.from_published(
        whisper=preset.whisper.hub,
        beats=preset.beats.hub,
        llm=preset.llm.hub,
        checkpoint=preset.checkpoint,
        dtype=dtype,
        bits=bits,
    )


def _load_folder(folder: Path, dtype: torch.dtype = torch.float32, bits: int | None = None) -> Salmonn:
    config, _ = _read_config(folder)
    state = load_tensors(folder / ADAPTER_FILE)
    model = build(config, dtype=dtype, bits=bits)
    model.load_trainable(state, folder / ADAPTER_FILE)
    return model


def _read_config(folder: Path) -> tuple[SalmonnConfig, dict[str, Any]]:
    values = load_json(folder / "config.json")
    if not isinstance(values, dict):
        raise SalmonnError(f"{folder / 'config.json'} is {values!r}; it must be a table of settings")
    info = values.pop("info", {})
    try:
        return SalmonnConfig.from_dict(values), info
    except SalmonnError as problem:
        raise SalmonnError(f"{folder / 'config.json'}: {problem}") from problem


def _stage_folder(stage: int) -> Path:
    folder = toy_folder() / f"stage{stage}"
    if folder.is_dir():
        return folder
    shipped = sorted(path.name.removeprefix("stage") for path in toy_folder().glob("stage*"))
    there = (
        f"shipped are {', '.join(shipped)}, and None for the untrained one" if shipped else "none is there"
    )
    raise SalmonnError(f"the toy has no stage {stage!r} in {toy_folder()}: {there}")
