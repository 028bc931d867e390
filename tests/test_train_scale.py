"""train/ on the way to full scale: accumulation, checkpointed layers, trackers, WER on the way, plateaus."""

from __future__ import annotations

import pytest
import torch
from runs import Tones, changed, killed_after, losses, recipe_for, rows, weights
from tiny import tiny_config, tiny_salmonn, tiny_toy

from salmonn_mini.errors import SalmonnError
from salmonn_mini.train import fit, load_recipe, optim, train_recipe
from salmonn_mini.train.accelerator import flat
from salmonn_mini.train.run import initial_model


def still():
    return tiny_salmonn(config=tiny_config(dropout=0))


# --- memory ----------------------------------------------------------------------------------------------------------


def test_accumulation_changes_neither_losses_nor_weights(tmp_path):
    """The answers differ in length, so a mean of the parts' means would be another loss."""
    curves, models = [], []
    for parts in (1, 3, 4):
        recipe = recipe_for(
            tmp_path, batch_size=4, gradient_accumulation_steps=parts, output_dir=str(tmp_path / f"{parts}")
        )
        models.append(still())
        fit(models[-1], Tones(), recipe)
        curves.append(losses(recipe))
    assert curves[1] == pytest.approx(curves[0], abs=1e-5) and curves[2] == pytest.approx(curves[0], abs=1e-5)
    for model in models[1:]:
        for name, tensor in model.trainable_state().items():
            assert torch.allclose(tensor, models[0].trainable_state()[name], atol=1e-4), name


def test_layers_that_compute_twice_give_the_same_bits(tmp_path):
    one, two = tiny_salmonn(), tiny_salmonn()
    recipe = recipe_for(tmp_path)
    fit(one, Tones(), recipe)
    kept = losses(recipe)
    calls = []
    layer = two.llm.get_base_model().model.layers[0]
    layer.input_layernorm.register_forward_hook(lambda *_: calls.append(1))
    fit(two, Tones(), recipe.replace(gradient_checkpointing=True), fresh=True)
    assert losses(recipe) == kept and not changed(weights(one), weights(two))
    assert len(calls) == 2 * recipe.steps and not layer.gradient_checkpointing


