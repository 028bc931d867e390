"""Recipes of the paper's sizes, Accelerate's configurations, and what a recipe comes to on some GPUs."""

from __future__ import annotations

import json
import re

import pytest
from accelerate.commands.config.config_args import ClusterConfig
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType
from tiny import tiny_config, tiny_toy

from salmonn_mini import pretrained
from salmonn_mini.cli import main
from salmonn_mini.data import read_prompts
from salmonn_mini.data.tasks import TASKS
from salmonn_mini.errors import SalmonnError
from salmonn_mini.tools.plan import epoch_of, make_plan
from salmonn_mini.train import load_recipe, train_recipe
from salmonn_mini.train.recipe import RECIPES, _yaml
from salmonn_mini.train.run import make_dataset

SIZES = ("small", "7b", "13b")
ENGINES = {
    "one-gpu": DistributedType.NO,
    "ddp": DistributedType.MULTI_GPU,
    "fsdp2": DistributedType.FSDP,
}


# --- recipes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_each_size_has_three_stages_that_follow_one_another(size):
    first, second, third = (load_recipe(f"{size}-stage{stage}") for stage in (1, 2, 3))
    assert [recipe.stage for recipe in (first, second, third)] == [1, 2, 3]
    assert {recipe.model for recipe in (first, second, third)} == {size}
    assert (first.init, second.init, third.init) == ("scratch", first.output_dir, second.output_dir)
    # The counts that facts about the paper's data give, and their sums.
    assert epoch_of(first) == 1_626_555 and epoch_of(second) == 2_390_842 and epoch_of(third) is None
    assert len(first.sources) == 5 and len(second.sources) == 16 and third.steps == 12
    assert first.stream and second.stream and not third.stream  # millions of clips fit into no memory


@pytest.mark.parametrize("size", ["7b", "13b"])
def test_the_published_schedule(size):
    recipe = load_recipe(f"{size}-stage1")
    assert recipe.connector_lr == recipe.lora_lr == 3e-5 and recipe.batch_size == 8 * 32
    rates = [recipe.connector_lr * recipe.factor(step) for step in (0, 2_999, 79_999)]
    assert rates[1] == pytest.approx(3e-5) and rates[2] == pytest.approx(1e-5, rel=1e-3) and rates[0] < 1e-6
    assert (recipe.weight_decay, recipe.beta1, recipe.beta2) == (0.05, 0.9, 0.999)


def test_the_toys_further_wordings_are_of_trained_tasks_alone_and_none_is_kept_for_tests():
    stages = [load_recipe(f"toy-stage{stage}") for stage in (1, 2)]
    (path,) = {recipe.prompts for recipe in stages}
    wordings = read_prompts(path)
    assert set(wordings) == set(stages[0].tasks) < set(stages[1].tasks)
    listed = [wording for of_task in wordings.values() for wording in of_task]
    assert len(set(listed)) == len(listed) == 220
    assert not set(listed) & {text for task in TASKS.values() for text in (*task.prompts, *task.held_out)}


def test_what_is_not_known_is_marked():
    for size in SIZES:
        for stage in (1, 2, 3):
            text = (RECIPES / f"{size}-stage{stage}.yaml").read_text(encoding="utf-8")
            assert "unknown" in text or "our guess" in text


# --- Accelerate's configurations -------------------------------------------------------------------------------------


def test_there_is_a_configuration_for_each_engine():
    assert {file.stem for file in (RECIPES / "accelerate").glob("*.yaml")} == set(ENGINES)


@pytest.mark.parametrize("name", ENGINES)
def test_accelerate_reads_each_configuration_and_knows_its_keys(name):
    file = str(RECIPES / "accelerate" / f"{name}.yaml")
    config = ClusterConfig.from_yaml_file(file)  # refuses unknown keys
    assert config.distributed_type == ENGINES[name] and not config.use_cpu
    arguments = launch_command_parser().parse_args(["--config_file", file, "train.py"])
    arguments.nondefault = []
    options = set(vars(arguments))
    engine = config.fsdp_config
    assert set(engine) <= options  # these tables have no check of their own
    arguments, _, _ = _validate_launch_command(arguments)
    assert arguments.use_fsdp == (name == "fsdp2") and not arguments.use_deepspeed
    assert all(getattr(arguments, key) == value for key, value in engine.items())
    assert arguments.num_processes == (1 if name == "one-gpu" else 8)


# --- the plan --------------------------------------------------------------------------------------------------------


