"""The toy world's sentences, translations, tasks and clips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from salmonn_mini.data.tasks import TASKS, get_task, tasks_of
from salmonn_mini.errors import SalmonnError
from salmonn_mini.toy.world import audio_tasks, clips, facts, grammar, story, text_tasks, translate
from salmonn_mini.toy.world.events import EVENTS
from salmonn_mini.toy.world.grammar import Statement, split_of
from salmonn_mini.toy.world.pronunciation import phonemes

FARMER = Statement("farmer", "sells", "apple", "old", "red", "a", "park", "today")
ANNA = Statement("anna", "sees", "book", None, "new", "the")
seeds = st.integers(0, 2**32 - 1)


def test_a_statement_in_four_languages():
    assert FARMER.text == "the old farmer sells a red apple in the park today"
    assert translate.to_german(FARMER) == "der alte bauer verkauft heute einen roten apfel im park"
    assert translate.to_chinese(FARMER) == "今天那个老的农夫在公园里卖一个红色的苹果"
    assert translate.to_japanese(FARMER) == "年老いた農夫は今日公園で赤いりんごを売る"
    assert translate.to_german(ANNA) == "anna sieht das neue buch"
    assert translate.to_japanese(ANNA) == "アンナは新しい本を見る"


def test_the_spoken_vocabulary_has_its_size_and_can_all_be_spoken():
    words = grammar.spoken_words()
    assert 150 <= len(words) <= 250
    assert all(map(phonemes, words))


@given(seeds, st.sampled_from(grammar.SPLITS))
def test_what_is_drawn_for_a_split_belongs_to_it_alone(seed, split):
    rng = np.random.default_rng(seed)
    for kind in (grammar.draw_statement, grammar.draw_command, grammar.draw_question):
        assert split_of(grammar.draw(kind, rng, split).text) == split


def test_every_fact_is_known_from_training_and_asked_in_an_unseen_wording():
    for kind, rows in facts.FACTS.items():
        for gaps, answer in rows:
            wordings = [wording.format(*gaps) for wording in facts.WORDINGS[kind]]
            splits = [split_of(wording) for wording in wordings]
            assert splits.count("train") == len(wordings) - 1
            assert all(q.answer == answer for q in grammar.QUESTIONS_BY_KIND[kind] if q.text in wordings)


def test_every_sound_event_has_its_facts():
    assert set(facts.SOUND_FACTS) == set(EVENTS)
    columns = set(facts.SOUND_QUESTIONS.values())
    assert all(set(row) == columns for row in facts.SOUND_FACTS.values())


@given(seeds)
def test_a_story_names_its_hero_and_is_long(seed):
    rng = np.random.default_rng(seed)
    told = story.story_of_statement(FARMER, rng)
    assert told.startswith(story.OPENING) and told.endswith(".")
    assert "farmer" in told and "bought" not in told and "sold a red apple" in told
    assert 30 <= len(told.split()) <= 60
    assert "the sea" in story.story_of_sounds(("waves",), rng)


def test_the_task_table_is_the_papers():
    assert [task.name for task in tasks_of(stage=1)] == ["asr", "audio_caption"]
    assert {task.name for task in tasks_of(level=3)} == {"story", "co_reasoning"}
    assert all((task.stage is None) == (task.level > 1) for task in TASKS.values())
    for task in TASKS.values():
        assert task.prompts == ("{}",) or not set(task.prompts) & set(task.held_out)
    with pytest.raises(SalmonnError, match="unknown task 'sing'"):
        get_task("sing")


@pytest.mark.parametrize("task", text_tasks.MAKERS)
def test_text_samples_are_complete_and_repeatable(task):
    draw = lambda: text_tasks.draw_samples([task] * 5, np.random.default_rng(3), "test")  # noqa: E731
    samples = draw()
    assert samples == draw()
    assert all(s.context and s.prompt and s.answer and "{}" not in s.prompt for s in samples)


@pytest.mark.parametrize("task", TASKS)
def test_audio_examples_are_complete_and_repeatable(task):
    draw = lambda held_out: audio_tasks.draw_examples(  # noqa: E731
        [task] * 4, np.random.default_rng(3), "test", held_out=held_out
    )
    examples = draw(False)
    assert examples == draw(False)
    assert all(e.prompt and e.answer and "{}" not in e.prompt for e in (*examples, *draw(True)))


def test_equal_plans_give_equal_bytes():
    tasks = [
        "asr",
        "audio_caption",
        "music_caption",
        "co_reasoning",
        "overlapped_speech",
        "speaker_verification",
    ]
    plans = [e.plan for e in audio_tasks.draw_examples(tasks, np.random.default_rng(5), "train")]
    first, second = clips.render(plans), clips.render(plans)
    for one, other in zip(first, second, strict=True):
        assert one.dtype == np.float32 and one.tobytes() == other.tobytes()
        assert np.isfinite(one).all() and np.abs(one).max() <= 1 and len(one) > 8000
