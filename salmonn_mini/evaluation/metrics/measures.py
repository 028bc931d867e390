"""Every measure as a few numbers for each sample, and a function from their sums to the score.

The numbers are what per-sample files keep; all scores and intervals follow from them, and can be computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from salmonn_mini.data.tasks import TASKS
from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.metrics import bootstrap
from salmonn_mini.evaluation.metrics.answers import is_right
from salmonn_mini.evaluation.metrics.bootstrap import Counts, Difference, Value
from salmonn_mini.evaluation.metrics.captions import cider_d, clauses, rouge_l, same_events, shared
from salmonn_mini.evaluation.metrics.following import (
    Prediction,
    did_asr,
    did_caption,
    follows,
    keywords,
)
from salmonn_mini.evaluation.metrics.words import (
    bleu_counts,
    bleu_value,
    character_errors,
    distinct_words,
    is_unspaced,
    loops,
    phone_errors,
    ratio,
    word_errors,
)

Scores = dict[str, tuple[float, ...]]  # of one sample: the numbers of each measure that applies


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        text: what it is, for tables of results.
        counts: a sample's numbers, None where the measure does not apply.
        value: from the sums of the numbers to the score; rates are fractions.
    """

    text: str
    counts: Callable[[Prediction], tuple[float, ...] | None]
    value: Value = ratio


def _share(test: Callable[[Prediction], bool | None]) -> Callable[[Prediction], tuple[float, ...] | None]:
    def counts(sample: Prediction) -> tuple[float, ...] | None:
        answer = test(sample)
        return None if answer is None else (int(answer), 1)

    return counts


def _errors(unspaced: bool) -> Callable[[Prediction], tuple[int, int] | None]:
    """Errors of words, or of characters in scripts without spaces; None for references of the other kind."""
    count = character_errors if unspaced else word_errors

    def counts(sample: Prediction) -> tuple[int, int] | None:
        if is_unspaced(sample.reference) != unspaced:
            return None
        return count(sample.reference, sample.answer, sample.normalizer)

    return counts


def is_caption(task: str) -> bool:
    """Whether a task's answers are scored as captions too."""
    return task.replace("_", "").startswith(("audiocaption", "musiccaption", "musicdescription"))


# Metrics of tasks that the task table does not have, by how their names begin, "_" left out.
METRICS = {
    "asr": "wer",
    "audiocaption": "rouge_l",
    "audiostory": "diversity",
    "emotion": "accuracy",
    "gender": "accuracy",
    "music": "bleu",
    "phone": "per",
    "speaker": "accuracy",
    "speechseparation": "wer",
    "translation": "bleu",
}
LANGUAGES = {"ec": "zh", "ed": "de", "ej": "ja"}  # in the published names, as translation_ec


def metrics_of(task: str) -> tuple[str, ...]:
    """The metrics of a task, its own first: the task table's, those of METRICS, else WER and accuracy.

    >>> metrics_of("translation_zh"), metrics_of("gender_recognition"), metrics_of("anything")
    (('bleu',), ('accuracy',), ('wer', 'cer', 'accuracy'))
    """
    if task in TASKS:
        own = TASKS[task].metric
    else:
        own = next((METRICS[start] for start in METRICS if task.replace("_", "").startswith(start)), None)
    if own is None:
        return "wer", "cer", "accuracy"
    return ("wer", "cer") if own == "wer" else (own,)


def _language(task: str) -> str:
    code = task.rpartition("_")[2]
    return LANGUAGES.get(code, code)


