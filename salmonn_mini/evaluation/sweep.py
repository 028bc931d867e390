"""The same clips at several LoRA scales: what is lost and what wakes as s grows (paper, section 3.2).

Each clip is encoded once; the language model answers it at every scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation import tables
from salmonn_mini.evaluation.evaluate import answer_tasks, draw_task
from salmonn_mini.evaluation.report import Report, shown
from salmonn_mini.files import write_json
from salmonn_mini.models.lora import lora_scale
from salmonn_mini.models.salmonn import SalmonnModel

SCALES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)


@dataclass(frozen=True)
class Sweep:
    """One report for each LoRA scale, on the same clips."""

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
        return "\n".join(tables.aligned(self._cells()))

    def to_dict(self) -> dict[str, Any]:
        """What `salmonn-mini sweep --json` writes: a report for each scale."""
        return {"scales": self.scales, "reports": [report.to_dict() for report in self.reports]}

    def save(self, path: Path | str) -> None:
        """Write the sweep as JSON, whole or not at all; raises SalmonnError where nothing can be written."""
        write_json(path, self.to_dict(), indent=2)

    def _cells(self) -> list[list[str]]:
        cells = [["task", "measure", *(f"s = {scale:g}" for scale in self.scales)]]
        for task in self.tasks:
            metric = self.reports[0].tasks[task]["metric"]
            cells.append([task, metric, *(shown(metric, value) for value in self.curve(task))])
            if None not in (rates := self.curve(task, "following_rate")):
                cells.append([task, "follows", *(shown("", rate) for rate in rates)])
        return cells


def check_scales(model: SalmonnModel, scales: Sequence[float]) -> list[float]:
    """The scales, each once; raises SalmonnError at none, and at one that cannot be set."""
    scales = [float(scale) for scale in dict.fromkeys(scales)]
    if not scales:
        raise SalmonnError("a sweep over no scales: give at least one, as 0 2 4")
    for scale in scales:
        with lora_scale(model.llm, scale):
            pass
    return scales


def sweep(
    model: SalmonnModel,
    tasks: Iterable[str],
    n: int,
    seed: int,
    scales: Sequence[float] = SCALES,
    *,
    stage: int | None = None,
    name: str | None = None,
    split: str = "test",
    **decoding: Any,
) -> Sweep:
    """Answer n clips of each task at every LoRA scale and score the answers.

    Args:
        scales: absolute factors s in W + s·BA, 4.0 as trained, 0 the LLM alone.
        stage, name: for the reports.
        decoding: as for `SalmonnModel.generate`.

    Raises:
        SalmonnError: no scale, or all that `evaluate` refuses.
    """
    scales = check_scales(model, scales)
    chosen = {task: draw_task(task, n, seed, split=split) for task in tasks}
    stamp = {"model": name or model.config.name, "stage": stage, "seed": seed}
    rows = answer_tasks(model, chosen, scales, [""], stamp, {}, **decoding)
    return Sweep(tuple(Report(**stamp, lora_scale=scale, rows=tuple(rows[scale])) for scale in scales))
