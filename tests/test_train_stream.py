"""Training on packed folders that stream by: exact after a stop, in shares, past broken files, by processes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from runs import changed, killed_after, losses, pack_tones, packed_recipe, rows, streams_of, weights
from tiny import tiny_salmonn, tiny_toy

from salmonn_mini.errors import SalmonnError
from salmonn_mini.train import fit, load_recipe, sources, train_recipe
from salmonn_mini.train.sources import StreamingSource


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    return pack_tones(tmp_path_factory.mktemp("packed"))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(sources, "CHUNK", 3)


def shares_of(
    recipe, tmp_path: Path, steps: int, rank: int = 0, world: int = 1, start: int = 0
) -> list[list]:
    """The clips and lengths of each step, of one process."""
    process = SimpleNamespace(process_index=rank, num_processes=world)
    stream = StreamingSource(tiny_salmonn(), streams_of(recipe), recipe, process, tmp_path)
    found = [stream.batch(step) for step in range(start, steps)]
    return [[(item.example.clip, len(item.encoded), item.example.prompt) for item in step] for step in found]


def test_what_a_step_sees_follows_from_its_number_alone(packed, tmp_path):
    recipe = packed_recipe(tmp_path, packed)
    whole = shares_of(recipe, tmp_path, 40)
    assert all(len(step) == 4 for step in whole)
    for start in (1, 3, 17, 38):
        assert shares_of(recipe, tmp_path, 40, start=start) == whole[start:]
    assert shares_of(recipe.replace(seed=6), tmp_path, 40) != whole
    names = Counter(Path(clip).name.partition("-")[0] for step in whole for clip, *_ in step)
    assert names["speech"] / 160 == pytest.approx(2 / 3, abs=0.1)


def test_each_clip_comes_once_an_epoch_and_processes_share_them(packed, tmp_path):
    recipe = packed_recipe(tmp_path, packed, manifests={str(packed / "speech"): 1}, batch_size=2)
    steps = shares_of(recipe, tmp_path, 6)
    assert len({clip for step in steps for clip, *_ in step}) == 12
    parts = [shares_of(recipe, tmp_path, 6, rank, 2) for rank in range(2)]
    seen = [{clip for step in part for clip, *_ in step} for part in parts]
    assert len(seen[0]) == len(seen[1]) == 6 and not seen[0] & seen[1]
    with pytest.raises(
        SalmonnError, match="batch_size is 2, but a stream needs a multiple of the 3 processes"
    ):
        shares_of(recipe, tmp_path, 1, 0, 3)


def test_a_run_that_is_stopped_in_mid_chunk_ends_bit_for_bit_as_one_that_is_not(packed, tmp_path):
    recipe = packed_recipe(tmp_path, packed, gradient_accumulation_steps=2)
    whole, again = tiny_salmonn(), tiny_salmonn()
    fit(whole, streams_of(recipe), recipe.replace(output_dir=str(tmp_path / "whole")))
    with killed_after(5):
        fit(tiny_salmonn(), streams_of(recipe), recipe)
    fit(again, streams_of(recipe), recipe)
    assert not changed(weights(whole), weights(again))
    assert losses(recipe) == losses(recipe.replace(output_dir=str(tmp_path / "whole")))
    assert set().union(*(row["tasks"] for row in rows(recipe))) == {"asr", "audio_caption"}


@pytest.fixture
def damaged(packed, tmp_path) -> Path:
    """The speech once more, one of its tar files being none."""
    copy = tmp_path / "speech"
    copy.mkdir()
    for file in (packed / "speech").iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "shard-000002.tar").write_bytes(b"no tar file at all" * 100)
    return copy


def test_the_number_of_workers_changes_no_bit_and_may_change_on_the_way(packed, damaged, tmp_path):
    """Nor what is listed as unreadable: a worker finds it, the process that trains counts and lists it."""
    shares = {str(damaged): 2, str(packed / "sounds"): 1}
    recipe = packed_recipe(tmp_path, packed, manifests=shares, max_bad_share=0.5)
    curves, models, listed = [], [], []
    for workers in (0, 1, 3):
        own = recipe.replace(workers=workers, output_dir=str(tmp_path / f"{workers}"))
        models.append(tiny_salmonn())
        fit(models[-1], streams_of(own), own)
        curves.append(losses(own))
        listed.append((tmp_path / f"{workers}" / "quarantine-0.jsonl").read_text())
    assert curves[0] == curves[1] == curves[2] and len(curves[0]) == recipe.steps
    assert listed[0] == listed[1] == listed[2] != ""
    assert not any(changed(weights(models[0]), weights(model)) for model in models[1:])
    with killed_after(5):
        fit(tiny_salmonn(), streams_of(recipe), recipe.replace(workers=2))
    again = tiny_salmonn()
    fit(again, streams_of(recipe), recipe)
    assert losses(recipe) == curves[0] and not changed(weights(models[0]), weights(again))


def test_broken_files_are_listed_once_and_the_run_goes_on(packed, damaged, tmp_path):
    recipe = packed_recipe(tmp_path, packed, manifests={str(damaged): 1}, max_bad_share=0.5)
    assert fit(tiny_salmonn(), streams_of(recipe), recipe)["steps"] == 8
    listed = [json.loads(line) for line in (tmp_path / "run" / "quarantine-0.jsonl").read_text().splitlines()]
    assert len(listed) == len({row["clip"] for row in listed}) == 3 and "damaged" in listed[0]["reason"]
    strict = recipe.replace(max_bad_share=0.01, steps=60, output_dir=str(tmp_path / "strict"))
    with pytest.raises(SalmonnError, match=r"clips cannot be used, see .*more than max_bad_share = 0.01"):
        fit(tiny_salmonn(), streams_of(strict), strict)


def test_a_recipe_streams(packed, tmp_path, monkeypatch):
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))
    monkeypatch.chdir(tmp_path)
    changes = [
        f"manifest={packed / 'speech'}",
        "stream=true",
        "clips=null",
        "tasks={}",
        "steps=2",
        "trackers=[]",
        "alignment=null",
    ]
    train_recipe(load_recipe("toy-stage1", [*changes, "batch_size=4", "threads=1", "output_dir=one"]))
    assert (tmp_path / "one" / "adapter.safetensors").exists()
    with pytest.raises(SalmonnError, match=r"stream is True.*false without a manifest"):
        load_recipe("toy-stage1", ["stream=true"])
    with pytest.raises(SalmonnError, match="index"):
        train_recipe(load_recipe("toy-stage1", [*changes, "manifest=nowhere", "output_dir=two"]))
