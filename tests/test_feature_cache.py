"""The feature cache: the least recently used files are evicted first, files in use stay."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from accelerate import Accelerator
from runs import Tones, recipe_for
from tiny import tiny_salmonn

from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import replacing
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
    ages = {"a.pt": 3, "b.safetensors": 5, "c.pt": 2, "notes.txt": 9}
    feature_cache.evict(shelf(tmp_path, ages), limit=3000)
    assert names(tmp_path) == sorted(ages)
    feature_cache.evict(tmp_path, limit=2999)
    assert names(tmp_path) == ["a.pt", "c.pt", "notes.txt"]
    feature_cache.evict(tmp_path, limit=0)
    assert names(tmp_path) == ["notes.txt"]  # which is none of ours


def test_what_is_in_use_stays(tmp_path) -> None:
    """Another run has looked that the file is there, and will read it in a moment."""
    feature_cache.evict(shelf(tmp_path, {"new.pt": 0.1, "old.safetensors": 2}), limit=0)
    assert names(tmp_path) == ["new.pt"]


def test_hearing_from_the_cache_is_a_use(tmp_path) -> None:
    model, clips = tiny_salmonn(), Tones()
    first = feature_cache.encode_dataset(model, clips, tmp_path, Accelerator(cpu=True))
    shelf(tmp_path, {"other.pt": 4})
    for file in tmp_path.iterdir():
        os.utime(file, (time.time() - 5 * HOUR,) * 2)
    again = feature_cache.encode_dataset(model, clips, tmp_path, Accelerator(cpu=True))
    assert all(a.whisper.equal(b.whisper) for a, b in zip(first, again, strict=True))
    encoded = set(names(tmp_path)) - {"other.pt"}
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


def test_a_shard_that_another_run_deletes_meanwhile_is_computed_again(tmp_path, monkeypatch) -> None:
    model, clips = tiny_salmonn(), Tones()
    first = feature_cache.encode_dataset(model, clips, tmp_path, Accelerator(cpu=True))
    accelerator = Accelerator(cpu=True)
    monkeypatch.setattr(accelerator, "wait_for_everyone", lambda: [f.unlink() for f in tmp_path.iterdir()])
    again = feature_cache.encode_dataset(model, clips, tmp_path, accelerator)
    assert all(a.whisper.equal(b.whisper) for a, b in zip(first, again, strict=True))


def test_a_damaged_file_of_the_cache_is_told_in_one_line(tmp_path) -> None:
    model, clips = tiny_salmonn(), Tones()
    feature_cache.encode_dataset(model, clips, tmp_path, Accelerator(cpu=True))
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(SalmonnError, match=rf"{file.name} .*delete it: its features will be computed again"):
        feature_cache.encode_dataset(model, clips, tmp_path, Accelerator(cpu=True))


def test_a_run_that_encodes_for_long_keeps_what_it_will_read(tmp_path, monkeypatch) -> None:
    """Every shard that is there is marked as used after each one that is made."""
    monkeypatch.setattr("salmonn_mini.data.clips.SHARD", 3)
    model, store, ages = tiny_salmonn(), feature_cache._store, []

    def slow(file: Path, encoded: list) -> None:
        for other in tmp_path.glob("*.pt"):
            ages.append(time.time() - other.stat().st_mtime)
            os.utime(other, (time.time() - HOUR,) * 2)
        store(file, encoded)

    monkeypatch.setattr(feature_cache, "_store", slow)
    feature_cache.encode_dataset(model, Tones(), tmp_path, Accelerator(cpu=True))
    assert len(ages) == 1 + 2 + 3 and max(ages) < HOUR / 2


def test_temporary_files_of_dead_processes_are_removed(tmp_path) -> None:
    code = (
        "import os, sys; from salmonn_mini.files import replacing\nwith replacing(sys.argv[1]): os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    (left,) = tmp_path.iterdir()
    os.utime(left, (time.time() - 2 * HOUR,) * 2)
    with replacing(tmp_path) as temporary:
        feature_cache.evict(tmp_path, limit=1e9)
        assert names(tmp_path) == [temporary.name]  # this process lives
    assert names(tmp_path) == []
