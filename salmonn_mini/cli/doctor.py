"""Check packages, accelerator, memory, weights; downloads nothing."""

from __future__ import annotations

import argparse

from salmonn_mini.cli import options
from salmonn_mini.cli.console import say
from salmonn_mini.models.config import preset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", metavar="P", default="toy", help="toy (default), small, 7b or 13b")
    options.add_runtime(parser)
    options.add_parts(parser, without="by default each part is looked for where the preset has it")


def run(arguments: argparse.Namespace) -> int:
    """0 if nothing has failed, else 1."""
    preset(arguments.preset)  # refuse a wrong name first
    say("checking packages …")
    from salmonn_mini.tools.doctor import FAIL, examine

    failed = []
    runtime = {name: getattr(arguments, name) for name in ("device", "dtype", "bits")}
    for section, findings in examine(arguments.preset, options.parts(arguments), **runtime):
        print(section, flush=True)
        for finding in findings:
            print(f"  {finding}", flush=True)
            failed += [finding] * (finding.level == FAIL)
    if not failed:
        print(f"Preset {arguments.preset} can run here.")
        return 0
    checks = "1 check failed" if len(failed) == 1 else f"{len(failed)} checks failed"
    print(f"Preset {arguments.preset} cannot run here: {checks}. Next: {failed[0].remedy}")
    return 1
