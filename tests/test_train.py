"""train/: what a recipe refuses; runs that repeat, resume exactly, and leave the frozen parts alone."""

from __future__ import annotations

import json
import multiprocessing
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

import pytest
import torch
from runs import Tones, changed, killed_after, losses, recipe_for, rows, weights
from tiny import tiny_config, tiny_salmonn, tiny_toy

from salmonn_mini import pretrained
from salmonn_mini.audio import save_wav
from salmonn_mini.data import ManifestDataset, Sample
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import PRESETS
from salmonn_mini.train import STAGES, Recipe, fit, load_recipe, optim, recipe_names, run, train_recipe
from salmonn_mini.train.checkpointing import RunDirectory, is_intact
from salmonn_mini.train.sources import CachedSource, data_digest

# --- recipes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_of_the_package_is_intact(name):
    recipe = load_recipe(name)
    assert (
        (recipe.tasks or recipe.sources) and recipe.trainable and Recipe.from_dict(recipe.to_dict()) == recipe
    )


def test_a_recipe_is_found_by_name_or_file_and_can_be_changed(tmp_path):
    recipe = load_recipe(
        "toy-stage1",
        ["steps=7", "tasks.asr=2", "lora_lr=1e-2", "trainable=[lora]", "dropout=0", "alignment=null"],
    )
    assert (recipe.steps, recipe.tasks["asr"], recipe.lora_lr, recipe.trainable) == (7, 2, 0.01, ("lora",))
    assert recipe.dropout == 0.0
    assert load_recipe("recipes/toy-stage1.yaml") == load_recipe("toy-stage1")
    file = tmp_path / "my.yaml"
    file.write_text("stage: 2\noutput_dir: x\nsteps: 9\nclips: 40\nconnector_lr: 1e-3\nlora_lr: 1.e-3\n")
    assert load_recipe(file).tasks == STAGES[2] and load_recipe(file).connector_lr == 0.001


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("stps=3", "recipe key 'stps': did you mean 'steps'"),
        ("report_to=all", "recipe key 'report_to': did you mean 'trackers'"),
        ("steps=many", "'many'.*type int"),
        ("steps=0", "steps is 0.*greater than 0"),
        ("stage=4", "stage is 4.*one of 1, 2, 3"),
        ("connector_lr=.inf", "connector_lr is inf.*at most 1"),
        ("lora_lr=0", "lora_lr is 0.0"),
        ("clips=3", "clips is 3.*at least batch_size = "),
        ("clips=null", "clips is None.*given where there is no manifest"),
        ("manifest=m.json", "clips is [0-9]+.*omitted with a manifest"),
        ("tasks=asr", "tasks is 'asr'.*type dict"),
        ("tasks.sing=1", "unknown task 'sing'"),
        ("tasks.asr=-1", "change asr"),
        ("tasks={asr: 0}", "some share"),
        ("paraphrase_prob=2", "paraphrase_prob is 2.*from 0 to 1"),
        ("affix_prob=-1", "affix_prob is -1.*from 0 to 1"),
        ("paraphrase_prob=0", "paraphrase_prob is 0.*above 0 for prompts to be used"),
        ("trainable=[llm]", "among connector, lora"),
        ("dtype=float16", "one of float32, bfloat16"),
        ("dropout=1", "dropout is 1.0.*below 1"),
        ("beta2=1", "beta2 is 1.0"),
        ("warmup=-1", "warmup is -1"),
        ("seed=-1", "seed is -1"),
        ("threads=0", "threads is 0"),
        ("output_dir=''", "the name of a directory"),
        ("steps", "'steps' does not change a recipe: write key=value"),
        ("steps.more=1", "steps is [0-9]+, not a table"),
        ("steps=[", "'steps=\\['.*not YAML"),
    ],
)
def test_a_recipe_refuses_by_key_rule_and_remedy(override, words):
    with pytest.raises(SalmonnError, match=words):
        load_recipe("toy-stage1", [override])


