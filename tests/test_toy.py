"""The shipped toy: its size, its card's figures, and that it does what the tour shows."""

import json

import numpy as np
import pytest
from transformers import AutoTokenizer

from salmonn_mini.data.tasks import TASKS
from salmonn_mini.evaluation.evaluate import evaluate
from salmonn_mini.models.config import PRESETS
from salmonn_mini.models.splice import Prompt
from salmonn_mini.pretrained import load, toy_folder
from salmonn_mini.toy.backbones.build import CARD, SCORES
from salmonn_mini.toy.world.audio_tasks import draw_examples
from salmonn_mini.toy.world.text_tasks import TEXT_TASKS, draw_samples

MIB = 2**20


@pytest.fixture(scope="module")
def scores() -> dict:
    return json.loads((toy_folder() / SCORES).read_text(encoding="utf-8"))["scores"]


def test_all_shipped_weights_are_small():
    files = [file for file in toy_folder().rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 48 * MIB
    assert {file.suffix for file in files} <= {".safetensors", ".json", ".md", ".flac", ".gz"}


def test_the_card_says_what_the_scores_say(scores):
    card = (toy_folder() / CARD).read_text(encoding="utf-8")
    for row in (scores["whisper"], scores["beats"], *scores["llm"].values()):
        low, high = row["interval"]
        assert f"{row['value']:.1%} [{low:.1%}, {high:.1%}]" in card


def test_the_backbones_reach_their_marks(scores):
    assert scores["whisper"]["value"] <= 0.03
    assert scores["beats"]["value"] >= 0.95
    weak = {task: row["value"] for task, row in scores["llm"].items() if row["value"] < 0.96}
    assert weak == {}


def test_stage_1_transcribes_and_describes_unseen_clips():
    report = evaluate(load("toy", stage=1), ["asr", "audio_caption"], 40, seed=2024)
    rows = report.tasks
    assert rows["asr"]["value"] <= 0.08
    assert rows["audio_caption"]["value"] >= 0.85


def tokens_of(answers: list[str]) -> set[int]:
    ids = load("toy").tokenizer(answers, add_special_tokens=False)["input_ids"]
    return {token for row in ids for token in row}


@pytest.fixture(scope="module")
def written() -> set[int]:
    """The tokens that the LLM wrote in its own training."""
    samples = draw_samples(
        [*TEXT_TASKS, *["asr"] * 10, *["speech_qa"] * 5] * 300, np.random.default_rng(0), "train"
    )
    return tokens_of([sample.answer for sample in samples])


@pytest.mark.parametrize("task", [task.name for task in TASKS.values() if task.stage == 2])
def test_no_answer_wants_a_word_that_the_llm_has_never_written(task, written):
    """LoRA on queries and values cannot teach a new word: such answers are never learned."""
    answers = [one.answer for one in draw_examples([task] * 100, np.random.default_rng(0), "train")]
    assert tokens_of(answers) <= written


@pytest.mark.parametrize("words", ["room 101", "it's five o'clock", "50 %", "今天", "café"])
def test_the_shipped_tokenizer_loses_no_text(words: str) -> None:
    prompt = Prompt(
        AutoTokenizer.from_pretrained(toy_folder() / "llm"),
        PRESETS["toy"].prompt_template,
        PRESETS["toy"].eos_token,
    )
    assert prompt.text(prompt.answer(words)) == words