def test_the_arithmetic_of_a_plan():
    plan = make_plan(load_recipe("13b-stage1"), 8, samples_per_second=40)
    assert plan.samples == 80_000 * 256 and plan.per_device_batch_size == 32
    assert plan.epochs == pytest.approx(20_480_000 / 1_626_555)
    assert plan.hours == pytest.approx(20_480_000 / (8 * 40) / 3600)
    whole = load_recipe("13b-stage1", ["stream=false"])
    parts = make_plan(whole, 6, per_device_batch_size=8)
    assert (parts.accumulation, parts.per_device_batch_size) == (6, 8)  # shares of 43 and 42 clips
    assert (
        make_plan(load_recipe("13b-stage1", ["gradient_accumulation_steps=4"]), 8).per_device_batch_size == 8
    )
    story = make_plan(load_recipe("13b-stage3"), 1, clips=12)
    assert (story.epoch, story.epochs, story.hours) == (12, 1.0, None)
    with pytest.raises(SalmonnError, match="batch_size is 1, but 8 GPUs with accumulation 1 need 8"):
        make_plan(load_recipe("13b-stage3"), 8)
    with pytest.raises(SalmonnError, match="batch_size is 256, but a stream needs a multiple of the 7 GPUs"):
        make_plan(load_recipe("13b-stage1"), 7)


def test_shares_that_are_no_counts_tell_no_epoch():
    shares = ["manifests={a.jsonl: 0.7, b.jsonl: 0.3}"]
    assert epoch_of(load_recipe("13b-stage1", shares)) is None
    assert epoch_of(load_recipe("toy-stage1", ["clips=70"])) == 70


def test_the_command_prints_a_table_or_json(capsys):
    assert main(["plan", "13b-stage1", "--gpus", "32", "--samples-per-second", "2"]) == 0
    said = capsys.readouterr().out
    assert (
        "32 GPUs × 8 clips × 1 accumulation step" in said and "20,480,000 samples" in said and "88.9" in said
    )
    assert main(["plan", "13b-stage3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 12
    assert main(["plan", "13b-stage3"]) == 0
    assert "give --clips" in capsys.readouterr().out


def test_without_a_recipe_the_plan_is_a_table_of_estimated_costs(capsys):
    assert main(["plan"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Estimates, not measurements")
    assert len(said.splitlines()) == 3 + 3 * 3 * 2 and "200 TFLOP/s" in said and "< 0.01 h" in said
    assert main(["plan", "--json", "--tflops", "100"]) == 0
    rows = {(row["recipe"], row["clips"]): row for row in json.loads(capsys.readouterr().out)}
    row = rows["13b-stage1", "padded to 30 s"]
    assert row["samples"] == 20_480_000
    assert row["gpu_hours"]["100.0"] == pytest.approx(row["samples"] * row["flops"] / 100e12 / 3600)
    assert row["gpu_hours"]["100.0"] == pytest.approx(544, abs=1)
    trimmed = rows["13b-stage1", "clips of 10 s trimmed"]
    assert trimmed["flops"] < row["flops"] and rows["13b-stage3", "padded to 30 s"]["samples"] == 12
    assert main(["plan", "--price", "2"]) == 0
    assert "GPU hours times 2, the price" in capsys.readouterr().out


def test_options_of_the_other_kind_of_plan_are_refused(capsys):
    assert main(["plan", "--gpus", "8"]) == 2
    assert "--gpus does not apply here: leave it out, or name a RECIPE" in capsys.readouterr().err
    assert main(["plan", "13b-stage1", "--price", "2"]) == 2
    assert "--price does not apply here: leave it out, or leave RECIPE out" in capsys.readouterr().err


# --- stage 3's data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_stage_3_reads_what_activate_writes(size, tmp_path, monkeypatch):
    """By the command that the recipe names, but for the model; transcripts, for a random model tells no stories."""
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))
    monkeypatch.chdir(tmp_path)
    text = (RECIPES / f"{size}-stage3.yaml").read_text(encoding="utf-8")
    command = re.search(r"salmonn-mini (activate --model \S+ --out \S+)", text)[1].split()
    assert command[2] == load_recipe(f"{size}-stage2").output_dir == load_recipe(f"{size}-stage3").init
    here = ["--stage", "0", "--data", "long_asr", "--samples", "3"]
    assert main([word.replace(command[2], "toy") for word in command] + here) == 0
    changes = ["model=toy", "init=scratch", "dtype=float32", "threads=1", "steps=3", "trackers=[]"]
    recipe = load_recipe(f"{size}-stage3", changes)
    clips = make_dataset(recipe, tiny_config())
    written = json.loads((tmp_path / recipe.manifest).read_text(encoding="utf-8"))["annotation"]
    asked = [(example.prompt, example.answer) for example in clips.examples]
    assert asked == [(row["Q"], row["text"]) for row in written] and len(asked) == 3
    folder = train_recipe(recipe)
    assert pretrained.read_info(folder)["steps"] == 3


@pytest.mark.parametrize(
    ("text", "value"), [("0100", 100), ("-7", -7), ("1e-3", 1e-3), (".5", 0.5), ("1.", 1.0), ("1:30", "1:30")]
)
def test_numbers_are_those_of_yaml_1_2(text, value):
    found = _yaml(text, "here")
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("steps=1:30", "steps is '1:30', but it must be of type int"),
        ("trackers=tensorboard", r"write \[tensorboard\]"),
    ],
)
def test_what_only_looks_like_a_number_or_a_list_is_refused(override, words):
    with pytest.raises(SalmonnError, match=words):
        load_recipe("toy-stage1", [override])