def test_files_that_are_no_recipes_are_refused(tmp_path):
    with pytest.raises(SalmonnError, match=r"unknown recipe 'toy-stge1': did you mean 'toy-stage1'"):
        load_recipe("toy-stge1")
    for text, words in (
        ("- 1\n", "lines `key: value`"),
        ("a: [\n", "not YAML.*line 2"),
        ("steps: 3", "needs the key"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(SalmonnError, match=words):
            load_recipe(tmp_path / "bad.yaml")


def test_the_learning_rate_rises_in_a_line_and_falls_in_a_cosine(tmp_path):
    recipe = recipe_for(tmp_path, steps=12, warmup=2, min_lr_ratio=0.1)
    factors = [recipe.factor(step) for step in range(12)]
    assert factors[:3] == [0.5, 1.0, 1.0]
    assert factors[7] == pytest.approx(0.55) and factors[11] == pytest.approx(0.1, abs=0.03)
    assert factors[2:] == sorted(factors[2:], reverse=True)
    assert recipe_for(tmp_path, steps=2, warmup=10).factor(1) == 0.2


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_that_is_killed_again_and_again_ends_bit_for_bit_as_one_that_is_not(tmp_path):
    whole, recipe = tiny_salmonn(), recipe_for(tmp_path)
    fit(whole, Tones(), recipe_for(tmp_path, output_dir=str(tmp_path / "whole")))
    for steps in (2, 5, 7):  # the run saves after steps 3 and 6
        with killed_after(steps):
            fit(tiny_salmonn(), Tones(), recipe)
    for file in tmp_path.glob("cache/*"):
        file.unlink()  # what the ears heard can be computed anew
    model = tiny_salmonn()
    assert fit(model, Tones(), recipe)["steps"] == 8
    assert not changed(weights(whole), weights(model))
    assert losses(recipe) == losses(recipe_for(tmp_path, output_dir=str(tmp_path / "whole")))
    assert [row["step"] for row in rows(recipe)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {"loss", "lr", "lora_lr", "seconds", "gradient_norm"} <= rows(recipe)[0].keys()


def test_a_finished_run_is_not_run_again_and_a_fresh_one_is_the_same(tmp_path):
    model, recipe = tiny_salmonn(), recipe_for(tmp_path, steps=3)
    fit(model, Tones(), recipe)
    before, log = weights(model), losses(recipe)
    again = tiny_salmonn()
    fit(again, Tones(), recipe.replace(save_every=2))
    assert not changed(before, weights(again)) and losses(recipe) == log
    fresh = tiny_salmonn()
    fit(fresh, Tones(), recipe, fresh=True)
    assert not changed(before, weights(fresh)) and losses(recipe) == log
    other = tiny_salmonn()
    fit(other, Tones(), recipe_for(tmp_path, steps=3, seed=6), fresh=True)
    assert losses(recipe) != log


def test_only_what_the_recipe_trains_changes(tmp_path):
    for trains in (("connector", "lora"), ("lora",)):
        model = tiny_salmonn()
        before, learning = weights(model), set(model.trainable_state())
        fit(model, Tones(), recipe_for(tmp_path, steps=3, trainable=list(trains)), fresh=True)
        expected = learning if "connector" in trains else {name for name in learning if "lora_" in name}
        # Some biases have no gradient: a key's, and those of a self-attention among N = 1 queries.
        learned = changed(before, weights(model))
        assert learned <= expected and {name for name in expected - learned if "self" not in name} == set()
        assert set(model.trainable_state()) == learning and not model.training


def test_one_batch_can_be_learned_by_heart(tmp_path):
    recipe = recipe_for(tmp_path, steps=60, batch_size=3, clips=3, connector_lr=1e-2, lora_lr=1e-2)
    fit(tiny_salmonn(config=tiny_config(dropout=0)), Tones(3), recipe)
    assert losses(recipe)[0] > 5 and losses(recipe)[-1] < 0.3


def test_another_recipe_in_the_same_folder_is_refused(tmp_path):
    fit(tiny_salmonn(), Tones(), recipe_for(tmp_path, steps=1))
    with pytest.raises(SalmonnError, match=r"another recipe \(seed 5 there, 6 here\).*output_dir.*--fresh"):
        fit(tiny_salmonn(), Tones(), recipe_for(tmp_path, steps=1, seed=6))
    with pytest.raises(SalmonnError, match=r"not the one with which this run began.*--fresh"):
        fit(tiny_salmonn(seed=1), Tones(), recipe_for(tmp_path, steps=1))
    (tmp_path / "file").write_text("")
    with pytest.raises(SalmonnError, match=r"cannot be used as a directory.*choose another output_dir"):
        fit(tiny_salmonn(), Tones(), recipe_for(tmp_path, output_dir=str(tmp_path / "file")))


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(tmp_path):
    recipe = recipe_for(tmp_path)
    model = tiny_salmonn()
    fit(model, Tones(), recipe)
    saved = sorted((tmp_path / "run" / "checkpoints").glob("*"))
    assert [file.name[:14] for file in saved] == ["step-00000006-", "step-00000008-"]
    content = bytearray(saved[1].read_bytes())
    content[len(content) // 2] ^= 1
    saved[1].write_bytes(content)
    again = tiny_salmonn()
    fit(again, Tones(), recipe)
    assert not changed(weights(model), weights(again)) and len(rows(recipe)) == 8
    saved = sorted((tmp_path / "run" / "checkpoints").glob("*"))
    assert len(saved) == 2 and all(is_intact(file) for file in saved)  # the damaged one is gone
    for file in sorted((tmp_path / "run" / "checkpoints").glob("*")):
        file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(SalmonnError, match=r"every checkpoint is damaged.*--fresh"):
        fit(tiny_salmonn(), Tones(), recipe)


def poison(model, monkeypatch, bad_steps, what):
    """Make the loss, or its gradient alone, not a number in some steps."""
    forward, calls = model.forward, iter(range(1, 100))

    def poisoned(*args):
        loss = forward(*args)
        if next(calls) not in bad_steps:
            return loss
        if what == "loss":
            return replace(loss, total=loss.total * torch.nan)
        loss.total.register_hook(lambda gradient: gradient * torch.nan)
        return loss

    monkeypatch.setattr(model, "forward", poisoned)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_skipped_and_its_clips_are_named(tmp_path, monkeypatch, what):
    model, recipe = tiny_salmonn(), recipe_for(tmp_path, steps=6)
    poison(model, monkeypatch, {2, 3, 5}, what)
    fit(model, Tones(), recipe)
    assert all(tensor.isfinite().all() for tensor in model.trainable_state().values())
    skipped = {row["step"]: row["skipped"] for row in rows(recipe) if "skipped" in row}
    assert skipped.keys() == {2, 3, 5} and all(len(names) == 4 for names in skipped.values())
    assert skipped[2][0].startswith("tone ")
    assert [row["loss"] is None for row in rows(recipe)] == [
        what == "loss" and step in skipped for step in range(1, 7)
    ]


def test_three_such_steps_in_a_row_end_the_run(tmp_path, monkeypatch):
    model, recipe = tiny_salmonn(), recipe_for(tmp_path)
    poison(model, monkeypatch, {3, 4, 5}, "loss")
    with pytest.raises(
        SalmonnError, match=r"not finite in 3 steps in a row.*step 5.*train\.jsonl.*lower connector_lr"
    ):
        fit(model, Tones(), recipe)
    assert len(rows(recipe)) == 5


def state_of(model):
    """All that `fit` might leave behind in a model."""
    layers = [layer for layer in model.modules() if getattr(layer, "gradient_checkpointing", False)]
    compiled = [block for block in optim.transformer_blocks(model) if block._compiled_call_impl]
    trained = {name: p.requires_grad for name, p in model.named_parameters()}
    gradients = [name for name, p in model.named_parameters() if p.grad is not None]
    return model.training, layers, compiled, trained, gradients, sorted(vars(model))


@pytest.mark.parametrize(
    "method", ["batch", "features"]
)  # before a step, and within it, after a part's gradient
@pytest.mark.parametrize("training", [False, True])
def test_after_ctrl_c_the_model_is_as_it_was_and_the_same_call_resumes(
    tmp_path, monkeypatch, method, training
):
    changes = {"gradient_accumulation_steps": 2, "gradient_checkpointing": True, "trackers": ["tensorboard"]}
    recipe = recipe_for(tmp_path, trainable=["lora"], dtype="bfloat16", **changes)
    whole, model = tiny_salmonn(), tiny_salmonn().train(training)
    fit(whole, Tones(), recipe.replace(output_dir=str(tmp_path / "whole")))
    before, state = weights(model), state_of(model)
    for at in (2, 5, 10):
        calls, call = count(), getattr(CachedSource, method)

        def interrupted(*given, calls=calls, call=call, at=at):
            if next(calls) == at:
                raise KeyboardInterrupt
            return call(*given)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(CachedSource, method, interrupted)
            fit(model, Tones(), recipe)
        assert not changed(before, weights(model)) and state_of(model) == state
        assert not torch.are_deterministic_algorithms_enabled()
        if at == 5 and method == "batch":
            assert len(rows(recipe)) == 5
            break
    fit(model, Tones(), recipe)
    assert not changed(weights(whole), weights(model)) and state_of(model) == state
    assert losses(recipe) == losses(recipe.replace(output_dir=str(tmp_path / "whole")))


@pytest.mark.parametrize(
    ("limit", "target"),
    [(2_000, "features"), (60_000, "step-"), (3_000, "train.jsonl")],  # bytes that a file may have
)
def test_a_full_disk_ends_the_run_in_one_line_and_costs_no_checkpoint(tmp_path, limit, target):
    model, recipe = tiny_salmonn(), recipe_for(tmp_path, cache_dir=str(tmp_path / "features"))
    if target != "features":
        with killed_after(4):
            fit(tiny_salmonn(), Tones(), recipe)
    if target == "train.jsonl":
        recipe = recipe.replace(output_dir=str(tmp_path / "new"), save_every=100, steps=40)
    kept = sorted((tmp_path / "run" / "checkpoints").glob("*"))
    with (
        small_files(limit),
        pytest.raises(SalmonnError, match=rf"cannot write .*{target}.*File too large.*free space"),
    ):
        fit(model, Tones(), recipe)
    assert sorted((tmp_path / "run" / "checkpoints").glob("*")) == kept and all(map(is_intact, kept))
    assert not list(tmp_path.glob("*/.*/*")) and not list(tmp_path.glob("run/checkpoints/.*"))
    assert bool(list((tmp_path / "features").glob("*"))) == (target != "features")
    fit(model, Tones(), recipe)
    assert len(rows(recipe)) == recipe.steps


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """No file can grow beyond `limit` bytes: a full disk as the system knows it."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_old_adapter(tmp_path):
    model = tiny_salmonn()
    pretrained.save(model, tmp_path / "mine")
    before = {file.name: file.read_bytes() for file in (tmp_path / "mine").iterdir()}
    with small_files(10_000), pytest.raises(SalmonnError, match=r"cannot write .*mine.*free space"):
        pretrained.save(model, tmp_path / "mine", info={"other": 1})
    assert {file.name: file.read_bytes() for file in (tmp_path / "mine").iterdir()} == before


def hold_lock(folder, pipe):
    with RunDirectory(recipe_for(folder)).lock():
        pipe.send("locked")
        pipe.recv()


def test_one_run_trains_in_a_directory_and_a_dead_one_holds_no_lock(tmp_path):
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    other = context.Process(target=hold_lock, args=(tmp_path, there))
    other.start()
    assert here.recv() == "locked"
    with pytest.raises(SalmonnError, match=r"run: another run is training in this directory.*output_dir"):
        fit(tiny_salmonn(), Tones(), recipe_for(tmp_path, steps=1))
    other.kill()
    other.join()
    fit(tiny_salmonn(), Tones(), recipe_for(tmp_path, steps=1))


def test_a_run_is_not_resumed_with_other_clips(tmp_path):
    recipe = recipe_for(tmp_path)
    with killed_after(4):
        fit(tiny_salmonn(), Tones(), recipe)
    with pytest.raises(SalmonnError, match=r"the clips are not those with which this run began.*--fresh"):
        fit(tiny_salmonn(), Tones(11), recipe)
    fit(tiny_salmonn(), Tones(), recipe)
    save_wav(tmp_path / "tone.wav", torch.zeros(8_000))
    clips = ManifestDataset([Sample(tmp_path / "tone.wav", "hello")] * 4, tiny_config(), 0)
    before = data_digest(clips)
    save_wav(tmp_path / "tone.wav", torch.zeros(9_000))
    assert data_digest(clips) != before


def test_a_run_of_a_version_with_other_keys_is_refused(tmp_path):
    recipe = recipe_for(tmp_path, steps=1)
    fit(tiny_salmonn(), Tones(), recipe)
    file = tmp_path / "run" / "recipe.json"
    file.write_text(file.read_text().replace('"max_grad_norm"', '"clip_norm"'))
    with pytest.raises(
        SalmonnError, match=r"recipe.json is of another version.*renamed to 'max_grad_norm'.*--fresh"
    ):
        fit(tiny_salmonn(), Tones(), recipe)


def test_a_row_that_is_longer_than_the_llms_context_is_set_aside(tmp_path):
    class Long(Tones):
        def __init__(self):
            super().__init__()
            self.examples[3] = replace(self.examples[3], answer="the farmer " * 200)

    recipe = recipe_for(tmp_path, steps=1, max_bad_share=0.1)
    fit(tiny_salmonn(), Long(), recipe)
    (row,) = map(json.loads, (tmp_path / "run" / "quarantine.jsonl").read_text().splitlines())
    assert row["clip"] == "tone 3"
    assert re.search(r"answer 402 tokens exceed the language model's context of 256", row["reason"])
    with pytest.raises(SalmonnError, match=r"more than max_bad_share = 0\.05"):
        fit(tiny_salmonn(), Long(), recipe.replace(max_bad_share=0.05), fresh=True)


@pytest.mark.parametrize("kind", ["window_qformer", "segment_qformer", "stacking"])
def test_audio_tokens_are_counted_without_the_connector(kind):
    config = tiny_config()
    model = tiny_salmonn(config=config.replace(connector=config.connector.replace(kind=kind)))
    for samples in (3_200, 16_000, 33_333):
        features = model.encode([torch.zeros(samples)])
        frames = max(features.whisper.shape[1], features.beats.shape[1])
        assert int(model.connector.n_tokens(torch.tensor([frames]))) == int(
            model.get_audio_features(features)[1]
        )


# --- from recipe to model --------------------------------------------------------------------------------------------


def test_a_recipe_leads_from_the_toys_parts_to_a_model_and_on_to_the_next_stage(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))
    monkeypatch.chdir(tmp_path)
    small = ["steps=2", "clips=8", "batch_size=4", "threads=1", "alignment=null"]
    first = train_recipe(load_recipe("toy-stage1", [*small, "output_dir=one", "dropout=0"]))
    model = pretrained.load(first)
    info = pretrained.read_info(first)
    assert info["stage"] == 1 and info["steps"] == 2 and info["recipe"]["clips"] == 8
    assert model.config.connector.dropout == model.config.lora.lora_dropout == 0
    untrained = pretrained.build(model.config, seed=info["recipe"]["seed"])
    assert changed(weights(untrained), weights(model))

    changes = [*small, "output_dir=two", "stage=2", "init=one", "tasks={gender: 1}", "trainable=[lora]"]
    second = pretrained.load(train_recipe(load_recipe("toy-stage1", changes)))
    learned = changed(weights(model), weights(second))
    assert learned and all("lora_" in name for name in learned)

    save_wav(tmp_path / "tone.wav", torch.zeros(8_000))
    (tmp_path / "m.csv").write_text("path,text\ntone.wav,hello\ntone.wav,hello\n")
    mine = [
        "manifest=m.csv",
        "clips=null",
        "tasks={}",
        "batch_size=2",
        "steps=1",
        "output_dir=three",
        "alignment=null",
    ]
    assert (
        pretrained.load(train_recipe(load_recipe("toy-stage1", [*mine, "config.beats=null"]))).beats is None
    )


def test_an_interrupted_fresh_run_leaves_no_old_model(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(
        "toy-stage1", ["steps=2", "clips=8", "batch_size=4", "threads=1", "output_dir=one", "alignment=null"]
    )
    train_recipe(recipe)
    pretrained.load("one")
    with killed_after(1):
        train_recipe(recipe, fresh=True)
    with pytest.raises(SalmonnError, match=r"one"):
        pretrained.load("one")


def test_dropout_is_set_in_place(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))
    monkeypatch.chdir(tmp_path)
    pretrained.save(tiny_salmonn(config=tiny_config(dropout=0)), "one")
    for p in (0.0, 0.3):
        monkeypatch.setattr(run, "preset", lambda name: tiny_config())
        model = run.initial_model(recipe_for(tmp_path, init="one", dropout=p))
        built = pretrained.build(model.config)
        built.load_trainable(model.trainable_state())
        assert model.config.connector.dropout == model.config.lora.lora_dropout == p
        outcomes = []
        for each in (model.train(), built.train()):
            torch.manual_seed(0)
            features = each.encode([torch.ones(16_000)])
            outcomes.append(each(features, ["Describe the audio."], ["a dog barks"]).total)
        assert outcomes[0] == outcomes[1]


def test_an_eval_manifest_must_be_readable_and_not_trained_on(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))
    monkeypatch.chdir(tmp_path)
    for name, level in (("a", 0.1), ("copy", 0.1), ("b", 0.2)):
        save_wav(tmp_path / f"{name}.wav", torch.full((8_000,), level))
    for name in ("a", "copy", "b", "gone"):
        (tmp_path / f"{name}.csv").write_text(f"path,text\n{name}.wav,hello\n{name}.wav,hello\n")
    mine = [
        "manifest=a.csv",
        "clips=null",
        "tasks={}",
        "batch_size=2",
        "steps=1",
        "output_dir=o",
        "eval_every=1",
        "alignment=null",
    ]
    for name in ("a", "copy"):
        with pytest.raises(SalmonnError, match=rf"{name}.csv: \S*{name}.wav is trained on too, in a.csv"):
            train_recipe(load_recipe("toy-stage1", [*mine, f"eval_manifest={name}.csv"]))
    with pytest.raises(SalmonnError, match=r"none of the 2 evaluation clips can be read; .*gone.wav"):
        train_recipe(load_recipe("toy-stage1", [*mine, "eval_manifest=gone.csv"]))
    train_recipe(load_recipe("toy-stage1", [*mine, "eval_manifest=b.csv"]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            ["config.llm.num_hidden_layers=1"],
            r"config.llm.hidden_size is 256, but the frozen part has 64|num_hidden_layers is 1, but .* has 2",
        ),
        (["config.beats.encoder_layers=9"], r"config.beats.encoder_layers is 9, but the frozen part has 1"),
        (["model=14b"], "unknown preset '14b'|unknown model '14b'"),
        (["init=nowhere"], "no model 'nowhere'"),
        (
            ["init=one", "model=small"],
            "d_model is 160, but 768 in the recipe's model 'small'.*change model or init",
        ),
        (["config.conector.kind=ctc"], "key 'conector': did you mean 'connector'"),
        (["init=stage9"], "no stage 9"),
        (["init=stage1", "config.beats=null"], "omitted unless init is scratch"),
        (["manifest=m.json", "clips=null", "tasks={}"], "m.json: cannot be read"),
    ],
)
def test_a_run_that_cannot_begin_says_why(tmp_path_factory, monkeypatch, changes, words):
    folder = tmp_path_factory.getbasetemp() / "begins"
    monkeypatch.setenv("SALMONN_MINI_TOY", str(folder))
    if not folder.exists():
        tiny_toy(folder)
        pretrained.save(pretrained.build(PRESETS["toy"]), folder / "one")
    monkeypatch.chdir(folder)
    with pytest.raises(SalmonnError, match=words):
        train_recipe(load_recipe("toy-stage1", ["alignment=null", *changes]))
