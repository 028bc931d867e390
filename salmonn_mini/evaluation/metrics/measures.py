"""Every measure as a few numbers for each sample, and a function from their sums to the score.

The numbers are what per-sample files keep; all scores and intervals follow from them, and can be computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from salmonn_mini.data.tasks import TASKS
from salmonn_mini.evaluation.metrics import bootstrap, words
from salmonn_mini.evaluation.metrics.answers import is_right
from salmonn_mini.evaluation.metrics.captions import cider_d, clauses, rouge_l, same_events, shared
from salmonn_mini.evaluation.metrics.following import Prediction, did_asr, follows

Numbers = Sequence[float]
Scores = Mapping[str, Numbers]  # of one sample: the numbers of each measure that applies

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
        own = next((METRICS[m] for m in METRICS if task.replace("_", "").startswith(m)), "")
    return {"": ("wer", "cer", "accuracy"), "wer": ("wer", "cer")}.get(own, (own,))


def is_caption(task: str) -> bool:
    """Whether a task's answers are scored as captions too."""
    return task.replace("_", "").startswith(("audiocaption", "musiccaption", "musicdescription"))


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        text: what it is, for tables of results.
        counts: a sample's numbers, or whether it has what a share counts; None where the measure does not apply.
        value: from the sums of the numbers to the score; rates are fractions.
        chosen: for the tasks alone whose metric it is.
    """

    text: str
    counts: Callable[[Prediction], Numbers | bool | None]
    value: bootstrap.Value = words.ratio
    chosen: bool = False


def _word_errors(sample: Prediction) -> Numbers | None:
    if words.is_unspaced(sample.reference):
        return None
    return words.word_errors(sample.reference, sample.answer, sample.normalizer)


def _character_errors(sample: Prediction) -> Numbers | None:
    if not words.is_unspaced(sample.reference):
        return None
    return words.character_errors(sample.reference, sample.answer, sample.normalizer)


def _bleu(sample: Prediction) -> Numbers:
    code = sample.task.rpartition("_")[2]
    return words.bleu_counts(sample.reference, sample.answer, LANGUAGES.get(code, code))


MEASURES: dict[str, Measure] = {
    "wer": Measure("word error rate (jiwer)", _word_errors, chosen=True),
    "cer": Measure(
        "character error rate (jiwer), of scripts without spaces between words",
        _character_errors,
        chosen=True,
    ),
    "per": Measure("phone error rate", lambda s: words.phone_errors(s.reference, s.answer), chosen=True),
    "bleu": Measure(
        "BLEU4 by sacrebleu, 0 to 100 (13a; zh for Chinese, char for Japanese)", _bleu, words.bleu_value, True
    ),
    "accuracy": Measure("share of right answers", is_right, chosen=True),
    "caption": Measure(
        "share of captions with the right sounds in the right order",
        lambda s: same_events(s.reference, s.answer),
        chosen=True,
    ),
    "diversity": Measure("different words in an answer, mean", lambda s: (words.distinct_words(s.answer), 1)),
    "following_rate": Measure("share of answers that obey the instruction", follows),
    "transcript_rate": Measure(
        "share of answers that repeat the speech", lambda s: did_asr(s) if s.words else None
    ),
    "repeat_rate": Measure(
        "share of answers that repeat themselves without end", lambda s: words.loops(s.answer)
    ),
    "unended_rate": Measure(
        "share of answers cut off at the longest that was allowed", lambda s: not s.ended
    ),
    "event_f1": Measure(
        "F1 of the sounds named",
        lambda s: shared(clauses(s.reference), clauses(s.answer)) if s.task == "audio_caption" else None,
    ),
    "rouge_l": Measure(
        "ROUGE-L, mean", lambda s: (rouge_l(s.reference, s.answer), 1) if is_caption(s.task) else None
    ),
    # Of a whole set: see `score`, and java.py.
    "cider_d": Measure("CIDEr-D, 0 to 10, mean", lambda s: None),
    "meteor": Measure("METEOR 1.5, mean", lambda s: None),
    "spider": Measure("SPIDEr, the mean of CIDEr-D and SPICE", lambda s: None),
}


def score(samples: Sequence[Prediction]) -> list[Scores]:
    """The numbers of every measure for each of the samples of one task."""
    rows: list[Scores] = []
    for sample in samples:
        chosen, row = metrics_of(sample.task), {}
        for name, measure in MEASURES.items():
            own = measure.counts(sample) if not measure.chosen or name in chosen else None
            if own is not None:
                row[name] = (int(own), 1) if isinstance(own, bool) else own
        rows.append(row)
    if samples and is_caption(samples[0].task):
        ciders = cider_d([s.reference for s in samples], [s.answer for s in samples])
        rows = [row | {"cider_d": (cider, 1)} for row, cider in zip(rows, ciders, strict=True)]
    return rows


def counts_of(scores: Sequence[Scores], measure: str) -> bootstrap.Counts:
    """The numbers of one measure, (n, k), of the n samples to which it applies."""
    return [row[measure] for row in scores if measure in row]


def summarize(task: str, scores: Sequence[Scores], *, seed: int = 0, normalizer: str = "basic") -> dict:
    """A task's row of the report: metric, value, interval, following rate, n, and all else in `others`.

    `following_rate` is None for a task without a rule. Rates are fractions; BLEU is 0 to 100.
    """
    counts = {name: own for name in MEASURES if (own := counts_of(scores, name))}
    values = {name: bootstrap.total(own, MEASURES[name].value) for name, own in counts.items()}
    # A task of speech has two metrics, by the script of each reference: its own is that of the most.
    metric = max(metrics_of(task), key=lambda name: len(counts.get(name, ())))

    def interval(name: str) -> list[float]:
        return list(bootstrap.interval(counts[name], MEASURES[name].value, seed=seed))

    others = {name: value for name, value in values.items() if name not in (metric, "following_rate")}
    others["scored_by"] = MEASURES[metric].text
    if metric in ("wer", "cer"):
        others["scored_by"] += f", normalizer {normalizer}"
    if "following_rate" in counts:
        others["following_interval"] = interval("following_rate")
    return {
        "metric": metric,
        "value": values[metric],
        "interval": interval(metric),
        "following_rate": values.get("following_rate"),
        "n": len(scores),
        "others": others,
    }


def compare(
    before: Sequence[Scores], after: Sequence[Scores], measure: str, *, seed: int = 0
) -> bootstrap.Difference:
    """What a measure has gained between two models that answered the same samples, by the paired bootstrap."""
    one, other = counts_of(before, measure), counts_of(after, measure)
    return bootstrap.difference(one, other, MEASURES[measure].value, seed=seed)
