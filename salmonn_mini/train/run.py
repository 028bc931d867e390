"""From a recipe to a model and clips, through the loop, and into output_dir."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
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
from salmonn_mini.data.clips import digest_of
from salmonn_mini.data.packed import LINES
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import SalmonnConfig, preset
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.toy.dataset import ToyDataset
from salmonn_mini.train.feature_cache import evict
from salmonn_mini.train.loop import fit
from salmonn_mini.train.optim import set_dropout
from salmonn_mini.train.recipe import SCRATCH, STAGE, Recipe, load_recipe
from salmonn_mini.train.sources import StreamingDataset

# What the shapes of the trained weights follow from, besides the connector and LoRA themselves.
WIDTHS = {
    "whisper": ("d_model",),
    "beats": ("encoder_embed_dim",),
    "llm": ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
}


def train_recipe(recipe: Recipe | str | PathLike[str], *, fresh: bool = False) -> Path:
    """Follow a recipe, its name or file, to its end, resuming a run that was stopped, or deleting it if `fresh`.

    The directory returned is for `pretrained.load`.

    Raises:
        SalmonnError: a model, clips or a directory that cannot be used, or a loss that is not finite.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    model = initial_model(recipe)
    clips = make_dataset(recipe, model.config)
    eval_dataset = make_eval_dataset(recipe, model.config)
    result = fit(model, clips, recipe, eval_dataset=eval_dataset, fresh=fresh)
    directory, processes = Path(recipe.output_dir), PartialState()
    if processes.is_main_process:
        pretrained.save(model, directory, info={"stage": recipe.stage, "recipe": recipe.to_dict(), **result})
        evict(Path(recipe.cache_dir), recipe.cache_limit * 1e9)
    processes.wait_for_everyone()
    return directory


def initial_model(recipe: Recipe) -> SalmonnModel:
    """The model that a run begins with, Whisper and the LLM in the recipe's dtype or quantized.

    Raises SalmonnError for a model that does not exist or is of other shapes than the recipe's, and for overrides that
    contradict the frozen parts.
    """
    # What is aligned with the embeddings is read best at their size.
    aligned = {"connector": {"token_scale": None}} if recipe.alignment else {}
    frozen = {"dtype": getattr(torch, recipe.dtype), "bits": recipe.bits}
    p = recipe.dropout
    dropout = {} if p is None else {"connector": {"dropout": p}, "lora": {"lora_dropout": p}}
    if recipe.init == SCRATCH:
        config = preset(recipe.model)
        for changes in (aligned, recipe.config, dropout):
            config = _changed(config, changes)
        model = pretrained.build(config, seed=recipe.seed, **frozen)
        _check_frozen_parts(model, recipe.config)
        return model
    stage = STAGE.fullmatch(recipe.init)
    place = (recipe.model, int(stage[1])) if stage else (recipe.init,)
    model = pretrained.load(*place, **frozen)
    if recipe.model is not None:
        _check_shapes(recipe, model.config)
    if dropout:
        model.config = _changed(model.config, dropout)
        set_dropout(model, p)
    return model


def make_dataset(recipe: Recipe, config: SalmonnConfig) -> ClipDataset | StreamingDataset:
    """The clips that a run trains on."""
    prompts = read_prompts(recipe.prompts) if recipe.prompts is not None else None
    if not recipe.sources:
        shares = {"paraphrase_prob": recipe.paraphrase_prob, "affix_prob": recipe.affix_prob}
        return ToyDataset(recipe.tasks, recipe.clips, recipe.seed, prompts=prompts, **shares)
    if recipe.stream:
        return StreamingDataset(recipe.sources, config, recipe.seed, prompts)
    parts = {name: open_dataset(name, config, recipe.seed, prompts) for name in recipe.sources}
    if not recipe.tasks and not recipe.manifests:
        return parts[recipe.manifest]
    return MixtureDataset(parts, recipe.manifests, recipe.tasks)


def make_eval_dataset(recipe: Recipe, config: SalmonnConfig) -> ClipDataset | None:
    """The clips that a run transcribes every `eval_every` steps, none of which it trains on.

    Raises SalmonnError if `eval_manifest` has no sample of task asr, or clips that are trained on.
    """
    if recipe.eval_every is None:
        return None
    name = recipe.eval_manifest
    if name is None:
        return ToyDataset({"asr": 1.0}, recipe.eval_clips, recipe.seed, "validation")
    samples = [sample for sample in read_manifest(name) if sample.task == "asr"][: recipe.eval_clips]
    if not samples:
        raise SalmonnError(f"{name}: no sample of task asr, and the WER needs some; give another")
    for source in recipe.sources:
        if shared := _shared_clip([sample.path for sample in samples], Path(source)):
            raise SalmonnError(f"{name}: {shared} is trained on too, in {source}; evaluate on other clips")
    return ManifestDataset(samples, config, recipe.seed)


def _shared_clip(clips: Sequence[Path], source: Path) -> Path | None:
    """A clip whose path or content is also in a manifest, or whose path is in a packed directory."""
    manifest = source / LINES if source.is_dir() else source
    trained = {sample.path.resolve() for sample in read_manifest(manifest)}
    sizes = {clip.stat().st_size for clip in clips if clip.is_file()}
    contents = {digest_of(path) for path in trained if path.is_file() and path.stat().st_size in sizes}
    for clip in clips:
        if clip.resolve() in trained or (clip.is_file() and digest_of(clip) in contents):
            return clip
    return None


def _check_frozen_parts(model: SalmonnModel, overrides: Mapping[str, Any]) -> None:
    """What a recipe's `config` says of a frozen part is what the part is."""
    for name in WIDTHS:
        part = getattr(model, name)
        for key, value in getattr(model.config, name).sizes().items() if part and name in overrides else ():
            own = vars(part.config)[key]
            if not (value.items() <= own.items() if isinstance(value, dict) else value == own):
                raise SalmonnError(
                    f"config.{name}.{key} is {value!r}, but the frozen part has {own!r}: "
                    f"leave it out, or set {name}.name_or_path to a part of these sizes"
                )


def _check_shapes(recipe: Recipe, config: SalmonnConfig) -> None:
    """The weights of `init` fit the frozen parts of the recipe's model."""
    expected = preset(recipe.model)
    for name, keys in WIDTHS.items():
        here, there = getattr(expected, name), getattr(config, name)
        for key in keys if here and there else ():
            own, wanted = getattr(there, key), getattr(here, key)
            if own != wanted:
                raise SalmonnError(
                    f"init {recipe.init}: its {name}.{key} is {own}, but {wanted} in the recipe's model "
                    f"{recipe.model!r}: change model or init"
                )


def _changed(config: SalmonnConfig, changes: Mapping[str, Any]) -> SalmonnConfig:
    return SalmonnConfig.from_dict(_merged(config.to_dict(), changes))


def _merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` over `table`, table by table."""
    merged = dict(table)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(table.get(key), dict)
        merged[key] = _merged(table[key], value) if both else value
    return merged
