"""From a recipe to a model and clips, through the loop, and into the folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from salmonn_mini import pretrained
from salmonn_mini.data import (
    ClipDataset,
    ManifestDataset,
    MixtureDataset,
    open_dataset,
    read_manifest,
    read_prompts,
)
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import SalmonnConfig, preset
from salmonn_mini.models.salmonn import Salmonn
from salmonn_mini.toy.dataset import ToyDataset
from salmonn_mini.train.feature_cache import evict
from salmonn_mini.train.loop import fit
from salmonn_mini.train.recipe import SCRATCH, Recipe
from salmonn_mini.train.sources import StreamingDataset


def train_recipe(recipe: Recipe, *, fresh: bool = False) -> Path:
    """Follow a recipe to its end, on from where it was stopped; the folder returned is for `pretrained.load`.

    Args:
        fresh: delete a run that is in the recipe's output_dir, and start anew.

    Raises:
        SalmonnError: a model, clips or a folder that do not serve, or a loss that is not finite.
    """
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    model = initial_model(recipe)
    took = fit(
        model,
        make_dataset(recipe, model.config),
        recipe,
        eval_dataset=make_eval_dataset(recipe, model.config),
        fresh=fresh,
    )
    folder = Path(recipe.output_dir)
    processes = PartialState()
    if processes.is_main_process:
        pretrained.save(model, folder, info={"stage": recipe.stage, "recipe": recipe.to_dict(), **took})
        evict(Path(recipe.cache_dir), recipe.cache_limit * 1e9)
    processes.wait_for_everyone()
    return folder


def initial_model(recipe: Recipe) -> Salmonn:
    """The model that a run begins with, Whisper and the LLM in the recipe's precision or in fewer bits.

    Raises:
        SalmonnError: a model that is not there, or that is not of the recipe's kind.
    """
    frozen = {"dtype": getattr(torch, recipe.dtype), "bits": recipe.bits}
    if recipe.init == SCRATCH:
        config = _changed(preset(recipe.model), recipe.config)
        return pretrained.build(_with_dropout(config, recipe.dropout), seed=recipe.seed, **frozen)
    stage = re.fullmatch(r"stage(\d+)", recipe.init)
    place = (recipe.model, int(stage[1])) if stage else (recipe.init,)
    model = pretrained.load(*place, **frozen)
    if model.config.name != recipe.model:
        raise SalmonnError(
            f"{recipe.init} holds a model {model.config.name!r}, but the recipe's model is {recipe.model!r}: "
            f"change model or init"
        )
    config = _with_dropout(model.config, recipe.dropout)
    if config == model.config:
        return model
    other = pretrained.build(config, **frozen)
    other.load_trainable(model.trainable_state(), recipe.init)
    return other


def make_dataset(recipe: Recipe, config: SalmonnConfig) -> ClipDataset | StreamingDataset:
    """The clips that a run learns from."""
    prompts = read_prompts(recipe.prompts) if recipe.prompts is not None else None
    if not recipe.sources:
        return ToyDataset(
            recipe.tasks,
            recipe.clips,
            recipe.seed,
            prompts=prompts,
            paraphrase_prob=recipe.paraphrase_prob,
            affix_prob=recipe.affix_prob,
        )
    if recipe.stream:
        return StreamingDataset(recipe.sources, config, recipe.seed, prompts)
    parts = {name: open_dataset(name, config, recipe.seed, prompts) for name in recipe.sources}
    if not recipe.tasks and not recipe.manifests:
        return parts[recipe.manifest]
    return MixtureDataset(parts, recipe.manifests, recipe.tasks)


def make_eval_dataset(recipe: Recipe, config: SalmonnConfig) -> ClipDataset | None:
    """The clips that a run transcribes every `eval_every` steps, none of which it learns from."""
    if recipe.eval_every is None:
        return None
    if recipe.eval_manifest is None:
        return ToyDataset({"asr": 1.0}, recipe.eval_clips, recipe.seed, "validation")
    samples = [sample for sample in read_manifest(recipe.eval_manifest) if sample.task == "asr"]
    if not samples:
        raise SalmonnError(
            f"{recipe.eval_manifest}: no sample of task asr, whose WER could be told; give another"
        )
    return ManifestDataset(samples[: recipe.eval_clips], config, recipe.seed)


def _changed(config: SalmonnConfig, changes: dict[str, Any]) -> SalmonnConfig:
    return SalmonnConfig.from_dict(_merged(config.to_dict(), changes)) if changes else config


def _merged(table: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` over `table`, table by table."""
    both = {
        key: _merged(table[key], value)
        if isinstance(value, dict) and isinstance(table.get(key), dict)
        else value
        for key, value in changes.items()
    }
    return table | both


def _with_dropout(config: SalmonnConfig, dropout: float | None) -> SalmonnConfig:
    if dropout is None:
        return config
    connector, lora = config.connector.replace(dropout=dropout), config.lora.replace(dropout=dropout)
    return config.replace(connector=connector, lora=lora)
