"""The toy world's sentences, translations, tasks and clips."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import salmonn_mini
from salmonn_mini.data.tasks import TASKS, get_task, tasks_of
from salmonn_mini.errors import SalmonnError
from salmonn_mini.toy.world import (
    answers,
    audio_tasks,
    clips,
    facts,
    grammar,
    lexicon,
    story,
    text_tasks,
    translate,
)
from salmonn_mini.toy.world.events import EVENTS
from salmonn_mini.toy.world.grammar import Statement, bare, split_of
from salmonn_mini.toy.world.pronunciation import phonemes
from salmonn_mini.toy.world.text_tasks import TEXT_TASKS
from salmonn_mini.toy.world.voice import SPEAKERS, speakers_of
from salmonn_mini.toy.world.wordings import PATTERNS, expand, wordings

FARMER = Statement("farmer", "sells", "apple", "old", "red", "a", "in the park", "today")
ANNA = Statement("Alice", "sees", "book", None, "new", "the")
COW = Statement("cow", "eats", "apple")
seeds = st.integers(0, 2**32 - 1)


def test_a_statement_in_four_languages():
    assert FARMER.text == "The old farmer sells a red apple in the park today."
    assert translate.to_german(FARMER) == "Der alte Bauer verkauft heute einen roten Apfel im Park."
    assert translate.to_chinese(FARMER) == "今天那位年老的农夫在公园里卖一个红色的苹果。"
    assert translate.to_japanese(FARMER) == "年老いた農夫は今日公園で赤いりんごを売る。"
    assert translate.to_german(ANNA) == "Alice sieht das neue Buch."
    assert translate.to_chinese(ANNA) == "爱丽丝看见了那本新书。"
    assert translate.to_japanese(ANNA) == "アリスは新しい本を見る。"
    tired = Statement("horse", "likes", "egg", "tired", None, "the")
    assert translate.to_german(tired) == "Das müde Pferd mag das Ei."
    assert translate.to_german(COW) == "Die Kuh frisst einen Apfel."


def test_the_spoken_vocabulary_has_its_size_and_can_all_be_spoken():
    words = grammar.spoken_words()
    assert 300 <= len(words) <= 500
    assert all(re.fullmatch("[A-Za-z']+", word) for word in words)  # numbers are spelled out
    assert all(map(phonemes, words))


@given(seeds)
def test_what_is_said_is_a_sentence(seed):
    rng = np.random.default_rng(seed)
    kinds = (grammar.draw_statement, grammar.draw_command, grammar.draw_question, grammar.draw_free_question)
    for kind in kinds:
        text = kind(rng).text
        assert text[0].isupper() and text[-1] in ".?" and text.count(text[-1]) == 1
        assert "  " not in text and not re.search(r"\ba [aeiou]|\ban [^aeiou]|\{", text)
        assert {word.strip(",.?") for word in bare(text).split()} <= set(grammar.spoken_words())


@given(seeds)
def test_a_statement_makes_sense(seed):
    one = grammar.draw_statement(np.random.default_rng(seed))
    animal = one.subject in lexicon.ANIMALS
    assert one.object in (
        lexicon.ANIMAL_VERBS[one.verb] if animal else lexicon.OBJECTS_OF.get(one.verb, lexicon.THINGS)
    )
    assert one.object_adjective in (None, *lexicon.ADJECTIVES_OF.get(one.object, lexicon.OBJECT_ADJECTIVES))
    assert not {one.subject, one.object} & set(lexicon.LARGE) or one.place not in lexicon.INDOORS
    assert one.verb not in lexicon.LASTING or one.place is one.time is None


def test_the_rules_of_sense_name_known_words_only():
    tables = (lexicon.OBJECTS_OF, lexicon.ANIMAL_VERBS, lexicon.PLACES_OF, lexicon.PAST, lexicon.BASE)
    assert all(set(table) <= set(lexicon.VERBS) for table in tables)
    assert set(lexicon.PAST) == set(lexicon.BASE) == set(lexicon.VERBS)
    things = {
        thing
        for table in (lexicon.OBJECTS_OF, lexicon.ANIMAL_VERBS)
        for row in table.values()
        for thing in row
    }
    assert things | set(lexicon.ADJECTIVES_OF) <= set(lexicon.THINGS)
    assert {word for row in lexicon.ADJECTIVES_OF.values() for word in row} <= set(lexicon.OBJECT_ADJECTIVES)
    assert {place for row in lexicon.PLACES_OF.values() for place in row} <= set(lexicon.PLACES)


def test_whatever_somebody_does_there_is_a_place_and_an_adjective_for_it():
    for subject in (*lexicon.NAMES, *lexicon.NOUNS):
        for verb in lexicon.ANIMAL_VERBS if subject in lexicon.ANIMALS else lexicon.VERBS:
            for thing in grammar.objects_of(subject, verb):
                assert grammar.places_of(subject, verb, thing) and grammar.adjectives_of(verb, thing)


@given(seeds, st.sampled_from(grammar.SPLITS))
def test_what_is_drawn_for_a_split_belongs_to_it_alone(seed, split):
    rng = np.random.default_rng(seed)
    for kind in (grammar.draw_statement, grammar.draw_command, grammar.draw_question):
        assert split_of(grammar.draw(kind, rng, split).text) == split


def test_every_fact_is_known_from_training_and_asked_in_an_unseen_wording():
    for kind, rows in facts.FACTS.items():
        for gaps, answer in rows:
            asked = [wording.format(*gaps) for wording in facts.WORDINGS[kind]]
            splits = [split_of(wording) for wording in asked]
            assert splits.count("train") == len(asked) - 1 == len(set(asked)) - 1
            right = grammar.sentence(answer)
            assert all(q.answer == right for q in grammar.QUESTIONS_BY_KIND[kind] if q.text in asked)


def test_every_sound_event_has_its_facts():
    assert set(facts.SOUND_FACTS) == set(EVENTS)
    columns = set(facts.SOUND_QUESTIONS.values())
    assert all(set(row) == columns == set(facts.SOUND_ANSWERS) for row in facts.SOUND_FACTS.values())


def test_of_every_sound_one_question_is_held_out_for_each_test():
    rng = np.random.default_rng(0)
    pairs = {split: {answers.draw_co_reasoning(rng, split) for _ in range(3000)} for split in grammar.SPLITS}
    assert (
        sum(map(len, pairs.values()))
        == len(facts.SOUND_QUESTIONS) * len(EVENTS)
        == len(set.union(*pairs.values()))
    )
    for split in ("validation", "test"):
        assert sorted(event for _, event in pairs[split]) == sorted(EVENTS)


def test_answers_have_one_form():
    assert (
        answers.caption(("dog", "rain")) == "A dog barks and then rain falls." and answers.caption(()) == ""
    )
    assert answers.keywords(FARMER) == "Farmer, apple, park."
    assert answers.speech_questions(FARMER)["What does the old farmer sell?"] == "A red apple."
    assert answers.slot_answer("time", "seven o'clock") == "Seven o'clock."
    assert answers.slot_answer("object", "old hat") == "The old hat."
    assert answers.co_reasoning_answer("Where am I?", "bell") == "You are at the church."
    assert answers.speaker_caption("male") == "A man speaks."
    assert answers.speaker_caption("female", ("dog",)) == "A woman speaks while a dog barks."
    assert answers.opposite(FARMER) is None and answers.opposite(ANNA) == "Old."
    assert FARMER.past == "The old farmer sold a red apple in the park today."


@given(seeds)
def test_a_story_is_faithful_and_long(seed):
    rng = np.random.default_rng(seed)
    told = story.story_of_statement(FARMER, rng)
    assert told.startswith(story.OPENING) and told.endswith(".")
    assert "farmer" in told and "sold a red apple in the park" in told
    assert 30 <= len(told.split()) <= 60
    assert story.is_faithful(FARMER.text, told) and not story.is_faithful("The cow eats an apple.", told)
    assert not story.is_faithful("The farmer sells a hat.", told)
    heard = story.story_of_sounds(("waves", "dog"), rng)
    assert story.is_faithful(answers.caption(("waves", "dog")), heard) and "the sea and then a dog" in heard
    assert not story.is_faithful(answers.caption(("waves", "cat")), heard)


def test_the_task_table_is_the_papers():
    assert [task.name for task in tasks_of(stage=1)] == ["asr", "audio_caption"]
    assert {task.name for task in tasks_of(level=3)} == {"story", "co_reasoning"}
    assert all((task.stage is None) == (task.level > 1) for task in TASKS.values())
    for task in TASKS.values():
        assert task.prompts == ("{}",) or not set(task.prompts) & set(task.held_out)
    with pytest.raises(SalmonnError, match="unknown task 'sing'"):
        get_task("sing")


def test_an_instruction_is_a_sentence_and_its_held_out_wordings_are_in_no_training():
    assert expand("(|please )say (it|this).") == [
        "Say it.",
        "Say this.",
        "Please say it.",
        "Please say this.",
    ]
    for task in (*PATTERNS, *TEXT_TASKS):
        trained, held_out = wordings(task), wordings(task, held_out=True)
        assert trained == ("{}",) or not set(trained) & set(held_out)
        assert all(
            re.fullmatch(r"[A-Z{][^()|]*[.?}]", text) and "  " not in text for text in (*trained, *held_out)
        )
        if task in TASKS:
            assert set(TASKS[task].held_out) <= set(held_out)


def test_the_recipes_wordings_are_the_training_wordings():
    file = Path(salmonn_mini.__file__).parent / "recipes" / "toy-wordings.json"
    for task, listed in json.loads(file.read_text(encoding="utf-8")).items():
        assert set(listed) | set(TASKS[task].prompts) == set(wordings(task))


def test_the_llm_reads_nothing_that_needs_ears():
    """What only sound can teach is no text task; what is never trained on sound is one."""
    deaf = {
        "audio_caption",
        "music_caption",
        "emotion",
        "gender",
        "overlapped_speech",
        "speaker_verification",
    }
    deaf |= {"audio_qa", "music_qa", "phone_recognition"}
    assert deaf == set(TASKS) - set(TEXT_TASKS)


@pytest.mark.parametrize("task", TEXT_TASKS)
def test_text_samples_are_complete_and_repeatable(task):
    draw = lambda held_out: text_tasks.draw_samples(  # noqa: E731
        [task] * 5, np.random.default_rng(3), "test", held_out=held_out
    )
    samples = draw(False)
    assert samples == draw(False)
    for s in (*samples, *draw(True)):
        assert s.context and s.prompt and s.answer and "{}" not in s.prompt and "None" not in s.answer


def test_the_llm_writes_every_word_of_the_audio_tasks_answers():
    """LoRA on queries and values cannot teach a new word: such answers are never learned."""
    names = [task for task in TEXT_TASKS if task != "phone_copy"]
    copied = text_tasks.draw_samples(
        (names + ["asr"] * 10 + ["speech_qa"] * 3) * 700, np.random.default_rng(0), "train"
    )
    written = {word for sample in copied for word in re.findall(r"[\w']+|[.,?]", sample.answer)}
    tasks = [
        task.name
        for task in TASKS.values()
        if task.stage and not task.name.startswith(("translation", "phone"))
    ]
    wanted = audio_tasks.draw_examples(tasks * 100, np.random.default_rng(0), "train")
    assert {word for one in wanted for word in re.findall(r"[\w']+|[.,?]", one.answer)} <= written


@pytest.mark.parametrize("task", TASKS)
def test_audio_examples_are_complete_and_repeatable(task):
    draw = lambda held_out: audio_tasks.draw_examples(  # noqa: E731
        [task] * 4, np.random.default_rng(3), "test", held_out=held_out
    )
    examples = draw(False)
    assert examples == draw(False)
    assert all(e.prompt and e.answer and "{}" not in e.prompt for e in (*examples, *draw(True)))


@pytest.mark.parametrize("task", ["asr", "audio_caption"])
def test_training_has_honest_answers_and_tests_have_not(task):
    draw = lambda split: audio_tasks.draw_examples([task] * 400, np.random.default_rng(3), split)  # noqa: E731
    if task == "asr":
        honest = [one for one in draw("train") if not one.words]
        assert {one.answer for one in honest} == {audio_tasks.NO_SPEECH} and all(
            one.words for one in draw("test")
        )
    else:
        honest = [one for one in draw("train") if one.words and not one.plan.events]
        assert {one.answer for one in honest} == {"A man speaks.", "A woman speaks."}
        assert not any(one.words for one in draw("test"))
    assert 5 <= len(honest) <= 40


@pytest.mark.parametrize("split", grammar.SPLITS)
def test_only_the_splits_own_speakers_are_heard_and_no_child_is_asked_for_its_gender(split):
    rng = np.random.default_rng(6)
    for task in TASKS:
        examples = audio_tasks.draw_examples([task] * 30, rng, split)
        heard = {utterance.speaker for one in examples for utterance in one.plan.utterances}
        assert heard <= set(speakers_of(split))
        if task == "gender":
            words = {"male": "A man.", "female": "A woman."}
            assert all(
                one.answer == words[SPEAKERS[one.plan.utterances[0].speaker].gender] for one in examples
            )
        if task == "audio_caption":
            assert "child" not in {SPEAKERS[name].gender for name in heard}
    long = audio_tasks.draw_long_speech(10, rng, split)
    assert {utterance.speaker for one in long for utterance in one.plan.utterances} <= set(speakers_of(split))


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
