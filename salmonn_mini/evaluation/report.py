"""Rows of answers → scores: a report on one model at one LoRA scale, or at several."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation import tables
from salmonn_mini.evaluation.metrics.java import JAVA
from salmonn_mini.evaluation.metrics.measures import MEASURES, is_caption, summarize
from salmonn_mini.evaluation.rows import Row, group_by_task, json_lines, parse_lines, with_scores
from salmonn_mini.evaluation.sources import CONTROLS
from salmonn_mini.files import write_text

STAMP = ("model", "stage", "seed", "lora_scale")
RATES = {"follows": "following_rate", "loops": "repeat_rate", "no end": "unended_rate"}


@dataclass(frozen=True)
class Report:
    """Scores of one model at one LoRA scale, and the rows that they follow from.

    Attributes:
        rows: in each the task, the texts, and what `STAMP` names; rows with a "control" were answered without the
            clip's own sound.
        skipped: clips that are not scored, each with the reason.
    """

    model: str
    stage: int | None
    seed: int
    lora_scale: float
    rows: tuple[Row, ...]
    skipped: tuple[str, ...] = ()

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
        """A row of `sources.CONTROLS`, or ""."""
        return next((row["control"] for row in self.rows if row.get("control")), "")

    def _summaries(self, control: str) -> dict[str, dict]:
        tasks = {}
        for task, rows in group_by_task(
            row for row in self.rows if row.get("control", "") == control
        ).items():
            settings = {"seed": self.seed, "normalizer": rows[0].get("normalizer", "basic")}
            tasks[task] = summarize(task, [row["scores"] for row in rows], **settings)
        return tasks

    def share_kept(self, task: str) -> float | None:
        """What of a task's score is left under the control; None where there is none. 1 - WER stands for a WER."""
        own, control = self.tasks[task], self.control_tasks.get(task)
        if control is None or control["metric"] != own["metric"]:
            return None
        before, after = own["value"], control["value"]
        if own["metric"] in ("wer", "cer", "per"):
            before, after = max(0.0, 1 - before), max(0.0, 1 - after)
        return after / before if before else None

    def with_java(self, names: Iterable[str]) -> Report:
        """The same report, its captions measured by METEOR or SPIDEr too: names and errors as in `metrics.java`."""
        rows = [dict(row) for row in self.rows]
        for task, own in group_by_task(rows).items():
            for name in names if is_caption(task) else ():
                values = JAVA[name]([row["reference"] for row in own], [row["answer"] for row in own])
                for row, value in zip(own, values, strict=True):
                    row["scores"] = row["scores"] | {name: (value, 1)}
        return replace(self, rows=tuple(rows))

    def to_dict(self) -> dict[str, Any]:
        """What `salmonn-mini evaluate --json` writes."""
        table = {name: getattr(self, name) for name in STAMP} | {"tasks": self.tasks}
        if self.control:
            table |= {"control": self.control, "control_tasks": self.control_tasks}
        return table | ({"skipped": list(self.skipped)} if self.skipped else {})

    def table(self) -> str:
        """For the terminal: columns side by side."""
        stage = "" if self.stage is None else f", stage {self.stage}"
        title = f"{self.model}{stage}, LoRA scale {self.lora_scale:g}, seed {self.seed}"
        notes = [f"- {name}: {text}" for name, text in self._legend().items()]
        if self.skipped:
            notes.append(f"- {len(self.skipped)} clips were skipped: {'; '.join(self.skipped[:5])}")
        return "\n".join([title, "", *tables.aligned(self._cells()), "", *notes])

    def save_rows(self, path: Path | str) -> None:
        """Write the rows as JSON lines, whole or not at all; `load_report` reads them."""
        write_text(path, json_lines(self.rows))

    def _cells(self) -> list[list[str]]:
        control = [self.control, "kept"] if self.control else []
        cells = [["task", "metric", "value", *control, "95 % interval", *RATES, "n"]]
        for task, row in self.tasks.items():
            value, low, high = (shown(row["metric"], x) for x in (row["value"], *row["interval"]))
            if self.control:
                under = self.control_tasks.get(task)
                control = [shown(under["metric"], under["value"]) if under else "–"]
                control.append(shown("", self.share_kept(task)))
            rates = row["others"] | {"following_rate": row["following_rate"]}
            shares = [shown("", rates[name]) for name in RATES.values()]
            cells.append([task, row["metric"], value, *control, f"{low} to {high}", *shares, str(row["n"])])
        return cells

    def _legend(self) -> dict[str, str]:
        metrics = {row["metric"]: row["others"]["scored_by"] for row in self.tasks.values()}
        rates = {column: MEASURES[name].text for column, name in RATES.items()}
        if not self.control:
            return metrics | rates
        kept = "the share of the value that is left; for an error rate the share of 1 - rate"
        return metrics | rates | {self.control: f"the value with {CONTROLS[self.control]}", "kept": kept}


def shown(metric: str, value: float | None) -> str:
    """A value as a reader expects it: rates in percent, BLEU and diversity as they are."""
    if value is None:
        return "–"
    return f"{value:.1f}" if metric in ("bleu", "diversity") else f"{100 * value:.1f} %"


def load_report(path: Path | str, normalizer: str | None = None) -> Report:
    """The report that follows from a file of rows, scored anew from their texts.

    Args:
        normalizer: another than the rows' own.

    Raises:
        SalmonnError: a file that cannot be read, or that holds no rows of one run.
    """
    try:
        rows = parse_lines(Path(path).read_text(encoding="utf-8"))
        rescored = with_scores([row | ({"normalizer": normalizer} if normalizer else {}) for row in rows])
        (stamp,) = {tuple(row[name] for name in STAMP) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SalmonnError(
            f"{path} is no file of per-sample rows of one run ({error}): give one that evaluate wrote"
        ) from error
    return Report(*stamp, rows=tuple(rescored))


@dataclass(frozen=True)
class Sweep:
    """One report for each LoRA scale, on the same clips: what is lost and what wakes as s grows (section 3.2)."""

    reports: tuple[Report, ...]

    @property
    def scales(self) -> list[float]:
        return [report.lora_scale for report in self.reports]

    @property
    def tasks(self) -> list[str]:
        return list(self.reports[0].tasks)

    def curve(self, task: str, key: str = "value") -> list[float | None]:
        """A task's `value` or `following_rate` at each scale; None where it has none."""
        return [report.tasks[task][key] for report in self.reports]

    def table(self) -> str:
        """For the terminal: each task's score, and its following rate where it has one, at each scale."""
        cells = [["task", "measure", *(f"s = {scale:g}" for scale in self.scales)]]
        for task in self.tasks:
            metric = self.reports[0].tasks[task]["metric"]
            cells.append([task, metric, *(shown(metric, value) for value in self.curve(task))])
            if None not in (rates := self.curve(task, "following_rate")):
                cells.append([task, "follows", *(shown("", rate) for rate in rates)])
        return "\n".join(tables.aligned(cells))

    def to_dict(self) -> dict[str, Any]:
        """What `salmonn-mini sweep --json` writes."""
        return {"scales": self.scales, "reports": [report.to_dict() for report in self.reports]}
