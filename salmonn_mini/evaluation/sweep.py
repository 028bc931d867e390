"""Every task against the LoRA scale: what an over-fitted model forgets as s grows (paper, section 3.2).

The ears hear each clip once; the language model answers it at every scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.evaluate import Report, answer, draw_task, encode_examples, score_answers
from salmonn_mini.files import write_json
from salmonn_mini.models.lora import lora_scale
from salmonn_mini.models.salmonn import Salmonn

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
        cells = list(self._cells())
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
        return "\n".join(lines)

    def markdown(self) -> str:
        """The same as a Markdown table."""
        head, *body = (f"| {' | '.join(row)} |" for row in self._cells())
        return "\n".join([head, f"|{'---|' * (len(self.scales) + 2)}", *body, ""])

    def to_dict(self) -> dict[str, Any]:
        """What `salmonn-mini sweep --json` writes: a report for each scale."""
        return {"scales": self.scales, "reports": [report.to_dict() for report in self.reports]}

    def save(self, path: Path | str) -> None:
        """Write the sweep as JSON, whole or not at all.

        Raises:
            SalmonnError: a place that cannot be written to.
        """
        write_json(path, self.to_dict(), indent=2)

    def _cells(self) -> Iterator[tuple[str, ...]]:
        yield ("task", "measure", *(f"s = {scale:g}" for scale in self.scales))
        for task in self.tasks:
            metric = self.reports[0].tasks[task]["metric"]
            form = ".1f" if metric in ("bleu", "diversity") else ".1%"
            yield (task, metric, *(f"{value:{form}}" for value in self.curve(task)))
            if None not in (rates := self.curve(task, "following_rate")):
                yield (task, "follows", *(f"{rate:.1%}" for rate in rates))


def sweep(
    model: Salmonn,
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
        decoding: as for `Salmonn.generate`.

    Raises:
        SalmonnError: no scale, or all that `evaluate` refuses.
    """
    scales = [float(scale) for scale in dict.fromkeys(scales)]
    if not scales:
        raise SalmonnError("a sweep over no scales: give at least one, as 0 2 4")
    for scale in scales:
        with lora_scale(model.llm, scale):  # a scale that cannot be set is refused before the work
            pass
    chosen = {task: draw_task(task, n, seed, split=split) for task in tasks}
    rows: dict[float, list[dict]] = {scale: [] for scale in scales}
    stamp = {"model": name or model.config.name, "stage": stage, "seed": seed}
    for examples in tqdm(chosen.values(), desc="sweep", unit="task"):
        encoded = encode_examples(model, examples)
        for scale in scales:
            answers = answer(model, encoded, scale=scale, **decoding)
            rows[scale] += score_answers(examples, answers, stamp | {"lora_scale": scale})
    return Sweep(tuple(Report(**stamp, lora_scale=scale, rows=tuple(rows[scale])) for scale in scales))
