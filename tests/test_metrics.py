"""Metrics against cases worked out by hand, against properties that must hold, and against the toy world's answers."""

import doctest
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from salmonn_mini.data.tasks import TASKS
from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.metrics import answers, bootstrap, captions, following, java, words
from salmonn_mini.evaluation.metrics.following import RULES, Prediction, follows
from salmonn_mini.evaluation.metrics.measures import MEASURES, compare, score, summarize
from salmonn_mini.toy.world import answers as toy_answers
from salmonn_mini.toy.world import grammar, translate
from salmonn_mini.toy.world.audio_tasks import draw_examples

WORDS = ("the", "cat", "The", "cat,", "dog", ".", "a", "red", "Rain", "it's", "那", "x1")
TEXT = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


@pytest.mark.parametrize("room", [answers, captions, following, words])
def test_the_examples_in_the_docstrings_hold(room) -> None:
    assert doctest.testmod(room).failed == 0


# --- words -----------------------------------------------------------------------------------------------------------


def test_wer_adds_up_errors_before_it_divides() -> None:
    references = ["the cat sits", "a dog"]
    given_ = ["the cat", "a big red dog"]  # one deletion; two insertions
    assert words.wer(references, given_) == 3 / 5
    pairs = [
        Prediction("phone_recognition", "k æ t", "k æ t"),
        Prediction("phone_recognition", "d ɔ ɡ", "d ɔ k s"),
    ]
    assert summarize("phone_recognition", score(pairs))["value"] == 2 / 6


def test_insertions_against_nothing_count_as_jiwer_counts_them() -> None:
    assert words.wer(["", ""], ["thank you", "bye"]) == 3
    assert words.wer([""], [""]) == 0


@pytest.mark.parametrize(("references", "given_"), [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_sets_that_are_empty_or_do_not_pair_are_refused(references: list, given_: list) -> None:
    for measure in (words.wer, lambda *sides: words.bleu(*sides, "de")):
        with pytest.raises(SalmonnError, match="give at least one, and as many of both"):
            measure(references, given_)
    with pytest.raises(SalmonnError, match="an interval of no samples"):
        bootstrap.interval([], words.ratio)


def test_marks_and_joiners_belong_to_their_word() -> None:
    assert words.basic("हिन्दी भाषा") == "हिन्दी भाषा"
    assert words.word_errors("हिन्दी भाषा", "हन्दा भाषा") == (1, 2)
    assert len(words.basic("İstanbul").split()) == 1
    assert words.basic("می\u200cخواهم co\u00adoperate") == "میخواهم cooperate"
    assert words.basic("❤\ufe0f rain") == "rain"


def test_what_the_basic_normalizer_lets_pass_and_what_not() -> None:
    assert words.wer(["it's a dog, then: rain"], ["Its a  DOG then rain ."]) == 0
    assert words.wer(["two dogs"], ["2 dogs"]) == 0.5
    assert words.wer(["two colours"], ["two colors"]) == 0.5


def test_whispers_normalizers_are_there_by_name() -> None:
    assert words.wer(["mister smith won't go"], ["mr. smith will not go"], "whisper") == 0
    assert words.wer(["हिन्दी भाषा"], ["हन्दा भाषा"], "whisper") == 0.5
    assert words.wer(["A dog."], ["a dog"], "none") == 1
    assert set(words.NORMALIZERS) == {"basic", "whisper", "none"}
    with pytest.raises(
        SalmonnError, match="unknown normalizer 'english': choose one of basic, whisper, none"
    ):
        words.normalizer("english")


@given(TEXT, TEXT)
def test_wer_is_zero_only_for_equal_words(reference: str, answer: str) -> None:
    errors, count = words.word_errors(reference, answer)
    assert (errors == 0) == (words.basic(reference) == words.basic(answer))
    longest = max(count, len(words.basic(answer).split()))
    assert abs(count - len(words.basic(answer).split())) <= errors <= longest


@given(st.text("aBÄßİ'’_-.,!？。½ﬁ\u0301 \n\t那ボ"))
def test_normalizing_twice_changes_nothing(text: str) -> None:
    assert words.basic(words.basic(text)) == words.basic(text)


def test_bleu_by_hand() -> None:
    assert words.bleu(["a b c d e f"], ["a b c d"], "en") == pytest.approx(100 * math.exp(1 - 6 / 4))
    # 5 of 6 words, 3 of 5 pairs, 2 of 4 threes, 1 of 3 fours, lengths equal
    by_hand = 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4)
    assert words.bleu(["a b c d e f"], ["a b c d x f"], "en") == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("language", "reference", "answer"),
    [
        ("zh", "那个老师看见一个红色的球", "那个老师 看见一个红色的 球"),
        ("ja", "先生は赤いボールを見る", "先生は 赤い ボールを見る"),
        ("de", "der lehrer sieht einen ball .", "der lehrer sieht einen ball."),
    ],
)
def test_bleu_reads_each_language_in_its_own_way(language: str, reference: str, answer: str) -> None:
    assert words.bleu([reference], [answer], language) == pytest.approx(100)
    assert words.bleu([reference], ["the teacher sees a red ball"], language) < 10


