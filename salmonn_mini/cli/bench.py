"""Measure speed and memory with random weights; takes minutes."""

from __future__ import annotations

import argparse
import json
import sys

from salmonn_mini.cli import options
from salmonn_mini.cli.console import say
from salmonn_mini.models.config import preset

ABLATIONS = "ablations"
OF_ABLATIONS = ("preset", "layers", "batch", "device", "compile")
CONFIGS = ("published-small", "long-audio", ABLATIONS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add, count = parser.add_argument, options.whole(1)
    about = (
        "published-small (default): the work that the published code was timed at; long-audio: 1 to 8 minutes; "
        f"{ABLATIONS}: a training step with each saving of time and memory on and off"
    )
    add("--config", choices=CONFIGS, help=about)
    add("--runs", metavar="N", type=count, default=3, help="repeat N times, report the fastest (3)")
    add = parser.add_argument_group(f"with --config {ABLATIONS}").add_argument
    add("--preset", metavar="P", help="model sizes: toy, small (default), 7b or 13b")
    add("--layers", metavar="N", type=count, help="layers of each part at most (on a CPU 2)")
    add("--batch", metavar="N", type=count, help="clips in a step (2 on a CPU, 16 on a GPU)")
    add("--device", choices=("cpu", "cuda"), help="default: the GPU, if there is one")
    add("--compile", action="store_true", default=None, help="add a row with torch.compile")


def run(arguments: argparse.Namespace) -> None:
    given = options.chosen(arguments, OF_ABLATIONS)
    config = arguments.config or (ABLATIONS if given else CONFIGS[0])
    if config != ABLATIONS:
        why = f"needs --config {ABLATIONS}, but --config is {config}: leave one of them out"
        options.refuse(arguments, OF_ABLATIONS, why)
    sizes = preset(given.pop("preset", "small"))
    say(f"benchmark {config}: this takes minutes …")
    from salmonn_mini.tools.bench import ablations, timing, workloads

    if config == ABLATIONS:
        report = ablations.compare(sizes, **given, runs=arguments.runs)
    else:
        report = workloads.bench(config, runs=arguments.runs)
    print(timing.table(report), file=sys.stderr)
    print(json.dumps(report, indent=2))
