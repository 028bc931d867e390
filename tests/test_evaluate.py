"""Evaluation from drawn clips to a table: the same clips for all, rows that say everything, the report's contract."""

import json
import math
from pathlib import Path

import pytest
import torch
from tiny import tiny_salmonn

from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.evaluate import (
    draw_task,
    encode_examples,
    evaluate,
    generate_answers,
    score_answers,
)
from salmonn_mini.evaluation.metrics.java import JAVA
from salmonn_mini.evaluation.metrics.measures import MEASURES
from salmonn_mini.evaluation.report import Report, load_report
from salmonn_mini.models.lora import get_lora_scale
from salmonn_mini.models.splice import Answer
from salmonn_mini.toy.world.clips import render
from salmonn_mini.toy.world.grammar import split_of

TASKS = ("asr", "audio_caption", "translation_de")
QUICK = {"max_new_tokens": 4}


@pytest.fixture(scope="module")
def model():
    return tiny_salmonn()


@pytest.fixture(scope="module")
def report(model) -> Report:
    return evaluate(model, TASKS, 5, seed=1, stage=2, **QUICK)


def perfect(task: str, n: int = 6) -> Report:
    """The report of a model that is always right."""
    examples = draw_task(task, n, 0)
    right = [Answer(example.answer, (1,), True) for example in examples]
    stamp = {"model": "toy", "stage": 1, "seed": 0, "lora_scale": 4.0}
    return Report(**stamp, rows=tuple(score_answers(examples, right, stamp)))


# --- data ------------------------------------------------------------------------------------------------------------


def test_a_seed_makes_the_same_clips_and_another_seed_others() -> None:
    assert draw_task("asr", 8, 3) == draw_task("asr", 8, 3)
    assert draw_task("asr", 8, 3) != draw_task("asr", 8, 4)
    assert draw_task("asr", 8, 3) != draw_task("asr", 8, 3, split="validation")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_what_is_asked_was_never_drawn_for_training(split: str) -> None:
    for task in ("asr", "spoken_query_qa", "slot_filling"):
        assert {split_of(example.words) for example in draw_task(task, 40, 0, split=split)} == {split}


def test_held_out_wordings_are_used_on_request() -> None:
    usual = {example.prompt for example in draw_task("asr", 60, 0)}
    held_out = {example.prompt for example in draw_task("asr", 60, 0, held_out=True)}
    assert held_out and not usual & held_out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("singing", 5, 0), "unknown task 'singing'"),
        (("asr", 0, 0), "0 samples a task: give at least 1"),
    ],
)
def test_bad_wishes_get_one_clear_line(model, arguments: tuple, message: str) -> None:
    task, n, seed = arguments
    with pytest.raises(SalmonnError, match=message):
        evaluate(model, [task], n, seed)
    with pytest.raises(SalmonnError, match="unknown split 'exam'"):
        evaluate(model, ["asr"], 1, 0, split="exam")


# --- answers ---------------------------------------------------------------------------------------------------------


def test_answers_come_back_in_the_examples_order(model, monkeypatch) -> None:
    examples = draw_task("asr", 9, 0)
    monkeypatch.setattr(model, "encode", lambda waves: [len(wave) for wave in waves])
    monkeypatch.setattr(
        model,
        "generate",
        lambda features, prompts, **_: [
            Answer(f"{prompt} {samples}", (), True) for prompt, samples in zip(prompts, features, strict=True)
        ],
    )
    encoded = encode_examples(model, examples, batch_size=2)
    sizes = [samples for _, features in encoded.batches for samples in features]
    assert sizes == sorted(sizes)
    lengths = [len(wave) for wave in render([example.plan for example in examples])]
    wanted = [f"{example.prompt} {samples}" for example, samples in zip(examples, lengths, strict=True)]
    assert [given.text for given in generate_answers(model, encoded)] == wanted


def test_answers_do_not_depend_on_the_batch(model, report: Report) -> None:
    alone = evaluate(model, TASKS, 5, seed=1, stage=2, batch_size=1, **QUICK)
    assert [row["answer"] for row in alone.rows] == [row["answer"] for row in report.rows]


def test_a_tasks_clips_do_not_depend_on_the_other_tasks(model, report: Report) -> None:
    one = evaluate(model, ["translation_de"], 5, seed=1, stage=2, **QUICK)
    assert list(one.rows) == [row for row in report.rows if row["task"] == "translation_de"]