def test_bleu_of_a_set_equals_sacrebleus_own() -> None:
    from sacrebleu.metrics import BLEU

    references = ["der mann sieht den ball im park", "anna kauft heute eine lampe", "das pferd mag die frau"]
    given_ = ["der mann sieht ein ball im park", "anna kauft eine rote lampe", ""]
    own = BLEU(tokenize="13a").corpus_score(given_, [references]).score
    assert words.bleu(references, given_, "de") == pytest.approx(own)


def test_diversity_counts_words_once_and_signs_one_by_one() -> None:
    assert words.distinct_words("The dog, the cat and the dog.") == 4
    assert words.distinct_words("鸟看见鸟") == 3


def test_a_loop_is_a_run_of_four_words_that_comes_three_times() -> None:
    assert words.loops("and then the dog " * 3)
    assert not words.loops("and then the dog " * 2)
    assert words.loops("rain " * 6) and not words.loops("rain " * 5)
    assert not words.loops("")


# --- captions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "right", "f1"),
    [
        ("a dog barks and then rain falls", True, 1.0),
        ("A dog barks, and then rain falls.", True, 1.0),
        ("rain falls and then a dog barks", False, 1.0),
        ("a dog barks", False, 2 / 3),
        ("a dog barks and then rain falls and then a bell rings", False, 4 / 5),
        ("a dog barks and then", False, 0.0),
        ("", False, 0.0),
    ],
)
def test_a_caption_is_right_with_all_sounds_in_order(answer: str, right: bool, f1: float) -> None:
    reference = "a dog barks and then rain falls"
    (scores,) = score([Prediction("audio_caption", reference, answer, sounds=reference)])
    assert scores["caption"] == (right, 1)
    assert words.ratio(scores["event_f1"]) == pytest.approx(f1)


def test_rouge_l_by_hand() -> None:
    recall, precision = 4 / 6, 4 / 5  # the cat on mat
    by_hand = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert captions.rouge_l("the cat sat on the mat", "the cat on a mat") == pytest.approx(by_hand)
    assert captions.rouge_l("the cat", "") == captions.rouge_l("", "") == 0


def test_cider_d_by_hand() -> None:
    # Two references without a word in common: all n-grams are equally rare, log 2. There are no 3- and 4-grams.
    same, half = captions.cider_d(["a b", "c d"], ["a b", "c a"])
    assert same == pytest.approx(10 * (1 + 1) / 4)
    assert half == pytest.approx(10 * (1 / 2 + 0) / 4)
    # One word too many: the second b is cut off, and the length is punished.
    longer, _ = captions.cider_d(["a b", "c d"], ["a b b", ""])
    by_hand = 10 * math.exp(-1 / 72) * (2 / math.sqrt(5 * 2) + 1 / math.sqrt(2)) / 4
    assert longer == pytest.approx(by_hand)


def test_cider_d_gives_nothing_for_words_that_all_references_have() -> None:
    assert captions.cider_d(["a dog barks", "a dog sings"], ["a dog", "a dog"]) == [0, 0]
    assert captions.cider_d(["a dog"], ["a dog"]) == [0]


def scorer(value: Callable[[str, str], Any]) -> type:
    """What pycocoevalcap's scorers look like: tables of lists of texts go in, a mean and a number each come out."""

    class Scorer:
        def compute_score(self, wanted: dict, given: dict) -> tuple[float, list]:
            assert wanted.keys() == given.keys()
            assert all(len(text) == 1 and text[0] for table in (wanted, given) for text in table.values())
            return 0.0, [value(wanted[i][0], given[i][0]) for i in sorted(wanted)]

    return Scorer


def install(monkeypatch: pytest.MonkeyPatch, room: str, name: str, kind: type) -> None:
    monkeypatch.setattr(java.shutil, "which", lambda program: program)
    module = SimpleNamespace(**{name: kind})
    monkeypatch.setattr(java.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "pycocoevalcap", SimpleNamespace())
    monkeypatch.setitem(sys.modules, f"pycocoevalcap.{room}", SimpleNamespace())
    monkeypatch.setitem(sys.modules, f"pycocoevalcap.{room}.{room}", module)


