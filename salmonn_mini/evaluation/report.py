"""Rows of answers → scores: a report on one model at one LoRA scale, computed anew from its rows at any time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation import tables
from salmonn_mini.evaluation.control import CONTROLS
from salmonn_mini.evaluation.metrics.following import Prediction
from salmonn_mini.evaluation.metrics.java import JAVA
from salmonn_mini.evaluation.metrics.measures import describe, is_caption, score, summarize
from salmonn_mini.files import write_json, write_text

STAMP = ("model", "stage", "seed", "lora_scale")
RATES = {
    "follows": ("following_rate", "share of answers that obey the instruction"),
    "loops": ("repeat_rate", "share of answers that repeat themselves without end"),
    "no end": ("unended_rate", "share of answers cut off at the longest that was allowed"),
}


@dataclass(frozen=True)
class Report:
    """Scores of one model at one LoRA scale, and the rows that they follow from.

    Attributes:
        rows: in each the task, the texts, and what `STAMP` names; rows with a "control" were answered without the
            clip's own sound.
        unreadable: clips that could not be read and are not scored, each with the reason.
    """

    model: str
    stage: int | None
    seed: int
    lora_scale: float
    rows: tuple[dict, ...]
    unreadable: tuple[str, ...] = ()

    @cached_property
    def tasks(self) -> dict[str, dict]:
        """`{task: {metric, value, interval, following_rate, n, others}}`, rates as fractions."""
        return self._summaries("")

    @cached_property
    def control_tasks(self) -> dict[str, dict]:
        """The same of the answers given under the control; empty without one."""
        return self._summaries(self.control) if self.control else {}

    @property
    def control(self) -> str:
        """A row of `control.CONTROLS`, or ""."""
        return next((row["control"] for row in self.rows if row.get("control")), "")

    @property
    def normalizer(self) -> str:
        """The normalizer of error rates."""
        return self.rows[0].get("normalizer", "basic") if self.rows else "basic"

    def _summaries(self, control: str) -> dict[str, dict]:
        by_task = group_by_task(row for row in self.rows if row.get("control", "") == control)
        return {
            task: summarize(task, [r["scores"] for r in rows], seed=self.seed, normalizer=self.normalizer)
            for task, rows in by_task.items()
        }

    def share_kept(self, task: str) -> float | None:
        """What of a task's score is left under the control; None where there is none. 1 - WER stands for a WER."""
        own, control = self.tasks[task], self.control_tasks.get(task)
        metric = own["metric"]
        if control is None or control["metric"] != metric:
            return None
        before, after = (
            max(0.0, 1 - row["value"]) if metric in ("wer", "cer", "per") else row["value"]
            for row in (own, control)
        )
        return after / before if before else None

    def with_java(self, names: Iterable[str]) -> Report:
        """The same report, its captions measured by METEOR or SPIDEr too (names of `metrics.java.JAVA`).

        Raises:
            SalmonnError: what such a measure needs is not installed.
        """
        rows = [dict(row) for row in self.rows]
        for task, own in group_by_task(rows).items():
            for name in names if is_caption(task) else ():
                values = JAVA[name]([row["reference"] for row in own], [row["answer"] for row in own])
                for row, value in zip(own, values, strict=True):
                    row["scores"] = row["scores"] | {name: (value, 1)}
        return replace(self, rows=tuple(rows))

    def to_dict(self) -> dict:
        """What `salmonn-mini evaluate --json` writes."""
        table = {name: getattr(self, name) for name in STAMP} | {"tasks": self.tasks}
        if self.control:
            table |= {"control": self.control, "control_tasks": self.control_tasks}
        return table | ({"unreadable": list(self.unreadable)} if self.unreadable else {})

    def table(self) -> str:
        """For the terminal: columns side by side."""
        return "\n".join([self._title(), "", *tables.aligned(self._cells()), "", *self._notes()])

    def save(self, path: Path | str) -> None:
        """Write the report as JSON, whole or not at all; raises SalmonnError where nothing can be written."""
        write_json(path, self.to_dict(), indent=2)

    def save_rows(self, path: Path | str) -> None:
        """Write the rows as JSON lines, likewise; `load_report` reads them."""
        write_text(path, "".join(map(json_line, self.rows)))

    def _title(self) -> str:
        stage = "" if self.stage is None else f", stage {self.stage}"
        return f"{self.model}{stage}, LoRA scale {self.lora_scale:g}, seed {self.seed}"

    def _cells(self) -> list[list[str]]:
        control = [self.control, "kept"] if self.control else []
        cells = [["task", "metric", "value", *control, "95 % interval", *RATES, "n"]]
        for task, row in self.tasks.items():
            metric, (low, high) = row["metric"], (shown(row["metric"], bound) for bound in row["interval"])
            if self.control:
                under, kept = self.control_tasks.get(task), self.share_kept(task)
                control = [shown(under["metric"], under["value"]) if under else "–", _percent(kept)]
            rates = row["others"] | {"following_rate": row["following_rate"]}
            shares = [_percent(rates[name]) for name, _ in RATES.values()]
            value = shown(metric, row["value"])
            cells.append([task, metric, value, *control, f"{low} to {high}", *shares, str(row["n"])])
        return cells

    def _notes(self) -> Iterator[str]:
        for metric in dict.fromkeys(row["metric"] for row in self.tasks.values()):
            yield f"- {metric}: {describe(metric, self.normalizer)}"
        for column, (_, text) in RATES.items():
            yield f"- {column}: {text}"
        if self.control:
            yield f"- {self.control}: the value with {CONTROLS[self.control]}"
            yield "- kept: the share of the value that is left; for an error rate the share of 1 - rate"
        if self.unreadable:
            yield f"- {len(self.unreadable)} clips could not be read: {'; '.join(self.unreadable[:5])}"


