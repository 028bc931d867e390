"""See whether everything is there: environment, accelerator, memory, weights; fetches nothing."""

from __future__ import annotations

import argparse

from salmonn_mini.cli import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", metavar="P", default="toy", help="toy (the default), small, 7b or 13b")
    options.add_parts(parser, without="by default the preset's own places are looked at")


def run(arguments: argparse.Namespace) -> int:
    """0 if nothing has failed, else 1."""
    from salmonn_mini.tools.doctor import FAIL, examine

    failed = 0
    for section, findings in examine(arguments.preset, options.places(arguments)):
        print(section, *(f"  {finding}" for finding in findings), sep="\n", flush=True)
        failed += sum(finding.level == FAIL for finding in findings)
    print(f"{failed} failed" if failed else f"preset {arguments.preset} can be used")
    return 1 if failed else 0