def test_meteor_sees_no_empty_answer_and_keeps_the_order(monkeypatch) -> None:
    install(monkeypatch, "meteor", "Meteor", scorer(lambda wanted, given: float(wanted == given)))
    assert java.meteor(["A dog.", "a cat", "rain"], ["", "a bird", "Rain!"]) == [0, 0, 1]
    assert java.meteor([], []) == []


def test_spider_is_the_mean_of_cider_d_and_spice(monkeypatch) -> None:
    install(monkeypatch, "spice", "Spice", scorer(lambda wanted, given: {"All": {"f": 0.25}}))
    references, answers = ["a b", "c d"], ["a b", "c a"]
    by_hand = [(cider + 0.25) / 2 for cider in captions.cider_d(references, answers)]
    assert java.spider(references, answers) == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("java", "no java is on the PATH: install a runtime"),
        ("package", r"pip install -e '\.\[captions\]'"),
        ("parser", "cannot fetch Stanford's parser"),
    ],
)
def test_what_a_measure_in_java_lacks_is_named(missing: str, message: str, monkeypatch) -> None:
    def refuse(self) -> None:
        raise OSError("no network")

    install(monkeypatch, "spice", "Spice", type("Spice", (), {"__init__": refuse}))
    if missing == "java":
        monkeypatch.setattr(java.shutil, "which", lambda program: None)
    if missing == "package":
        monkeypatch.setattr(java.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SalmonnError, match=message):
        java.spider(["a dog"], ["a dog"])


def test_meteor_itself_where_it_is_installed() -> None:
    pytest.importorskip("pycocoevalcap")
    if shutil.which("java") is None:
        pytest.skip("no Java")
    same, near, other = java.meteor(["a dog barks"] * 3, ["A dog barks.", "the dog barks", "rain"])
    assert same == 1 > near > other == 0


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6))
def test_rouge_and_cider_stay_within_their_bounds(pairs: list[tuple[str, str]]) -> None:
    references, given_ = zip(*pairs, strict=True)
    assert all(0 <= score <= 10 + 1e-9 for score in captions.cider_d(references, given_))
    for reference, answer in pairs:
        assert 0 <= captions.rouge_l(reference, answer) <= 1 + 1e-9
        assert captions.rouge_l(reference, reference) == pytest.approx(1 if words.tokens(reference) else 0)


# --- following -------------------------------------------------------------------------------------------------------

QUESTION, COMMAND = "what is the capital of france", "book a table for two in rome on monday"
STATEMENT = "the old farmer buys a red apple in the park"
STORY = "once upon a time there was a kind farmer . the farmer lived in the park . one day he bought a red apple ."


@pytest.mark.parametrize(
    ("task", "heard", "obeys", "fails"),
    [
        (
            "spoken_query_qa",
            {"words": QUESTION, "reference": "the answer is paris ."},
            ["the answer is paris .", "london", "i do not know what the capital of france is called today ."],
            [QUESTION, "what is the capital of spain", "", " . "],
        ),
        (
            "slot_filling",
            {"words": COMMAND, "reference": "the city is rome ."},
            ["the city is rome .", "rome", "book a table ."],
            [COMMAND, "book a table for two in rome", "Book a table for ten in Rome on Monday."],
        ),
        (
            "story",
            {"words": STATEMENT, "reference": STORY},
            [STORY, "rain " * 20],
            [STATEMENT, "once upon a time there was a farmer .", "rain " * 19, ""],
        ),
        (
            "co_reasoning",
            {"words": "Where am I?", "sounds": "Rain falls.", "reference": "You are on the street."},
            ["You are on the street.", "you are in: the house"],
            ["Where am I?", "Rain falls.", "On the street.", "It is a cat.", "You", STORY, ""],
        ),
        (
            "keywords",
            {"words": STATEMENT, "reference": "farmer , apple , park"},
            ["farmer , apple , park", "old farmer, red apple", "cat , dog"],
            [STATEMENT, "farmer", "the farmer , the apple", "yes , there is .", "farmer , ", "a , b", ""],
        ),
        (
            "translation_de",
            {"words": STATEMENT, "reference": "der alte bauer kauft einen roten apfel im park"},
            ["der alte bauer kauft einen roten apfel im park", "die katze", "anna nimmt den hut today"],
            [STATEMENT, "bauer apfel park", "der farmer buys a red apple", "那个老的农夫", ""],
        ),
        (
            "translation_ja",
            {"words": STATEMENT, "reference": "年老いた農夫は公園で赤いりんごを買う"},
            ["年老いた農夫は公園で赤いりんごを買う", "犬は車を見る ."],
            [STATEMENT, "那个老的农夫在公园里买一个苹果", "the dog は", "農夫", ""],
        ),
        (
            "translation_zh",
            {"words": STATEMENT, "reference": "那个老的农夫在公园里买一个红色的苹果"},
            ["那个老的农夫在公园里买一个红色的苹果", "狗 ."],
            [STATEMENT, "犬は車を見る", "狗 sees the ball", ""],
        ),
    ],
)
def test_each_rule_with_answers_that_follow_and_that_do_not(
    task: str, heard: dict, obeys: list[str], fails: list[str]
) -> None:
    for answer in obeys:
        assert follows(Prediction(task, answer=answer, **heard)) is True, answer
    for answer in fails:
        assert follows(Prediction(task, answer=answer, **heard)) is False, answer


