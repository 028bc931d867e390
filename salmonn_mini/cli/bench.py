"""Measure speed and memory with random weights; takes minutes."""

from __future__ import annotations

import argparse
import json
import sys

from salmonn_mini.cli import options
from salmonn_mini.cli.console import say
from salmonn_mini.errors import SalmonnError, unknown

ABLATIONS = "ablations"
OF_ABLATIONS = ("preset", "layers", "batch", "device", "compile")
CONFIGS = ("published-small", "long-audio", ABLATIONS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    count = options.whole(1)
    about = (
        "published-small (default): the work that the published code was timed at; long-audio: 1 to 8 minutes; "
        f"{ABLATIONS}: a training step with each saving of time and memory on and off, also as a table on stderr"
    )
    parser.add_argument("--config", metavar="NAME", help=about)
    about = "repeat N times, report the fastest (3)"
    parser.add_argument("--runs", metavar="N", type=count, default=3, help=about)
    add = parser.add_argument_group(f"with --config {ABLATIONS}").add_argument
    add("--preset", metavar="P", help="model sizes: toy, small (default), 7b or 13b")
    add("--layers", metavar="N", type=count, help="layers of each part at most (on a CPU 2)")
    add("--batch", metavar="N", type=count, help="clips in a step (2 on a CPU, 16 on a GPU)")
    add("--device", choices=("cpu", "cuda"), help="default: the GPU, if there is one")
    add("--compile", action="store_true", help="add a row with torch.compile")


def run(arguments: argparse.Namespace) -> int:
    given = [name for name in OF_ABLATIONS if getattr(arguments, name)]
    config = arguments.config or (ABLATIONS if given else CONFIGS[0])
    if config not in CONFIGS:
        raise unknown("benchmark", config, CONFIGS)
    if given and config != ABLATIONS:
        raise SalmonnError(
            f"--{given[0]} needs --config {ABLATIONS}, but --config is {config}: leave one of them out"
        )
    say(f"benchmark {config}: this takes minutes …")
    if config == ABLATIONS:
        from salmonn_mini.tools.bench.ablations import compare, table

        sizes = {"layers": arguments.layers, "clips": arguments.batch, "runs": arguments.runs}
        report = compare(arguments.preset, compiled=arguments.compile, device=arguments.device, **sizes)
        print(table(report), file=sys.stderr)
    else:
        from salmonn_mini.tools.bench.workloads import bench

        report = bench(config, runs=arguments.runs)
    print(json.dumps(report, indent=2))
    return 0
