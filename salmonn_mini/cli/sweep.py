"""Score every task at several LoRA scales, on the same clips."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from salmonn_mini.cli import options
from salmonn_mini.cli.evaluate import add_clips, answer, save_json
from salmonn_mini.data.tasks import TASKS
from salmonn_mini.errors import SalmonnError

if TYPE_CHECKING:
    from salmonn_mini.evaluation.report import Sweep

FIGURES = (".png", ".svg", ".pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_model(parser, scale=False)
    add = parser.add_argument
    scales = {"nargs": "+", "type": options.finite, "default": range(5)}
    add("--scales", metavar="S", help="s in W + s·BA (0 to 4)", **scales)
    add_clips(parser, samples=50)
    add("--figure", metavar="FILE", help="plot following rates: .png, .svg or .pdf")


def run(arguments: argparse.Namespace) -> int:
    if arguments.figure and Path(arguments.figure).suffix not in FIGURES:
        raise SalmonnError(f"--figure is {arguments.figure}: choose a file that ends in {', '.join(FIGURES)}")
    swept = answer(arguments, arguments.scales, default_tasks=lambda stage: TASKS.values())
    save_json(swept, arguments.json)
    if arguments.figure:
        _draw(swept, arguments.figure)
    print(json.dumps(swept.to_dict()) if arguments.json == "-" else swept.table())
    return 0


def _draw(swept: Sweep, path: str) -> None:
    """The following rate over the scales, a curve for each task that has one."""
    from salmonn_mini.course.plots import curves

    rates = {task: swept.curve(task, "following_rate") for task in swept.tasks}
    rates = {task: values for task, values in rates.items() if None not in values}
    if not rates:
        raise SalmonnError(
            f"no following rate for {', '.join(swept.tasks)}: add other --tasks, or leave --figure out"
        )
    curves(swept.scales, rates, "LoRA scale s", "following rate", "Following rate").savefig(path)