def test_every_untrained_task_has_a_rule_and_its_words() -> None:
    assert {name for name, task in TASKS.items() if task.stage is None} <= set(RULES)
    assert all(rule.text for rule in RULES.values())
    assert follows(Prediction("asr", "a dog", "a dog")) is None


def test_a_wer_of_thirty_percent_is_where_asr_ends() -> None:
    words_ = "one two three four five six seven eight nine ten"
    sample = Prediction("spoken_query_qa", "the answer is ten .", "", words=words_)
    at = replace(sample, answer="one two three four five six seven")  # three of ten words are missing
    below = replace(sample, answer="one two three four five six seven eight")
    assert follows(at) and not follows(below)


# --- right answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "reference", "right", "wrong"),
    [
        (
            "emotion",
            "Happy.",
            ["Happy.", "happy", "It is Happy!"],
            ["Sad.", "happy or sad", "", "the speaker", "The speaker sounds happy."],
        ),
        ("gender", "A man.", ["A man.", "man", "It's a man."], ["A woman.", "a man or a woman", STORY]),
        (
            "speaker_verification",
            "it is two .",
            ["two", "it is two .", "two speakers"],
            ["it is one .", "one or two", ""],
        ),
        (
            "speaker_verification",
            "no , these are two speakers .",
            ["no", "no , these are two speakers ."],
            ["yes , it is the same speaker .", "two speakers", "yes and no"],
        ),
        (
            "audio_qa",
            "yes , there is .",
            ["yes , there is .", "yes ."],
            ["no , there is not .", "there is ."],
        ),
        (
            "audio_qa",
            "there is .",
            ["there is .", "There is!"],
            ["there is not .", "there is a dog .", "is"],
        ),
        (
            "speech_qa",
            "anna sees the red ball .",
            ["anna sees the red ball", "Anna sees the red ball."],
            ["anna sees the ball .", "the red ball"],
        ),
        (
            "spoken_query_qa",
            "the answer is paris .",
            ["the answer is paris .", "paris"],
            ["the answer is rome .", "the answer is parisian", QUESTION, "paris " * 20],
        ),
        (
            "slot_filling",
            "the hour is two .",
            ["the hour is two .", "two"],
            ["the hour is ten .", "book a table for two in rome on monday"],
        ),
        (
            "co_reasoning",
            "It is a dog.",
            ["It is a dog.", "it is a dog"],
            ["a dog", "It is a cat.", "You are a dog."],
        ),
        (
            "co_reasoning",
            "You should feed the cat.",
            ["you should feed the cat"],
            ["You should feed the dog."],
        ),
        (
            "keywords",
            "farmer , apple , park",
            ["farmer , apple , park", "park, farmer, apple"],
            ["farmer , apple", "farmer , apple , park , hat", "farmer apple park"],
        ),
    ],
)
def test_what_counts_as_right(task: str, reference: str, right: list[str], wrong: list[str]) -> None:
    said = COMMAND if task == "slot_filling" else QUESTION
    for answer in right:
        assert answers.is_right(Prediction(task, reference, answer, words=said)), answer
    for answer in wrong:
        assert not answers.is_right(Prediction(task, reference, answer, words=said)), answer


# --- the toy world's own answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_the_toy_worlds_references_get_full_marks(task: str) -> None:
    samples = perfect(task, 60)
    report = summarize(task, score(samples))
    best = {"wer": 0, "per": 0, "bleu": 100, "accuracy": 1, "caption": 1}
    if report["metric"] in best:
        assert report["value"] == pytest.approx(best[report["metric"]])
        assert report["interval"] == pytest.approx([best[report["metric"]]] * 2)
    assert report["following_rate"] in (1, None) and report["n"] == 60
    assert report["others"]["repeat_rate"] == report["others"]["unended_rate"] == 0


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.stage is None])
def test_transcripts_captions_and_other_languages_do_not_follow(task: str) -> None:
    samples = [sample for sample in perfect(task, 60) if sample.words]
    lazy = [replace(sample, answer=sample.words) for sample in samples]
    assert summarize(task, score(lazy))["following_rate"] == 0
    assert summarize(task, score(lazy))["others"]["transcript_rate"] == 1
    if task in ("story", "co_reasoning"):
        heard = [replace(s, answer=s.sounds) for s in perfect(task, 60) if s.sounds]
        assert summarize(task, score(heard))["following_rate"] == 0


