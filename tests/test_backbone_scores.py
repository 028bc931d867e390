"""The model card's scores: right answers by each text task's rule, and scorers that run on random weights."""

from functools import partial

import numpy as np
import pytest
import torch

from salmonn_mini.models.splice import Answer
from salmonn_mini.toy.backbones import scores, sounds, speech, text
from salmonn_mini.toy.backbones.text import TextSample, train_tokenizer
from salmonn_mini.toy.world.events import EVENTS
from salmonn_mini.toy.world.text_tasks import TEXT_TASKS, draw_samples
from salmonn_mini.toy.world.voice import speakers_of


@pytest.fixture(scope="module")
def tokenizer():
    rng = np.random.default_rng(0)
    return train_tokenizer(draw_samples(["last_word", "keywords", "story"] * 20, rng, "train"))


def said(words: str, ended: bool = True) -> Answer:
    return Answer(words, (), ended)


@pytest.mark.parametrize("task", TEXT_TASKS)
def test_the_right_answer_is_right_only_with_an_end_and_for_its_own_sample(task: str) -> None:
    samples = draw_samples([task] * 30, np.random.default_rng(1), "test")
    for sample in samples:
        assert scores.is_right(sample, said(sample.answer))
        assert scores.is_right(sample, said(f" {sample.answer}  "))
        assert not scores.is_right(sample, said(sample.answer, ended=False))
        assert not scores.is_right(sample, said(sample.answer + " and"))


def test_a_story_is_right_by_its_form() -> None:
    context = "The old farmer buys a red apple."
    told = "Once upon a time there was a farmer. The farmer had one red apple. All of them ate it in the end."
    assert scores.is_story(context, told)
    assert not scores.is_story(context, told.replace("farmer", "queen"))  # another hero
    assert not scores.is_story(context, told.replace("apple", "hat"))  # another thing
    assert not scores.is_story(context, told.removesuffix("."))  # no end
    assert not scores.is_story(context, "Once upon a time there was a farmer. He had an apple.")  # too short
    assert not scores.is_story(context, told.replace("Once upon a time ", "Long ago "))
    sounds_ = "A dog barks and then rain falls."
    encoded = told.replace("one red apple", "heard a dog and then the rain")
    assert scores.is_story(sounds_, encoded)
    assert not scores.is_story(sounds_, told.replace("one red apple", "heard a dog"))


def test_text_answers_do_not_depend_on_the_batch(tokenizer, monkeypatch) -> None:
    llm = text.build(tokenizer, seed=0).eval()
    samples = draw_samples(["keywords", "story"] * 4, np.random.default_rng(2), "test")
    together = scores.answer_texts(llm, tokenizer, samples, max_new_tokens=5)
    monkeypatch.setattr(scores, "BATCH", 1)
    assert scores.answer_texts(llm, tokenizer, samples, max_new_tokens=5) == together


def test_an_llm_that_knows_its_answer_is_heard_to_its_end(tokenizer) -> None:
    """An LLM trained on one sample until it answers by heart."""
    torch.manual_seed(0)
    llm = text.build(tokenizer, seed=0)
    sample = TextSample("last_word", "Alice sees a ball.", "What is the last word?", "ball")
    batch = text.Layout(tokenizer).batch([sample])
    optimizer = torch.optim.Adam(llm.parameters(), 1e-3)
    for _ in range(25):
        optimizer.zero_grad()
        text.answer_loss(llm, batch).backward()
        optimizer.step()
    (given,) = scores.answer_texts(llm.eval(), tokenizer, [sample])
    (noisy,) = scores.answer_texts(llm, tokenizer, [sample], noise=np.random.default_rng(0))
    assert noisy.text == sample.answer
    assert given.text == sample.answer and given.ended and given.token_ids[-1] == tokenizer.eos_token_id
    assert scores.is_right(sample, given)


def test_random_backbones_get_scores_in_the_cards_shape(tokenizer, monkeypatch) -> None:
    monkeypatch.setattr(
        scores, "TEXT_TASKS", {task: TEXT_TASKS[task] for task in ("keywords", "reverse", "story")}
    )
    monkeypatch.setattr(scores, "speakers_of", lambda split: speakers_of(split)[:2])
    monkeypatch.setattr(scores, "EVENTS", dict(list(EVENTS.items())[:3]))
    monkeypatch.setattr(scores, "answer_texts", partial(scores.answer_texts, max_new_tokens=3))
    torch.manual_seed(0)
    whisper = speech.WhisperWithCtc(tokenizer).eval()
    made = scores.backbone_scores(
        whisper, sounds.build(0).eval(), text.build(tokenizer, 0).eval(), tokenizer, n=2
    )
    assert set(made) == {"whisper", "beats", "llm"}
    assert len(made["whisper"]["speakers"]) == 2 and made["whisper"]["n"] == 2
    assert len(made["beats"]["events"]) == 3 and made["beats"]["n"] == 6
    assert set(made["beats"]["tags"]) == set(scores.ONE_OF)
    assert set(made["llm"]) == {"keywords", "story"}
    assert all(0 <= row[name] <= 1 for row in made["llm"].values() for name in ("held_out", "noisy"))
    for row in (made["beats"], made["whisper"], *made["llm"].values()):
        assert row["interval"][0] <= row["value"] <= row["interval"][1]


def test_transcripts_come_back_in_order() -> None:
    class Parrot:
        def transcribe(self, waves):
            assert sorted(map(len, waves)) == list(map(len, waves))
            return [str(len(wave)) for wave in waves]

    waves = [np.zeros(n) for n in np.random.default_rng(0).integers(1, 999, 70)]
    assert scores.transcribe_all(Parrot(), waves) == [str(len(wave)) for wave in waves]


def test_beats_is_right_when_the_likeliest_tag_is_there(monkeypatch) -> None:
    clips = [sounds.Tagged(np.zeros(1), np.eye(len(sounds.TAGS))[i]) for i in range(len(EVENTS))]
    right = torch.eye(len(sounds.TAGS))[: len(EVENTS)]
    monkeypatch.setattr(scores, "tag_logits", lambda beats, waves: right[: len(waves)])
    assert all(scores._top1(None, clips, tuple(EVENTS)))
    assert not any(scores._top1(None, clips[::-1][: len(clips) // 2], tuple(EVENTS)))
