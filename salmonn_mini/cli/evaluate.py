"""Score a model on new clips, which no training has seen."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from salmonn_mini.cli import options
from salmonn_mini.data.tasks import TASKS, tasks_of

if TYPE_CHECKING:
    from salmonn_mini.evaluation.report import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_model(parser)
    parser.add_argument(
        "--samples", metavar="N", type=options.whole(1), default=200, help="clips of each task (200)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=options.whole(0), default=0, help="another seed, other clips (0)"
    )
    parser.add_argument(
        "--tasks", metavar="NAME", nargs="+", help=f"those of the stage by default; known: {', '.join(TASKS)}"
    )
    options.add_decoding(parser, max_new_tokens=100)
    parser.add_argument(
        "--java",
        nargs="+",
        default=[],
        choices=("meteor", "spider"),
        help="measure captions by these too, for --json; they need Java and pip install -e '.[captions]'",
    )
    parser.add_argument("--json", metavar="FILE", help="write the scores there")
    parser.add_argument("--per-sample", metavar="FILE", help="write every answer there, a JSON line each")


def run(arguments: argparse.Namespace) -> int:
    from salmonn_mini.evaluation.metrics import java

    named = options.task_names(arguments.tasks)
    java.require(arguments.java)
    model = options.load_model(arguments)
    stage = model.info.get("stage")
    from salmonn_mini.evaluation.evaluate import evaluate

    report = evaluate(
        model,
        named or [task.name for task in tasks_of(stage=max(stage or 1, 1))],
        arguments.samples,
        arguments.seed,
        stage=stage,
        name=arguments.model or "toy",
        lora_scale=arguments.lora_scale,
        num_beams=arguments.num_beams,
        max_new_tokens=arguments.max_new_tokens,
        repetition_penalty=arguments.repetition_penalty,
    )
    _keep(report, arguments)
    if arguments.java:  # which may still fail: what was answered is safe by now
        report = report.with_java(arguments.java)
        _keep(report, arguments)
    print(report.table())
    return 0


def _keep(report: Report, arguments: argparse.Namespace) -> None:
    if arguments.json:
        report.save(arguments.json)
    if arguments.per_sample:
        report.save_rows(arguments.per_sample)
