"""Train the toy's Whisper, BEATs and LLM from scratch; resumes."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmonn_mini.cli import options
from salmonn_mini.cli.console import say

DTYPES, RUNS = ("float32", "bfloat16"), Path("runs/backbones")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", metavar="FOLDER", type=Path, help="where the weights go (default: the package's own folder)")
    add("--runs", metavar="FOLDER", type=Path, default=RUNS, help=f"checkpoints and logs (default {RUNS})")
    add("--dtype", choices=DTYPES, default=DTYPES[0], help="bfloat16 is faster where a CPU has it (float32)")
    add("--samples", metavar="N", type=options.whole(1), default=200, help="clips scored a task (200)")


def run(arguments: argparse.Namespace) -> None:
    say("loading torch …")
    from salmonn_mini.pretrained import toy_folder
    from salmonn_mini.toy.backbones.build import build_all

    target = arguments.out or toy_folder()
    build_all(target, arguments.runs, dtype=arguments.dtype, samples=arguments.samples)
    print(f"Wrote the weights to {target}. Next: `salmonn-mini train toy-stage1`")
