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

from salmonn_mini.checkpoint.parts import load_parts, toy_folder
from salmonn_mini.config import PRESETS, SalmonnConfig
from salmonn_mini.errors import SalmonnError
from salmonn_mini.model import Salmonn
from salmonn_mini.weights import load_json, load_tensors, save_folder

ADAPTER_FILE = "adapter.safetensors"


def build(config: SalmonnConfig, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Salmonn:
    """The parts that a configuration names, with a connector and LoRA that are still untrained.

    Args:
        seed: of the connector's and LoRA's first weights; the generator of the caller is left alone.
        dtype: of Whisper and the LLM.

    Raises:
        SalmonnError: a part that is missing, or whose weights do not fit.
    """
    parts = load_parts(config, dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Salmonn(config, parts.whisper, parts.beats, parts.llm, parts.tokenizer)


def load(name_or_path: str | os.PathLike = "toy", stage: int | None = None) -> Salmonn:
    """A model in evaluation mode: "toy" after a training stage, or a folder that `save` has written.

    Args:
        name_or_path: "toy", the name of another preset (its parts come from the hub, connector and LoRA are
            untrained), or a folder.
        stage: 1, 2 or 3 of the toy; None: its connector and LoRA untrained.

    Raises:
        SalmonnError: no such model or stage, or weights that do not fit.
    """
    if name_or_path != "toy" and stage is not None:
        raise SalmonnError(f"stage {stage} of {name_or_path}: only 'toy' has stages; leave the stage out")
    if name_or_path == "toy" and stage is not None:
        return _load_folder(_stage_folder(stage))
    if name_or_path in PRESETS:
        return build(PRESETS[name_or_path])
    if not Path(name_or_path).is_dir():
        raise SalmonnError(
            f"there is no model {str(name_or_path)!r}: give {', '.join(PRESETS)}, or a folder with "
            f"config.json and {ADAPTER_FILE}"
        )
    return _load_folder(Path(name_or_path))


def save(model: Salmonn, folder: str | os.PathLike, *, info: dict[str, Any] | None = None) -> None:
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


def _load_folder(folder: Path) -> Salmonn:
    config, _ = _read_config(folder)
    state = load_tensors(folder / ADAPTER_FILE)
    model = build(config)
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
