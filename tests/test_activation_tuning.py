"""Activation data: chosen by form alone, written so that a recipe can read it, and learned from without sound too."""

import json

import pytest
import torch
from tiny import tiny_salmonn

from salmonn_mini.data import ManifestDataset, read_manifest, read_prompts
from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation import activation_tuning
from salmonn_mini.evaluation.activation_tuning import (
    ACTIVATION_DATA,
    is_long,
    save_examples,
    self_generated,
    tune_on_text,
)
from salmonn_mini.models.lora import get_lora_scale
from salmonn_mini.models.splice import Answer

LONG = " ".join(f"word{i}" for i in range(24)) + " ."


@pytest.fixture
def answers(monkeypatch):
    """Every second answer is a long one, the first of them twice; the LoRA scales at which was asked."""
    scales = []

    def answer(model, encoded, *, scale=None, **decoding):
        scales.append(scale)
        texts = [f"{LONG} {max(3, i)}" if i % 2 else "too short" for i in range(len(encoded.examples))]
        return [Answer(text, (5, 2), True) for text in texts]

    monkeypatch.setattr(activation_tuning, "generate_answers", answer)
    monkeypatch.setattr(
        activation_tuning,
        "encode_examples",
        lambda model, examples: type("EncodedExamples", (), {"examples": examples}),
    )
    return scales


def test_answers_are_kept_by_their_form_in_order_and_once(answers) -> None:
    model = tiny_salmonn()
    kept = self_generated(model, "story", 3, seed=4)
    drawn = ACTIVATION_DATA["story"].draw(12, 4)
    assert [example.plan for example in kept] == [drawn[i].plan for i in (1, 5, 7)]
    assert [example.answer for example in kept] == [f"{LONG} {i}" for i in (3, 5, 7)]
    assert answers == [activation_tuning.SCALE] and get_lora_scale(model.llm) == 4.0
    self_generated(model, "long_qa", 2, scale=0.25)
    assert answers[-1] == 0.25


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (Answer(LONG, (1,), True), True),
        (Answer(LONG, (1,), False), False),
        (Answer("the rain falls .", (1,), True), False),
        (Answer("the rain falls . " * 12, (1,), True), False),
    ],
)
def test_what_a_long_answer_is(given: Answer, kept: bool) -> None:
    assert is_long(given) == kept


def test_too_few_and_unknown(monkeypatch, answers) -> None:
    model = tiny_salmonn()
    monkeypatch.setattr(
        activation_tuning,
        "generate_answers",
        lambda m, encoded, **_: [Answer("short", (1,), True)] * len(encoded.examples),
    )
    with pytest.raises(SalmonnError, match="only 0 of 8 answers at LoRA scale 1"):
        self_generated(model, "story", 2)
    with pytest.raises(SalmonnError, match=r"'poems'.*story, long_qa, long_asr"):
        self_generated(model, "poems")


def test_long_speech_has_its_own_words_as_answer() -> None:
    (example,) = self_generated(tiny_salmonn(), "long_asr", 1)
    assert example.answer == example.words and len(example.plan.utterances) == 3


def test_what_is_written_can_be_trained_on(tmp_path) -> None:
    examples = ACTIVATION_DATA["story"].draw(3, 1)
    manifest = save_examples(examples, tmp_path / "stories")
    rows = json.loads(manifest.read_text())["annotation"]
    assert [row["text"] for row in rows] == [example.answer for example in examples]
    model = tiny_salmonn()
    prompts = read_prompts(manifest.with_name("prompts.json"))
    clips = ManifestDataset(read_manifest(manifest), model.config, 0, prompts)
    assert [q.prompt for q in clips.examples] == [example.prompt for example in examples]
    assert [q.answer for q in clips.examples] == [example.answer for example in examples]
    assert all(len(wave) > 16_000 for wave in clips.waves(range(3)))


def test_text_alone_moves_lora_and_nothing_else() -> None:
    model = tiny_salmonn()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    tune_on_text(model, ACTIVATION_DATA["story"].draw(2, 1), lr=1e-2)
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved and all(".lora_" in name for name in moved)
    assert not model.training
