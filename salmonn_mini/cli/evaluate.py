"""Score a model on a manifest, or on new clips of the toy world."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salmonn_mini.cli import options
from salmonn_mini.cli.console import say
from salmonn_mini.data.tasks import TASKS, get_task, tasks_of
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from salmonn_mini.data.manifest import Sample
    from salmonn_mini.data.tasks import Task
    from salmonn_mini.evaluation.report import Report, Sweep

DECODING = ("num_beams", "max_new_tokens", "repetition_penalty")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_model(parser)
    add_clips(parser, samples=200)
    options.add_decoding(parser, max_new_tokens=100)
    add = parser.add_argument
    control = "score a second time without each clip's own sound: what of a score needs it?"
    add("--control", choices=("silence", "other", "reversed", "no_audio"), help=control)
    java = "measure captions by these too, for --json; they need Java and pip install -e '.[captions]'"
    add("--java", nargs="+", default=[], choices=("meteor", "spider"), help=java)
    normalizer = "of error rates: basic folds case and punctuation, whisper is OpenAI's for English (basic)"
    add("--normalizer", choices=("basic", "whisper", "none"), default="basic", help=normalizer)
    add("--score", metavar="ROWS", help="score the answers that --per-sample wrote; no model")


def add_clips(parser: argparse.ArgumentParser, samples: int) -> None:
    """Which clips are answered, and where that is written: for `evaluate` and `sweep`."""
    add, whole = parser.add_argument, options.whole
    add("--manifest", metavar="FILE", help="its clips (default: new clips of the toy world)")
    add("--prompts", metavar="FILE", help="prompts of its tasks (default: the task table's)")
    count = f"clips of each toy task ({samples})"
    add("--samples", metavar="N", type=whole(1), default=samples, help=count)
    add("--seed", metavar="N", type=whole(0), default=0, help="draws toy clips and prompts (0)")
    tasks = f"default: the manifest's, or the toy stage's; toy tasks: {', '.join(TASKS)}"
    add("--tasks", metavar="NAME", nargs="+", help=tasks)
    scores = "print the scores as JSON, or write them to FILE"
    add("--json", metavar="FILE", nargs="?", const="-", help=scores)
    add("--per-sample", metavar="FILE", help="each answer as a JSON line; a stopped run resumes from it")


def run(arguments: argparse.Namespace) -> int:
    from salmonn_mini.evaluation.metrics import java

    java.require(arguments.java)
    report = _rescore(arguments) if arguments.score else _answer(arguments)
    if arguments.java:
        save_json(report, arguments.json)  # Java may fail: what was answered is safe by now
        report = report.with_java(arguments.java)
    save_json(report, arguments.json)
    print(json.dumps(report.to_dict()) if arguments.json == "-" else report.table())
    return 0


def save_json(result: Report | Sweep, path: str | None) -> None:
    """Write what `--json FILE` asks for."""
    if path not in (None, "-"):
        write_json(path, result.to_dict(), indent=2)


def _rescore(arguments: argparse.Namespace) -> Report:
    without = ("manifest", "model", "control", "per_sample")
    options.refuse(arguments, without, "has no use with --score: leave it out")
    from salmonn_mini.evaluation.report import load_report

    return load_report(arguments.score, arguments.normalizer)


def _answer(arguments: argparse.Namespace) -> Report:
    scales = None if arguments.lora_scale is None else [arguments.lora_scale]
    settings = {name: getattr(arguments, name) for name in ("control", "normalizer", *DECODING)}
    return answer(arguments, scales, lambda stage: tasks_of(stage=max(stage or 1, 1)), **settings).reports[0]


def answer(
    arguments: argparse.Namespace,
    scales: Sequence[float] | None,
    default_tasks: Callable[[int | None], Iterable[Task]],
    **settings: Any,
) -> Sweep:
    """What the model of `arguments` answers about their clips; `default_tasks` of the toy for its stage.

    Raises:
        SalmonnError: files that are none, and as `answer_clips`.
    """
    if arguments.prompts and not arguments.manifest:
        raise SalmonnError("--prompts needs --manifest: the toy world brings its own")
    tasks = options.task_names(arguments.tasks)
    if arguments.manifest:
        from salmonn_mini.data.manifest import read_manifest, read_prompts

        samples = select_tasks(read_manifest(arguments.manifest), tasks)
        prompts = read_prompts(arguments.prompts) if arguments.prompts else None
    else:
        tasks = [get_task(name).name for name in tasks]
    model = options.load_model(arguments)
    stage = model.info.get("stage")
    from salmonn_mini.data.clips import ManifestDataset
    from salmonn_mini.evaluation.evaluate import answer_clips, draw_clips

    if arguments.manifest:
        clips = ManifestDataset(samples, model.config, arguments.seed, prompts)
    else:
        tasks = tasks or [task.name for task in default_tasks(stage)]
        clips = draw_clips(tasks, arguments.samples, arguments.seed)
    if arguments.per_sample and Path(arguments.per_sample).exists():
        say(f"resuming from the answers in {arguments.per_sample}; delete it to ask anew")
    settings |= {"stage": stage, "name": arguments.model or "toy", "rows_file": arguments.per_sample}
    return answer_clips(model, clips, scales, arguments.seed, **settings)


def select_tasks(samples: Sequence[Sample], tasks: Sequence[str]) -> list[Sample]:
    """The samples of some tasks, or all; raises SalmonnError at a task that no sample has."""
    known = dict.fromkeys(sample.task for sample in samples)
    for task in tasks:
        if task not in known:
            raise SalmonnError(f"the manifest has no task {task!r}: choose among {', '.join(known)}")
    return [sample for sample in samples if sample.task in (tasks or known)]