def test_the_lora_scale_is_used_written_down_and_put_back(model) -> None:
    with torch.no_grad():
        for name, parameter in model.llm.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    before = get_lora_scale(model.llm)
    at = {s: evaluate(model, ["asr"], 5, 0, lora_scale=s, **QUICK) for s in (0.0, 4.0)}
    assert get_lora_scale(model.llm) == before
    assert [row["answer"] for row in at[0.0].rows] != [row["answer"] for row in at[4.0].rows]
    assert {row["lora_scale"] for row in at[0.0].rows} == {0.0} and at[0.0].to_dict()["lora_scale"] == 0.0
    as_it_stands = evaluate(model, ["asr"], 5, 0, **QUICK)
    assert as_it_stands.lora_scale == 4.0 and as_it_stands.rows == at[4.0].rows


def test_evaluation_leaves_the_model_in_the_mode_it_had(model) -> None:
    model.train()
    try:
        first, second = (evaluate(model, ["asr"], 3, 0, **QUICK).rows for _ in range(2))
        assert first == second and model.training
    finally:
        model.eval()


# --- reports ---------------------------------------------------------------------------------------------------------


def test_rows_say_all_that_a_score_follows_from(report: Report) -> None:
    assert [row["task"] for row in report.rows] == [task for task in TASKS for _ in range(5)]
    for row in report.rows:
        assert {"prompt", "words", "sounds", "reference", "answer", "ended", "scores"} <= set(row)
        assert (row["model"], row["stage"], row["seed"], row["lora_scale"]) == ("tiny", 2, 1, 4.0)
        assert set(row["scores"]) <= set(MEASURES)


def test_the_report_keeps_the_contract(report: Report) -> None:
    made = json.loads(json.dumps(report.to_dict()))
    assert list(made) == ["model", "stage", "seed", "lora_scale", "tasks"]
    assert list(made["tasks"]) == list(TASKS)
    for task in made["tasks"].values():
        assert list(task) == ["metric", "value", "interval", "following_rate", "n", "others"]
        low, high = task["interval"]
        assert low <= high and math.isfinite(task["value"]) and task["n"] == 5


def test_a_perfect_model_gets_a_perfect_report() -> None:
    tasks = perfect("slot_filling").to_dict()["tasks"]
    row = tasks["slot_filling"]
    assert (row["metric"], row["value"], row["interval"], row["following_rate"]) == ("accuracy", 1, [1, 1], 1)
    assert perfect("asr").tasks["asr"]["value"] == 0


def test_captions_can_be_measured_by_java_too(report: Report, monkeypatch) -> None:
    monkeypatch.setitem(JAVA, "meteor", lambda references, answers: [0.5] * len(references))
    assert report.with_java([]).tasks == report.tasks
    more = report.with_java(["meteor"]).tasks
    assert more["audio_caption"]["others"].pop("meteor") == 0.5
    assert more == report.tasks


def test_rows_on_disk_give_the_same_report_again(report: Report, tmp_path: Path) -> None:
    report.save_rows(tmp_path / "new" / "rows.jsonl")
    assert load_report(tmp_path / "new" / "rows.jsonl").to_dict() == report.to_dict()
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["rows.jsonl"]


def test_line_separators_within_an_answer_stay_there(tmp_path: Path) -> None:
    row = dict(perfect("asr", 1).rows[0])
    row |= {"reference": "a b", "answer": "a\u2028b\u0085"}
    Report("toy", 1, 0, 4.0, (row,)).save_rows(tmp_path / "rows.jsonl")
    assert load_report(tmp_path / "rows.jsonl").tasks["asr"]["value"] == 0


def test_rows_that_were_touched_give_what_their_texts_say(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    perfect("asr").save_rows(file)
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    rows[0]["answer"] = ""  # its stored scores still say that it is right
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert load_report(file).tasks["asr"]["value"] > 0


@pytest.mark.parametrize("text", ["", "no json\n", '{"task": "asr"}\n', "[1]\n", '{"task": ["asr"]}\n'])
def test_a_file_that_holds_no_rows_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SalmonnError, match=r"rows.jsonl is no file of per-sample rows"):
        load_report(file)
    with pytest.raises(SalmonnError, match=r"nowhere\.jsonl"):
        load_report(tmp_path / "nowhere.jsonl")


def test_the_table_is_read_in_a_terminal() -> None:
    table = perfect("keywords").table()
    assert table.splitlines()[0] == "toy, stage 1, LoRA scale 4, seed 0"
    row = "keywords  accuracy  100.0 %  100.0 % to 100.0 %  100.0 %  0.0 %  0.0 %   6"
    assert table.splitlines()[3] == row
    assert "sacrebleu" in perfect("translation_ja").table()


def test_the_normalizer_is_named_beside_the_score() -> None:
    assert "normalizer basic" in perfect("asr").table()
    assert "jiwer" in perfect("asr").tasks["asr"]["others"]["scored_by"]