def test_a_translation_into_another_language_does_not_follow() -> None:
    rng = np.random.default_rng(0)
    statements = [grammar.draw(grammar.draw_statement, rng, "test") for _ in range(100)]
    by_task = {
        "translation_de": translate.to_german,
        "translation_ja": translate.to_japanese,
        "translation_zh": translate.to_chinese,
    }
    for task in by_task:
        for language, into in by_task.items():
            answers_ = [follows(Prediction(task, "", into(statement))) for statement in statements]
            assert answers_ == [language == task] * 100


def perfect(task: str, n: int) -> list[Prediction]:
    """Samples of the toy world whose answers are the references."""
    examples = draw_examples([task] * n, np.random.default_rng(5), "test")
    return [
        Prediction(task, e.answer, e.answer, e.words, toy_answers.caption(e.plan.events)) for e in examples
    ]


# --- sets and intervals ----------------------------------------------------------------------------------------------


def test_a_report_row_has_the_contracts_keys_and_only_what_applies() -> None:
    row = summarize("keywords", score(perfect("keywords", 5)))
    assert list(row) == ["metric", "value", "interval", "following_rate", "n", "others"]
    assert row["others"]["repeat_rate"] == 0 and "event_f1" not in row["others"]
    assert row["others"]["following_interval"] == [1, 1]
    assert summarize("asr", score(perfect("asr", 5)))["following_rate"] is None
    assert {"rouge_l", "cider_d"} <= set(
        summarize("music_caption", score(perfect("music_caption", 5)))["others"]
    )


def test_a_measure_counts_only_the_samples_to_which_it_applies() -> None:
    told, heard = (
        Prediction("story", STORY, STORY, words=STATEMENT),
        Prediction("story", STORY, STORY, sounds="rain falls"),
    )
    echo = replace(told, answer=STATEMENT)
    assert summarize("story", score([told, echo, heard]))["others"]["transcript_rate"] == 0.5


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=40), st.integers(0, 99))
def test_an_interval_is_ordered_repeatable_and_within_the_extremes(counts: list, seed: int) -> None:
    low, high = bootstrap.interval(counts, words.ratio, seed=seed)
    rates = [a / b for a, b in counts]
    assert min(rates) - 1e-9 <= low <= high <= max(rates) + 1e-9
    assert (low, high) == bootstrap.interval(counts, words.ratio, seed=seed)


@given(st.lists(st.booleans(), min_size=5, max_size=60))
def test_an_interval_holds_the_score_of_the_set(right: list[bool]) -> None:
    counts = [(int(one), 1) for one in right]
    low, high = bootstrap.interval(counts, words.ratio)
    assert low <= bootstrap.total(counts, words.ratio) <= high


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for draw in range(200):
        counts = [(int(one), 1) for one in rng.random(100) < 0.7]
        low, high = bootstrap.interval(counts, words.ratio, seed=draw)
        held += low <= 0.7 <= high
    assert 0.89 <= held / 200 <= 0.99


def test_paired_differences_are_sure_where_unpaired_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    errors = rng.integers(0, 8, 200)
    before = [{"wer": (int(e), 10)} for e in errors]
    after = [{"wer": (int(e) + 1, 10)} for e in errors]
    gained = compare(before, after, "wer")
    assert gained.value == pytest.approx(0.1)
    assert gained.low == pytest.approx(0.1) and gained.high == pytest.approx(0.1)
    low, high = bootstrap.interval([row["wer"] for row in before], words.ratio)
    assert high - low > 0.02


def test_intervals_refuse_nothing_and_unequal_sets() -> None:
    with pytest.raises(SalmonnError, match="no samples"):
        bootstrap.interval([], words.ratio)
    with pytest.raises(SalmonnError, match="2 samples before and 1 after"):
        bootstrap.difference([(1, 1), (0, 1)], [(1, 1)], words.ratio)


def test_every_metric_of_the_task_table_is_a_measure() -> None:
    assert {task.metric for task in TASKS.values()} <= set(MEASURES)
    assert all(measure.text for measure in MEASURES.values())
