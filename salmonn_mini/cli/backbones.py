"""Train the toy's Whisper, BEATs and language model from nothing; resumable."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmonn_mini.cli import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="where the weights go (the package's own folder)"
    )
    parser.add_argument(
        "--runs",
        metavar="DIR",
        type=Path,
        default=Path("runs/backbones"),
        help="keeps the training's state and log",
    )
    parser.add_argument(
        "--dtype", metavar="T", default="float32", help="float32, or bfloat16 where a CPU has it"
    )
    parser.add_argument(
        "--samples",
        metavar="N",
        type=options.whole(1),
        default=200,
        help="of each task, for the scores (200)",
    )


def run(arguments: argparse.Namespace) -> int:
    from salmonn_mini.pretrained import toy_folder
    from salmonn_mini.toy.backbones.build import build_all

    target = arguments.out or toy_folder()
    build_all(target, arguments.runs, dtype=arguments.dtype, samples=arguments.samples)
    print(f"trained: {target}")
    return 0
