"""Training from released files: the golden checkpoint, saved to a folder, starts stages 1 and 3."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from runs import changed, killed_after, losses, recipe_for, rows, weights

from salmonn_mini import Salmonn, pretrained
from salmonn_mini.cli import main
from salmonn_mini.errors import SalmonnError
from salmonn_mini.train import Recipe, load_recipe, train_recipe
from salmonn_mini.train.checkpointing import RunDirectory
from salmonn_mini.train.run import initial_model

GOLDEN = Path(__file__).parent / "golden" / "salmonn"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released files as a folder, which `init` takes."""
    folder = tmp_path_factory.mktemp("released")
    model = Salmonn.from_published(
        whisper=GOLDEN / "whisper",
        beats=GOLDEN.parent / "beats" / "beats_tiny.pt",
        llm=GOLDEN / "llama",
        checkpoint=GOLDEN / "salmonn_tiny.pth",
        heads=4,
    )
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN / "audio", tmp_path / "audio")
    return Path(shutil.copy(GOLDEN / "annotation.json", tmp_path))


def recipe_of(folder: Path, released: Path, manifest: Path, **changes) -> Recipe:
    values = {"model": None, "init": str(released), "manifest": str(manifest), "clips": None, "steps": 4}
    values |= {"prompts": str(GOLDEN / "prompts.json"), "batch_size": 2, "save_every": 2}
    return recipe_for(folder, **values | changes)


def trained_twice(recipe: Recipe) -> Salmonn:
    """The model of a run that was killed after two steps and resumed, equal to one that was not."""
    whole = recipe.replace(output_dir=recipe.output_dir + "-whole")
    expected = pretrained.load(train_recipe(whole))
    with killed_after(2):
        train_recipe(recipe)
    assert RunDirectory(recipe).steps_done() == 2
    model = pretrained.load(train_recipe(recipe))
    assert not changed(weights(expected), weights(model))
    assert losses(recipe) == losses(whole) and len(rows(recipe)) == recipe.steps
    return model


def test_a_run_from_released_weights_saves_and_resumes_bit_for_bit(
    released: Path, manifest: Path, tmp_path: Path
) -> None:
    model = trained_twice(recipe_of(tmp_path, released, manifest))
    learned = changed(weights(pretrained.load(released)), weights(model))
    assert learned and learned <= model.trainable_state().keys()


def test_stage_3_follows_from_released_weights(
    released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transcripts instead of stories, for a random model tells none."""
    monkeypatch.chdir(tmp_path)
    command = ["activate", "--model", str(released), "--out", "manifests/stories"]
    assert main([*command, "--data", "long_asr", "--samples", "4"]) == 0
    changes = ["model=null", f"init={released}", "steps=4", "save_every=2", "threads=1", "trackers=[]"]
    recipe = load_recipe("13b-stage3", changes)
    model = trained_twice(recipe)
    assert model.info["stage"] == 3 and model.info["recipe"]["init"] == str(released)


def test_widths_decide_and_not_the_name(tmp_path: Path) -> None:
    model = pretrained.load("toy", 0)
    model.config = model.config.replace(name="mine")
    pretrained.save(model, tmp_path / "mine")
    assert initial_model(recipe_for(tmp_path, init=str(tmp_path / "mine"))).config.name == "mine"


def test_released_weights_of_other_widths_are_refused_in_one_line(
    released: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["train", "13b-stage3", "--set", f"init={released}", "--set", "dtype=float32"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "its whisper.d_model is 32, but 1280 in the recipe's model '13b': change model or init" in line


def test_from_scratch_the_model_is_named(released: Path, manifest: Path, tmp_path: Path) -> None:
    for init in ("scratch", "stage1"):
        with pytest.raises(SalmonnError, match=r"model is None.*a preset where init is .*: name one"):
            recipe_of(tmp_path, released, manifest, init=init)


def test_a_run_is_resumed_with_its_own_manifest_alone(released: Path, manifest: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, released, manifest)
    with killed_after(2):
        train_recipe(recipe)
    other = shutil.copy(manifest, tmp_path / "other.json")
    with pytest.raises(SalmonnError, match=r"run of another recipe \(manifest .*other\.json.*--fresh"):
        train_recipe(recipe.replace(manifest=str(other)))
    before = manifest.read_text()
    manifest.write_text(before.replace("old mill", "new mill"))
    with pytest.raises(SalmonnError, match=r"the clips are not those with which this run began.*--fresh"):
        train_recipe(recipe)
    manifest.write_text(json.dumps(json.loads(before)))  # the same rows, spelled otherwise
    train_recipe(recipe)
    assert len(rows(recipe)) == 4


def test_a_second_run_in_the_directory_is_refused_in_one_line(
    released: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = ["model=null", f"init={released}", f"manifest={GOLDEN / 'annotation.json'}"]
    changes.append(f"prompts={GOLDEN / 'prompts.json'}")
    recipe = load_recipe("13b-stage3", changes)
    with RunDirectory(recipe).lock():
        assert main(["train", "13b-stage3", *(word for change in changes for word in ("--set", change))]) == 2
    assert "another run is training in this directory" in capsys.readouterr().err.splitlines()[-1]