MEASURES: dict[str, Measure] = {
    "wer": Measure("word error rate (jiwer)", _errors(unspaced=False)),
    "cer": Measure("character error rate (jiwer), of scripts without spaces between words", _errors(unspaced=True)),
    "per": Measure("phone error rate", lambda s: phone_errors(s.reference, s.answer)),
    "bleu": Measure(
        "BLEU4 by sacrebleu, 0 to 100 (13a; zh for Chinese, char for Japanese)",
        lambda s: bleu_counts(s.reference, s.answer, _language(s.task)),
        bleu_value,
    ),
    "accuracy": Measure("share of right answers", _share(is_right)),
    "caption": Measure(
        "share of captions with the right sounds in the right order",
        _share(lambda s: same_events(s.reference, s.answer)),
    ),
    "diversity": Measure("different words in an answer, mean", lambda s: (distinct_words(s.answer), 1)),
    "following_rate": Measure("share of answers that obey the instruction", _share(follows)),
    "transcript_rate": Measure(
        "share of answers that repeat the speech", _share(lambda s: did_asr(s) if s.words else None)
    ),
    "caption_rate": Measure(
        "share of answers that caption the sounds", _share(lambda s: did_caption(s) if s.sounds else None)
    ),
    "repeat_rate": Measure("share of answers that go round in circles", _share(lambda s: loops(s.answer))),
    "unended_rate": Measure("share of answers cut off without an end", _share(lambda s: not s.ended)),
    "event_f1": Measure(
        "F1 of the sounds named",
        lambda s: shared(clauses(s.reference), clauses(s.answer)) if s.task == "audio_caption" else None,
    ),
    "keyword_f1": Measure(
        "F1 of the keywords named",
        lambda s: shared(keywords(s.reference), keywords(s.answer)) if s.task == "keywords" else None,
    ),
    "rouge_l": Measure("ROUGE-L, mean", lambda s: (rouge_l(s.reference, s.answer), 1) if is_caption(s.task) else None),
    # A whole set's: see score, and java.py.
    "cider_d": Measure("CIDEr-D, 0 to 10, mean", lambda s: None),
    "meteor": Measure("METEOR 1.5, mean", lambda s: None),
    "spider": Measure("SPIDEr, the mean of CIDEr-D and SPICE", lambda s: None),
}  # fmt: skip
_CHOSEN = {
    "wer",
    "cer",
    "per",
    "bleu",
    "accuracy",
    "caption",
}  # where they are a task's metric; the others always


def score(samples: Sequence[Prediction]) -> list[Scores]:
    """The numbers of every measure for each of the samples of one task."""
    rows = []
    for sample in samples:
        names = [name for name in MEASURES if name not in _CHOSEN or name in metrics_of(sample.task)]
        counts = {name: MEASURES[name].counts(sample) for name in names}
        rows.append({name: numbers for name, numbers in counts.items() if numbers is not None})
    if samples and is_caption(samples[0].task):
        ciders = cider_d([s.reference for s in samples], [s.answer for s in samples])
        for row, cider in zip(rows, ciders, strict=True):
            row["cider_d"] = (cider, 1)
    return rows


def counts_of(scores: Sequence[Mapping[str, Sequence[float]]], measure: str) -> Counts:
    """The numbers of one measure, (n, k), of the n samples to which it applies."""
    return [row[measure] for row in scores if measure in row]


def summarize(
    task: str, scores: Sequence[Mapping[str, Sequence[float]]], *, seed: int = 0, normalizer: str = "basic"
) -> dict:
    """A task's row of the report: metric, value, interval, following rate, n, and all else in `others`.

    `following_rate` is None for a task without a rule. Rates are fractions; BLEU is 0 to 100.

    Raises:
        SalmonnError: no samples.
    """
    if not scores:
        raise SalmonnError(f"{task}: no samples to score; give at least one")
    names = [name for name in MEASURES if any(name in row for row in scores)]
    values = {name: bootstrap.total(counts_of(scores, name), MEASURES[name].value) for name in names}
    # A task of speech has two metrics, by the script of each reference: its own is that of the most.
    metric = max(metrics_of(task), key=lambda name: sum(name in row for row in scores))
    others = {name: value for name, value in values.items() if name not in (metric, "following_rate")}
    others["scored_by"] = describe(metric, normalizer)
    if "following_rate" in values:
        others["following_interval"] = list(_interval(scores, "following_rate", seed))
    return {
        "metric": metric,
        "value": values[metric],
        "interval": list(_interval(scores, metric, seed)),
        "following_rate": values.get("following_rate"),
        "n": len(scores),
        "others": others,
    }


def describe(metric: str, normalizer: str) -> str:
    """What a metric is, with the normalizer where one is used."""
    return MEASURES[metric].text + (f", normalizer {normalizer}" if metric in ("wer", "cer") else "")


def _interval(scores: Sequence[Mapping[str, Sequence[float]]], measure: str, seed: int) -> bootstrap.Interval:
    return bootstrap.interval(counts_of(scores, measure), MEASURES[measure].value, seed=seed)


def compare(
    before: Sequence[Mapping[str, Sequence[float]]],
    after: Sequence[Mapping[str, Sequence[float]]],
    measure: str,
    *,
    seed: int = 0,
) -> Difference:
    """What a measure has gained between two models that answered the same samples, by the paired bootstrap."""
    return bootstrap.difference(
        counts_of(before, measure), counts_of(after, measure), MEASURES[measure].value, seed=seed
    )
