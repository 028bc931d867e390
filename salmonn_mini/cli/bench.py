"""Measure speed and memory with random weights, as JSON; it takes minutes."""

from __future__ import annotations

import argparse
import json
import sys

from salmonn_mini.cli import options
from salmonn_mini.errors import SalmonnError, unknown

ABLATIONS = "ablations"
CONFIGS = ("published-small", "long-audio", ABLATIONS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="NAME",
        help="published-small (default), long-audio, or ablations: a training step with each measure of speed "
        "and memory on and off, also as a table on stderr",
    )
    parser.add_argument(
        "--runs", metavar="N", type=options.whole(1), default=3, help="the least of so many counts (3)"
    )
    group = parser.add_argument_group("of --config ablations")
    group.add_argument("--preset", metavar="P", help="the sizes: toy, small (the default), 7b or 13b")
    group.add_argument(
        "--layers", metavar="N", type=options.whole(1), help="of each part at most; on a CPU 2 by default"
    )
    group.add_argument(
        "--batch", metavar="N", type=options.whole(1), help="clips in a step; 2 on a CPU, 16 on a GPU"
    )
    group.add_argument("--compile", action="store_true", help="a row for torch.compile too")


def run(arguments: argparse.Namespace) -> int:
    given = [name for name in ("preset", "layers", "batch", "compile") if getattr(arguments, name)]
    config = arguments.config or (ABLATIONS if given else "published-small")
    if config not in CONFIGS:
        raise unknown("benchmark", config, CONFIGS)
    if given and config != ABLATIONS:
        raise SalmonnError(
            f"--{given[0]} belongs to --config ablations, not to {config}: leave one of them out"
        )
    if config == ABLATIONS:
        report = _ablations(arguments)
    else:
        from salmonn_mini.tools.bench import bench

        report = bench(config, runs=arguments.runs)
    print(json.dumps(report, indent=2))
    return 0


def _ablations(arguments: argparse.Namespace) -> dict:
    from salmonn_mini.tools.bench.presets import compare, table

    report = compare(
        arguments.preset,
        layers=arguments.layers,
        clips=arguments.batch,
        runs=arguments.runs,
        compiled=arguments.compile,
    )
    print(table(report), file=sys.stderr)
    return report
