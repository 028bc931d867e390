"""Score a model on a manifest, or on new clips of the toy world."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from salmonn_mini.cli import options
from salmonn_mini.data.tasks import TASKS, tasks_of
from salmonn_mini.errors import SalmonnError

if TYPE_CHECKING:
    from salmonn_mini.data.manifest import Sample
    from salmonn_mini.evaluation.report import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_model(parser)
    add_clips(parser, samples=200)
    options.add_decoding(parser, max_new_tokens=100)
    add = parser.add_argument
    add(
        "--control",
        choices=("silence", "other", "reversed", "no_audio"),
        help="score a second time without each clip's own sound: what of a score needs it?",
    )
    add(
        "--java",
        nargs="+",
        default=[],
        choices=("meteor", "spider"),
        help="measure captions by these too, for --json; they need Java and pip install -e '.[captions]'",
    )
    add(
        "--normalizer",
        choices=("basic", "whisper", "none"),
        default="basic",
        help="of error rates: basic folds case and punctuation, whisper is OpenAI's for English (basic)",
    )
    add("--score", metavar="ROWS", help="score the answers that --per-sample wrote; no model")
    add(
        "--json", metavar="FILE", nargs="?", const="-", help="print the scores as JSON, or write them to FILE"
    )
    rows = "write every answer there, a JSON line each; with --manifest a stopped run resumes from it"
    add("--per-sample", metavar="FILE", help=rows)


def add_clips(parser: argparse.ArgumentParser, samples: int) -> None:
    """Which clips are answered: for `evaluate` and `sweep`."""
    add, whole = parser.add_argument, options.whole
    add("--manifest", metavar="FILE", help="its clips (default: new clips of the toy world)")
    add("--prompts", metavar="FILE", help="prompts of its tasks (default: the task table's)")
    count = f"clips of each toy task ({samples})"
    add("--samples", metavar="N", type=whole(1), default=samples, help=count)
    add("--seed", metavar="N", type=whole(0), default=0, help="draws toy clips and prompts (0)")
    tasks = f"default: the manifest's, or the toy stage's; toy tasks: {', '.join(TASKS)}"
    add("--tasks", metavar="NAME", nargs="+", help=tasks)


def read_clips(arguments: argparse.Namespace) -> tuple[list[Sample], dict[str, Any]]:
    """The samples of `--manifest` and `--tasks`, and their prompts as an option of `evaluate_manifest`.

    Raises:
        SalmonnError: files that are none, or a task that the manifest does not have.
    """
    from salmonn_mini.data.manifest import read_manifest, read_prompts
    from salmonn_mini.evaluation.manifest import select_tasks

    samples = read_manifest(arguments.manifest)
    if arguments.tasks:
        samples = select_tasks(samples, " ".join(arguments.tasks).replace(",", " ").split())
    return samples, {"prompts": read_prompts(arguments.prompts)} if arguments.prompts else {}


def run(arguments: argparse.Namespace) -> int:
    from salmonn_mini.evaluation.metrics import java

    if arguments.prompts and not arguments.manifest:
        raise SalmonnError("--prompts needs --manifest: the toy world brings its own")
    java.require(arguments.java)
    report = _rescore(arguments) if arguments.score else _answer(arguments)
    _save(report, arguments)
    if arguments.java:  # which may still fail: what was answered is safe by now
        report = report.with_java(arguments.java)
        _save(report, arguments)
    print(json.dumps(report.to_dict()) if arguments.json == "-" else report.table())
    return 0


def _rescore(arguments: argparse.Namespace) -> Report:
    for name in ("manifest", "model", "control", "per_sample"):
        if getattr(arguments, name):
            raise SalmonnError(f"--{name.replace('_', '-')} has no use with --score: leave it out")
    from salmonn_mini.evaluation.report import load_report

    return load_report(arguments.score, arguments.normalizer)


def _answer(arguments: argparse.Namespace) -> Report:
    clips = read_clips(arguments) if arguments.manifest else None
    named = None if clips else options.task_names(arguments.tasks)
    model = options.load_model(arguments)
    stage = model.info.get("stage")
    settings = {"stage": stage, "name": arguments.model or "toy"}
    for name in ("lora_scale", "control", "normalizer", "num_beams", "max_new_tokens", "repetition_penalty"):
        settings[name] = getattr(arguments, name)
    if clips:
        from salmonn_mini.evaluation.manifest import evaluate_manifest

        samples, prompts = clips
        rows = {"rows_file": arguments.per_sample, "seed": arguments.seed}
        return evaluate_manifest(model, samples, **prompts, **rows, **settings)
    from salmonn_mini.evaluation.evaluate import evaluate

    named = named or [task.name for task in tasks_of(stage=max(stage or 1, 1))]
    return evaluate(model, named, arguments.samples, arguments.seed, **settings)


def _save(report: Report, arguments: argparse.Namespace) -> None:
    if arguments.json not in (None, "-"):
        report.save(arguments.json)
    if arguments.per_sample and not arguments.manifest:
        report.save_rows(arguments.per_sample)