def shown(metric: str, value: float) -> str:
    """A value as a reader expects it: rates in percent, BLEU and diversity as they are."""
    return f"{value:.1f}" if metric in ("bleu", "diversity") else f"{100 * value:.1f} %"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


# --- rows ------------------------------------------------------------------------------------------------------------


def json_line(row: Mapping[str, Any]) -> str:
    """A row as a line of a file."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def group_by_task(rows: Iterable[dict]) -> dict[str, list[dict]]:
    """The rows of each task, in their order."""
    by_task: dict[str, list[dict]] = {}
    for row in rows:
        by_task.setdefault(row["task"], []).append(row)
    return by_task


def prediction_of(row: Mapping[str, Any]) -> Prediction:
    """What of a row is scored: to compute its scores again."""
    names = ("task", "reference", "answer", "words", "sounds", "ended")
    return Prediction(**{name: row[name] for name in names}, normalizer=row.get("normalizer", "basic"))


def with_scores(rows: Sequence[dict]) -> tuple[dict, ...]:
    """The rows with the numbers of every measure, task by task and control by control."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["task"], row.get("control", "")), []).append(row)
    return tuple(
        row | {"scores": numbers}
        for group in groups.values()
        for row, numbers in zip(group, score([prediction_of(row) for row in group]), strict=True)
    )


def load_report(path: Path | str, normalizer: str | None = None) -> Report:
    """The report that follows from a file of rows, scored anew from their texts.

    Args:
        normalizer: another than the rows' own.

    Raises:
        SalmonnError: a file that cannot be read, or that holds no rows of one run.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.removesuffix("\n").split("\n")]
        rescored = with_scores([row | ({"normalizer": normalizer} if normalizer else {}) for row in rows])
        (stamp,) = {tuple(row[name] for name in STAMP) for row in rows}
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise SalmonnError(
            f"{path} is no file of per-sample rows of one run ({error}): give one that evaluate wrote"
        ) from error
    return Report(*stamp, rows=rescored)
