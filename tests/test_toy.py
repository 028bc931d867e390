"""The shipped toy: its size, its card's figures, and that it does what the tour shows."""

import json

import pytest

from salmonn_mini.backbones.build import CARD, SCORES
from salmonn_mini.checkpoint import load, toy_folder
from salmonn_mini.evaluate import evaluate

MIB = 2**20


@pytest.fixture(scope="module")
def scores() -> dict:
    return json.loads((toy_folder() / SCORES).read_text(encoding="utf-8"))["scores"]


def test_all_shipped_weights_are_small():
    files = [file for file in toy_folder().rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 32 * MIB
    assert {file.suffix for file in files} <= {".safetensors", ".json", ".md"}


def test_the_card_says_what_the_scores_say(scores):
    card = (toy_folder() / CARD).read_text(encoding="utf-8")
    for row in (scores["whisper"], scores["beats"], *scores["llm"].values()):
        low, high = row["interval"]
        assert f"{row['value']:.1%} [{low:.1%}, {high:.1%}]" in card


def test_the_backbones_reach_their_marks(scores):
    assert scores["whisper"]["value"] <= 0.03
    assert scores["beats"]["value"] >= 0.95
    weak = {task: row["value"] for task, row in scores["llm"].items() if row["value"] < 0.97}
    assert weak == {}


def test_stage_1_transcribes_and_describes_unseen_clips():
    report = evaluate(load("toy", stage=1), ["asr", "audio_caption"], 40, seed=2024)
    rows = report.tasks
    assert rows["asr"]["value"] <= 0.08
    assert rows["audio_caption"]["value"] >= 0.85
