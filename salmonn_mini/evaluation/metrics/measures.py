"""Every measure as a few numbers for each sample, and a function from their sums to the score.

The numbers are what per-sample files keep; all scores and intervals follow from them, and can be computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from salmonn_mini.data.tasks import TASKS, get_task
from salmonn_mini.evaluation.metrics import bootstrap
from salmonn_mini.evaluation.metrics.answers import is_exact, is_right
from salmonn_mini.evaluation.metrics.bootstrap import Counts, Difference, Value
from salmonn_mini.evaluation.metrics.captions import cider_d, clauses, rouge_l, same_events, shared
from salmonn_mini.evaluation.metrics.following import (
    Prediction,
    did_asr,
    did_caption,
    follows,
    in_form,
    keywords,
)
from salmonn_mini.evaluation.metrics.words import (
    bleu_counts,
    bleu_value,
    distinct_words,
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


def _has_form(sample: Prediction) -> bool | None:
    """Tasks whose answers all open alike."""
    alike = ("emotion", "gender", "spoken_query_qa", "slot_filling", "co_reasoning", "story")
    return in_form(sample) if sample.task in alike else None


def _language(sample: Prediction) -> str:
    return sample.task.removeprefix("translation_") if sample.task.startswith("translation_") else "en"


def is_caption(sample: Prediction) -> bool:
    """Whether the answer is scored as a caption too."""
    return sample.task in ("audio_caption", "music_caption")


MEASURES: dict[str, Measure] = {
    "wer": Measure(
        "word error rate (jiwer, normalizer basic)", lambda s: word_errors(s.reference, s.answer)
    ),
    "per": Measure("phone error rate", lambda s: phone_errors(s.reference, s.answer)),
    "bleu": Measure(
        "BLEU4 by sacrebleu, 0 to 100 (13a; zh for Chinese, char for Japanese)",
        lambda s: bleu_counts(s.reference, s.answer, _language(s)),
        bleu_value,
    ),
    "accuracy": Measure("share of right answers", _share(is_right)),
    "caption": Measure(
        "share of captions with the right sounds in the right order",
        _share(lambda s: same_events(s.reference, s.answer)),
    ),
    "diversity": Measure("different words in an answer, mean", lambda s: (distinct_words(s.answer), 1)),
    "following_rate": Measure("share of answers that obey the instruction", _share(follows)),
    "exact": Measure("share of answers that are the reference, letter for letter", _share(is_exact)),
    "form_rate": Measure("share of answers that open as the reference does", _share(_has_form)),
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
    "rouge_l": Measure("ROUGE-L, mean", lambda s: (rouge_l(s.reference, s.answer), 1) if is_caption(s) else None),
    # A whole set's: see score, and java.py.
    "cider_d": Measure("CIDEr-D, 0 to 10, mean", lambda s: None),
    "meteor": Measure("METEOR 1.5, mean", lambda s: None),
    "spider": Measure("SPIDEr, the mean of CIDEr-D and SPICE", lambda s: None),
}  # fmt: skip
_METRICS = {task.metric for task in TASKS.values()}  # a task is measured by its own, and by its diversity


def score(samples: Sequence[Prediction]) -> list[Scores]:
    """The numbers of every measure for each of the samples of one task.

    Raises:
        SalmonnError: a task that is not in the table.
    """
    rows = []
    for sample in samples:
        own = get_task(sample.task).metric
        names = [name for name in MEASURES if name not in _METRICS or name in (own, "diversity")]
        counts = {name: MEASURES[name].counts(sample) for name in names}
        rows.append({name: numbers for name, numbers in counts.items() if numbers is not None})
    if samples and is_caption(samples[0]):
        ciders = cider_d([s.reference for s in samples], [s.answer for s in samples])
        for row, cider in zip(rows, ciders, strict=True):
            row["cider_d"] = (cider, 1)
    return rows


def counts_of(scores: Sequence[Mapping[str, Sequence[float]]], measure: str) -> Counts:
    """The numbers of one measure, (n, k), of the n samples to which it applies."""
    return [row[measure] for row in scores if measure in row]


def summarize(task: str, scores: Sequence[Mapping[str, Sequence[float]]], *, seed: int = 0) -> dict:
    """A task's row of the report: metric, value, interval, following rate, n, and all else in `others`.

    `following_rate` is None for a task without a rule. Rates are fractions; BLEU is 0 to 100.
    """
    names = [name for name in MEASURES if any(name in row for row in scores)]
    values = {name: bootstrap.total(counts_of(scores, name), MEASURES[name].value) for name in names}
    metric = get_task(task).metric
    others = {name: value for name, value in values.items() if name not in (metric, "following_rate")}
    others["scored_by"] = MEASURES[metric].text
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