def test_compiled_layers_give_the_same_losses_and_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(optim.shutil, "which", lambda name: name)
    recipe, curves, compiled = recipe_for(tmp_path, steps=3), [], []
    ours = torch.nn.Module.compile

    def traced_alone(block):  # code in C++ would take minutes
        compiled.append(block)
        ours(block, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", traced_alone)
    for on in (False, True):
        model = still()
        fit(model, Tones(), recipe.replace(compile=on), fresh=True)
        curves.append(losses(recipe))
    assert compiled == optim.transformer_blocks(model)
    assert not any(block._compiled_call_impl for block in compiled)
    assert curves[1] == pytest.approx(curves[0], abs=1e-4)


def test_a_compiler_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(optim, "COMPILERS", ("no-such-compiler",))
    with pytest.raises(SalmonnError, match=r"needs a C\+\+ compiler on a CPU, and no-such-compiler are not"):
        fit(tiny_salmonn(), Tones(), recipe_for(tmp_path, compile=True))


def test_fewer_clips_than_parts_are_refused(tmp_path):
    with pytest.raises(SalmonnError, match=r"gradient_accumulation_steps is 5.*at most batch_size = 4"):
        recipe_for(tmp_path, gradient_accumulation_steps=5)


def test_an_engine_that_was_asked_for_and_is_not_there_is_refused(tmp_path, monkeypatch):
    """On a CPU Accelerate would go on without a word, and without FSDP."""
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(SalmonnError, match=r"FSDP was requested, but Accelerate gives NO.*torchrun"):
        fit(tiny_salmonn(), Tones(), recipe_for(tmp_path))


def test_deepspeed_is_refused_and_the_alternative_named(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(SalmonnError, match=r"DeepSpeed is not supported.*resumed exactly.*use fsdp2\.yaml"):
        fit(tiny_salmonn(), Tones(), recipe_for(tmp_path))


# --- what a run tells ------------------------------------------------------------------------------------------------


def test_each_task_has_its_loss_and_their_mean_by_tokens_is_the_whole(tmp_path):
    model, recipe = still(), recipe_for(tmp_path, steps=3, connector_lr=1e-9, lora_lr=1e-9)
    fit(model, Tones(), recipe)
    for row in rows(recipe):
        assert set(row["tasks"]) <= {"asr", "audio_caption"}
        low, high = min(row["tasks"].values()), max(row["tasks"].values())
        assert low <= row["loss"] <= high
    # A batch of all twelve clips, whose tokens of each task we can count.
    whole = recipe_for(tmp_path, steps=1, batch_size=12, output_dir=str(tmp_path / "whole"))
    fit(model, Tones(), whole)
    (row,) = rows(whole)
    tokens = {"asr": 0, "audio_caption": 0}
    for example in Tones().examples:
        tokens[example.task] += len(model.prompt.answer(example.answer))
    total = sum(row["tasks"][task] * n for task, n in tokens.items())
    assert row["loss"] == pytest.approx(total / sum(tokens.values()), rel=1e-5)


def events(folder) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_tensorboard_gets_every_step_once_also_of_a_run_that_was_killed(tmp_path):
    recipe = recipe_for(tmp_path, trackers=["tensorboard"], save_every=3)

    with killed_after(5):
        fit(tiny_salmonn(), Tones(), recipe)
    fit(tiny_salmonn(), Tones(), recipe)
    told = events(tmp_path / "run" / "salmonn-mini")
    assert {"loss", "lr", "lora_lr", "gradient_norm", "memory_gb", "tasks/asr"} <= told.keys()
    assert [step for step, _ in told["loss"]] == list(range(1, 9))
    assert [value for _, value in told["loss"]] == pytest.approx(losses(recipe), rel=1e-6)


def test_a_tracker_that_is_not_installed_is_left_out_and_an_unknown_one_refused(
    tmp_path, monkeypatch, capsys
):
    from salmonn_mini.train import accelerator

    monkeypatch.setattr(accelerator, "get_available_trackers", list)
    fit(tiny_salmonn(), Tones(), recipe_for(tmp_path, steps=2, trackers=["tensorboard"]))
    assert capsys.readouterr().err.count("tracker tensorboard: not installed") == 1
    with pytest.raises(
        SalmonnError, match=r"'tensorbord' is not one of Accelerate's: choose among .*tensorboard"
    ):
        fit(tiny_salmonn(), Tones(), recipe_for(tmp_path, trackers=["tensorbord"]))


def test_the_word_error_rate_on_the_way_changes_nothing_else(tmp_path):
    plain, eval_dataset = tiny_salmonn(), tiny_salmonn()
    recipe = recipe_for(tmp_path)
    fit(plain, Tones(), recipe)
    without = losses(recipe)
    fit(eval_dataset, Tones(), recipe.replace(eval_every=3), eval_dataset=Tones(5), fresh=True)
    assert losses(recipe) == without and not changed(weights(plain), weights(eval_dataset))
    assert [row["step"] for row in rows(recipe) if "wer" in row] == [3, 6]
    assert all(row["wer"] > 0.5 for row in rows(recipe) if "wer" in row)  # eight steps teach little
    taught = recipe_for(tmp_path, steps=60, batch_size=3, clips=3, connector_lr=1e-2, lora_lr=1e-2)
    taught = taught.replace(eval_every=60, output_dir=str(tmp_path / "taught"))
    fit(still(), Tones(3), taught, eval_dataset=Tones(3))
    assert rows(taught)[-1]["wer"] < 0.2


def test_a_recipe_names_the_clips_to_watch(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))
    monkeypatch.chdir(tmp_path)
    small = [
        "steps=2",
        "clips=8",
        "batch_size=4",
        "threads=1",
        "trackers=[]",
        "output_dir=one",
        "alignment=null",
    ]
    recipe = load_recipe("toy-stage1", [*small, "eval_every=2", "eval_clips=3"])
    train_recipe(recipe)
    assert rows(recipe)[1]["wer"] > 0 and "wer" not in rows(recipe)[0]
    with pytest.raises(SalmonnError, match=r"eval_manifest is None.*given for eval_every"):
        load_recipe("13b-stage1", ["eval_every=100"])
    (tmp_path / "m.csv").write_text("path,text,task\ntone.wav,hello,audio_caption\n")
    with pytest.raises(SalmonnError, match="no sample of task asr"):
        train_recipe(recipe.replace(eval_manifest="m.csv"))


def test_numbers_in_tables_get_names_with_a_slash():
    row = {"step": 3, "seconds": 1.5, "loss": 2, "tasks": {"asr": 1.0, "story": None}, "skipped": ["x"]}
    assert flat(row) == {"loss": 2, "tasks/asr": 1.0}


def test_in_bfloat16_the_frozen_parts_are_halved_and_the_trained_ones_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))
    monkeypatch.chdir(tmp_path)
    small = [
        "steps=3",
        "clips=8",
        "batch_size=4",
        "threads=1",
        "trackers=[]",
        "dtype=bfloat16",
        "alignment=null",
    ]
    recipe = load_recipe("toy-stage1", [*small, "output_dir=one"])
    model = initial_model(recipe)
    assert {p.dtype for p in model.trainable_state().values()} == {torch.float32}
    assert model.llm.get_input_embeddings().weight.dtype == torch.bfloat16
    train_recipe(recipe)
    assert all(row["loss"] is not None and row["gradient_norm"] > 0 for row in rows(recipe))
    second = load_recipe("toy-stage1", [*small, "output_dir=two", "init=one", "stage=2"])
    assert initial_model(second).llm.get_input_embeddings().weight.dtype == torch.bfloat16
