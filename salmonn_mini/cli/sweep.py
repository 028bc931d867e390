"""Score every task at several LoRA scales."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from salmonn_mini.cli import options
from salmonn_mini.cli.evaluate import add_clips, read_clips
from salmonn_mini.data.tasks import TASKS
from salmonn_mini.errors import SalmonnError

if TYPE_CHECKING:
    from salmonn_mini.evaluation.sweep import Sweep

FIGURES = (".png", ".svg", ".pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_model(parser, scale=False)
    parser.add_argument(
        "--scales", metavar="S", nargs="+", type=options.finite, default=(0, 1, 2, 3, 4),
        help="s in W + s·BA (0 1 2 3 4)",
    )  # fmt: skip
    add_clips(parser, samples=50)
    parser.add_argument("--json", metavar="FILE", help="write a report for each scale there")
    parser.add_argument(
        "--per-sample",
        metavar="FILE",
        help="of --manifest: every answer, a JSON line each; a stopped run resumes",
    )
    parser.add_argument("--figure", metavar="FILE", help="draw following rates there, .png, .svg or .pdf")


def run(arguments: argparse.Namespace) -> int:
    if arguments.figure and Path(arguments.figure).suffix not in FIGURES:
        raise SalmonnError(f"--figure {arguments.figure}: choose a file that ends in {', '.join(FIGURES)}")
    if not arguments.manifest and (arguments.prompts or arguments.per_sample):
        raise SalmonnError("--prompts and --per-sample need --manifest: leave them out for the toy world")
    clips = read_clips(arguments) if arguments.manifest else None
    tasks = [] if clips else options.task_names(arguments.tasks) or list(TASKS)
    model = options.load_model(arguments)
    settings = {"stage": model.info.get("stage"), "name": arguments.model or "toy"}
    if clips:
        from salmonn_mini.evaluation.manifest import sweep_manifest

        samples, prompts = clips
        rows = {"rows_file": arguments.per_sample, "seed": arguments.seed}
        swept = sweep_manifest(model, samples, arguments.scales, **prompts, **rows, **settings)
    else:
        from salmonn_mini.evaluation.sweep import sweep

        swept = sweep(model, tasks, arguments.samples, arguments.seed, arguments.scales, **settings)
    if arguments.json:
        swept.save(arguments.json)
    if arguments.figure:
        _draw(swept, arguments.figure)
    print(swept.table())
    return 0


def _draw(swept: Sweep, path: str) -> None:
    """A curve of the following rate for each task that has one, over the scales."""
    from salmonn_mini.course.plots import curves

    rates = {task: swept.curve(task, "following_rate") for task in swept.tasks}
    rates = {task: values for task, values in rates.items() if None not in values}
    if not rates:
        raise SalmonnError(f"none of the tasks {', '.join(swept.tasks)} has a following rate: sweep others")
    curves(swept.scales, rates, "LoRA scale s", "following rate", "Following rate").savefig(path)
