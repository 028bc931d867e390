"""Make the toy world's data."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(title="what to make", metavar="WHAT", required=True)
    samples = kinds.add_parser(
        "samples", help="the clips of data_samples/, byte for byte the same every time"
    )
    samples.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("data_samples"), help="(data_samples)"
    )
    samples.set_defaults(make=make_samples)


def run(arguments: argparse.Namespace) -> int:
    return arguments.make(arguments)


def make_samples(arguments: argparse.Namespace) -> int:
    from salmonn_mini.samples import build_samples

    files = build_samples(arguments.out)
    print(f"{len(files)} files in {arguments.out}")
    return 0
