"""The room that heard features take: what was used longest ago goes first, what is in use stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from accelerate import Accelerator
from runs import Tones, recipe_for
from tiny import tiny_salmonn

from salmonn_mini.errors import SalmonnError
from salmonn_mini.train import feature_cache, run

HOUR = 3600


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def shelf(folder: Path, ages: dict[str, float], size: int = 1000) -> Path:
    """Files of `size` bytes that were used so many hours ago."""
    for name, age in ages.items():
        (folder / name).write_bytes(bytes(size))
        os.utime(folder / name, (time.time() - age * HOUR,) * 2)
    return folder


def test_the_longest_unused_make_room(tmp_path) -> None:
    ages = {"a.safetensors": 3, "b.safetensors": 5, "c.safetensors": 2, "notes.txt": 9}
    feature_cache.evict(shelf(tmp_path, ages), limit=3000)
    assert names(tmp_path) == sorted(ages)
    feature_cache.evict(tmp_path, limit=2999)
    assert names(tmp_path) == ["a.safetensors", "c.safetensors", "notes.txt"]
    feature_cache.evict(tmp_path, limit=0)
    assert names(tmp_path) == ["notes.txt"]  # which is none of ours


def test_what_is_in_use_stays(tmp_path) -> None:
    """Another run has looked that the file is there, and will read it in a moment."""
    feature_cache.evict(shelf(tmp_path, {"new.safetensors": 0.1, "old.safetensors": 2}), limit=0)
    assert names(tmp_path) == ["new.safetensors"]


def test_hearing_from_the_cache_is_a_use(tmp_path) -> None:
    model, clips = tiny_salmonn(), Tones()
    first = feature_cache.encode_dataset(model, clips, tmp_path, Accelerator(cpu=True))
    shelf(tmp_path, {"other.safetensors": 4})
    for file in tmp_path.iterdir():
        os.utime(file, (time.time() - 5 * HOUR,) * 2)
    again = feature_cache.encode_dataset(model, clips, tmp_path, Accelerator(cpu=True))
    assert all(a.whisper.equal(b.whisper) for a, b in zip(first, again, strict=True))
    encoded = set(names(tmp_path)) - {"other.safetensors"}
    feature_cache.evict(tmp_path, limit=0)
    assert set(names(tmp_path)) == encoded


def test_a_run_keeps_to_the_recipes_limit(tmp_path, monkeypatch) -> None:
    said = []
    monkeypatch.setattr(run, "initial_model", lambda recipe: tiny_salmonn())
    monkeypatch.setattr(run, "make_dataset", lambda *_: Tones())
    monkeypatch.setattr(run, "evict", lambda *given: said.append(given))
    recipe = recipe_for(tmp_path, steps=1, cache_limit=0.5)
    run.train_recipe(recipe)
    assert said == [(Path(recipe.cache_dir), 0.5e9)]
    with pytest.raises(SalmonnError, match=r"cache_limit is -1\.0, but it must be at least 0"):
        recipe_for(tmp_path, cache_limit=-1)
