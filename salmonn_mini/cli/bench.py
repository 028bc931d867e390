"""Measure speed on one thread, as JSON; it takes minutes."""

from __future__ import annotations

import argparse
import json

from salmonn_mini.cli import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="NAME",
        default="published-small",
        help="published-small (the default) or long-audio",
    )
    parser.add_argument(
        "--runs", metavar="N", type=options.whole(1), default=3, help="the least of so many counts (3)"
    )


def run(arguments: argparse.Namespace) -> int:
    from salmonn_mini.bench import bench

    print(json.dumps(bench(arguments.config, runs=arguments.runs), indent=2))
    return 0
